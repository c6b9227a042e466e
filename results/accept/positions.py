"""Where devices stand: which rack, which switch, which slot of their node, as far as a fleet's folder says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from perwatt.results.fleet.layout import TOPOLOGY

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Levels of a topology, the first that is known counts: what shares air, coolant and supply; what hangs on one switch.
PLACES = ("rack", "block", "leaf", "level 0")
SWITCHES = ("leaf", "level 0", "block", "rack")
SLOT = "slot"


class Classes(NamedTuple):
    """Subjects of one position each: ``level`` (``rack``, ``slot``, ...), the ``names`` of its classes, and of each
    subject the number of its class, -1 where it is not known."""

    level: str
    names: tuple[str, ...]
    codes: np.ndarray

    def name(self, number: int) -> str:
        """As it is told: ``rack r05``."""
        return f"{self.level} {self.names[number]}"


@dataclass(frozen=True)
class Positions:
    """``levels``: of each level of a topology the name of the group that a host is in."""

    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def classes(self, subjects: pd.DataFrame, scope: str) -> tuple[Classes, ...]:
        """How subjects (one row each with ``host`` and ``device``) are grouped: devices by slot and rack, nodes by
        switch."""
        found = [_classes(SLOT, subjects["device"].astype(str))] if scope == "device" else []
        level = next((level for level in (PLACES if scope == "device" else SWITCHES) if level in self.levels), None)
        if level is not None and scope in ("device", "node"):
            found.append(_classes(level, subjects["host"].astype(str).map(self.levels[level])))
        return tuple(one for one in found if len(one.names) > 1)

    def members(self, told: str) -> list[str]:
        """The hosts of a class as :meth:`Classes.name` tells it; of a slot none."""
        return [h for level, names in self.levels.items() for h, name in names.items() if f"{level} {name}" == told]


def of_groups(levels: Mapping[str, Mapping[str, tuple[str, ...] | list[str]]]) -> Positions:
    """Positions from the groups of each level and their hosts; of a host in several groups the last counts."""
    return Positions(
        {level: {host: name for name, hosts in groups.items() for host in hosts} for level, groups in levels.items()}
    )


def read(run: Path) -> Positions:
    """The positions that a fleet's folder knows. Raises ValueError for a file that cannot be understood."""
    path = run / TOPOLOGY
    try:
        return of_groups(json.loads(path.read_text())["levels"]) if path.is_file() else Positions()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: found no levels with their groups of hosts: {error}") from None


def _classes(level: str, names: pd.Series) -> Classes:
    codes, found = names.factorize()
    return Classes(level, tuple(map(str, found)), codes)
