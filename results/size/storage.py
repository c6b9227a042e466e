"""The energy storage that keeps a load within a ramp limit: how much energy, and how much power, in both directions.

The grid's side ``G`` follows the load ``P`` as fast as the limit ``R`` lets it, ``G' = clip(P - G, -R dt, R dt)``; the
storage gives ``P - G`` where that is positive, and takes it up where it is negative. It needs no forecast. What it gave
is made up by a small recovery power ``p``, towards a set point in the middle: without that, an offset of a watt between
``G`` and the mean of a fast swing would add up for ever. Energy given so far, ``E``, then obeys

    E' = (P - G) - p sign(E),    which is    E = W - X,  W = integral of (P - G),  X following W by at most p dt,

so that one and the same follower does both. The capacity is the range that ``E`` runs through. A single step of ``D``
needs ``D^2 / (2 R)``, less what recovers meanwhile, and ``D`` of power; losses of the storage come on top, and the
recovery power is taken to be too small to count as a ramp.

Following is a recursion over the readings. A long trace is cut into blocks that are followed all at once, each from
where the block before it ended in the pass before; the passes end when no end changes any more, which is the exact
solution. It comes soon, because a follower forgets where it came from as soon as it meets what it follows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from perwatt.results.energy import GAP_PERIODS
from perwatt.results.size.parameter import Floats
from perwatt.results.size.windows import Cells, cells

PASSES = 25  # over all blocks, before the readings of a span are followed one after the other
SPAN = 1 << 20  # readings that are followed at a time


class Storage(NamedTuple):
    """To hold ``limit_w_s``: ``capacity_j`` between full and empty; how far it runs below and above its set point in J,
    and the highest power that it gives and takes up in W. ``active``: part of the time in which it does either."""

    limit_w_s: float
    capacity_j: float
    given_j: float
    taken_j: float
    given_w: float
    taken_w: float
    active: float


def storage(t_s: Floats, power_w: Floats, limit_w_s: float, recovery_w: float, made: Cells | None = None) -> Storage:
    """What holds readings ``power_w`` in W at ``t_s`` in s (growing), shape (n,), within ``limit_w_s`` up and down.

    ``recovery_w``: at which it goes back to its set point, 0 for never; take a small part of the load's range.
    ``made``: the readings' cells, where known. After a gap the grid's side starts anew at the load. What swings
    between two readings is not seen, and not counted. Raises ValueError as
    :func:`perwatt.results.size.windows.cells` does, for a limit of 0 or less and for a negative recovery.
    """
    if not (math.isfinite(limit_w_s) and limit_w_s > 0):
        raise ValueError(f"ramp limit: found {limit_w_s} W/s; allowed above 0 W/s")
    if not (math.isfinite(recovery_w) and recovery_w >= 0):
        raise ValueError(f"recovery: found {recovery_w} W; allowed 0 W or more")
    longest_s = GAP_PERIODS * (made or cells(t_s, power_w)).period_s
    least_w = 1e-12 * float(np.max(np.abs(power_w)))  # by which rounding parts the two
    grid_w, before_w = float(power_w[0]), 0.0
    energy_j = made_up_j = 0.0
    given_j = taken_j = given_w = taken_w = active_s = all_s = 0.0
    for i in range(0, len(t_s), SPAN):
        p = power_w[i : i + SPAN]
        step_s = np.diff(t_s[i : i + SPAN], prepend=t_s[max(i - 1, 0)])
        hole = step_s > longest_s
        followed = _followed(p, np.where(hole, np.inf, step_s * limit_w_s), grid_w)
        grid_w, given = float(followed[-1]), p - followed
        known_s = np.where(hole, 0.0, step_s)
        # energy between two readings by the trapezoid; none across a gap, in which there is time to recover
        running_j = energy_j + np.cumsum(known_s * (given + np.concatenate([[before_w], given[:-1]])) / 2)
        recovered_j = _followed(running_j, step_s * recovery_w, made_up_j)
        energy_j, made_up_j, before_w = float(running_j[-1]), float(recovered_j[-1]), float(given[-1])
        running_j -= recovered_j
        given_j, taken_j = max(given_j, float(running_j.max())), max(taken_j, -float(running_j.min()))
        given_w, taken_w = max(given_w, float(given.max())), max(taken_w, -float(given.min()))
        active_s += float(np.sum(known_s[np.abs(given) > least_w]))
        all_s += float(np.sum(known_s))
    active = active_s / all_s if all_s else 0.0
    return Storage(limit_w_s, given_j + taken_j, given_j, taken_j, given_w, taken_w, active)


def _followed(leader: Floats, reach: Floats, start: float) -> Floats:
    """What follows ``leader`` from ``start`` on, changing by ``reach`` at the most from one entry to the next."""
    count = len(leader)
    length = max(math.isqrt(count), 1)
    blocks = -(-count // length)
    pad = blocks * length - count
    # steps along the first axis, so that each step works on memory in one piece
    p = np.ascontiguousarray(np.pad(leader, (0, pad), mode="edge").reshape(blocks, length).T)
    r = np.ascontiguousarray(np.pad(reach, (0, pad), constant_values=np.inf).reshape(blocks, length).T)
    g = np.empty_like(p)
    before = np.concatenate([[start], p[-1, :-1]])
    for _ in range(PASSES):
        last = before
        for i in range(length):
            last = np.minimum(np.maximum(p[i], last - r[i]), last + r[i])
            g[i] = last
        after = np.concatenate([before[:1], last[:-1]])
        if np.array_equal(after, before):
            return np.asarray(g.T.reshape(-1)[:count])
        before = after
    return _one_by_one(leader, reach, start)


def _one_by_one(leader: Floats, reach: Floats, start: float) -> Floats:
    """The same, each entry after the one before it: slow, and never wrong."""
    found = []
    g = start
    for p, r in zip(leader.tolist(), reach.tolist(), strict=True):
        g = g + r if p > g + r else g - r if p < g - r else p
        found.append(g)
    return np.array(found)
