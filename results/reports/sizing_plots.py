"""The curves of a sizing: load over the year, the year by temperature, ramps, spectrum, and what dominates a figure.

How a series is drawn follows from how its name begins: ``load_duration`` as an area from 0, ``year`` as panels one
below the other on one axis (hours and PUE share no scale), ``ramps`` as bars side by side, ``spectrum`` on two
logarithmic axes, ``caps`` as points, between which nothing is known, any other as lines. Curves in W get the prefix
that suits the largest value. What the meter cannot see is said by the series' note, beside the title. matplotlib is
imported on use, without global state.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perwatt.results.reports import svg
from perwatt.results.reports.plots import Drawing, plain
from perwatt.results.reports.sizing_values import first_upper, scale, shown, spoken
from perwatt.results.size.sizing import Driver, Line, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT, FONT = 460, 270, 11
LEFT, RIGHT, TOP, BOTTOM, LEGEND, GAP = 50, 10, 24, 40, 18, 30
CHARACTER = 6.6
BAR_ROW, NAME_WIDTH, MOST_DRIVERS = 26, 166, 8
# What part of the widest bar a bar must be to be drawn.
LEAST_BAR = 0.02
SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
TITLES = {
    "load_duration": "Load over the year",
    "year": "The year by temperature",
    "ramps": "Steepest change by window",
    "spectrum": "Spectrum of the power",
    "trace": "Power over time",
    "caps": "Work by power cap",
}


def figure(series: Series, prefix: str) -> Drawing | None:
    """The drawing of one series; None if it has fewer than two points."""
    known = {name: values for name, values in series.y.items() if len(values) == len(series.x)}
    if len(series.x) < 2 or not known:
        return None
    with svg.style(FONT):
        draw = _panels if series.name.startswith("year") else _one
        markup = draw(series, known, prefix)
    title = next((title for start, title in TITLES.items() if series.name.startswith(start)), "")
    title = title or first_upper(series.name.replace("_", " "))
    return Drawing(markup, title, series.note)


def _one(series: Series, known: dict[str, tuple[float, ...]], prefix: str) -> str:
    rows = 1 if len(known) > 1 else 0
    height, top = HEIGHT + LEGEND * rows, TOP + LEGEND * rows
    drawing = svg.figure(WIDTH, height)
    box = (LEFT / WIDTH, BOTTOM / height, 1 - (LEFT + RIGHT) / WIDTH, 1 - (top + BOTTOM) / height)
    axes = drawing.add_axes(box)
    factor, unit = _unit(series.y_label, [v for values in known.values() for v in values])
    if series.name.startswith("ramps"):
        _bars(axes, series.x, known, factor)
    else:
        _lines(axes, series, known, factor)
    drawing.text(0, 1 - (top - 8) / height, unit, color=svg.INK["muted"], va="bottom")
    drawing.text(
        1 - RIGHT / WIDTH, 6 / height, _spoken(series.x_label), color=svg.INK["muted"], ha="right", va="bottom"
    )
    if rows:
        options = {"borderaxespad": 0.1, "borderpad": 0, "handlelength": 1.6, "columnspacing": 1.6}
        drawing.legend(loc="upper left", bbox_to_anchor=(0, 1), ncols=len(known), **options)
    told = "; ".join(f"{n} from {plain(min(v) / factor)} to {plain(max(v) / factor)}" for n, v in known.items())
    return svg.inline(drawing, prefix, f"{unit} against {_spoken(series.x_label)}: {told}")


def _spoken(label: str) -> str:
    return re.sub(r"(degC|degrees C)\b", "\u00b0C", label).replace(", ", " in ", 1).replace("W2/", "W\u00b2/")


def _unit(label: str, values: Sequence[float]) -> tuple[float, str]:
    """What to divide by and what to write above the axis: ``power in W`` (or ``power, W``) is ``power in MW``."""
    name, separator, unit = _spoken(label).partition(" in ")
    if unit in ("W", "J", "W/s") or name.startswith("work "):
        factor, scaled = scale(max((abs(v) for v in values), default=0.0), unit)
        return factor, f"{name}{separator}{scaled}"
    if "as a fraction" in label:
        return 0.01, label.replace("as a fraction", "in %")
    return 1.0, _spoken(label)


def _lines(axes: Axes, series: Series, known: dict[str, tuple[float, ...]], factor: float) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    spectrum, duration = series.name.startswith("spectrum"), series.name.startswith("load_duration")
    for index, (_, values) in enumerate(known.items()):
        ink = svg.INK[f"c{index % svg.SERIES}"]
        y = [value / factor for value in values]
        line, mark = ("none", "o") if series.name.startswith("caps") else ("-", "")
        axes.plot(series.x, y, color=ink, linewidth=1.7, linestyle=line, marker=mark, label=list(known)[index],
                  clip_on=not mark, zorder=3)  # fmt: skip
        if duration and index == 0:
            axes.fill_between(series.x, y, color=ink, alpha=0.12, linewidth=0, zorder=1)
    axes.margins(x=0)
    if spectrum and min(series.x) > 0 and all(v > 0 for values in known.values() for v in values):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(base=10, numticks=7))
        # the band of a short trace may hold no power of ten, and would have no number at all
        narrow = max(series.x) < 100 * min(series.x)
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=12))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
            axis.set_major_formatter(lambda value, _: _power_of_ten(value))
        axes.tick_params(axis="y", which="minor", size=0)
        return
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: plain(value))


def _power_of_ten(value: float) -> str:
    """A tick label of a logarithmic axis: plain as long as it is short."""
    if 1e-3 <= value < 1e5:
        return plain(value)
    return f"10{str(round(math.log10(value))).translate(SUPERSCRIPT)}"


def _bars(axes: Axes, x: Sequence[float], known: dict[str, tuple[float, ...]], factor: float) -> None:
    from matplotlib.ticker import MaxNLocator

    width = 0.72 / len(known)
    for index, (name, values) in enumerate(known.items()):
        at = [place + (index - (len(known) - 1) / 2) * width for place in range(len(x))]
        axes.bar(
            at,
            [v / factor for v in values],
            width * 0.92,
            color=svg.INK[f"c{index}"],
            linewidth=0,
            label=name,
            zorder=2,
        )
    axes.set_xticks(range(len(x)), [plain(value) for value in x])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: plain(value))


def _panels(series: Series, known: dict[str, tuple[float, ...]], prefix: str) -> str:
    """One panel a curve, one below the other, on one horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    each = max(96.0, (HEIGHT - TOP - BOTTOM) / len(known) - GAP / 2)
    height = TOP + BOTTOM + len(known) * each + (len(known) - 1) * GAP
    drawing = svg.figure(WIDTH, height)
    for index, (name, values) in enumerate(known.items()):
        bottom = BOTTOM + (len(known) - 1 - index) * (each + GAP)
        axes = drawing.add_axes((LEFT / WIDTH, bottom / height, 1 - (LEFT + RIGHT) / WIDTH, each / height))
        ink = svg.INK[f"c{index % svg.SERIES}"]
        step = min(b - a for a, b in zip(series.x, series.x[1:], strict=False))
        if name.lower().startswith("hours"):
            axes.bar(series.x, values, width=0.86 * step, align="edge", color=ink, linewidth=0, zorder=2)
        else:
            axes.step(series.x, values, where="post", color=ink, linewidth=1.7, zorder=3)
        axes.set_xlim(min(series.x), max(series.x) + step)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(lambda value, _: plain(value))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(lambda value, _: plain(value))
        axes.tick_params(axis="x", labelbottom=index == len(known) - 1)
        drawing.text(0, (bottom + each + 8) / height, name, color=svg.INK["muted"], va="bottom")
    drawing.text(
        1 - RIGHT / WIDTH, 6 / height, _spoken(series.x_label), color=svg.INK["muted"], ha="right", va="bottom"
    )
    return svg.inline(drawing, prefix, f"{', '.join(known)} against {_spoken(series.x_label)}")


def tornado(line: Line, drivers: Sequence[Driver], prefix: str) -> Drawing | None:
    """What the line becomes at the low and at the high end of each input, the widest first; None without drivers."""
    widest = sorted(drivers, key=lambda d: -abs(d.at_high - d.at_low))[:MOST_DRIVERS]
    if not widest or line.value is None:
        return None
    seen = LEAST_BAR * abs(widest[0].at_high - widest[0].at_low)
    widest = [d for d in widest if abs(d.at_high - d.at_low) >= seen]
    factor, unit = scale(line.value, line.unit, line.key)
    height = TOP + BOTTOM + BAR_ROW * len(widest)
    with svg.style(FONT):
        drawing = svg.figure(WIDTH, height)
        box = (NAME_WIDTH / WIDTH, BOTTOM / height, 1 - (NAME_WIDTH + 46) / WIDTH, BAR_ROW * len(widest) / height)
        axes = drawing.add_axes(box)
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        middle = line.value / factor
        for at, driver in enumerate(widest):
            for end, ink in ((driver.at_low, "c0"), (driver.at_high, "c1")):
                axes.barh(at, end / factor - middle, 0.62, left=middle, color=svg.INK[ink], linewidth=0, zorder=2)
            axes.annotate(
                f"{100 * driver.share:.0f} %", (1, at), xycoords=("axes fraction", "data"), xytext=(6, 0),
                textcoords="offset points", va="center", color=svg.INK["muted"],
            )  # fmt: skip
        _tornado_axes(axes, widest, middle)
        over = (BOTTOM + BAR_ROW * len(widest) + 7) / height
        drawing.text(1 - 40 / WIDTH, over, "share", color=svg.INK["muted"], va="bottom")
        drawing.text(0, over, "input at its", color=svg.INK["muted"], va="bottom")
        drawing.text(74 / WIDTH, over, "low", color=svg.INK["c0"], va="bottom", weight="bold")
        drawing.text(102 / WIDTH, over, "high", color=svg.INK["c1"], va="bottom", weight="bold")
        drawing.text(136 / WIDTH, over, "end", color=svg.INK["muted"], va="bottom")
        drawing.text(1 - 46 / WIDTH, 6 / height, unit or "ratio", color=svg.INK["muted"], ha="right", va="bottom")
        told = "; ".join(
            f"{d.path}: {shown(d.at_low, line.unit, line.key)} to {shown(d.at_high, line.unit, line.key)}"
            for d in widest
        )
        markup = svg.inline(drawing, prefix, f"What moves {line.label}: {told}")
    return Drawing(markup, first_upper(line.label))


def _tornado_axes(axes: Axes, widest: Sequence[Driver], middle: float) -> None:
    from matplotlib.ticker import MaxNLocator

    most = int((NAME_WIDTH - 10) / CHARACTER)
    names = [spoken(d.path) for d in widest]
    # two of one name: what they belong to tells them apart
    names = [n if names.count(n) == 1 else f"{d.path.split('.')[-2]}: {n}" for n, d in zip(names, widest, strict=True)]
    names = [name if len(name) <= most else "\u2026" + name[-most + 1 :] for name in names]
    axes.set_yticks(range(len(widest)), names)
    axes.set_ylim(len(widest) - 0.5, -0.5)
    axes.axvline(middle, color=svg.INK["fg"], linewidth=1.0, zorder=3)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: plain(value))
    axes.tick_params(axis="y", labelcolor=svg.INK["fg"])
