"""Where a remote meter's trace lies in time, found by laying it over a power series of the run itself.

That a meter's UTC is right is not taken on trust: a published log carries a clock that is five hours behind. The
shift at which the trace and the run's own power go together best is where the trace belongs. What is required then:
that they go together well, that no other shift does so too, and that the shift is the same throughout, to one period
of the meter.

The correlation is Pearson's over the samples that both have at each shift (gaps are masked), from products of Fourier
transforms over the wide search; finer steps near the best and a parabola through the top lead below one period.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perwatt.results.energy import GAP_PERIODS
from perwatt.results.traces.clocks import ClockPair, RunClock, clock_term
from perwatt.results.traces.trace import Floats, Stamps, Trace

__all__ = ["Alignment", "ClockPair", "RunClock", "align", "clock_term"]

SEARCH_S = 12 * 3600.0
LEAST = 0.8  # a weaker correlation is no match
MOST_POINTS = 1 << 21  # of the wide search: its step grows beyond the meter's period rather than this
LEAST_OVERLAP = 0.5  # of the shorter series, or the two would always match somewhere in a corner
LEAST_VARIANCE = 0.05  # of a whole series' variance: a flat part matches any other flat part
FINE = 20  # the finest step of the search is the meter's period over this
MATCHING = 1.5  # a second shift that leaves less than this times the best one's mismatch makes the match ambiguous

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Alignment:
    """``offset_s`` is to be added to the trace's stamps (+18000 for a meter whose clock is 5 h behind).

    ``correlation`` at that shift; ``residual_s``: by how much the shift of a part of the overlap differs from it at the
    most; ``overlap_s``: how long both have samples; ``period_s``: the meter's.
    """

    offset_s: float
    correlation: float
    residual_s: float
    overlap_s: float
    period_s: float

    @property
    def bound_s(self) -> float:
        """The offset is right to within this: the residual, and no better than half a period, since whether a meter's
        reading is the mean of one or of a moment in it is not known."""
        return max(self.residual_s, self.period_s / 2)


class Series:
    """Power between samples, averaged over any grid, with the gaps known. Times in s, power in W."""

    def __init__(self, t_s: Floats, power_w: Floats) -> None:
        self.t, index = np.unique(t_s, return_inverse=True)
        self.p = np.bincount(index, weights=power_w) / np.bincount(index)
        steps = np.diff(self.t)
        self.period_s = float(np.median(steps))
        self._sum = np.concatenate([[0.0], np.cumsum(steps * (self.p[1:] + self.p[:-1]) / 2)])
        self._gap = np.concatenate([[0.0], np.cumsum(np.where(steps > GAP_PERIODS * self.period_s, steps, 0.0))])

    def mean(self, left: Floats, right: Floats) -> tuple[Floats, Mask]:
        """Mean power from each left to its right edge, and whether samples stand behind all of it."""
        seen = (left >= self.t[0]) & (right <= self.t[-1])
        seen &= np.interp(right, self.t, self._gap) - np.interp(left, self.t, self._gap) <= 0
        power = (np.interp(right, self.t, self._sum) - np.interp(left, self.t, self._sum)) / (right - left)
        return power, seen

    def at(self, x: Floats) -> tuple[Floats, Mask]:
        """Interpolated power, and whether there are samples round it."""
        half = self.period_s / 100
        _, seen = self.mean(x - half, x + half)
        return np.interp(x, self.t, self.p), seen


def align(
    trace: Trace, utc_ns: Stamps, power_w: Floats, *, search_s: float = SEARCH_S, least: float = LEAST
) -> Alignment:
    """Find the shift of ``trace`` that lays it over the run's own power (``utc_ns`` growing, W, gaps allowed).

    The two may enclose different things: what counts is that they rise and fall together. Searched: +-``search_s``.

    Raises ValueError where nothing matches (correlation under ``least``), where two shifts match alike, and where the
    shift changes by more than one period of the meter along the run.
    """
    if len(utc_ns) < 8 or float(np.std(power_w)) == 0:
        raise ValueError("align: found no change of power in the run; allowed a run with idle and load, or offset_s=")
    zero = int(utc_ns[0])
    there = Series(np.asarray((trace.t_ns - zero) * 1e-9, dtype=np.float64), trace.power_w)
    run = Series(np.asarray((utc_ns - zero) * 1e-9, dtype=np.float64), np.asarray(power_w, dtype=np.float64))
    period_s = max(there.period_s, run.period_s)
    best_s, step_s = _wide(run, there, period_s, search_s, least, trace.source)
    grid = _points(run, period_s)
    while step_s > period_s / FINE:
        best_s, r, step_s = _near(run, there, period_s, grid, best_s, step_s * 1.5, step_s / 10)
    seen = there.at(grid - best_s)[1]
    if r < least:
        raise ValueError(_weak(trace.source, r, least, search_s))
    residual_s = _residual(run, there, period_s, grid[seen], best_s)
    if residual_s > period_s:
        raise ValueError(
            f"{trace.source}: found an offset of {best_s:.2f} s that changes by {residual_s:.2f} s along the run; "
            f"allowed one period of the meter, {period_s:.2f} s: its clock was stepped or runs at another rate"
        )
    overlap_s = float(np.count_nonzero(seen)) * (grid[1] - grid[0])
    return Alignment(float(best_s), float(r), float(residual_s), float(overlap_s), there.period_s)


def _weak(source: str, r: float, least: float, search_s: float) -> str:
    return (
        f"{source}: found a correlation of {r:.2f} with the run's own power at best; allowed {least:g} or more: "
        f"no match within +-{search_s:g} s"
    )


def _wide(
    run: Series, there: Series, period_s: float, search_s: float, least: float, source: str
) -> tuple[float, float]:
    """The best shift on a grid of one period, or coarser where the search is very wide; and the grid's step."""
    first, last = run.t[0] - search_s, run.t[-1] + search_s
    step_s = max(period_s, (last - first) * 2 / MOST_POINTS)
    here = np.arange(run.t[0], run.t[-1], step_s)
    far = np.arange(max(first, there.t[0] - step_s), min(last, there.t[-1] + step_s), step_s)
    if len(here) < 4 or len(far) < 4:
        raise ValueError(_weak(source, 0.0, least, search_s))
    r, shifts = _correlations(run.mean(here, here + step_s), there.mean(far, far + step_s))
    # far[j] belongs to here[i] when j - i = shift: the stamps are then too late by their difference
    offsets = (here[0] - far[0]) - shifts * step_s
    r[np.abs(offsets) > search_s + step_s] = -1.0
    top = int(np.argmax(r))
    if r[top] < least / 2:
        raise ValueError(_weak(source, float(r[top]), least, search_s))
    # the peak falls off on both sides; beyond that, another shift as good means that nobody can tell which
    low = high = top
    while low > 0 and (r[low - 1] > 0.7 * r[top] or top - low < 3):
        low -= 1
    while high < len(r) - 1 and (r[high + 1] > 0.7 * r[top] or high - top < 3):
        high += 1
    others = np.concatenate([r[:low], r[high + 1 :]])
    if len(others) and others.max() >= least and 1 - others.max() <= MATCHING * (1 - r[top]) + 1e-6:
        rival = offsets[int(np.argmax(np.where((np.arange(len(r)) < low) | (np.arange(len(r)) > high), r, -1.0)))]
        raise ValueError(
            f"{source}: found two offsets that match alike, {offsets[top]:.1f} s and {rival:.1f} s; allowed one: "
            "give offset_s=, or search_s= to look less far"
        )
    return float(offsets[top]), float(step_s)


def _correlations(one: tuple[Floats, Mask], two: tuple[Floats, Mask]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Pearson's correlation of two masked series for every shift of the second, -1 where too little overlaps."""
    (a, a_mask), (b, b_mask) = one, two
    m, n = a_mask.astype(np.float64), b_mask.astype(np.float64)
    if not m.any() or not n.any():
        return np.full(1, -1.0), np.zeros(1, dtype=np.int64)
    a = np.where(a_mask, a - a[a_mask].mean(), 0.0)
    b = np.where(b_mask, b - b[b_mask].mean(), 0.0)
    size = 1 << (len(a) + len(b) - 1).bit_length()

    def times(x: Floats, y: Floats) -> Floats:
        return np.asarray(np.fft.irfft(np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size), size))

    count = np.round(times(m, n))
    both = np.maximum(count, 1.0)
    sum_a, sum_b = times(a, n), times(m, b)
    var_a = times(a * a, n) - sum_a**2 / both
    var_b = times(m, b * b) - sum_b**2 / both
    product = times(a, b) - sum_a * sum_b / both
    enough = count >= max(LEAST_OVERLAP * min(m.sum(), n.sum()), 4)
    enough &= var_a > LEAST_VARIANCE * count * float((a * a).sum() / m.sum())
    # of the trace only the part of a run's length counts: hours of other work may dwarf what the run did
    enough &= var_b > 1e-6 * count * float((b * b).sum() / n.sum())
    r = np.where(enough, product / np.sqrt(np.where(enough, var_a * var_b, 1.0)), -1.0)
    shifts = np.arange(size)
    shifts[shifts >= len(b)] -= size
    order = np.argsort(shifts)
    return np.clip(r[order], -1.0, 1.0), shifts[order]


def _points(run: Series, period_s: float) -> Floats:
    """Moments of the run at which both are compared: at least four a period while that is not too many."""
    step_s = max(period_s / 4, run.period_s, (run.t[-1] - run.t[0]) / 200_000)
    return np.arange(run.t[0], run.t[-1], step_s)


def _correlation(run: Series, there: Series, period_s: float, grid: Floats, offset_s: float) -> float:
    """Pearson's correlation at one shift, of both averaged over two periods.

    Interpolated halfway between samples a series is smoother than at them, and noise would pull the best shift there;
    averaged over two periods it is as smooth at every shift.
    """
    p, p_seen = run.mean(grid - period_s, grid + period_s)
    q, q_seen = there.mean(grid - offset_s - period_s, grid - offset_s + period_s)
    both = p_seen & q_seen
    if np.count_nonzero(both) < 4:
        return -1.0
    p, q = p[both] - p[both].mean(), q[both] - q[both].mean()
    norm = float(np.sqrt((p @ p) * (q @ q)))
    return float(p @ q) / norm if norm > 0 else -1.0


def _near(
    run: Series, there: Series, period_s: float, grid: Floats, around_s: float, reach_s: float, step_s: float
) -> tuple[float, float, float]:
    """The best shift near another: the top of a parabola through the best step and its neighbours; its correlation."""
    step_s = max(step_s, period_s / FINE)
    shifts = around_s + np.arange(-np.ceil(reach_s / step_s), np.ceil(reach_s / step_s) + 1) * step_s
    r = np.array([_correlation(run, there, period_s, grid, float(s)) for s in shifts])
    top = int(np.argmax(r))
    best_s = float(shifts[top])
    if 0 < top < len(r) - 1 and (bend := r[top - 1] - 2 * r[top] + r[top + 1]) < 0:
        best_s += step_s * 0.5 * float(r[top - 1] - r[top + 1]) / float(bend)
    return best_s, float(r[top]), step_s


def _residual(run: Series, there: Series, period_s: float, grid: Floats, best_s: float) -> float:
    """By how much the shifts of three parts of the overlap differ from that of the whole; flat parts cannot tell."""
    whole = float(np.std(run.at(grid)[0]))
    found = []
    for part in np.array_split(grid, 3):
        if len(part) >= 8 and float(np.std(run.at(part)[0])) > 0.3 * whole:
            shift_s, r, _ = _near(run, there, period_s, part, best_s, 4 * period_s, period_s / FINE)
            if r >= 0.5:
                found.append(abs(shift_s - best_s))
    return max(found, default=0.0)
