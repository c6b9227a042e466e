"""Whether a meter behind a network follows the nodes that are said to hang behind it: pure, on arrays.

Two questions. *When*: at the start of the load the meter's readings step from one level to another; by how much they
lie after the load's own course, where both go together best, is the meter's delay. *Whom*: over the whole run, laid
back by that delay, the readings of a meter go up and down with its own nodes. All nodes of a fleet step at once, so
that a step at the right time does not say whose it is; what each does after that does, as far as nodes differ.

Nothing is said that is not plain: a meter follows somebody else only if a third of its mismatch (one minus Pearson's
correlation) to its own nodes is still more than that to the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LAG_PARTS = 10  # of a period, in which delays are tried
LEAST_READINGS = 3  # on either side of a step
LEAST_RISE = 0.1  # of the higher level: less is no step of a load
LEAST_NOISES = 5.0  # by which a step stands above the scatter before it
LEAST_MATCH = 0.8  # a weaker correlation follows nobody
PLAIN = 3.0  # times the mismatch to another that the mismatch to one's own must be
LEAST_MISMATCH = 0.01  # below which nobody is told apart
LEAST_POINTS = 12  # that both have, for a correlation


class Step(NamedTuple):
    """``delay_s`` after the load's own step that of the readings, ``within_s`` apart from each other, from ``low_w`` to
    ``high_w``; ``match``: Pearson's correlation with the load's course at that delay."""

    delay_s: float
    within_s: float
    low_w: float
    high_w: float
    match: float


def step(t_s: Floats, power_w: Floats, course_s: Floats, course_w: Floats, reach_s: float) -> Step | str:
    """The step of readings in W at ``t_s``, which grow, in s after the load's own.

    ``course_s``, ``course_w``: the load's own power from 0 s on, of which before that there is none; a load of which
    nothing is known but that it goes on is a constant. Looked for at up to half of ``reach_s`` before and after. A text
    where there is none: ``no step``, or why that cannot be told.
    """
    until_s = float(course_s[-1])
    inside = (t_s >= -reach_s) & (t_s <= until_s)
    t_s, power_w = t_s[inside], power_w[inside]
    before, after = int(np.count_nonzero(t_s < 0)), int(np.count_nonzero(t_s >= 0))
    if min(before, after) < LEAST_READINGS:
        return f"{before} readings in {reach_s:.3g} s before the load and {after} in {until_s:.3g} s after"
    period_s = float(np.median(np.diff(t_s)))
    energy_j = np.concatenate([[0.0], np.cumsum(np.diff(course_s) * (course_w[1:] + course_w[:-1]) / 2)])
    delays_s = np.arange(-reach_s / 2, reach_s / 2, period_s / LAG_PARTS)
    # what the load drew in the period round each reading, were it so late: a row a delay
    left = t_s[None, :] - delays_s[:, None] - period_s / 2
    mean_w = (np.interp(left + period_s, course_s, energy_j) - np.interp(left, course_s, energy_j)) / period_s
    fits = (left + period_s <= until_s) & (left + period_s / 2 >= -reach_s)
    sides = np.minimum(np.count_nonzero(fits & (left >= 0), axis=1), np.count_nonzero(fits & (left < 0), axis=1))
    one = np.ones((1, len(t_s)), dtype=np.bool_)
    match = correlations((mean_w, fits), (power_w[None, :], one), LEAST_READINGS)[:, 0]
    match = np.where((sides >= LEAST_READINGS - 1) & ~np.isnan(match), match, -1.0)
    top = int(np.argmax(match))
    delay_s = float(delays_s[top])
    low, high = power_w[t_s < delay_s], power_w[(t_s >= delay_s)]
    if match[top] < LEAST_MATCH / 2 or not len(low) or not len(high):
        return "no step"
    low_w, high_w = float(np.median(low)), float(np.median(high))
    noise_w = 1.4826 * float(np.median(np.abs(low - low_w)))
    if high_w - low_w < max(LEAST_RISE * high_w, LEAST_NOISES * noise_w):
        return "no step"
    return Step(delay_s, period_s, low_w, high_w, float(match[top]))


def correlations(one: tuple[Floats, Mask], two: tuple[Floats, Mask], least: int = LEAST_POINTS) -> Floats:
    """Pearson's correlation of each row of one with each of two over what both have seen, shape (rows of one, rows of
    two); NaN where that is fewer than ``least`` points, or one of them does not change."""
    (a, seen_a), (b, seen_b) = (_centred(*each) for each in (one, two))
    m, n = seen_a.astype(np.float64), seen_b.astype(np.float64)
    count = m @ n.T
    both = np.maximum(count, 1.0)
    sum_a, sum_b = a @ n.T, m @ b.T
    var_a, var_b = (a * a) @ n.T - sum_a**2 / both, m @ (b * b).T - sum_b**2 / both
    whole_a, whole_b = (a * a).sum(axis=1)[:, None], (b * b).sum(axis=1)[None, :]
    fine = (count >= least) & (var_a > 1e-6 * whole_a) & (var_b > 1e-6 * whole_b)
    norm = np.sqrt(np.where(fine, var_a * var_b, 1.0))
    return np.where(fine, np.clip((a @ b.T - sum_a * sum_b / both) / norm, -1.0, 1.0), np.nan)


def _centred(values: Floats, seen: Mask) -> tuple[Floats, Mask]:
    """Rows less their means, 0 where not seen: what is left of large numbers keeps its digits."""
    mean = np.where(seen, values, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return np.where(seen, values - mean[:, None], 0.0), seen


def followed(match: Floats, own: int | None) -> int | None:
    """Whom a meter follows instead of its ``own`` (None: of whom nothing is known), by its correlations with all; None
    where it is its own, or nobody plainly."""
    others = np.where(np.isnan(match), -1.0, match)
    mine = float(others[own]) if own is not None else -1.0
    if own is not None:
        others[own] = -1.0
    if not len(others) or others.max() < LEAST_MATCH:
        return None
    best = int(np.argmax(others))
    if own is not None and np.isnan(match[own]):
        return None  # its own was not seen to change: who knows
    return best if 1 - mine > PLAIN * (1 - others[best]) + LEAST_MISMATCH else None
