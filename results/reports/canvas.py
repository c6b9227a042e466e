"""What pictures over time and over many devices share: their size, their margins, axes and the units beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perwatt.results.reports import svg
from perwatt.results.reports.plots import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, FONT = 460, 270, 11
LEFT, RIGHT, TOP, BOTTOM, LEGEND_ROW = 50, 10, 22, 40, 18
LEGEND: dict[str, Any] = {"borderaxespad": 0.1, "borderpad": 0, "handlelength": 1.6, "columnspacing": 1.4}
TIMES = ((7200.0, 3600.0, "h"), (600.0, 60.0, "min"), (0.0, 1.0, "s"))


def time_unit(longest_s: float) -> tuple[float, str]:
    """What seconds are divided by for an axis that ends at ``longest_s``, and its unit."""
    return next((divisor, unit) for least_s, divisor, unit in TIMES if longest_s >= least_s)


def panel(unit: str, below: str, rows: int = 0) -> tuple[Figure, Axes]:
    """A figure with axes, the ``unit`` above them and what their horizontal axis is ``below`` them; with room for a
    legend of so many ``rows``. To be made, and written, under ``svg.style(FONT)``."""
    height, top = HEIGHT + LEGEND_ROW * rows, TOP + LEGEND_ROW * rows
    drawing = svg.figure(WIDTH, height)
    axes = axes_in(drawing, height, BOTTOM, height - top)
    y_unit(drawing, height, top, unit)
    x_label(drawing, height, below)
    return drawing, axes


def axes_in(drawing: Figure, height: float, low: float, high: float) -> Axes:
    """Axes over the whole width of a figure of that ``height``, between ``low`` and ``high``, all in px from below."""
    from matplotlib.ticker import MaxNLocator

    axes = drawing.add_axes((LEFT / WIDTH, low / height, 1 - (LEFT + RIGHT) / WIDTH, (high - low) / height))
    axes.margins(x=0)
    for axis, ticks in ((axes.xaxis, 8), (axes.yaxis, 6)):
        axis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(lambda value, _: plain(value))
    return axes


def x_label(drawing: Figure, height: float, text: str) -> None:
    """The unit, or the name, of the horizontal axis, below its right end."""
    drawing.text(1 - RIGHT / WIDTH, 6 / height, text, color=svg.INK["muted"], ha="right", va="bottom")


def y_unit(drawing: Figure, height: float, top: float, text: str) -> None:
    """The unit of the vertical axis, above its end, which is ``top`` px below the figure's."""
    drawing.text(0, 1 - (top - 7) / height, text, color=svg.INK["muted"], va="bottom")
