"""A burn-in as pictures: how fast each case still was, and how hot, round after round.

A rate is drawn as a share of that device's first rounds, so that devices lie on each other until one of them falls. Of
a few devices each has a line; of many there is the middle half and nine tenths of them, and the ones that fell most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from perwatt.results.drift import HOUR_S, LEAST, Drift
from perwatt.results.reports import svg
from perwatt.results.reports.canvas import FONT, LEGEND, panel, time_unit
from perwatt.results.reports.plots import Drawing
from perwatt.results.reports.table import one_line
from perwatt.results.reports.units import number

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

    Floats = npt.NDArray[np.float64]

EACH = 8  # devices with a line of their own
NAMED = 2  # of more, those that are drawn over the band
BANDS = ((5.0, 95.0, 0.15), (25.0, 75.0, 0.25))  # percentiles, and how dark
COLUMNS = 4  # of a legend
What = Literal["rate", "temperature"]
UNITS: dict[What, str] = {"rate": "% of its first rounds", "temperature": "\u00b0C"}


def over_rounds(of: Sequence[Drift], what: What, prefix: str = "d") -> Drawing | None:
    """One case of all ``of`` its devices over the rounds, its ids with a ``prefix`` of its own; None where fewer than
    three rounds know it."""
    known = [(one.track.name, line) for one in of if len((line := _line(one, what))[0]) >= LEAST]
    if not known:
        return None
    names, lines = zip(*known, strict=True)
    first = min(float(x[0]) for x, _ in lines)
    divisor, unit = time_unit(HOUR_S * (max(float(x[-1]) for x, _ in lines) - first))
    shown = [((x - first) * HOUR_S / divisor, y) for x, y in lines]
    rows = -(-len(lines) // COLUMNS) if len(lines) <= EACH else 1
    with svg.style(FONT):
        drawing, axes = panel(UNITS[what], unit, rows * (len(lines) > 1))
        if len(lines) <= EACH:
            for at, ((x, y), name) in enumerate(zip(shown, names, strict=True)):
                axes.plot(x, y, color=svg.INK[f"c{at}"], linewidth=1.4, label=name, zorder=3)
        else:
            _many(axes, shown, names, what)
        axes.set_xlim(0, max(float(x[-1]) for x, _ in shown))
        if what == "rate":
            axes.set_ylim(*_around(np.concatenate([y for _, y in shown])))
        if len(lines) > 1:
            drawing.legend(loc="upper left", bbox_to_anchor=(0, 1), ncols=min(len(lines), COLUMNS), **LEGEND)
        title = f"{one_line(of[0].track.case)}: {what} over the rounds"
        end = [float(np.median(y[-max(1, len(y) // 10) :])) for _, y in shown]
        told = f"{title}, {len(lines)} devices, at the end {number(min(end), 4)} to {number(max(end), 4)} {UNITS[what]}"
        return Drawing(svg.inline(drawing, prefix + what[0], told), title)


def _line(one: Drift, what: What) -> tuple[Floats, Floats]:
    """Hours and values of the rounds that know them."""
    found, scale = one.track.temperature_c, 1.0
    if what == "rate":
        found, scale = one.track.rate, 100 / one.rate.first if one.rate and one.rate.first else 0.0
    known = [(h, scale * v) for h, v in zip(one.track.hours, found, strict=True) if v is not None and scale]
    x, y = np.array(known, np.float64).reshape(-1, 2).T
    return x, y


def _many(axes: Axes, lines: Sequence[tuple[Floats, Floats]], names: Sequence[str], what: What) -> None:
    """The bands of all, their median, and those that ended furthest in the bad direction."""
    longest = max(len(x) for x, _ in lines)
    x, y = (np.full((len(lines), longest), np.nan) for _ in range(2))
    for at, (hours, values) in enumerate(lines):
        x[at, : len(hours)], y[at, : len(values)] = hours, values
    middle = np.nanmedian(x, axis=0)
    for low, high, dark in BANDS:
        least, most = np.nanpercentile(y, (low, high), axis=0)
        label = f"{low:.0f} to {high:.0f} % of {len(lines)}"
        axes.fill_between(middle, least, most, color=svg.INK["c0"], alpha=dark, linewidth=0, label=label, zorder=2)
    ends = np.array([np.median(values[-max(1, len(values) // 10) :]) for _, values in lines])
    worst = np.argsort(ends if what == "rate" else -ends, kind="stable")[:NAMED]
    few: dict[str, Any] = {"linewidth": 1.4, "zorder": 3}
    for ink, at in enumerate(worst, 1):
        axes.plot(*lines[at], color=svg.INK[f"c{ink}"], label=names[at], **few)


def _around(values: Floats) -> tuple[float, float]:
    """Limits that show what varies, and never less than 2 %: noise is not to look like a fall."""
    low, high = min(float(values.min()), 99.0), max(float(values.max()), 101.0)
    room = 0.05 * (high - low)
    return low - room, high + room
