"""How a power sensor behaves, estimated from what it said: pure, on arrays of time stamps (ns) and values.

The recipe follows Yang et al. (SC24): the period from how often the reading changes, delay and averaging from steps,
and from square waves near the period how much of it the sensor looks at. What cannot be told is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_CHANGES = 8
PLATEAU = 0.25  # of a step's length at its end, taken as its level
LEAST_STEP = 0.02  # of the higher level, below which there is no step to be seen
SATURATED = 0.95  # of the full swing: the sensor looks less than half of the time


def update_period(t_ns: npt.ArrayLike, value: npt.ArrayLike) -> float | None:
    """Seconds between renewals: the median time between changes of a reading that was polled faster than it changes.

    A median, since two equal readings in a row hide a renewal, and a late poll makes one appear short.
    """
    t, v = np.asarray(t_ns, dtype=np.int64), np.asarray(value, dtype=np.float64)
    changed = t[1:][np.diff(v) != 0]
    return float(np.median(np.diff(changed)) * 1e-9) if len(changed) > LEAST_CHANGES else None


class Step(NamedTuple):
    """Response to steps in s: ``delay_s`` before anything shows, ``rise_s`` from 10 to 90 %, ``averaging_s`` the length
    of the mean that a reading is (0: not longer than its period), and the ``swing_w`` between the levels."""

    delay_s: float
    rise_s: float
    averaging_s: float
    swing_w: float


def step_response(
    t_ns: npt.ArrayLike, value: npt.ArrayLike, edges: Sequence[tuple[int, bool]], period_s: float
) -> Step | None:
    """Pool the responses to several edges ``(t_ns, on)``, each level held longer than the response takes.

    A renewal at any phase of the step smears the pooled response over one period, an average over its own length: what
    the rise has beyond a period is averaging, and half of both comes off the middle to leave the delay.
    """
    t, v = np.asarray(t_ns, dtype=np.int64), np.asarray(value, dtype=np.float64)
    ends = [at for at, _ in edges[1:]]
    levels = []
    for (start, on), end in zip(edges[:-1], ends, strict=True):
        inside = (t >= end - PLATEAU * (end - start)) & (t < end)
        if np.any(inside):
            levels.append((start, end, on, float(np.mean(v[inside]))))
    high, low = ([w for *_, on, w in levels if on is wanted] for wanted in (True, False))
    if not high or not low:
        return None
    top, bottom = float(np.median(high)), float(np.median(low))
    if top - bottom < LEAST_STEP * abs(top):
        return None
    since, response = [], []
    for start, end, on, _ in levels[1:]:  # the first has no level before it
        inside = (t >= start) & (t < end)
        part = (v[inside] - bottom) / (top - bottom)
        since.append((t[inside] - start) * 1e-9)
        response.append(part if on else 1 - part)
    if not since:
        return None
    x, y = np.concatenate(since), np.concatenate(response)
    step_s = max(period_s / 20, 1e-3)
    bins = np.round(x / step_s).astype(np.int64)
    count = np.bincount(bins)
    filled = np.flatnonzero(count)
    mean = np.bincount(bins, weights=y)[filled] / count[filled]
    at = filled * step_s
    t10, t50, t90 = (float(at[np.argmax(mean >= share)]) for share in (0.1, 0.5, 0.9))
    rise_s = t90 - t10
    averaging_s = max(0.0, rise_s / 0.8 - period_s)
    if averaging_s < period_s:
        averaging_s = 0.0
    delay_s = max(0.0, t50 - (rise_s / 0.8) / 2)
    return Step(delay_s, rise_s, averaging_s, top - bottom)


def attention(value: npt.ArrayLike, swing_w: float) -> float | None:
    """The part of a period in which the sensor looks, from its readings (one a renewal) of a square wave of half duty
    whose period is a few per cent off the sensor's, over whole beats.

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
