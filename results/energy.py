"""Energy of a window from readings: pure arithmetic on arrays, so that every rule can be tested on recorded traces.

Power is integrated by the trapezoid rule over the union of the readings and both window edges, the edges interpolated
between the readings that enclose them. Nothing is dropped for being equal to its neighbour, and no partial interval at
an edge is left out. Counters are differences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

GAP_PERIODS = 3.0  # a gap longer than this many periods is reported
GAP_FRACTION = 0.05  # gaps over this share of the window make the energy unusable


class Integral(NamedTuple):
    """Energy in J over a window, the number of readings inside it, and cautions; ``energy_j`` None: unusable."""

    energy_j: float | None
    readings: int
    flags: tuple[str, ...]


def integrate(
    t_ns: npt.ArrayLike, power_w: npt.ArrayLike, start_ns: int, end_ns: int, period_s: float | None = None
) -> Integral:
    """Integrate polled power over a window.

    ``t_ns``: stamps of the readings on the window's clock, any order, duplicates allowed (averaged); ``power_w``: the
    readings in W, same length. ``period_s``: the poll period, used to find gaps; the median spacing if None.
    A window that reaches beyond the readings by more than gaps may is flagged ``uncovered`` and has no energy.
    """
    t = np.asarray(t_ns, dtype=np.int64)
    p = np.asarray(power_w, dtype=np.float64)
    if t.shape != p.shape or t.ndim != 1:
        raise ValueError(f"stamps and readings differ in shape: {t.shape} and {p.shape}")
    if end_ns <= start_ns:
        raise ValueError("a window ends after it starts")
    t, inverse = np.unique(t, return_inverse=True)
    if len(t) == 0:
        return Integral(None, 0, ("uncovered",))
    p = np.bincount(inverse, weights=p) / np.bincount(inverse)
    inside = int(np.count_nonzero((t >= start_ns) & (t <= end_ns)))
    length_s = (end_ns - start_ns) * 1e-9
    # seconds from the window's start: int64 nanoseconds would lose their low digits as float64
    s = (t - start_ns) * 1e-9
    step = period_s or (float(np.median(np.diff(s))) if len(s) > 1 else length_s)
    uncovered = max(0.0, float(s[0])) + max(0.0, length_s - float(s[-1]))
    if uncovered > max(GAP_FRACTION * length_s, 0.0):
        return Integral(None, inside, ("uncovered",))
    edges = np.unique(np.clip(np.concatenate([s, [0.0, length_s]]), 0.0, length_s))
    energy_j = float(np.trapezoid(np.interp(edges, s, p), edges))
    # a gap counts with the part of it that lies in the window
    left, right = np.clip(s[:-1], 0.0, length_s), np.clip(s[1:], 0.0, length_s)
    long = np.diff(s) > GAP_PERIODS * step
    gap_s = float(np.sum((right - left)[long])) + (uncovered if uncovered > GAP_PERIODS * step else 0.0)
    if gap_s > GAP_FRACTION * length_s:
        return Integral(None, inside, ("gappy",))
    return Integral(energy_j, inside, ("gappy",) if gap_s > 0 else ())


def unwrap(raw: npt.ArrayLike, span: float) -> npt.NDArray[np.float64]:
    """A wrapping counter as a growing one: whenever a reading is below the one before it, ``span`` is added.

    ``span`` is the number of counts after which the counter starts again at 0. Correct while it is read at least once
    a wrap; nothing in the readings themselves can show a missed wrap.
    """
    x = np.asarray(raw, dtype=np.float64)
    return np.asarray(x + np.concatenate([[0.0], np.cumsum(np.diff(x) < 0) * span]) if x.size else x)
