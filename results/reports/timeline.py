"""Samples over time, one small panel a case: drift, throttling and outliers are seen here or nowhere.

Each dot is one timed sample, as a rate; warm-ups are lighter. Measured windows are shaded, and where power is known it
runs below on the same time axis. The scale follows the measured samples: a warm-up far beyond it sits on the edge.
Above 2,000 points a panel is drawn as an envelope, and its caption says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from perwatt.results.record import Measured, Record
from perwatt.results.reports import series, svg
from perwatt.results.reports.layout import UNITS
from perwatt.results.reports.plots import Drawing, plain
from perwatt.results.reports.units import FACTORS, common_prefix, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from perwatt.results.reports.series import Floats, Series
    from perwatt.results.run import Run

WIDTH, HEIGHT, HEIGHT_POWER, FONT = 350, 124, 176, 10
LEFT, RIGHT, TOP, BOTTOM, GAP = 42, 8, 17, 19, 24
# The share of the height that the rate takes where power runs below, and the width of a character of this font.
RATE_SHARE, CHARACTER = 0.58, 6.4
MOST_POINTS = 2000


class Sheet:
    """Axes for panels of one kind, drawn on again and again: making axes takes longer than drawing on them."""

    def __init__(self, *, power: bool) -> None:
        height = HEIGHT_POWER if power else HEIGHT
        self.figure = svg.figure(WIDTH, height)
        plot_px = height - TOP - BOTTOM - (GAP if power else 0)
        rate_px = plot_px * RATE_SHARE if power else plot_px
        left, width = LEFT / WIDTH, 1 - (LEFT + RIGHT) / WIDTH
        self.rate = self.figure.add_axes((left, 1 - (TOP + rate_px) / height, width, rate_px / height))
        self.power: Axes | None = None
        text: dict[str, Any] = {"va": "bottom", "fontsize": FONT}
        self.unit = self.figure.text(0, 1 - (TOP - 6) / height, "", color=svg.INK["muted"], **text)
        self.meters = []
        if power:
            box = (left, BOTTOM / height, width, (plot_px - rate_px) / height)
            self.power = self.figure.add_axes(box, sharex=self.rate)
            self.rate.tick_params(labelbottom=False)
            above = (BOTTOM + plot_px - rate_px + 6) / height
            self.figure.text(0, above, "W", color=svg.INK["muted"], **text)
            inks = [svg.INK[f"c{i + 1}"] for i in range(series.MOST_METERS)]
            self.meters = [self.figure.text(0, above, "", color=ink, **text) for ink in inks]
        for axes, ticks in ((self.rate, 3), (self.power, 2)):
            if axes is not None:
                _prepare(axes, ticks)

    def name_meters(self, names: list[str]) -> None:
        """Write the names of the meters in a row above the power, each in the colour of its line."""
        left_px = 2.5 * CHARACTER
        for text, name in zip(self.meters, [*names, *[""] * series.MOST_METERS], strict=False):
            text.set_text(name)
            text.set_x(left_px / WIDTH)
            left_px += CHARACTER * (len(name) + 2)

    def clear(self) -> None:
        """Take off what was drawn, but not the axes and their ticks."""
        for axes in (self.rate, self.power):
            for artist in (*axes.lines, *axes.patches, *axes.artists) if axes is not None else ():
                artist.remove()


def _prepare(axes: Axes, ticks: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: plain(value))
    axes.xaxis.set_major_formatter(lambda value, _: plain(value))


def panels(run: Run, rate_prefix: dict[str, str]) -> Iterator[tuple[Record, Drawing]]:
    """A panel for each measured case that has samples; ``rate_prefix`` maps a kernel to the prefix of its table."""
    if run.telemetry is None or run.telemetry.empty:
        return
    # the last record of a case speaks for it: it is the one whose samples were kept last
    measured = {r.case.key: r for r in run.records if r.measured is not None}
    frames = {str(key): frame for key, frame in run.telemetry.groupby("case", sort=False)}
    sheets: dict[bool, Sheet] = {}
    with svg.style(FONT):
        for index, (key, record) in enumerate(measured.items()):
            if key in frames and (made := _panel(record, frames[key], rate_prefix, sheets, f"t{index}")):
                yield record, made


def _panel(
    record: Record, frame: DataFrame, rate_prefix: dict[str, str], sheets: dict[bool, Sheet], prefix: str
) -> Drawing | None:
    m = record.measured
    assert m is not None
    frame = series.one_clock(frame)
    start_ns = int(frame["t_ns"].min())
    parts = {str(name): part for name, part in frame.groupby("series", sort=False)}
    samples = series.samples(parts.get("seconds"), record, start_ns)
    if samples is None:
        return None
    power = series.power(parts, record.meter, start_ns)
    if bool(power) not in sheets:
        sheets[bool(power)] = Sheet(power=bool(power))
    sheet = sheets[bool(power)]
    symbol = rate_prefix.get(record.case.kernel) or common_prefix([float(samples.value.max())])
    _draw_samples(sheet.rate, samples, FACTORS[symbol])
    sheet.unit.set_text(symbol + UNITS[m.work.headline])
    if sheet.power is not None:
        _draw_power(sheet.power, power)
        sheet.name_meters([one.name + _caution(m, one.name) for one in power])
    end_s = max(float(one.t_s.max()) for one in [samples, *power])
    sheet.rate.set_xlim(-0.01 * end_s if end_s else -0.5, 1.01 * end_s if end_s else 0.5)
    for axes in (sheet.rate, sheet.power):
        if axes is not None:
            _shade(axes, m, start_ns, end_s)
    label = f"{record.case.kernel} {record.case.label}: {samples.t_s.size} samples over {quantity(end_s, 's', 3)}"
    markup = svg.inline(sheet.figure, prefix, label + (", with power" if power else ""))
    sheet.clear()
    reduced = [f"{samples.t_s.size:,} samples"] if samples.t_s.size > MOST_POINTS else []
    reduced += [f"{one.t_s.size:,} readings" for one in power if one.t_s.size > MOST_POINTS]
    remark = f"envelope of {', '.join(reduced)}" if reduced else ""
    return Drawing(markup, record.case.label, remark)


def _caution(m: Measured, meter: str) -> str:
    """What has to follow the name of a meter that did not meter this hardware in this run."""
    sources = {e.source for r in m.repetitions for e in r.energies if e.meter == meter} & {"replayed", "modelled"}
    return f" ({', '.join(sorted(sources))})" if sources else ""


def _draw_samples(axes: Axes, samples: Series, factor: float) -> None:
    import numpy as np

    y = samples.value / factor
    scale = y[samples.counted] if samples.counted.any() else y
    low, high, middle = float(scale.min()), float(scale.max()), float(np.median(scale))
    reach = max(2 * (high - low), 0.05 * middle)
    near = y[(y >= middle - reach) & (y <= middle + reach)]
    low, high = min(low, float(near.min(initial=low))), max(high, float(near.max(initial=high)))
    margin = max(0.08 * (high - low), 0.01 * middle)
    axes.set_ylim(low - margin, high + margin)
    y = np.clip(y, low - margin, high + margin)
    for part, opacity in ((~samples.counted, 0.4), (samples.counted, 1.0)):
        if not part.any():
            continue
        if y.size <= MOST_POINTS:
            _strokes(axes, samples.t_s[part], y[part], y[part], width=2.2, opacity=opacity)
            continue
        span_s = (float(samples.t_s.min()), float(samples.t_s.max()))
        at, least, median, greatest = series.envelope(samples.t_s[part], y[part], span_s)
        _strokes(axes, at, least, greatest, width=1.1, opacity=0.45 * opacity)
        _strokes(axes, at, median, median, width=1.8, opacity=opacity)


def _strokes(axes: Axes, x: Floats, low: Floats, high: Floats, *, width: float, opacity: float) -> None:
    """Vertical strokes as one path: with no length and round ends they are dots, at a tenth of a marker's size."""
    import numpy as np
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    corners = np.column_stack([x, low, x, high]).reshape(-1, 2)
    path = Path(corners, np.tile([Path.MOVETO, Path.LINETO], x.size))
    ink = {"facecolor": "none", "edgecolor": svg.INK["c0"], "linewidth": width, "alpha": opacity}
    axes.add_artist(PathPatch(path, capstyle="round", zorder=3, **ink))


def _draw_power(axes: Axes, power: list[Series]) -> None:
    import numpy as np

    for index, one in enumerate(power):
        t_s, value = one.t_s, one.value
        if t_s.size > MOST_POINTS:
            at, least, _, greatest = series.envelope(t_s, value, (float(t_s.min()), float(t_s.max())))
            t_s, value = np.repeat(at, 2), np.column_stack([least, greatest]).ravel()
        axes.plot(t_s, value, color=svg.INK[f"c{index + 1}"], linewidth=1.3, zorder=3)
    low, high = min(float(s.value.min()) for s in power), max(float(s.value.max()) for s in power)
    half = max(0.58 * (high - low), 0.02 * abs(high), 1e-3)
    axes.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)


def _shade(axes: Axes, m: Measured, start_ns: int, end_s: float) -> None:
    for repetition in m.repetitions:
        begin_s = (repetition.start_ns - start_ns) / 1e9
        stop_s = begin_s + repetition.window_s
        if stop_s > 0 and begin_s < end_s:
            axes.axvspan(begin_s, stop_s, facecolor=svg.INK["band"], edgecolor="none", zorder=0)
