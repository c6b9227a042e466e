"""What power is over a window of time: quantiles and the maximum of its means over every window of a length.

A breaker, a UPS and a tariff each feel the mean over a time of their own (a moment, a minute, a quarter of an hour). So
the statistic of a level is a quantile of the moving average ``M_w(s) = (E(s + w) - E(s)) / w``, where ``E`` is the
running energy. A reading stands for its cell: the time half way to its neighbours on both sides. At the stamps that
``E`` is the trapezoid's. A window as long as the meter's period then gives the readings themselves, and their maximum
is no lower than what the meter said.

Between readings further apart than ``GAP_PERIODS`` periods nobody knows the power. No window reaches across such a gap;
the gaps are counted. ``M_w`` is piecewise linear in ``s`` with corners where one end of the window meets the edge of a
cell. All corners are looked at, so that the maximum is exact, and the maximum over a window is never above that over a
whole fraction of it. Lower quantiles need not fall with the window: a short spike touches many long windows.

Quantiles are by time, not by sample. They are read off a histogram of ``BINS`` bins from the least to the highest
reading, which bounds their error by that range over ``BINS``; the work is done in pieces, so that a year of seconds
(31.5 million readings) needs no more than a few arrays of its own length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perwatt.results.energy import GAP_PERIODS
from perwatt.results.size.parameter import Floats

BINS = 1 << 18
CHUNK = 1 << 19
# A window this much shorter than the period is the reading itself: a meter of 1 s that is read every 1.05 s.
SHORTEST = 0.9
SLACK = 1e-6  # of a window, by which rounded edges may miss that it fits


@dataclass(frozen=True, eq=False)
class Cells:
    """Readings as cells of time. ``edges_s`` (from the first stamp on) and ``energy_j`` up to each have one entry more
    than there are cells; a gap is a cell without energy. ``starts_s`` and ``ends_s``: of the unbroken parts.

    ``seconds`` are those that readings stand for; ``gap_s`` those of all gaps, ``longest_gap_s`` of the longest.
    ``even``: all readings are one period apart.
    """

    edges_s: Floats
    energy_j: Floats
    starts_s: Floats
    ends_s: Floats
    period_s: float
    seconds: float
    mean_w: float
    low_w: float
    high_w: float
    gaps: int
    gap_s: float
    longest_gap_s: float
    even: bool

    def part(self, left_s: Floats) -> npt.NDArray[np.intp]:
        """The unbroken part in which, or at the end of which, each cell that begins at ``left_s`` lies."""
        if len(self.starts_s) == 1:
            return np.zeros(len(left_s), dtype=np.intp)
        return np.maximum(np.searchsorted(self.starts_s, left_s, side="right") - 1, 0)

    def chunks(self) -> Iterator[slice]:
        """The cells, in pieces."""
        count = len(self.edges_s) - 1
        for i in range(0, count, CHUNK):
            yield slice(i, min(i + CHUNK, count))

    def energy_at(self, x_s: Floats) -> Floats:
        """The running energy in J at growing ``x_s``, by the cells that these lie in."""
        first = max(int(np.searchsorted(self.edges_s, x_s[0])) - 1, 0)
        last = int(np.searchsorted(self.edges_s, x_s[-1])) + 1
        return np.interp(x_s, self.edges_s[first:last], self.energy_j[first:last])


def seconds_from(t_ns: npt.NDArray[np.int64]) -> Floats:
    """Stamps in ns as seconds from the first one: epoch nanoseconds would lose their low digits as float64."""
    t_s = np.empty(len(t_ns), dtype=np.float64)
    for i in range(0, len(t_ns), CHUNK):
        t_s[i : i + CHUNK] = (t_ns[i : i + CHUNK] - t_ns[0]) * 1e-9
    return t_s


def cells(t_s: Floats, power_w: Floats) -> Cells:
    """The cells of readings ``power_w`` in W at ``t_s`` in s, never going back; both of shape (n,), n at least 2.

    Raises ValueError for other shapes, stamps that go back or never grow, and what is not finite.
    """
    if t_s.ndim != 1 or t_s.shape != power_w.shape or len(t_s) < 2:
        raise ValueError(f"readings: found shapes {t_s.shape} and {power_w.shape}; allowed two or more, as many stamps")
    low_w, high_w = float(np.min(power_w)), float(np.max(power_w))
    if not (np.isfinite(low_w) and np.isfinite(high_w) and np.isfinite(t_s[0]) and np.isfinite(t_s[-1])):
        raise ValueError("readings: found a stamp or a power that is not finite; allowed seconds and watts")
    step_s = np.diff(t_s)
    back = np.flatnonzero(~(step_s >= 0))
    if len(back):
        at = int(back[0])
        raise ValueError(f"readings: found {t_s[at + 1]:.3f} s after {t_s[at]:.3f} s; allowed stamps that only grow")
    period_s = _median(step_s)
    gap = np.flatnonzero(step_s > GAP_PERIODS * period_s)
    gap_s = step_s[gap] - period_s
    even = float(step_s.max() - step_s.min()) <= SLACK * period_s
    del step_s
    inner = t_s[1:] + t_s[:-1]
    inner *= 0.5
    inner -= t_s[0]
    watts = power_w
    if len(gap):
        inner[gap] = t_s[gap] - t_s[0] + period_s / 2
        inner = np.insert(inner, gap + 1, t_s[gap + 1] - t_s[0] - period_s / 2)
        watts = np.insert(power_w, gap + 1, 0.0)
    edges_s = np.concatenate([[-period_s / 2], inner, [t_s[-1] - t_s[0] + period_s / 2]])
    del inner
    energy_j = np.empty(len(edges_s))
    energy_j[0] = 0.0
    np.subtract(edges_s[1:], edges_s[:-1], out=energy_j[1:])
    energy_j[1:] *= watts
    np.cumsum(energy_j, out=energy_j)
    # the cell of the j-th gap follows that of reading gap[j] and j gaps before it
    holes = gap + np.arange(len(gap)) + 1
    lost_s = float(np.sum(gap_s))
    seconds = float(edges_s[-1] - edges_s[0]) - lost_s
    return Cells(
        edges_s=edges_s,
        energy_j=energy_j,
        starts_s=np.concatenate([edges_s[:1], edges_s[holes + 1]]),
        ends_s=np.concatenate([edges_s[holes], edges_s[-1:]]),
        period_s=period_s,
        seconds=seconds,
        mean_w=float(energy_j[-1]) / seconds,
        low_w=low_w,
        high_w=high_w,
        gaps=len(gap),
        gap_s=lost_s,
        longest_gap_s=float(np.max(gap_s, initial=0.0)),
        even=even,
    )


def _median(step_s: Floats) -> float:
    growing = step_s[step_s > 0]
    if not len(growing):
        raise ValueError("readings: found stamps that are all the same; allowed stamps that grow")
    growing.sort()  # of steps that are nearly all alike, a partition takes seven times as long
    return float(growing[len(growing) // 2])


class Spread(NamedTuple):
    """How the means over windows of one length are distributed: seconds by bin from ``low_w`` to ``high_w``, and the
    exact maximum in W."""

    seconds: Floats
    low_w: float
    high_w: float
    max_w: float

    def quantile(self, q: float) -> float:
        """The mean in W that is not exceeded for the fraction ``q`` of the time; 1.0: the maximum.

        Raises ValueError for a ``q`` outside 0 to 1.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, fractions: Sequence[float]) -> list[float]:
        """:meth:`quantile` of several fractions."""
        total = np.cumsum(self.seconds)
        first = int(np.argmax(self.seconds > 0))
        width_w = (self.high_w - self.low_w) / len(self.seconds)
        found = []
        for q in fractions:
            if not 0 <= q <= 1:
                raise ValueError(f"quantile: found {q}; allowed 0 to 1")
            k = max(int(np.searchsorted(total, q * total[-1])), first)
            inside = 1 - (total[k] - q * total[-1]) / self.seconds[k]
            level_w = self.low_w + (k + float(inside)) * width_w
            found.append(self.max_w if q == 1 else min(level_w, self.max_w))
        return found


def spread(
    of: Cells, window_s: float, low_w: float | None = None, high_w: float | None = None, bins: int = BINS
) -> Spread | None:
    """The distribution of the means over all windows of ``window_s`` without a gap; None where none is long enough,
    and for windows shorter than the period. ``low_w`` to ``high_w``: where the bins lie, the readings' range if None.
    """
    if window_s < SHORTEST * of.period_s:
        return None
    low = of.low_w if low_w is None else low_w
    high = of.high_w if high_w is None else high_w
    per_w = bins / (high - low) if high > low else 0.0
    seconds, max_w = np.zeros(bins), -np.inf
    periods = window_s / of.period_s
    aligned = of.even and abs(periods - round(periods)) <= SLACK * periods  # both ends meet edges at once
    for chunk in of.chunks():
        left, right = of.edges_s[chunk], of.edges_s[chunk.start + 1 : chunk.stop + 1]
        part = of.part(left)
        # of a gap the left edge is its part's end: no window fits there
        fits = left + window_s <= of.ends_s[part] + SLACK * window_s
        if fits.any():
            these = _these(fits)
            begin = left[these]
            mean_w = (of.energy_at(begin + window_s) - of.energy_j[chunk][these]) / window_s
            max_w = max(max_w, float(mean_w.max()))
            index = np.clip((mean_w - low) * per_w, 0, bins - 1).astype(np.int32)
            seconds += np.bincount(index, weights=(right - left)[these], minlength=bins)
        if aligned:
            continue
        fits = (right - window_s >= of.starts_s[part] - SLACK * window_s) & (left < of.ends_s[part])
        if fits.any():
            these = _these(fits)
            begin = right[these] - window_s
            energy_j = of.energy_j[chunk.start + 1 : chunk.stop + 1][these] - of.energy_at(begin)
            max_w = max(max_w, float(energy_j.max()) / window_s)
    if not seconds.any():
        return None
    return Spread(seconds, low, high, min(max_w, of.high_w))


def _these(fits: npt.NDArray[np.bool_]) -> slice | npt.NDArray[np.bool_]:
    """All of them by a slice, which copies nothing."""
    return slice(None) if fits.all() else fits


def readings(of: Cells, low_w: float | None = None, high_w: float | None = None, bins: int = BINS) -> Spread:
    """The distribution of the readings themselves, each weighted by the time that it stands for."""
    low = of.low_w if low_w is None else low_w
    high = of.high_w if high_w is None else high_w
    per_w = bins / (high - low) if high > low else 0.0
    seconds = np.zeros(bins)
    for chunk in of.chunks():
        left, right = of.edges_s[chunk], of.edges_s[chunk.start + 1 : chunk.stop + 1]
        length = right - left
        known = (left < of.ends_s[of.part(left)]) & (length > 0)
        energy_j = np.diff(of.energy_j[chunk.start : chunk.stop + 1])[known]
        index = np.clip((energy_j / length[known] - low) * per_w, 0, bins - 1).astype(np.int32)
        seconds += np.bincount(index, weights=length[known], minlength=bins)
    return Spread(seconds, low, high, of.high_w)


def pooled(parts: Sequence[Spread]) -> Spread:
    """Several distributions over the same bins as one."""
    assert len({(len(p.seconds), p.low_w, p.high_w) for p in parts}) == 1
    seconds = np.sum([p.seconds for p in parts], axis=0)
    return Spread(seconds, parts[0].low_w, parts[0].high_w, max(p.max_w for p in parts))


def levels(of: Spread) -> tuple[float, ...]:
    """Power in W that is not exceeded for 0, 1, ..., 100 % of the time: 101 values that never fall."""
    return tuple(of.quantiles([percent / 100 for percent in range(101)]))
