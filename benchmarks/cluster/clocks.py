"""How the nodes' clocks are laid beside their leader's and when all of them begin, as ``conf/clocks`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from perwatt.benchmarks.cluster.keys import build
from perwatt.benchmarks.config import BadRequest
from perwatt.results.fleet.clocks import Compared


@dataclass(frozen=True)
class Clocks:
    """The keys of ``conf/clocks``, which explains them. Raises BadRequest for a value that is not allowed."""

    name: str
    messages: int
    every_s: float
    timeout_s: float
    limit_s: float
    beyond: str
    unknown: str
    start_wait_s: float
    lead_s: float

    def __post_init__(self) -> None:
        for key in ("messages", "every_s", "timeout_s", "limit_s"):
            if not getattr(self, key) > 0:
                raise BadRequest(f"clocks.{key}: found {getattr(self, key)}; allowed above 0")
        for key in ("start_wait_s", "lead_s"):
            if not getattr(self, key) >= 0:
                raise BadRequest(f"clocks.{key}: found {getattr(self, key)}; allowed seconds, 0 or more")
        for key in ("beyond", "unknown"):
            if getattr(self, key) not in ("fail", "warn"):
                raise BadRequest(f"clocks.{key}: found {getattr(self, key)!r}; allowed fail, warn")

    def judge(self, found: Compared) -> tuple[Literal["", "warn", "fail"], str]:
        """What is said of a node by its last comparison, and how it counts; nothing of one that is synchronised."""
        if not found.comparisons:
            why = found.error or "it never tried"
            return ("fail" if self.unknown == "fail" else "warn"), f"no clock sync known: nothing compared ({why})"
        last = found.comparisons[-1]
        # what the doubt alone may explain is no proof
        if abs(last.offset_s) - last.uncertainty_s <= self.limit_s:
            return "", ""
        off = f"{abs(last.offset_s):.3g} s {'ahead of' if last.offset_s > 0 else 'behind'} the leader"
        told = f"no clock sync: {off} (± {last.uncertainty_s:.2g} s; allowed {self.limit_s:g} s)"
        return ("fail" if self.beyond == "fail" else "warn"), told


def from_config(config: Mapping[str, Any]) -> Clocks:
    """The settings of a plain configuration. Raises BadRequest, naming the key, for what it does not know or lacks."""
    return build(Clocks, config, "clocks")
