"""When a warm-up has warmed up: power, temperature and rate stand still over the last three blocks.

A chip that heats up leaks more, draws more and may clock lower, so that windows taken on the way differ in one
direction and no repetition shows it. Limits: power and rate drift less than 0.5 % over the planned window,
temperature less than 0.5 degrees a minute, and the set of throttle reasons stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCKS = 3
DRIFT = 0.005  # of power and of rate, extrapolated over the window
DEGREES_PER_MINUTE = 0.5


@dataclass(frozen=True)
class Block:
    """One block of the warm-up: mean power in W and temperature in degrees at its end (None: not told), launches per
    second, and the throttle reasons that were active in it. ``end_s`` on any clock."""

    end_s: float
    rate: float
    power_w: float | None
    temperature_c: float | None
    reasons: frozenset[str]


def steady(blocks: Sequence[Block], window_s: float) -> bool:
    """Whether the last blocks show a device that has settled. What was not told does not stand in the way."""
    last = blocks[-BLOCKS:]
    if len(last) < BLOCKS:
        return False
    t = np.array([b.end_s for b in last])
    if not _still(t, [b.rate for b in last], window_s) or not _still(t, [b.power_w for b in last], window_s):
        return False
    degrees = [b.temperature_c for b in last]
    if None not in degrees and abs(_slope(t, degrees)) * 60 >= DEGREES_PER_MINUTE:
        return False
    return len({b.reasons for b in last}) == 1


def _slope(t: np.ndarray, values: Sequence[float | None]) -> float:
    return float(np.polyfit(t - t[0], np.array(values, dtype=np.float64), 1)[0])


def _still(t: np.ndarray, values: Sequence[float | None], window_s: float) -> bool:
    if None in values:
        return True
    mean = float(np.mean(np.array(values, dtype=np.float64)))
    return abs(_slope(t, values)) * window_s < DRIFT * abs(mean)
