"""What all parts of a comparison's text are made of."""

from __future__ import annotations

from dataclasses import dataclass

ABSENT = "\u2013"
UNITS = {"FLOP": "FLOP", "byte": "B", "bus byte": "B", "nothing": ""}


@dataclass(frozen=True)
class Section:
    """One table: ``head`` names the columns, the first of which is words."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()
