"""Telemetry to points over time: what the panels draw, still in SI and without a pixel.

Samples become rates. Power is what was sampled or, where only an energy counter was read, the slope of that counter.
Large clouds are reduced to an envelope that keeps the least and the greatest value of each time step, so that an
outlier among a million samples is still there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perwatt.results.record import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

    Floats = NDArray[np.float64]

STEPS = 300
# More meters than this in one panel cannot be told apart.
MOST_METERS = 3


@dataclass(frozen=True)
class Series:
    """Points over time: seconds since the case's first point, value in SI, and whether each lies in a window."""

    name: str
    t_s: Floats
    value: Floats
    counted: NDArray[np.bool_]


def one_clock(frame: DataFrame) -> DataFrame:
    """``frame`` with ranks of other hosts, whose clocks count from another moment, moved to start with rank 0."""
    if frame["rank"].nunique() < 2:
        return frame
    bounds = frame[frame["series"] == "seconds"].groupby("rank")["t_ns"].agg(["min", "max"])
    if bounds.empty:
        return frame
    offset = bounds["min"] - bounds["min"].iloc[0]
    elsewhere = offset.abs() > (bounds["max"] - bounds["min"]).max()
    shift = frame["rank"].map(offset.where(elsewhere, 0)).fillna(0).astype("int64")
    return frame.assign(t_ns=frame["t_ns"] - shift)


def samples(frame: DataFrame | None, record: Record, start_ns: int) -> Series | None:
    """The timed samples of one case as rates (busbw for a collective; launches where no work is done); None if none of
    them is a time."""
    import numpy as np

    if frame is None:
        return None
    seconds = frame["value"].to_numpy(dtype=np.float64)
    usable = np.isfinite(seconds) & (seconds > 0)
    if not usable.any():
        return None
    return Series(
        "rate",
        (frame["t_ns"].to_numpy(dtype=np.int64)[usable] - start_ns) / 1e9,
        (record.bus_amount or 1) / seconds[usable],
        frame["repetition"].to_numpy()[usable] >= 0,
    )


def power(series: dict[str, DataFrame], meter: str | None, start_ns: int) -> list[Series]:
    """Power by meter, the record's own first; the slope of a counter where no power was sampled."""
    import numpy as np

    from perwatt.results.energy import slopes

    found: dict[str, Series] = {}
    for kind in ("power_w:", "energy_j:"):
        for name, frame in series.items():
            meter_name = name.removeprefix(kind)
            if not name.startswith(kind) or meter_name in found:
                continue
            ordered = frame.sort_values("t_ns")
            t_ns = ordered["t_ns"].to_numpy(dtype=np.int64)
            value = ordered["value"].to_numpy(dtype=np.float64)
            if kind == "energy_j:":
                _, t_ns, value = slopes(t_ns, value)
            t_s = (t_ns - start_ns) / 1e9
            keep = np.isfinite(value)
            if keep.any():
                found[meter_name] = Series(meter_name, t_s[keep], value[keep], keep[keep])
    return sorted(found.values(), key=lambda s: s.name != meter)[:MOST_METERS]


def envelope(t_s: Floats, value: Floats, span_s: tuple[float, float]) -> tuple[Floats, Floats, Floats, Floats]:
    """Middle of each time step that holds points, with the least, the median and the greatest value in it."""
    import numpy as np

    width = (span_s[1] - span_s[0]) / STEPS or 1.0
    step = np.minimum(((t_s - span_s[0]) / width).astype(np.int64), STEPS - 1)
    order = np.lexsort((value, step))
    step, value = step[order], value[order]
    first = np.flatnonzero(np.r_[True, step[1:] != step[:-1]])
    last = np.r_[first[1:], step.size] - 1
    return span_s[0] + (step[first] + 0.5) * width, value[first], value[(first + last) // 2], value[last]
