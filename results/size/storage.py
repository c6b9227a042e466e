"""The energy storage that keeps a load within a ramp limit: how much energy, and how much power, in both directions.

The grid's side ``G`` follows the load ``P`` through a filter that never exceeds the limit ``R``,

    G' = clip((P - G) / tau, -R, R),

and the storage gives ``P - G`` where that is positive, and takes it up where it is negative. No forecast is needed. The
time constant ``tau`` is free. With 0, ``G`` goes at the limit whenever it can: for a single step ``D`` nothing needs
less, ``D^2 / (2 R)``. A load that swings for ever needs a longer one: ``G`` has to settle at its mean, or energy piles
up cycle by cycle. With ``tau = D / R``, ``D`` the load's whole range, the limit is never touched, and the energy stays
within ``tau D`` whatever the load does. Of a ladder of time constants between, the one with the least capacity is
taken: the range that the energy runs through, from the first reading to the last. It is what a simple control reaches,
and so an upper bound of what a perfect one needs. Losses of the storage come on top.

What the storage gave, a small recovery power ``p`` makes up, or steps that nearly cancel add up to a random walk. The
energy ``E`` given so far obeys ``E' = (P - G) - p sign(E)``, which is ``E = W - X`` with ``W`` the integral of
``P - G`` and ``X`` following it by at most ``p dt``: the same recursion again. ``p`` must be so small that it counts as
no ramp.

Following is a recursion over the readings. A long trace is cut into blocks that are followed all at once, each from
where the block before it ended in the pass before; the passes end when no end changes any more. It comes soon, because
a follower forgets where it came from.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from perwatt.results.energy import GAP_PERIODS
from perwatt.results.size.parameter import Floats
from perwatt.results.size.windows import Cells, cells

LADDER = (0.0, 1 / 64, 1 / 16, 1 / 4, 1 / 2, 1.0)  # time constants, of the load's range over the limit
PASSES = 25  # over all blocks, before the readings of a span are followed one after the other
SPAN = 1 << 20  # readings that are followed at a time
SETTLED = 1e-9  # of the load's range, by which the ends of blocks may still change


class Storage(NamedTuple):
    """To hold ``limit_w_s``: ``capacity_j`` between full and empty; how far it runs below and above its set
    point in J, and the highest power that it gives and takes up in W; the filter's time constant in s.
    ``active``: part of the time in which it gives or takes up more than 1 % of the load's range."""

    limit_w_s: float
    capacity_j: float
    given_j: float
    taken_j: float
    given_w: float
    taken_w: float
    time_constant_s: float
    active: float


def storage(t_s: Floats, power_w: Floats, limit_w_s: float, recovery_w: float, made: Cells | None = None) -> Storage:
    """What holds readings ``power_w`` in W at ``t_s`` in s (growing), shape (n,), within ``limit_w_s`` up and down.

    ``recovery_w``: at which the storage goes back to its set point, 0 for never. ``made``: the readings' cells, where
    known. After a gap the grid's side starts anew at the load. What swings between two readings is not seen, and not
    counted. Of a trace of more than a million readings the time constant is chosen on the million that varies most, and
    then used for all. Raises ValueError as :func:`perwatt.results.size.windows.cells` does, for a limit of 0 or less,
    and for a negative recovery.
    """
    if not (math.isfinite(limit_w_s) and limit_w_s > 0):
        raise ValueError(f"ramp limit: found {limit_w_s} W/s; allowed above 0 W/s")
    if not (math.isfinite(recovery_w) and recovery_w >= 0):
        raise ValueError(f"recovery: found {recovery_w} W; allowed 0 W or more")
    whole = made or cells(t_s, power_w)
    limits = _Limits(limit_w_s, recovery_w, GAP_PERIODS * whole.period_s, whole.high_w - whole.low_w)
    ladder = [share * limits.range_w / limit_w_s for share in LADDER]
    pieces = [slice(i, i + SPAN) for i in range(0, len(t_s), SPAN) if i + 1 < len(t_s)]
    hardest = pieces[int(np.argmax([np.std(power_w[s]) for s in pieces]))]
    tried = [_held(t_s[hardest], power_w[hardest], limits, tau_s) for tau_s in ladder]
    best = min(tried, key=lambda s: s.capacity_j)
    if len(pieces) > 1:
        best = _held(t_s, power_w, limits, best.time_constant_s)
        if best.capacity_j > tried[-1].capacity_j:  # it piles up energy elsewhere, which the longest never does
            best = min(best, _held(t_s, power_w, limits, ladder[-1]), key=lambda s: s.capacity_j)
    return best


class _Limits(NamedTuple):
    limit_w_s: float
    recovery_w: float
    longest_s: float  # a step that is no gap
    range_w: float


def _held(t_s: Floats, power_w: Floats, limits: _Limits, tau_s: float) -> Storage:
    """The storage with one time constant."""
    limit_w_s, recovery_w, longest_s, range_w = limits
    grid_w, before_w, made_up_j = float(power_w[0]), 0.0, 0.0
    energy_j = given_j = taken_j = given_w = taken_w = active_s = all_s = 0.0
    for i in range(0, len(t_s), SPAN):
        p = power_w[i : i + SPAN]
        step_s = np.diff(t_s[i : i + SPAN], prepend=t_s[max(i - 1, 0)])
        hole = step_s > longest_s
        gain = -np.expm1(-step_s / tau_s) if tau_s > 1e-9 else np.ones(len(step_s))
        gain[hole] = 1.0
        followed = _followed(p, np.where(hole, np.inf, step_s * limit_w_s), gain, grid_w, SETTLED * range_w)
        grid_w, given = float(followed[-1]), p - followed
        known_s = np.where(hole, 0.0, step_s)
        # energy between two readings by the trapezoid; none across a gap, in which there is time to recover
        running_j = energy_j + np.cumsum(known_s * (given + np.concatenate([[before_w], given[:-1]])) / 2)
        energy_j, before_w = float(running_j[-1]), float(given[-1])
        if recovery_w > 0:
            settled_j = SETTLED * range_w * max(tau_s, range_w / limit_w_s)
            made_up = _followed(running_j, step_s * recovery_w, np.ones(len(p)), made_up_j, settled_j)
            made_up_j = float(made_up[-1])
            running_j -= made_up
        given_j, taken_j = max(given_j, float(running_j.max())), max(taken_j, -float(running_j.min()))
        given_w, taken_w = max(given_w, float(given.max())), max(taken_w, -float(given.min()))
        active_s += float(np.sum(known_s[np.abs(given) > 0.01 * range_w]))
        all_s += float(np.sum(known_s))
    active = active_s / all_s if all_s else 0.0
    return Storage(limit_w_s, given_j + taken_j, given_j, taken_j, given_w, taken_w, tau_s, active)


def _followed(leader: Floats, reach: Floats, gain: Floats, start: float, settled: float) -> Floats:
    """What follows ``leader`` from ``start`` on: from one entry to the next by ``gain`` of the difference, and by
    ``reach`` at the most; right to within ``settled``."""
    count = len(leader)
    length = max(math.isqrt(count), 1)
    blocks = -(-count // length)

    def steps(values: Floats, fill: float) -> Floats:
        # along the first axis, so that each step works on memory in one piece
        padded = np.pad(values, (0, blocks * length - count), constant_values=fill)
        return np.ascontiguousarray(padded.reshape(blocks, length).T)

    p, r, a = steps(leader, float(leader[-1])), steps(reach, np.inf), steps(gain, 1.0)
    g = np.empty_like(p)
    before = np.concatenate([[start], p[-1, :-1]])
    for _ in range(PASSES):
        last = before
        for i in range(length):
            step = np.subtract(p[i], last)
            step *= a[i]
            np.minimum(step, r[i], out=step)
            np.maximum(step, -r[i], out=step)
            last = np.add(last, step, out=g[i])
        after = np.concatenate([before[:1], last[:-1]])
        if float(np.max(np.abs(after - before))) <= settled:
            return np.asarray(g.T.reshape(-1)[:count])
        before = after
    return _one_by_one(leader, reach, gain, start)


def _one_by_one(leader: Floats, reach: Floats, gain: Floats, start: float) -> Floats:
    """The same, each entry after the one before it: slow, and never wrong."""
    found = []
    g = start
    for p, r, a in zip(leader.tolist(), reach.tolist(), gain.tolist(), strict=True):
        step = (p - g) * a
        g += r if step > r else -r if step < -r else step
        found.append(g)
    return np.array(found)
