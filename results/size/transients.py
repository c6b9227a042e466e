"""How fast power changes: ramps, the swing between two phases of a job, and what a floor under the power does to both.

A synchronous job computes and communicates in turn, on all its devices at once, so that a whole site may swing within
a second; a grid states limits in time (W/s, range) and in frequency (Choukse et al., arXiv 2508.14318, which also names
the remedies: filler work, a floor in firmware, storage in the rack). Frequencies are in
:mod:`perwatt.results.size.spectrum`, storage in :mod:`perwatt.results.size.storage`.

A *ramp* over ``d`` is the greatest ``P(t + s) - P(t)`` of all ``s`` up to ``d``, over ``d``; power is read off linearly
between readings and known at both ends. At ``s = d`` alone a job that swings once a second would show no ramp over 1,
5, 10 and 60 s, as it is where it was. What power rises by within a window never falls as the window grows.

A *swing* parts the readings in two levels at the threshold that leaves the least variance inside both (Otsu,
1979). A *floor* fills up what lies below it, with work or with heat: ``max(P, floor)``.

Nothing faster than the meter's period can be seen: such figures are None, and say why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from perwatt.results.energy import GAP_PERIODS
from perwatt.results.size.parameter import Floats
from perwatt.results.size.windows import CHUNK, SHORTEST, Cells, cells, readings

RAMPS_S = (0.1, 1.0, 5.0, 10.0, 60.0)
LEVELS = 4096  # of the histogram that is parted in two
LEAST_SWING = 0.05  # of the higher level, below which two levels are no phases
LEAST_PARTED = 0.75  # of the variance that lies between the two levels; of noise round one level it is 0.64


class Ramp(NamedTuple):
    """Greatest rise and fall within ``window_s``, over it: W/s, and as fractions of the highest power; ``up_at_s`` and
    ``down_at_s``: when each begins, as the readings are stamped. None, with a ``reason``, where the window cannot be
    seen."""

    window_s: float
    up_w_s: float | None
    down_w_s: float | None
    up_fraction: float | None
    down_fraction: float | None
    reason: str = ""
    up_at_s: float | None = None
    down_at_s: float | None = None


def ramps(
    t_s: Floats, power_w: Floats, windows_s: Sequence[float] = RAMPS_S, made: Cells | None = None
) -> tuple[Ramp, ...]:
    """The ramps of readings ``power_w`` in W at ``t_s`` in s, never going back; shape (n,), n at least 2.

    ``made``: their cells, where these are known already, since to make them takes long for a long trace (here and
    below). Raises ValueError as :func:`perwatt.results.size.windows.cells` does, and for windows of 0 or less.
    """
    whole = made or cells(t_s, power_w)
    found = []
    for window_s in windows_s:
        if not window_s > 0:
            raise ValueError(f"window: found {window_s} s; allowed above 0 s")
        if window_s < SHORTEST * whole.period_s:
            reason = f"not observable: one reading every {whole.period_s:g} s"
        elif (change := _changes(t_s, power_w, window_s, whole)) is None:
            reason = f"not observable: no two readings {window_s:g} s apart"
        else:
            (up, up_at_s), (down, down_at_s) = ((max(w, 0.0), at_s) for w, at_s in change)
            share = 1 / whole.high_w if whole.high_w > 0 else 0.0
            rates = up / window_s, down / window_s, up * share, down * share
            found.append(Ramp(window_s, *rates, up_at_s=up_at_s, down_at_s=down_at_s))
            continue
        found.append(Ramp(window_s, None, None, None, None, reason))
    return tuple(found)


def _changes(t_s: Floats, power_w: Floats, window_s: float, whole: Cells) -> list[tuple[float, float]] | None:
    """Greatest rise and fall in W between moments up to ``window_s`` apart, each with the first of the two in s; None
    if no two are that far apart."""
    best = [(-np.inf, 0.0), (-np.inf, 0.0)]
    slack_s = 1e-6 * whole.period_s
    for i in range(0, len(t_s), CHUNK):
        # power is piecewise linear: the greatest change has a reading at one of its ends, the first or the last
        for sign in (1.0, -1.0):
            other_s = t_s[i : i + CHUNK] + sign * window_s
            seen = (other_s >= t_s[0] - slack_s) & (other_s <= t_s[-1] + slack_s)
            if not seen.any():
                continue
            at_w, other_s = power_w[i : i + CHUNK][seen], other_s[seen]
            first = max(int(np.searchsorted(t_s, other_s[0], side="right")) - 1, 0)
            last = min(int(np.searchsorted(t_s, other_s[-1])) + 1, len(t_s))
            there_w = np.interp(other_s, t_s[first:last], power_w[first:last])
            if whole.gaps:
                known = _known(t_s[first:last], other_s, GAP_PERIODS * whole.period_s)
                if not known.any():
                    continue
                at_w, there_w, other_s = at_w[known], there_w[known], other_s[known]
            change_w = (there_w - at_w) * sign
            for which, of in enumerate((change_w, -change_w)):
                at = int(np.argmax(of))
                if of[at] > best[which][0]:
                    best[which] = float(of[at]), float(other_s[at]) - max(sign, 0.0) * window_s
    if best[0][0] == -np.inf:
        return None
    # the greatest between moments closer together has a reading at both ends
    for i in range(0, len(t_s), CHUNK):
        these = slice(int(np.searchsorted(t_s, t_s[i] - window_s - slack_s)), i + CHUNK)
        many = _most(t_s[these], window_s + slack_s, whole.period_s)
        for which, of_w in enumerate((power_w[these], -power_w[these])):
            beyond_w = max(best[which][0], 0.0)
            found = _rise(t_s[these], of_w, i - these.start, window_s + slack_s, many, beyond_w)
            if found is not None:
                best[which] = found[0], float(t_s[these.start + found[1]])
    return best


def _most(t_s: Floats, window_s: float, period_s: float) -> int:
    """A number of readings, a power of two, more than which no window holds."""
    many = 1 << max(math.ceil(math.log2(window_s / period_s + 1)), 0)
    while many < len(t_s) and np.any(t_s[many:] - t_s[:-many] <= window_s):
        many *= 2
    return many


def _rise(
    t_s: Floats, power_w: Floats, first: int, window_s: float, many: int, beyond_w: float
) -> tuple[float, int] | None:
    """How far the readings from the ``first`` on lie above the least of those up to ``window_s`` before each, at most
    ``many`` with itself, and which of these was the least; None where that is not beyond ``beyond_w``."""
    if float(np.max(power_w[first:]) - np.min(power_w)) <= beyond_w:
        return None
    lowest_w = [np.concatenate([np.full(many - 1, np.inf), power_w])]  # of 1, 2, 4 ... readings
    while len(lowest_w[-1]) > len(power_w):
        by = 1 << (len(lowest_w) - 1)
        lowest_w.append(np.minimum(lowest_w[-1][:-by], lowest_w[-1][by:]))
    # what lies no higher above the least of so many is none that is sought, and that are most
    last = first + np.flatnonzero(power_w[first:] - lowest_w[-1][first:] > beyond_w)
    if not len(last):
        return None
    since = np.searchsorted(t_s, t_s[last] - window_s)
    fold = np.frexp(last - since + 1)[1] - 1
    rise_w = np.empty(len(last))
    for k in np.unique(fold):  # two powers of two cover the window
        these, by = fold == k, 1 << int(k)
        begin, end = since[these] + many - 1, last[these] + many - by
        rise_w[these] = power_w[last[these]] - np.minimum(lowest_w[k][begin], lowest_w[k][end])
    at = int(np.argmax(rise_w))
    if rise_w[at] <= beyond_w:
        return None
    window = power_w[since[at] : last[at] + 1]
    return float(rise_w[at]), int(last[at]) - int(np.argmin(window[::-1]))


def _known(t_s: Floats, at_s: Floats, longest_s: float) -> np.ndarray:
    """Which moments do not lie inside a gap."""
    hole = np.flatnonzero(np.diff(t_s) > longest_s)
    if not len(hole):
        return np.ones(len(at_s), dtype=np.bool_)
    before = np.searchsorted(t_s[hole], at_s) - 1  # the last gap that begins before the moment
    return (before < 0) | (at_s >= t_s[hole + 1][np.maximum(before, 0)])


class Swing(NamedTuple):
    """A load that goes to and fro between two levels: their mean powers in W, the time from one rise to the next in s,
    and the fraction of the time at the higher. None, with a ``reason``, where there are no two levels."""

    high_w: float | None
    low_w: float | None
    period_s: float | None
    duty: float | None
    cycles: int
    reason: str = ""


def swing(t_s: Floats, power_w: Floats, made: Cells | None = None) -> Swing:
    """The two levels of readings in W at ``t_s`` in s, and how often power goes from one to the other.

    A rise counts once power has passed from the lower to the upper quarter between the levels, so that noise at the
    threshold is none. Raises ValueError as ``cells`` does.
    """
    whole = made or cells(t_s, power_w)
    seconds = readings(whole, bins=LEVELS).seconds
    width_w = (whole.high_w - whole.low_w) / LEVELS
    watts = whole.low_w + (np.arange(LEVELS) + 0.5) * width_w
    below_s = np.cumsum(seconds)[:-1]
    below_j = np.cumsum(seconds * watts)[:-1]
    total_s, total_j = float(np.sum(seconds)), float(np.sum(seconds * watts))
    fine = (below_s > 0) & (below_s < total_s)
    if width_w <= 0 or not fine.any():
        return Swing(None, None, None, None, 0, "one level: power does not change")
    left, right = np.where(fine, below_s, 1.0), np.where(fine, total_s - below_s, 1.0)
    between = np.where(fine, below_s * right * (below_j / left - (total_j - below_j) / right) ** 2, 0.0)
    # between two clusters all thresholds part alike: the middle one
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    k = int(best[len(best) // 2])
    low_w, high_w = float(below_j[k] / below_s[k]), float((total_j - below_j[k]) / (total_s - below_s[k]))
    variance = float(np.sum(seconds * (watts - total_j / total_s) ** 2)) * total_s
    parted = float(between[k]) / variance
    if high_w - low_w < LEAST_SWING * high_w or parted < LEAST_PARTED:
        why = f"one level: the best two, {low_w:.4g} and {high_w:.4g} W, explain {100 * parted:.0f} % of the variance"
        return Swing(None, None, None, None, 0, why)
    rises = _rises(t_s, power_w, low_w + (high_w - low_w) / 4, high_w - (high_w - low_w) / 4)
    part = whole.part(rises - t_s[0])
    cycles_s = np.diff(rises)[part[1:] == part[:-1]]  # how often it swung in a gap nobody knows
    period_s = float(np.mean(cycles_s)) if len(cycles_s) else None
    duty = float((total_s - below_s[k]) / total_s)
    reason = "" if period_s else "fewer than two rises from the lower level to the higher"
    if period_s and period_s < 4 * whole.period_s:
        reason = f"fewer than four readings a cycle: faster swings than {4 * whole.period_s:g} s would look the same"
    return Swing(high_w, low_w, period_s, duty, len(cycles_s), reason)


def _rises(t_s: Floats, power_w: Floats, lower_w: float, upper_w: float) -> Floats:
    """When power came to ``upper_w`` after it had been at ``lower_w`` or less."""
    found, was_above = [], True
    for i in range(0, len(t_s), CHUNK):
        power = power_w[i : i + CHUNK]
        decided = np.flatnonzero((power <= lower_w) | (power >= upper_w))
        above = power[decided] >= upper_w
        before = np.concatenate([[was_above], above[:-1]]) if len(above) else above
        found.append(t_s[i + decided[above & ~before]])
        was_above = bool(above[-1]) if len(above) else was_above
    return np.concatenate(found)


class Floor(NamedTuple):
    """What a floor of ``floor_w`` does: least to highest power without and with it in W, the mean power that it adds in
    W, and that as a fraction of the mean without it; the part of the time in which it fills up."""

    floor_w: float
    range_before_w: float
    range_after_w: float
    extra_w: float
    extra_fraction: float
    active: float


def floor(t_s: Floats, power_w: Floats, fraction: float, made: Cells | None = None) -> Floor:
    """A floor at ``fraction`` of the highest power, under readings in W at ``t_s`` in s: ``max(P, floor)``.

    The power that it adds does no work that counts. Raises ValueError as ``cells`` does, and for a fraction outside 0
    to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"floor: found {fraction}; allowed 0 to 1, a fraction of the highest power")
    whole = made or cells(t_s, power_w)
    floor_w = fraction * whole.high_w
    filled_s = added_j = 0.0
    for chunk in whole.chunks():
        left, length = whole.edges_s[chunk], np.diff(whole.edges_s[chunk.start : chunk.stop + 1])
        lacking_j = floor_w * length - np.diff(whole.energy_j[chunk.start : chunk.stop + 1])
        # of a gap nobody knows; and what rounding leaves is nothing
        below = (left < whole.ends_s[whole.part(left)]) & (lacking_j > 1e-9 * floor_w * length)
        filled_s += float(np.sum(length[below]))
        added_j += float(np.sum(lacking_j[below]))
    return Floor(
        floor_w,
        whole.high_w - whole.low_w,
        whole.high_w - max(whole.low_w, floor_w),
        added_j / whole.seconds,
        added_j / whole.seconds / whole.mean_w if whole.mean_w > 0 else 0.0,
        filled_s / whole.seconds,
    )
