"""Energy of a window from readings: pure arithmetic on arrays, so that every rule can be tested on recorded traces.

Power is integrated by the trapezoid rule over the union of the readings and both window edges, the edges interpolated
between the readings that enclose them. Nothing is dropped for being equal to its neighbour, and no partial interval at
an edge is left out.

A counter is renewed every ``period_s``, not when it is asked. What it said is true of the moment at which it changed,
so those moments (ticks) carry its values, and the energy of a window is the difference of the counter interpolated
between ticks at both edges. Under steady load that removes the error tau / (sqrt(6) T) of reading a stale counter at
both ends; what is left is bounded from how much the power varies round the edges. Energies of adjacent windows add up
exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perwatt.results.sensor import period

Floats = npt.NDArray[np.float64]

GAP_PERIODS = 3.0  # a gap longer than this many periods is reported
GAP_FRACTION = 0.05  # gaps over this share of the window make the energy unusable
NEIGHBOURS = 15  # renewals on either side that bound a counter's pace
SLOWEST_POLL = 0.75  # of the counter's period, at which one renewal is still told from the next
PACED = 0.9  # of the renewals must fit one pace, or the counter keeps none
SLACK = 4.0  # standard errors of the pace that a neighbour's bound is widened by, for each period between
LEAST_WIDTH_S = 2e-4  # what the time of a call leaves uncertain, however many bounds meet


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


class Ticks(NamedTuple):
    """When a counter was renewed: ``t_ns``, what it then said in J, and the standard uncertainty of each moment in
    s."""

    t_ns: npt.NDArray[np.int64]
    energy_j: npt.NDArray[np.float64]
    u_s: npt.NDArray[np.float64]


def ticks(t_ns: npt.ArrayLike, energy_j: npt.ArrayLike, period_s: float) -> Ticks:
    """The renewals of a counter that was polled at ``t_ns`` (growing, in ns) and said ``energy_j``.

    A renewal lies between the last poll that saw the old value and the first that saw the new one, and never further
    back than one ``period_s``. Where the renewals keep a pace, each is bounded by its neighbours' polls as well, and a
    poll that came late costs nothing. The middle of the bounds is taken; their width gives a rectangular uncertainty.
    """
    t = np.asarray(t_ns, dtype=np.int64)
    e = np.asarray(energy_j, dtype=np.float64)
    new = np.flatnonzero(np.diff(e) != 0) + 1
    if not len(new):
        return Ticks(t[new], e[new], np.zeros(0))
    # seconds from the first poll: int64 nanoseconds would lose their low digits as float64
    high = (t[new] - t[0]) * 1e-9
    low = np.maximum((t[new - 1] - t[0]) * 1e-9, high - period_s)
    low, high = _paced(low, high, period_s)
    return Ticks(t[0] + np.round((low + high) * 0.5e9).astype(np.int64), e[new], (high - low) / np.sqrt(12))


def _paced(low: Floats, high: Floats, period_s: float) -> tuple[Floats, Floats]:
    """The bounds of each renewal in s, narrowed by those of its neighbours at one common pace; unchanged where the
    polls are too slow to tell, or where there is no such pace."""
    width, middle = high - low, (low + high) / 2
    if len(low) < 4 or float(np.median(width)) > SLOWEST_POLL * period_s:
        return low, high
    n = np.concatenate([[0.0], np.cumsum(np.round(np.diff(middle) / period_s))])
    if float(np.min(np.diff(n))) < 1:
        return low, high
    weight = 12 / np.maximum(width, LEAST_WIDTH_S) ** 2  # of a rectangle's variance
    off = n - np.average(n, weights=weight)
    spread = float(np.sum(weight * off**2))
    pace, u_pace = float(np.sum(weight * off * middle)) / spread, 1 / np.sqrt(spread)
    left, right = low.copy(), high.copy()
    for d in range(1, min(NEIGHBOURS, len(n) - 1) + 1):
        apart = n[d:] - n[:-d]
        shift, slack = apart * pace, apart * SLACK * u_pace
        left[:-d] = np.maximum(left[:-d], low[d:] - shift - slack)
        right[:-d] = np.minimum(right[:-d], high[d:] - shift + slack)
        left[d:] = np.maximum(left[d:], low[:-d] + shift - slack)
        right[d:] = np.minimum(right[d:], high[:-d] + shift + slack)
    fits = right >= left
    if np.mean(fits) < PACED:
        return low, high
    left, right = np.where(fits, left, low), np.where(fits, right, high)
    more = np.maximum(LEAST_WIDTH_S - (right - left), 0.0) / 2
    return left - more, right + more


class Slopes(NamedTuple):
    """Power in W between two renewals of a counter, at ``start_ns`` and ``end_ns``."""

    start_ns: npt.NDArray[np.int64]
    end_ns: npt.NDArray[np.int64]
    power_w: Floats


def slopes(t_ns: npt.ArrayLike, energy_j: npt.ArrayLike) -> Slopes:
    """Power by the slopes of a counter, from its readings alone.

    A counter that was polled more often than it is renewed stands still and leaps: its slope from poll to poll is no
    power. Its renewals are found where the polls tell its period, else slopes go from one change that was seen to the
    next. A step back (a reset) and two readings at once say nothing and are left out.
    """
    t = np.asarray(t_ns, dtype=np.int64)
    e = np.asarray(energy_j, dtype=np.float64)
    fine = np.isfinite(e)
    t, e = t[fine], e[fine]
    poll_s = float(np.median(np.diff(t))) * 1e-9 if len(t) > 1 else 0.0
    found = period(t, e)
    # every change falls on a poll, so that polls of one pace have a period of their own
    if found is not None and found.value > 2 * poll_s:
        t, e, _ = ticks(t, e, found.value)
    else:
        # of two polls that come closer than a renewal takes, one sees nothing and the other too much
        changed = np.flatnonzero(np.diff(e) != 0) + 1
        keep = [0] if len(changed) and changed[0] == 1 else []  # one that stands still is not the moment of a renewal
        for i in changed:
            if not keep or (t[i] - t[keep[-1]]) * 1e-9 >= poll_s / 2:
                keep.append(int(i))
        t, e = t[keep], e[keep]
    step_s, step_j = np.diff(t) * 1e-9, np.diff(e)
    says = (step_s > 0) & (step_j >= 0)
    return Slopes(t[:-1][says], t[1:][says], step_j[says] / step_s[says])


class Counted(NamedTuple):
    """Energy in J of a window by a counter, the readings inside it, cautions; ``u_time_j``: standard uncertainty from
    when the ticks came; ``bound_j_per_w``: how far the energy can be off, per watt by which power varies round the
    edges."""

    energy_j: float | None
    readings: int
    flags: tuple[str, ...]
    u_time_j: float = 0.0
    bound_j_per_w: float = 0.0


def counted(t_ns: npt.ArrayLike, energy_j: npt.ArrayLike, start_ns: int, end_ns: int, period_s: float) -> Counted:
    """Energy of a window by a counter polled before, in and after it.

    Where no tick lies outside an edge, the counter is carried on at the mean power of the ticks; how far that reaches
    enters the uncertainty, and more than one period of it (or than one step takes, if that is longer) is flagged
    ``uncovered``. A counter that goes back was reset: no energy. One that does not move for ten periods is ``frozen``:
    no energy either.
    """
    t = np.asarray(t_ns, dtype=np.int64)
    e = np.asarray(energy_j, dtype=np.float64)
    inside = int(np.count_nonzero((t >= start_ns) & (t <= end_ns)))
    if len(t) < 2:
        return Counted(None, inside, ("uncovered",))
    if np.any(np.diff(e) < 0):
        return Counted(None, inside, ("counter_reset",))
    found = ticks(t, e, period_s)
    quiet_s = (t[-1] - (found.t_ns[-1] if len(found.t_ns) else t[0])) * 1e-9
    if quiet_s > max(10 * period_s, 3 * float(np.max(np.diff(t))) * 1e-9):
        return Counted(None, inside, ("frozen",))
    if len(found.t_ns) < 2:
        return Counted(None, inside, ("uncovered",))
    s = (found.t_ns - start_ns) * 1e-9
    mean_w = float((found.energy_j[-1] - found.energy_j[0]) / (s[-1] - s[0]))
    # at the power of the window a coarse counter takes a step less often than it is renewed
    far_s = 1.5 * max(period_s, float(np.median(np.diff(s)))) + 2 * float(np.median(np.diff(t))) * 1e-9
    flags = set()
    at: list[float] = []
    u_j, bound = 0.0, 0.0
    for edge_s in (0.0, (end_ns - start_ns) * 1e-9):
        right = int(np.searchsorted(s, edge_s))
        if 0 < right < len(s):
            left_s, right_s = float(s[right - 1]), float(s[right])
            x = (edge_s - left_s) / (right_s - left_s)
            slope = float(found.energy_j[right] - found.energy_j[right - 1]) / (right_s - left_s)
            at.append(float(found.energy_j[right - 1] + slope * (edge_s - left_s)))
            # the energy between two ticks is known: power that varies by 1 W inside errs by x (1 - x) of it at the most
            bound += x * (1 - x) * (right_s - left_s)
            u_j = float(np.hypot(u_j, slope * np.hypot((1 - x) * found.u_s[right - 1], x * found.u_s[right])))
        else:
            near = min(right, len(s) - 1)
            beyond_s = edge_s - float(s[near])
            at.append(float(found.energy_j[near] + mean_w * beyond_s))
            bound += abs(beyond_s)
            u_j = float(np.hypot(u_j, mean_w * found.u_s[near]))
            if abs(beyond_s) > far_s:
                flags.add("uncovered")
    if "uncovered" in flags:
        return Counted(None, inside, ("uncovered",))
    return Counted(at[1] - at[0], inside, tuple(sorted(flags)), u_j, bound)


def unwrap(raw: npt.ArrayLike, span: float) -> npt.NDArray[np.float64]:
    """A wrapping counter as a growing one: whenever a reading is below the one before it, ``span`` is added.

    ``span`` is the number of counts after which the counter starts again at 0. Correct while it is read at least once
    a wrap; nothing in the readings themselves can show a missed wrap.
    """
    x = np.asarray(raw, dtype=np.float64)
    return np.asarray(x + np.concatenate([[0.0], np.cumsum(np.diff(x) < 0) * span]) if x.size else x)
