"""Rate and rate per watt against size: one figure a kernel, one line a series, the peak as a dashed line.

Lines are told apart by colour and by marker. Bars reach from the 5th to the 95th percentile of the samples. The
vertical axis starts at 0 unless the rates span more than a factor of 50; collectives are drawn on two logarithmic axes,
as their bandwidth always is. Where several devices ran a case, the line is their median and each is a dot. A kernel
with one size has its series side by side; one with a single point has no figure, because the table says it all.
matplotlib is imported on use, through its object interface, without global state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

from perwatt.results.reports import svg
from perwatt.results.reports.layout import UNITS, Group
from perwatt.results.reports.table import Row
from perwatt.results.reports.units import FACTORS, binary, number, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Quantity = Literal["rate", "per_watt"]

WIDTH, HEIGHT, FONT = 460, 270, 11
LEFT, RIGHT, TOP, BOTTOM, LEGEND_ROW = 46, 8, 22, 40, 18
# The width of a character of this font, on the wide side.
CHARACTER = 7.0
LOG_ABOVE = 50.0


@dataclass(frozen=True)
class Drawing:
    """A figure for a page: the SVG element, a title, and a remark on how it was drawn (often empty)."""

    markup: str
    title: str
    remark: str = ""


@dataclass(frozen=True)
class Curve:
    """The points of one series: for each size, ascending, the rows at it (several if several devices ran it)."""

    name: str
    points: tuple[tuple[float, tuple[Row, ...]], ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows of the curve."""
        return tuple(row for _, rows in self.points for row in rows)


def curves(rows: Sequence[Row], what: Quantity) -> list[Curve]:
    """The rows that have the quantity, by series; of a collective each number of ranks has a curve of its own."""
    several_ranks = len({r.record.case.ranks for r in rows}) > 1
    found: dict[str, dict[float, list[Row]]] = {}
    for row in rows:
        if (row.best if what == "rate" else row.per_joule) is not None:
            case = row.record.case
            name = f"{case.series}, {case.ranks} ranks" if several_ranks else case.series
            found.setdefault(name, {}).setdefault(case.size, []).append(row)
    return [Curve(name, tuple((size, tuple(at[size])) for size in sorted(at))) for name, at in found.items()]


def by_size(group: Group, what: Quantity, prefix: str) -> Drawing | None:
    """The figure of one kernel, or None if fewer than two of its records have the quantity."""
    found = curves([line.row for line in group.lines], what)
    points = [row for curve in found for row in curve.rows]
    if len(points) < 2:
        return None
    symbol, suffix = (group.rate_prefix, "") if what == "rate" else (group.watt_prefix, "/W")
    unit, factor = UNITS[group.headline] + suffix, FACTORS[symbol]
    side_by_side = len({row.record.case.size for row in points}) == 1
    against = " or ".join(dict.fromkeys(row.record.case.size_name.replace("_", " ") for row in points))
    rows_of_legend, columns = _legend_shape([c.name for c in found])
    if side_by_side or len(found) == 1:
        rows_of_legend = 0
    with svg.style(FONT):
        height = HEIGHT + LEGEND_ROW * rows_of_legend
        top = TOP + LEGEND_ROW * rows_of_legend
        drawing = svg.figure(WIDTH, height)
        box = (LEFT / WIDTH, BOTTOM / height, 1 - (LEFT + RIGHT) / WIDTH, 1 - (top + BOTTOM) / height)
        axes = drawing.add_axes(box)
        peaks: set[str] = set()
        if side_by_side:
            _draw_side_by_side(axes, found, what, factor)
        else:
            for index, curve in enumerate(found):
                _draw_curve(axes, curve, index, what, factor)
            peaks = _draw_peaks(axes, found, factor) if what == "rate" else set()
            _x_axis(axes, points)
            right = 1 - RIGHT / WIDTH
            drawing.text(right, 6 / height, against, color=svg.INK["muted"], ha="right", va="bottom")
        _y_axis(axes, [_value(r, what) / factor for r in points], logarithmic=group.headline == "message")
        drawing.text(0, 1 - (top - 7) / height, symbol + unit, color=svg.INK["muted"], va="bottom")
        if rows_of_legend:
            options = {"borderaxespad": 0.1, "borderpad": 0, "handlelength": 1.8, "columnspacing": 1.6}
            drawing.legend(loc="upper left", bbox_to_anchor=(0, 1), ncols=columns, **options)
        best = max(points, key=lambda row: _value(row, what))
        title = f"{group.kernel}: {_name(group, points)}{' per watt' if what == 'per_watt' else ''}"
        label = (
            f"{title} in {symbol}{unit}, {'by series' if side_by_side else f'against {against}'}; {len(points)} cases, "
            f"highest {quantity(_value(best, what), unit)} at {best.record.case.label}"
        )
        remarks = [found[0].name] if len(found) == 1 else []
        remarks += [f"dashed: {' and '.join(sorted(peaks))} peak"] if peaks else []
        remarks += ["lines: medians of the dots"] if any(len(rows) > 1 for c in found for _, rows in c.points) else []
        remarks += _cautions(points) if what == "per_watt" else []
        return Drawing(svg.inline(drawing, prefix, label), title, "; ".join(remarks))


def _cautions(points: Sequence[Row]) -> list[str]:
    """What has to be said of energies that were not metered here, or not well enough: a picture has no marks."""
    sources = {row.energy.source for row in points if row.energy} & {"replayed", "modelled"}
    doubtful = sum(row.indicative for row in points)
    indicative = "indicative" if doubtful == len(points) else f"{doubtful} of {len(points)} points indicative"
    return [f"energy {source}" for source in sorted(sources)] + ([indicative] if doubtful else [])


def _legend_shape(names: Sequence[str]) -> tuple[int, int]:
    """Rows and columns of a legend that fits the width."""
    columns = max(1, min(len(names), int(WIDTH / CHARACTER) // (6 + max(len(name) for name in names))))
    return -(-len(names) // columns), columns


def _name(group: Group, points: Sequence[Row]) -> str:
    if group.headline == "message":
        return "busbw" if any(r.busbw is not None for r in points) else "algbw"
    return "bandwidth" if group.headline == "bytes" else "rate"


def _value(row: Row, what: Quantity) -> float:
    value = row.best if what == "rate" else row.per_joule
    assert value is not None
    return value


def _draw_curve(axes: Axes, curve: Curve, index: int, what: Quantity, factor: float) -> None:
    colour = svg.INK[f"c{index % svg.SERIES}"]
    marker = svg.MARKERS[index % len(svg.MARKERS)]
    sizes = [size for size, _ in curve.points]
    values = [[_value(row, what) / factor for row in rows] for _, rows in curve.points]
    middle = [median(v) for v in values]
    axes.plot(sizes, middle, color=colour, marker=marker, markersize=5, linewidth=1.6, label=curve.name, zorder=3)
    for size, rows, at in zip(sizes, (rows for _, rows in curve.points), values, strict=True):
        if len(rows) > 1:
            axes.plot([size] * len(at), at, color=colour, linestyle="", marker=".", markersize=4, alpha=0.6, zorder=2)
        elif what == "rate":
            _draw_spread(axes, rows[0], size, at[0], colour)


def _draw_spread(axes: Axes, row: Row, at: float, value: float, colour: str) -> None:
    m = row.record.measured
    if m is not None and row.spread and 0 < m.seconds.p5 <= m.seconds.p95:
        low, high = (value * m.seconds.median / p for p in (m.seconds.p95, m.seconds.p5))
        axes.plot([at, at], [low, high], color=colour, linewidth=1.2, alpha=0.6, zorder=2)


def _draw_side_by_side(axes: Axes, found: Sequence[Curve], what: Quantity, factor: float) -> None:
    """One size only: each series is a bar with its name below it."""
    for index, curve in enumerate(found):
        values = [_value(row, what) / factor for row in curve.rows]
        axes.bar(index, median(values), width=0.5, color=svg.INK["c0"], linewidth=0, zorder=2)
        if len(values) > 1:
            axes.plot([index] * len(values), values, color=svg.INK["fg"], linestyle="", marker=".", zorder=3)
        elif what == "rate":
            _draw_spread(axes, curve.rows[0], index, values[0], svg.INK["fg"])
    # wide enough that two bars do not fill the figure
    axes.set_xlim(-0.5, max(len(found), 4) - 0.5)
    room = max(4, int(WIDTH / CHARACTER) // max(len(found), 4))
    names = [c.name if len(c.name) <= room else c.name[: room - 1] + "\u2026" for c in found]
    axes.set_xticks(range(len(found)), names)


def _draw_peaks(axes: Axes, found: Sequence[Curve], factor: float) -> set[str]:
    """One dashed line for each distinct peak, in the colour of its curve if it has but one; the kinds drawn."""
    owners: dict[tuple[float, str], set[int]] = {}
    for index, curve in enumerate(found):
        for row in curve.rows:
            if row.peak and row.peak_kind and not row.is_peak:
                owners.setdefault((float(f"{row.peak:.6g}"), row.peak_kind), set()).add(index)
    for (peak, _), indices in owners.items():
        own = len(indices) == 1 and len(found) > 1
        colour = svg.INK[f"c{min(indices) % svg.SERIES}"] if own else svg.INK["muted"]
        axes.axhline(peak / factor, color=colour, linestyle=(0, (5, 4)), linewidth=1.1, zorder=1)
    return {kind for _, kind in owners}


def _x_axis(axes: Axes, rows: Sequence[Row]) -> None:
    """A logarithmic axis with labels at sizes that were run, as many as fit, the largest always among them."""
    sizes = sorted({r.record.case.size for r in rows})
    in_bytes = any("bytes" in r.record.case.size_name for r in rows)
    logarithmic = sizes[0] > 0
    if logarithmic:
        axes.set_xscale("log", base=2)
    place = [math.log2(size) if logarithmic else size for size in sizes]
    # matplotlib leaves a twentieth of the range free on either side
    px_per_unit = (WIDTH - LEFT - RIGHT) / 1.1 / ((place[-1] - place[0]) or 1.0)
    shown: dict[float, str] = {}
    free_px = math.inf
    for size, at in zip(reversed(sizes), reversed(place), strict=True):
        label = binary(size) if in_bytes else plain(size)
        half_px = CHARACTER * (len(label) + 1) / 2
        if at * px_per_unit + half_px <= free_px:
            shown[size] = label
            free_px = at * px_per_unit - half_px
    axes.set_xticks(list(shown), list(shown.values()))
    axes.set_xticks([size for size in sizes if size not in shown], minor=True)
    axes.tick_params(axis="x", which="minor", size=2, labelbottom=False)


def _y_axis(axes: Axes, values: Sequence[float], *, logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    least, greatest = min(values), max(values)
    if least > 0 and (logarithmic or greatest > LOG_ABOVE * least):
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < 5 * low:
            low, high = low / 2, high * 2
            axes.set_ylim(low, high)
        # over less than two decades the powers of ten alone would be too few labels
        steps = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=steps, numticks=9))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="y", which="minor", size=0)
    else:
        axes.set_ylim(bottom=0, top=1.02 * axes.get_ylim()[1])
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: plain(value))


def plain(value: float) -> str:
    """A tick label: no exponent and no needless zeros."""
    text = number(value, 4)
    return text.rstrip("0").rstrip(".") if "." in text else text
