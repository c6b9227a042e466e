"""The lines of one evaluation while they are being written: values may be one number or one a draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perwatt.results.size.parameter import Kind, Values
from perwatt.results.size.sizing import Line, Section


class Entry(NamedTuple):
    """A line before it has a band: see :class:`perwatt.results.size.sizing.Line`."""

    section: Section
    level: str
    label: str
    value: Values | None
    unit: str
    kind: Kind
    basis: str


class Sheet:
    """Lines by key, in the order in which they were added. A value that is not finite is none."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def add(
        self,
        key: str,
        section: Section,
        label: str,
        value: Values | None,
        unit: str,
        basis: str,
        *,
        level: str = "",
        kind: Kind = "modelled",
    ) -> None:
        """Add a line; a key that is there already is a mistake of the caller."""
        assert key not in self.entries, key
        self.entries[key] = Entry(section, level, label, value, unit, kind, basis)

    def values(self) -> dict[str, Values | None]:
        """The values alone, by key."""
        return {key: entry.value for key, entry in self.entries.items()}

    def lines(self, bands: dict[str, tuple[float, float, float]]) -> tuple[Line, ...]:
        """The lines of a point evaluation with the bands of their draws; lines without a band have none."""
        return tuple(self._line(key, entry, bands.get(key)) for key, entry in self.entries.items())

    @staticmethod
    def _line(key: str, entry: Entry, band: tuple[float, float, float] | None) -> Line:
        value = None if entry.value is None else float(np.asarray(entry.value).reshape(-1)[0])
        if value is not None and not np.isfinite(value):
            value = None
        low, middle, high = band if band and value is not None else (None, None, None)
        return Line(
            key, entry.section, entry.level, entry.label, value, entry.unit, entry.kind, entry.basis, low, high, middle
        )
