"""A comparison in pictures: ratios with their intervals, rate per watt against the power cap, cases from run to run.

Ratios stand on a logarithmic axis, where a ratio and its reciprocal lie equally far from 1; the band is the least
effect that matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perwatt.results.compare.caps import CapCase, optimum
from perwatt.results.compare.comparison import Pair
from perwatt.results.compare.history import Course
from perwatt.results.compare.ratio import Ratio
from perwatt.results.reports import svg
from perwatt.results.reports.comparison_parts import UNITS
from perwatt.results.reports.plots import Drawing, plain
from perwatt.results.reports.units import FACTORS, common_prefix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, FONT, ROW = 460, 11, 20
NAMES, RIGHT, TOP, BOTTOM = 168, 10, 10, 36
LEFT, HEIGHT = 50, 260
MOST = 30  # ratios in one picture
LETTERS = 25  # of a name that fit
INKS = {"BETTER": "c2", "WORSE": "c1", "SAME": "c0", "AMBIGUOUS": "muted", "": "c0"}


def forest(pairs: Sequence[Pair], quantity: str, title: str, over: str, effect: float, prefix: str) -> Drawing | None:
    """The ratios of one quantity, one a row; None if fewer than two are known."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    found = [(pair.label, pair.ratios[quantity]) for pair in pairs if quantity in pair.ratios]
    if len(found) < 2:
        return None
    shown = found[:MOST]
    height = TOP + BOTTOM + ROW * len(shown)
    with svg.style(FONT):
        drawing = svg.figure(WIDTH, height)
        box = (NAMES / WIDTH, BOTTOM / height, 1 - (NAMES + RIGHT) / WIDTH, ROW * len(shown) / height)
        axes = drawing.add_axes(box)
        axes.set_xscale("log")
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        axes.axvspan(1 / (1 + effect), 1 + effect, color=svg.INK["band"], linewidth=0, zorder=0)
        axes.axvline(1, color=svg.INK["muted"], linewidth=1, zorder=1)
        for at, (_, ratio) in enumerate(shown):
            _interval(axes, at, ratio)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_yticks(range(len(shown)), [_short(label) for label, _ in shown])
        low, high = _span([ratio for _, ratio in shown])
        axes.set_xlim(low, high)
        ticks = _ticks(low, high)
        axes.set_xticks(ticks)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(round(value, 4))))
        drawing.text(1 - RIGHT / WIDTH, 5 / height, over, color=svg.INK["muted"], ha="right", va="bottom")
        told = "; ".join(f"{label} {ratio.value:.3g} {ratio.verdict}".strip() for label, ratio in shown)
        markup = svg.inline(drawing, prefix, f"{title}: {told}")
    more = f"the first {MOST} of {len(found)}; " if len(found) > MOST else ""
    return Drawing(markup, title, f"{more}95 % intervals; band: the least effect that matters")


def caps(case: CapCase, letters: dict[str, str], what: str, prefix: str) -> Drawing | None:
    """``per_watt`` or ``work`` of every run against its cap; None without two caps of a run."""
    runs = list(dict.fromkeys(s.run for s in case.settings))
    by = {run: [s for s in case.settings if s.run == run and s.cap_w is not None] for run in runs}
    by = {run: points for run, points in by.items() if points}
    if not any(len(points) > 1 for points in by.values()):
        return None
    values = {run: [s.work_per_joule if what == "per_watt" else s.work for s in points] for run, points in by.items()}
    symbol = common_prefix([v for of in values.values() for v in of])
    factor = FACTORS[symbol]
    best, _ = optimum(case.settings)
    with svg.style(FONT):
        drawing = svg.figure(WIDTH, HEIGHT)
        top = 40
        axes = drawing.add_axes(
            (LEFT / WIDTH, BOTTOM / HEIGHT, 1 - (LEFT + RIGHT) / WIDTH, 1 - (top + BOTTOM) / HEIGHT)
        )
        for at, (run, points) in enumerate(by.items()):
            ink = svg.INK[f"c{at % svg.SERIES}"]
            x = [s.cap_w or 0.0 for s in points]
            name = f"{letters[run]} {points[0].device}"
            axes.plot(x, [v / factor for v in values[run]], color=ink, marker=svg.MARKERS[at % len(svg.MARKERS)],
                      markersize=5, linewidth=1.6, label=name, zorder=3)  # fmt: skip
            for place, s in zip(x, points, strict=True):
                ends = (s.per_joule_low, s.per_joule_high) if what == "per_watt" else (s.low, s.high)
                if ends[0] is not None and ends[1] is not None:
                    axes.plot(
                        [place] * 2, [ends[0] / factor, ends[1] / factor], color=ink, linewidth=1.2, alpha=0.6, zorder=2
                    )
        marked = best.cap_w if what == "work" and best.work else None  # without work not one unit fits the limit
        if marked is not None:
            axes.axvline(marked, color=svg.INK["muted"], linestyle=(0, (5, 4)), linewidth=1.1, zorder=1)
        _plain_axes(axes)
        unit = f"{symbol}{UNITS[case.unit]}/{'J' if what == 'per_watt' else 's'}"
        drawing.text(0, 1 - (top - 7) / HEIGHT, unit, color=svg.INK["muted"], va="bottom")
        drawing.text(1 - RIGHT / WIDTH, 5 / HEIGHT, "power cap in W", color=svg.INK["muted"], ha="right", va="bottom")
        if len(by) > 1:
            drawing.legend(loc="upper left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.1, borderpad=0)
        kind = "rate per watt" if what == "per_watt" else "work under the limit"
        markup = svg.inline(drawing, prefix, f"{case.kernel} {case.label}: {kind} against power cap")
    remark = "95 % intervals" + ("; dashed: the cap with the most work" if marked is not None else "")
    return Drawing(markup, f"{case.kernel} {case.label}: {kind}", remark)


def course(courses: Sequence[Course], title: str, prefix: str) -> Drawing | None:
    """The cases of one kernel from run to run, over their first run; None without two runs."""
    runs = list(dict.fromkeys(run for one in courses for run in one.runs))
    if len(runs) < 2:
        return None
    with svg.style(FONT):
        drawing = svg.figure(WIDTH, HEIGHT)
        axes = drawing.add_axes(
            (LEFT / WIDTH, BOTTOM / HEIGHT, 1 - (LEFT + RIGHT) / WIDTH, 1 - (TOP + BOTTOM) / HEIGHT)
        )
        axes.axhline(1, color=svg.INK["muted"], linewidth=1, zorder=1)
        for at, one in enumerate(courses):
            ink = svg.INK[f"c{at % svg.SERIES}"]
            x = [runs.index(run) for run in one.runs]
            axes.plot(x, [v / one.values[0] for v in one.values], color=ink, linewidth=1.3, markersize=4,
                      marker=svg.MARKERS[at % len(svg.MARKERS)], zorder=3)  # fmt: skip
        _plain_axes(axes, from_zero=False)
        days = {run: time[:10] for one in courses for run, time in zip(one.runs, one.times, strict=True)}
        step = -(-len(runs) // 5)
        ticks = list(range(len(runs) - 1, -1, -step))
        axes.set_xticks(ticks, [days[runs[i]] for i in ticks])
        drawing.text(1 - RIGHT / WIDTH, 5 / HEIGHT, "run", color=svg.INK["muted"], ha="right", va="bottom")
        told = "; ".join(f"{one.label} {one.values[-1] / one.values[0]:.3g}" for one in courses)
        markup = svg.inline(drawing, prefix, f"{title}, last over first run: {told}")
    return Drawing(markup, title, f"each of {len(courses)} cases over its first run")


def _interval(axes: Axes, at: int, ratio: Ratio) -> None:
    ink = svg.INK[INKS[ratio.verdict]]
    if ratio.low is not None and ratio.high is not None:
        axes.plot([ratio.low, ratio.high], [at, at], color=ink, linewidth=1.8, zorder=2)
    axes.plot([ratio.value], [at], color=ink, marker="o" if ratio.low is not None else "x", markersize=5, zorder=3)


def _span(ratios: Sequence[Ratio]) -> tuple[float, float]:
    """What the axis reaches over: all ratios and 1, and no interval so far out that the others would be dots."""
    values = [r.value for r in ratios] + [1.0]
    far = max(max(values) / min(values), 1.02) ** 2
    ends = [v for r in ratios for v in (r.low, r.high) if v is not None and min(values) / far < v < max(values) * far]
    low, high = min([*values, *ends]), max([*values, *ends])
    room = max((high / low) ** 0.06, 1.004)
    return low / room, high * room


def _ticks(low: float, high: float) -> list[float]:
    """Round ratios, four to seven of them."""
    for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        first = math.ceil(low / step)
        ticks = [round(step * i, 6) for i in range(max(first, 1), math.floor(high / step) + 1)]
        if len(ticks) <= 5:
            return ticks or [1.0]
    return [1.0, 10.0, 100.0]


def _plain_axes(axes: Axes, from_zero: bool = True) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if from_zero:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))


def _short(label: str) -> str:
    return label if len(label) <= LETTERS else label[: LETTERS - 1] + "\u2026"
