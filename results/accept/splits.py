"""Two groups in a small fleet: where the spread of a few good devices says little, the gap to the bad ones still does.

Of all ways to part the ordered values, with no more than half of them on the bad side, the one that counts has the
greatest distance of the two means over the spread within both groups. Its limit is found by playing fleets of the same
size that have no bad device (normal values, a fixed seed): those may lose no more devices than there are false alarms.
It is exact for normal values, and the bad ones lend their spread to the good ones.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST = 24  # devices: of more, the spread of the good ones is known
PLAYED = 40_000
CLEAR = 4.0  # distance of two groups: of normal values the halves are 2.65 apart
RARE = 0.05


def gap(values: Floats, false_alarms: float) -> tuple[float, float] | None:
    """The mean of the good group and the middle of the gap below it; None where there is no gap that tells.

    ``values``: one dimension, finite, low is bad; ``false_alarms``: good devices that may be parted off, on average.
    """
    x = np.sort(values)[::-1]
    distance, good = _parted(x[None, :])
    k = int(good[0])
    if not k or not distance[0] > _limit(len(x), false_alarms):
        return None
    return float(x[:k].mean()), float((x[k - 1] + x[k]) / 2)


def halved(values: Floats, effect: float, least: float) -> bool:
    """Whether ``values`` are two groups, apart by ``effect`` and more, the smaller one with more than the share
    ``least``: then neither is what is usual."""
    for x in (np.sort(values)[::-1], np.sort(-values)[::-1]):
        distance, good = _parted(x[None, :])
        k, n = int(good[0]), len(x)
        if (n - k) > least * n and distance[0] > max(CLEAR, _limit(n, RARE) if n <= MOST else 0.0):
            return bool(x[:k].mean() - x[k:].mean() >= effect)
    return False


def _parted(x: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Of each row, ordered downwards, the greatest distance and how many are on the good side of it."""
    n = x.shape[1]
    sums, squares = np.cumsum(x - x[:, :1], axis=1), np.cumsum((x - x[:, :1]) ** 2, axis=1)
    good = np.arange((n + 1) // 2, n)
    if not len(good):
        return np.zeros(len(x)), np.zeros(len(x), np.int64)
    above, all_ = sums[:, good - 1], sums[:, -1:]
    within = squares[:, -1:] - above**2 / good - (all_ - above) ** 2 / (n - good)
    apart = above / good - (all_ - above) / (n - good)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(apart > 0, apart / np.sqrt(np.maximum(within, 0.0) / (n - 2)), 0.0)
    best = distance.argmax(axis=1)
    return distance[np.arange(len(x)), best], good[best]


@functools.cache
def _limit(n: int, false_alarms: float) -> float:
    played = np.sort(np.random.default_rng(0).standard_normal((PLAYED, n)), axis=1)[:, ::-1]
    distance, good = _parted(played)
    order = np.argsort(-distance)
    lost = np.cumsum((n - good)[order]) / PLAYED
    first = int(np.searchsorted(lost, false_alarms, "right"))
    return float(distance[order[first]]) if first < PLAYED else -math.inf
