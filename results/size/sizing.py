"""The outcome: lines, each with its value, its band, its kind and what it rests on; and the series behind the plots."""

from __future__ import annotations

from typing import Literal

import msgspec

from perwatt.results.size.parameter import Kind

Section = Literal[
    "fleet", "power", "feeds", "redundancy", "cooling", "year", "transients", "kpi", "duties", "work", "savings"
]


class Line(msgspec.Struct, frozen=True):
    """One figure. ``key`` is unique (``power.rack.recommended``), ``level`` one of gpu, unit, rack, row, support,
    ups, transformer, site, or empty. ``value`` has all inputs at their likeliest; ``low``, ``middle`` and ``high``
    are the 5, 50 and 95 % quantiles over the draws, None before any: where ranges lean to one side, so does the band.
    ``value`` None: not observable or not stated, and ``basis`` says why. ``basis``: the run, source or formula that it
    came from."""

    key: str
    section: Section
    level: str
    label: str
    value: float | None
    unit: str
    kind: Kind
    basis: str
    low: float | None = None
    high: float | None = None
    middle: float | None = None


class Driver(msgspec.Struct, frozen=True):
    """An input that a line depends on: the line's value at the input's low and high 5 % ends, all others as likeliest;
    ``share`` of the line's variance over the draws that goes with it (squared rank correlation)."""

    path: str
    low: float
    high: float
    at_low: float
    at_high: float
    share: float


class Stage(msgspec.Struct, frozen=True):
    """A box of the one-line diagram, from the grid down: power in and out at the peak, loss, count and redundancy."""

    level: str
    title: str
    in_w: float
    out_w: float
    count: int
    topology: str
    detail: str


class Flow(msgspec.Struct, frozen=True):
    """An arrow of the Sankey: annual energy in J from one place to another."""

    source: str
    target: str
    energy_j: float


class Series(msgspec.Struct, frozen=True):
    """Values to be drawn: ``x`` and each of ``y`` have the same length; units in the names of the axes."""

    name: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: dict[str, tuple[float, ...]]
    note: str = ""


class Sizing(msgspec.Struct, frozen=True):
    """All of it, standing alone: what was asked, what came out, what it rests on."""

    schema: int
    title: str
    request: dict[str, object]
    lines: tuple[Line, ...]
    stages: tuple[Stage, ...]
    flows: tuple[Flow, ...]
    series: tuple[Series, ...]
    drivers: dict[str, tuple[Driver, ...]]
    inputs: tuple[tuple[str, float, float, float, str, str, str], ...]  # path, min, mode, max, unit, kind, source
    warnings: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()  # of the warnings: what the site as asked for cannot carry
    draws: int = 0
    seed: int = 0

    def line(self, key: str) -> Line:
        """The line of that key; KeyError if there is none."""
        for line in self.lines:
            if line.key == key:
                return line
        raise KeyError(key)
