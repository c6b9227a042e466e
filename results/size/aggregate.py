"""The power of many units together, from that of one: what their peaks have to do with each other decides.

Units of one synchronous training job rise and fall together: ``n`` of them draw ``n`` times what one does, times a
coincidence factor of 1 or a little less. Units that serve independent requests rarely peak together: their sum comes
from convolution, or from its normal limit

    P = n mu + z sigma sqrt(n (1 + (n - 1) r))

with the correlation ``r`` of two units (r = 1: together again; r = 0: independent). It is why the gap between the peak
reached and the peak possible grows with the number of machines (Fan, Weber and Barroso, ISCA 2007).

The convolution is exact on a grid: the characteristic function of one unit to the power of ``n``, on a circle wide
enough for all that the sum may be (its mean +-``REACH`` standard deviations, or its whole range), so that its size
grows with the square root of ``n``. Beyond ``MOST`` units stands the normal limit with the correction of Cornish and
Fisher for skewness, which there already lies within 0.02 % of the convolution. All power in W, elementwise on numbers
and arrays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from perwatt.results.size.parameter import Floats, Values

POINTS = 1024  # of the grid from the least to the highest power of one unit
REACH = 12.0  # standard deviations of the sum on either side: beyond lies less than rounding
MOST = 2000  # units


def z_of(quantile: float) -> float:
    """The standard normal deviate that is not exceeded with the probability ``quantile``, between 0 and 1."""
    if not 0 < quantile < 1:
        raise ValueError(f"quantile: found {quantile}; allowed above 0 and below 1")
    return NormalDist().inv_cdf(quantile)


def synchronous(per_unit_w: Values, n: Values, coincidence: Values) -> Values:
    """Units in step: ``n * per_unit_w * coincidence``. The coincidence is 1 where nothing is known to part them."""
    _count(n)
    if np.any(np.asarray(coincidence) <= 0) or np.any(np.asarray(coincidence) > 1):
        raise ValueError(f"coincidence: found {_first(coincidence)}; allowed above 0, at most 1")
    return n * per_unit_w * coincidence


def independent(
    mean_w: Values, sigma_w: Values, n: Values, r: Values, z: Values, *, job_units: Values | None = None
) -> Values:
    """The normal limit in the module's head: ``n`` units of mean ``mean_w`` and standard deviation ``sigma_w``.

    ``r``: correlation of two units, 0 to 1; ``z``: standard normal deviate of the quantile. ``job_units``: only so many
    belong to one job and are correlated, jobs are not; then ``n - 1`` becomes ``job_units - 1``. The normal has no
    highest value: the caller clips it at what ``n`` units can draw. Raises ValueError for a count of 0, a negative
    spread, and an ``r`` outside 0 to 1.
    """
    _count(n)
    if np.any(np.asarray(r) < 0) or np.any(np.asarray(r) > 1):
        raise ValueError(f"correlation: found {_first(r)}; allowed 0 to 1")
    if np.any(np.asarray(sigma_w) < 0):
        raise ValueError(f"sigma_w: found {_first(sigma_w)}; allowed 0 W or more")
    together = n if job_units is None else np.minimum(job_units, n)
    _count(together, "job_units")
    return n * mean_w + z * sigma_w * np.sqrt(n * (1 + (together - 1) * r))


def moments(cdf: Sequence[float]) -> tuple[float, float, float]:
    """Mean and standard deviation in W and skewness of a load whose power at even steps of the time is ``cdf``.

    Between two values the power is spread evenly. Raises ValueError for a ``cdf`` that falls or is no power.
    """
    edges = _levels(cdf)
    a, b = edges[:-1], edges[1:]
    mean = float(np.mean(a + b)) / 2
    a, b = a - mean, b - mean
    variance = float(np.mean(a * a + a * b + b * b)) / 3
    third = float(np.mean((a + b) * (a * a + b * b))) / 4
    sigma = math.sqrt(max(variance, 0.0))
    return mean, sigma, third / sigma**3 if sigma > 1e-9 * max(mean, 1e-300) else 0.0


def convolved(cdf: Sequence[float], n: int, quantile: float) -> float:
    """Power in W that ``n`` independent units do not exceed for the fraction ``quantile`` of the time.

    ``cdf``: power of one unit in W at even steps from 0 to 100 % of the time. 1.0 gives ``n`` times the highest, which
    so many may reach. Never falls as ``n`` or ``quantile`` grow, never above ``n`` times the highest. Raises ValueError
    for a count below 1, a quantile outside 0 to 1, and a ``cdf`` that is none.
    """
    _count(n)
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile: found {quantile}; allowed 0 to 1")
    edges = _levels(cdf)
    low, high = float(edges[0]), float(edges[-1])
    mean, sigma, skewness = moments(cdf)
    if quantile == 1 or high <= low:
        return n * high
    if quantile == 0:
        return n * low
    if n > MOST:
        z = z_of(quantile)
        z += (z * z - 1) / 6 * skewness / math.sqrt(n)
        return min(max(n * mean + z * sigma * math.sqrt(n), n * low), n * high)
    step = (high - low) / (POINTS - 1)
    mass = _mass(edges, low, step)
    reach = REACH * (sigma * math.sqrt(n) / step + 1)
    size = 1 << max(math.ceil(math.log2(min(2 * reach, n * (POINTS - 1) + 1) + 1)), 10)
    circle = np.fft.irfft(np.fft.rfft(mass, size) ** n, size)
    # the sum lies within half a circle of its mean: that is where the circle is cut open
    first = max(round(n * (mean - low) / step) - size // 2, 0)
    density = np.maximum(np.roll(circle, -(first % size)), 0.0)
    total = np.cumsum(density)
    total /= total[-1]
    k = int(np.searchsorted(total, quantile))
    before = total[k - 1] if k else 0.0
    # half a step back: the mass of a point is spread evenly round it
    index = first + k - 0.5 + (quantile - before) / max(total[k] - before, 1e-300)
    return min(max(n * low + float(index) * step, n * low), n * high)


def _mass(edges: Floats, low: float, step: float) -> Floats:
    """Probability at each point of the grid: that of each hundredth spread evenly between its two values, and divided
    between the two points round it so that the mean is kept."""
    fine = np.concatenate([np.linspace(a, b, 65)[:-1] + (b - a) / 128 for a, b in itertools.pairwise(edges)])
    at = np.clip((fine - low) / step, 0, POINTS - 1)
    left = np.minimum(at.astype(np.int64), POINTS - 2)
    share = at - left
    mass = np.bincount(left, weights=1 - share, minlength=POINTS)
    mass += np.bincount(left + 1, weights=share, minlength=POINTS)
    return np.asarray(mass / len(fine))


def _levels(cdf: Sequence[float]) -> Floats:
    edges = np.asarray(cdf, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2:
        raise ValueError(f"cdf: found {len(edges)} values; allowed 101, the power at 0, 1, ..., 100 % of the time")
    if not np.all(np.isfinite(edges)) or edges[0] < 0 or np.any(np.diff(edges) < 0):
        raise ValueError("cdf: found values that fall or are no power; allowed watts, 0 or more, that never fall")
    return edges


def _count(n: Values, what: str = "count") -> None:
    if not np.all(np.asarray(n) >= 1):
        raise ValueError(f"{what}: found {_first(n)}; allowed 1 or more")


def _first(value: Values) -> float:
    return float(np.asarray(value).flat[0])
