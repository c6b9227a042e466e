"""How a power sensor behaves, estimated from what it said: pure, on arrays of time stamps (ns) and values.

The recipe follows Yang et al. (SC24): the period from how often the reading changes, delay and averaging from steps,
and from square waves near the period how much of it the sensor looks at. What cannot be told is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_CHANGES = 8
EVERY_POLL = 0.75  # of the polls bring news: the reading is renewed faster than it was polled
COHERENT = 0.5  # mean resultant of the changes' phases, below which they keep no common pace
LONGEST_S = 60.0  # of a recording that is fitted as one: two clocks drift apart
PLATEAU = 0.25  # of a step's length at its end, taken as its level
LEAST_STEP = 0.02  # of the higher level, below which there is no step to be seen
SATURATED = 0.95  # of the full swing: the sensor looks less than half of the time
LONGER = 1.25  # times the period: a mean shorter than this is not told from one of a period
ATTENTION_U = 0.03  # of :func:`attention`: simulated sensors came out within +-0.05 of the truth


class Estimate(NamedTuple):
    """A value and its standard uncertainty, in the same unit."""

    value: float
    u: float


def period(t_ns: npt.ArrayLike, value: npt.ArrayLike) -> Estimate | None:
    """Seconds between renewals of a reading that was polled several times in each.

    A change is seen up to one poll late, and two equal readings in a row hide a renewal: the time between two changes
    is a whole number of periods, give or take a poll. First the period that most of them are multiples of, then the
    pace that all changes keep together. None if too few changes were seen, or news at nearly every poll: the sensor is
    then as fast as the polls or faster.
    """
    t, v = np.asarray(t_ns, dtype=np.int64), np.asarray(value, dtype=np.float64)
    changed = np.flatnonzero(np.diff(v) != 0) + 1 if len(v) else np.zeros(0, dtype=np.int64)
    if len(changed) <= LEAST_CHANGES or len(changed) > EVERY_POLL * len(v):
        return None
    c = (t[changed] - t[changed[0]]) * 1e-9
    c = c[c <= LONGEST_S]
    if len(c) <= LEAST_CHANGES:
        return None
    apart = np.diff(c)
    usual = float(np.median(apart))
    # cosines, not magnitudes: half a turn each time would be twice the period
    trial = usual * np.geomspace(0.25, 1.15, 400)
    score = np.array([float(np.mean(np.cos(2 * np.pi * apart / p))) for p in trial])
    # a part of the period fits as well: the longest that does is the period
    peak = np.flatnonzero((score[1:-1] >= score[:-2]) & (score[1:-1] >= score[2:])) + 1
    good = peak[score[peak] >= 0.85 * float(np.max(score))]
    rough = float(trial[good[-1]]) if len(good) else usual
    near = np.arange(0.96 * rough, 1.04 * rough, rough**2 / (6 * max(float(c[-1]), rough)))
    together = np.array([abs(np.mean(np.exp(2j * np.pi * c / p))) for p in near])
    best = float(near[int(np.argmax(together))])
    if float(np.max(together)) < COHERENT:
        low, high = np.percentile(apart, [25, 75])
        return Estimate(rough, float(high - low) / 2)
    middle = float(np.angle(np.mean(np.exp(2j * np.pi * c / best)))) / (2 * np.pi) * best
    n = np.round((c - middle) / best)
    slope, offset = np.polyfit(n, c, 1)
    away = c - (slope * n + offset)
    return Estimate(float(slope), float(np.std(away) / (np.sqrt(len(n)) * np.std(n))))


def phase(t_ns: npt.ArrayLike, value: npt.ArrayLike, period_s: float) -> Estimate | None:
    """When in each period the reading is renewed: seconds after a multiple of ``period_s`` on the clock of ``t_ns``.

    None if the changes keep no such pace: an error of the period adds up over the readings.
    """
    t, v = np.asarray(t_ns, dtype=np.int64), np.asarray(value, dtype=np.float64)
    changed = t[1:][np.diff(v) != 0] if len(v) else t
    if len(changed) <= LEAST_CHANGES:
        return None
    period_ns = round(period_s * 1e9)
    turn = np.mean(np.exp(2j * np.pi * (changed % period_ns) / period_ns))
    if abs(turn) < COHERENT:
        return None
    poll_s = float(np.median(np.diff(t))) * 1e-9
    seen_s = float(np.angle(turn)) / (2 * np.pi) * period_s
    # a change is seen half a poll late on average
    spread_s = float(np.sqrt(-2 * np.log(min(abs(turn), 1.0)))) / (2 * np.pi) * period_s
    u_s = float(np.hypot(spread_s / np.sqrt(len(changed)), poll_s / np.sqrt(12)))
    return Estimate((seen_s - poll_s / 2) % period_s, u_s)


class Step(NamedTuple):
    """Response to steps in s: ``delay_s`` before anything shows, ``rise_s`` from 10 to 90 % as a reader sees it,
    ``averaging_s`` the length of the mean that a reading is (0: not longer than its period), the ``swing_w`` between
    the levels, and standard uncertainties."""

    delay_s: float
    rise_s: float
    averaging_s: float
    swing_w: float
    u_delay_s: float = 0.0
    u_averaging_s: float = 0.0


def step_response(
    t_ns: npt.ArrayLike, value: npt.ArrayLike, edges: Sequence[tuple[int, bool]], period_s: float
) -> Step | None:
    """Pool the responses to several edges ``(t_ns, on)``, each level held longer than the response takes.

    A reading shows nothing new until its next renewal, so only the first look at each renewal tells of the sensor:
    there the response to a step is a straight ramp as long as the averaging, begun when the delay is over. Without a
    ramp the delay lies between the last renewal that showed nothing and the first that did: edges at several phases of
    the period narrow that.
    """
    t, v = np.asarray(t_ns, dtype=np.int64), np.asarray(value, dtype=np.float64)
    levels = []
    for (start, on), (end, _) in pairwise(edges):
        inside = (t >= end - PLATEAU * (end - start)) & (t < end)
        levels.append((start, end, on, float(np.mean(v[inside])) if np.any(inside) else np.nan))
    high, low = ([w for *_, on, w in levels if on is wanted and np.isfinite(w)] for wanted in (True, False))
    if not high or not low:
        return None
    top, bottom = float(np.median(high)), float(np.median(low))
    if top - bottom < LEAST_STEP * abs(top):
        return None
    poll_s = float(np.median(np.diff(t))) * 1e-9
    renewed = np.concatenate([[False], np.diff(v) != 0])
    seen: list[tuple[Floats, Floats]] = []
    ramps: list[tuple[Floats, Floats]] = []
    before_s, after_s = [0.0], []
    for (*_, before), (start, end, _, after) in pairwise(levels):
        if not abs(after - before) > 0.5 * (top - bottom):  # also where one of them is not known
            continue
        inside = (t >= start) & (t < end)
        x: Floats = (t[inside] - start) / 1e9
        y: Floats = (v[inside] - before) / (after - before)
        seen.append((x, y))
        x, y = x[renewed[inside]] - poll_s / 2, y[renewed[inside]]
        done = int(np.argmax(y >= 0.9)) if np.any(y >= 0.9) else len(y)
        ramps.append((x[:done][y[:done] > 0.1], y[:done][y[:done] > 0.1]))
        if np.any(y >= 0.1):
            first = int(np.argmax(y >= 0.1))
            after_s.append(float(x[first]))
            before_s.append(float(x[first - 1]) if first else 0.0)
    rise_s = _rise(seen, max(period_s / 20, 1e-3))
    if rise_s is None or not after_s:
        return None
    ramp = _ramp(ramps)
    if ramp is not None:
        delay, length = ramp
        averaging = length if length.value > LONGER * period_s else Estimate(0.0, 0.0)
    else:
        last, first_s = max(before_s), min(after_s)
        delay = Estimate(max(0.0, (last + first_s) / 2), float(abs(first_s - last) / np.sqrt(12)))
        averaging = Estimate(0.0, 0.0)
    u_delay_s = float(np.hypot(delay.u, poll_s / np.sqrt(12)))
    return Step(max(0.0, delay.value), rise_s, averaging.value, top - bottom, u_delay_s, averaging.u)


def _rise(seen: Sequence[tuple[Floats, Floats]], step_s: float) -> float | None:
    """Seconds from 10 to 90 % of the mean response; None if it never gets there."""
    if not seen:
        return None
    x, y = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    bins = np.round(x / step_s).astype(np.int64)
    count = np.bincount(bins)
    filled = np.flatnonzero(count)
    mean = np.bincount(bins, weights=y)[filled] / count[filled]
    if not np.any(mean >= 0.9):
        return None
    t10, t90 = (float(filled[np.argmax(mean >= share)]) * step_s for share in (0.1, 0.9))
    return t90 - t10


def _ramp(ramps: Sequence[tuple[Floats, Floats]]) -> tuple[Estimate, Estimate] | None:
    """Begin and length of the ramp through the points between 10 and 90 % of all edges; None if there are too few, or
    if all lie at one height: that happens to a mean shorter than the period when each edge meets it at one phase."""
    if not ramps:
        return None
    x, y = (np.concatenate(parts) for parts in zip(*ramps, strict=True))
    if len(x) < 4 or float(np.ptp(y)) < 0.3:
        return None
    length, begin = np.polyfit(y, x, 1)
    if length <= 0:
        return None
    away = x - (length * y + begin)
    noise_s = float(np.sqrt(np.sum(away**2) / (len(x) - 2)))
    u_length = float(noise_s / (np.sqrt(len(x)) * np.std(y)))
    u_begin = float(np.hypot(noise_s / np.sqrt(len(x)), u_length * float(np.mean(y))))
    return Estimate(float(begin), u_begin), Estimate(float(length), u_length)


def attention(value: npt.ArrayLike, swing_w: float) -> float | None:
    """The part of a period in which the sensor looks, from its readings (one a renewal) of a square wave of half duty
    whose period is a few per cent off the sensor's, over whole beats. Its standard uncertainty is ``ATTENTION_U``.

    A sensor that looks all the time shows the mean; one that looks the part a > 1/2 swings by (1 - a) / a of the wave;
    below 1/2 the swing is full and a follows from the time spent between the levels: mean square 1 - 4 a / 3.
    """
    v = np.asarray(value, dtype=np.float64)
    if len(v) < 20 or swing_w <= 0:
        return None
    high, low = np.percentile(v, [97.5, 2.5])
    swing = float(high - low) / swing_w
    if swing < SATURATED:
        return float(1 / (1 + swing))
    square = float(np.mean(((v - (high + low) / 2) / ((high - low) / 2)) ** 2))
    return float(np.clip(0.75 * (1 - square), 0.01, 0.5))


def renewals(t_ns: npt.ArrayLike, value: npt.ArrayLike, period_s: float) -> Floats:
    """One reading a period out of a stream polled faster than it is renewed."""
    t, v = np.asarray(t_ns, dtype=np.int64), np.asarray(value, dtype=np.float64)
    if len(t) == 0:
        return v
    _, first = np.unique(np.floor((t - t[0]) * 1e-9 / period_s), return_index=True)
    return v[first]
