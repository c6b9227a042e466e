"""A sizing as CSV, to compute with: the lines, the inputs, the curves, one file each.

SI units, full precision: a number is the shortest decimal that reads back as the same float; absent is nothing, never
0. Curves are in long form (series, curve, x, y), because their lengths differ.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from perwatt.results.reports.sizing_beside import compared
from perwatt.results.size.sizing import Sizing

LINES = ("key", "section", "level", "label", "value", "p5", "p50", "p95", "unit", "kind", "basis")
INPUTS = ("path", "min", "mode", "max", "unit", "kind", "source")
SERIES = ("series", "curve", "x_label", "x", "y_label", "y")
FLOWS = ("source", "target", "energy_j")


def lines(sizing: Sizing) -> str:
    """One row a line."""
    return _table(
        LINES,
        (
            (i.key, i.section, i.level, i.label, i.value, i.low, i.middle, i.high, i.unit, i.kind, i.basis)
            for i in sizing.lines
        ),
    )  # fmt: skip


def inputs(sizing: Sizing) -> str:
    """One row an input, with its range and its source."""
    return _table(INPUTS, sizing.inputs)


def series(sizing: Sizing) -> str:
    """One row a point of a curve."""
    return _table(
        SERIES,
        (
            (one.name, curve, one.x_label, x, one.y_label, y)
            for one in sizing.series
            for curve, values in one.y.items()
            for x, y in zip(one.x, values, strict=True)
        ),
    )


def flows(sizing: Sizing) -> str:
    """One row an arrow of the Sankey diagram."""
    return _table(FLOWS, ((flow.source, flow.target, flow.energy_j) for flow in sizing.flows))


def beside(sizings: Sequence[Sizing]) -> str:
    """Sites beside each other: one row a figure, of each site its value with the 5 and 95 % quantiles."""
    header = ["figure", "key", "unit"]
    for sizing in sizings:
        header += [sizing.title, f"{sizing.title}: p5", f"{sizing.title}: p95"]
    made: list[list[object]] = []
    for row in compared(sizings):
        cells: list[object] = [row.caption, row.key, next((line.unit for line in row.lines if line), "")]
        for word in row.words:
            cells += [word, None, None]
        for line in row.lines:
            cells += [line.value, line.low, line.high] if line else [None, None, None]
        made.append(cells)
    return _table(header, made)


def rows(cells: Sequence[Sequence[str]]) -> str:
    """A form that is text already, its header first: the EU's, for example."""
    return _table(cells[0], cells[1:])


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value
