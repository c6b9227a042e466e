"""The pictures of a fleet's power: all devices together, node beside node, device beside device, and who began when.

Time is in seconds, minutes or hours since the first moment of the sum. Above 2,000 moments a curve is drawn by the
least and the greatest of each step, so that no peak is lost; where nothing is known there is no line. What does not
rest on all devices is drawn paler. matplotlib is imported on use, without global state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from perwatt.results.energy import GAP_PERIODS
from perwatt.results.reports import svg
from perwatt.results.reports.canvas import (
    BOTTOM,
    FONT,
    HEIGHT,
    LEFT,
    LEGEND,
    LEGEND_ROW,
    TOP,
    WIDTH,
    axes_in,
    panel,
    time_unit,
    x_label,
    y_unit,
)
from perwatt.results.reports.plots import Drawing
from perwatt.results.reports.series import STEPS
from perwatt.results.reports.units import FACTORS, common_prefix, quantity

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    Floats = npt.NDArray[np.float64]

GAP, BELOW = 16, 46
MOST_POINTS = 2000
MARKED_S = (1.0, 10.0)  # the windows whose steepest ramp is marked
EACH = {"p50": "median", "p99": "99 %", "max_1s": "highest second", "max": "highest reading"}  # of a device


def together(
    frame: pd.DataFrame, devices: int, ramps: Sequence[Mapping[str, Any]], begin_s: Sequence[float]
) -> Drawing:
    """The sum of all devices over time with its steepest ramps, and beneath on how many nodes it rests.

    ``frame``: of ``power.parquet``; ``ramps``: of ``power.json``; ``begin_s``: when loads were to begin, from the first
    moment of the sum on.
    """
    t_s, power_w = _seconds(frame), frame["power_w"].to_numpy()
    all_of_them = frame["devices"].to_numpy() == devices
    nodes = frame["nodes"].to_numpy()
    steady = bool(nodes.min() == nodes.max())
    divisor, unit = time_unit(float(t_s[-1]))
    symbol = common_prefix([float(power_w.max())])
    factor = FACTORS[symbol]
    marked = [found for ramp in ramps if (found := _steepest(ramp))]
    top, below = TOP + LEGEND_ROW * bool(marked), 0 if steady else BELOW + GAP
    height = HEIGHT + LEGEND_ROW * bool(marked) + below
    with svg.style(FONT):
        drawing = svg.figure(WIDTH, height)
        axes = axes_in(drawing, height, BOTTOM + below, height - top)
        for part, opacity in ((~all_of_them, 0.45), (all_of_them, 1.0)):
            if part.any():
                _curve(axes, t_s[part] / divisor, power_w[part] / factor, _period(t_s) / divisor, "c0", opacity)
        for index, (window_s, at_s, rate_w_s, way) in enumerate(marked):
            ends_s = np.array([at_s, at_s + window_s])
            label = f"{window_s:g} s: {way} {quantity(rate_w_s, 'W/s', 3)}"
            y = np.interp(ends_s, t_s, power_w) / factor
            ink = svg.INK[f"c{index + 1}"]
            axes.plot(ends_s / divisor, y, color=ink, marker="o", markersize=4, linewidth=2, label=label, zorder=5)
        for at_s in begin_s:
            if t_s[0] <= at_s <= t_s[-1]:
                axes.axvline(at_s / divisor, color=svg.INK["muted"], linestyle=(0, (4, 3)), linewidth=1.1, zorder=2)
        axes.set_xlim(0, t_s[-1] / divisor)
        axes.set_ylim(0, 1.08 * float(power_w.max()) / factor or 1.0)
        y_unit(drawing, height, top, f"{symbol}W")
        if marked:
            drawing.legend(loc="upper left", bbox_to_anchor=(0, 1), ncols=len(marked), **LEGEND)
        if not steady:
            axes.tick_params(labelbottom=False)
            lower = axes_in(drawing, height, BOTTOM, BOTTOM + BELOW)
            lower.sharex(axes)
            _curve(lower, t_s / divisor, nodes.astype(np.float64), _period(t_s) / divisor, "c2", 1.0)
            beneath = f"nodes in the sum: {nodes.min()} to {nodes.max()}"
            lower.set_ylim(0, 1.15 * float(nodes.max()))
            lower.set_yticks([0, int(nodes.max())])
            drawing.text(LEFT / WIDTH, (BOTTOM + BELOW + 1) / height, beneath, color=svg.INK["c2"], va="bottom")
        x_label(drawing, height, unit)
        title = f"All {devices} devices together"
        remarks = [] if all_of_them.all() else ["paler: not of all devices"]
        remarks += ["dashed: the start that was agreed on"] if len(begin_s) else []
        told = (
            f"{title}, power over {quantity(float(t_s[-1]), 's', 3)}, highest {quantity(float(power_w.max()), 'W', 4)}"
        )
        return Drawing(svg.inline(drawing, "fs", told), title, "; ".join(remarks))


def nodes_apart(frame: pd.DataFrame) -> Drawing | None:
    """From the least to the greatest node, and their mean, over time; None where the sum is of a single node."""
    several = frame[(frame["nodes"] > 1) & frame["node_min_w"].notna()]
    if len(several) < 2:
        return None
    t_s = _seconds(several, int(frame["t_ns"].iloc[0]))
    low, high = several["node_min_w"].to_numpy(), several["node_max_w"].to_numpy()
    mean = (several["power_w"] / several["nodes"]).to_numpy()
    whole_s = _seconds(frame)
    divisor, unit = time_unit(float(whole_s[-1]))
    symbol = common_prefix([float(high.max())])
    factor = FACTORS[symbol]
    with svg.style(FONT):
        drawing, axes = panel(f"{symbol}W", unit, rows=1)
        x, least, most, middle = _reduced(t_s, low, high, mean)
        where = np.diff(x, prepend=x[0]) <= GAP_PERIODS * max(_period(t_s), (x[-1] - x[0]) / STEPS)
        axes.fill_between(x / divisor, least / factor, most / factor, where=where, color=svg.INK["c0"], alpha=0.25,
                          linewidth=0, label="least to greatest node", zorder=2)  # fmt: skip
        line = np.where(where, middle / factor, np.nan)
        axes.plot(x / divisor, line, color=svg.INK["c0"], linewidth=1.4, label="mean of the nodes", zorder=3)
        axes.set_xlim(0, whole_s[-1] / divisor)
        axes.set_ylim(0, 1.08 * float(high.max()) / factor or 1.0)
        drawing.legend(loc="upper left", bbox_to_anchor=(0, 1), ncols=2, **LEGEND)
        widest = quantity(float((high - low).max()), "W", 3)
        return Drawing(svg.inline(drawing, "fn", f"Power of a node, at most {widest} apart"), "Node beside node")


def distribution(frame: pd.DataFrame) -> Drawing | None:
    """Each device's statistics, every one in the order of its own size; None of fewer than two devices."""
    shown = {name: title for name, title in EACH.items() if name in frame and frame[name].notna().sum() > 1}
    if len(frame) < 2 or not shown:
        return None
    symbol = common_prefix([float(frame[name].max()) for name in shown])
    factor = FACTORS[symbol]
    with svg.style(FONT):
        drawing, axes = panel(f"{symbol}W", "% of the devices draw less", rows=1)
        for index, (name, title) in enumerate(shown.items()):
            value = np.sort(frame[name].dropna().to_numpy()) / factor
            percent = 100 * (np.arange(len(value)) + 0.5) / len(value)
            if len(value) > MOST_POINTS:
                percent = np.linspace(0, 100, STEPS + 1)
                value = np.percentile(value, percent)
            few: dict[str, Any] = {"marker": svg.MARKERS[index], "markersize": 4} if len(value) <= 40 else {}
            axes.plot(percent, value, color=svg.INK[f"c{index}"], linewidth=1.6, label=title, zorder=3, **few)
        axes.set_xlim(0, 100)
        drawing.legend(loc="upper left", bbox_to_anchor=(0, 1), ncols=len(shown), **LEGEND)
        told = f"Distribution over {len(frame)} devices: " + ", ".join(shown.values())
        return Drawing(svg.inline(drawing, "fd", told), f"Distribution over {len(frame)} devices")


def began(late_s: Mapping[str, float], uncertainty_s: float) -> Drawing | None:
    """When each node's first window began after the agreed moment, in order; None of fewer than two."""
    if len(late_s) < 2:
        return None
    value = np.sort(np.array(list(late_s.values())))
    at = np.arange(1, len(value) + 1)
    if len(value) > MOST_POINTS:
        at = np.unique(np.linspace(0, len(value) - 1, MOST_POINTS).astype(np.int64)) + 1
        value = value[at - 1]
    scale, unit = (1e3, "ms") if float(np.abs(value).max()) < 1 else (1.0, "s")
    with svg.style(FONT):
        drawing, axes = panel(unit, "nodes, in order")
        axes.fill_between(at, (value - uncertainty_s) * scale, (value + uncertainty_s) * scale,
                          color=svg.INK["c0"], alpha=0.2, linewidth=0, zorder=2)  # fmt: skip
        small = 4 if len(value) <= 100 else 2
        axes.plot(at, value * scale, color=svg.INK["c0"], linestyle="none", marker="o", markersize=small, zorder=3)
        axes.set_xlim(0.5, at[-1] + 0.5)
        title = "First windows after the agreed moment"
        spread = quantity(float(value[-1] - value[0]), "s", 3)
        remark = "band: what the clocks leave open" if uncertainty_s else ""
        return Drawing(svg.inline(drawing, "fb", f"{title}: {len(late_s)} nodes within {spread}"), title, remark)


def _steepest(ramp: Mapping[str, Any]) -> tuple[float, float, float, str] | None:
    """Of a window that is marked: its length, when its steepest change begins, how steep, and which way."""
    if ramp["window_s"] not in MARKED_S:
        return None
    ways = [(ramp[f"{way}_w_s"], ramp.get(f"{way}_at_s"), way) for way in ("up", "down")]
    known = [(rate, at_s, way) for rate, at_s, way in ways if rate and at_s is not None]
    if not known:
        return None
    rate, at_s, way = max(known)
    return ramp["window_s"], at_s, rate, way


def _seconds(frame: pd.DataFrame, since_ns: int | None = None) -> Floats:
    t_ns = frame["t_ns"].to_numpy()
    return np.asarray((t_ns - (int(t_ns[0]) if since_ns is None else since_ns)) * 1e-9, dtype=np.float64)


def _period(t_s: Floats) -> float:
    return float(np.median(np.diff(t_s))) if len(t_s) > 1 else 1.0


def _curve(axes: Axes, x: Floats, y: Floats, period: float, ink: str, opacity: float) -> None:
    """A line that is broken where nothing is known; of many points the least and the greatest of each step."""
    at, least, most, _ = _reduced(x, y, y, y)
    if len(at) < len(x):
        at, y = np.repeat(at, 2), np.column_stack([least, most]).ravel()
        period = max(period, (x[-1] - x[0]) / STEPS)
    holes = np.flatnonzero(np.diff(at) > GAP_PERIODS * period) + 1
    axes.plot(np.insert(at, holes, np.nan), np.insert(y, holes, np.nan), color=svg.INK[ink], linewidth=1.3,
              alpha=opacity, zorder=3)  # fmt: skip


def _reduced(x: Floats, low: Floats, high: Floats, mean: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Of many points those of ``STEPS`` steps: its middle, least ``low``, greatest ``high`` and mean ``mean``."""
    if len(x) <= MOST_POINTS:
        return x, low, high, mean
    width = (x[-1] - x[0]) / STEPS
    step = np.minimum(((x - x[0]) / width).astype(np.int64), STEPS - 1)
    first = np.flatnonzero(np.diff(step, prepend=-1))
    counts = np.diff(np.append(first, len(x)))
    middle = x[0] + (step[first] + 0.5) * width
    return (
        middle,
        np.minimum.reduceat(low, first),
        np.maximum.reduceat(high, first),
        np.add.reduceat(mean, first) / counts,
    )
