"""Statistics of a set of timings. Nothing is trimmed: stragglers and throttled samples are part of the answer.

Student's distribution stands here too, for the few repetitions of an energy. It is exact for whole degrees of freedom
(a finite sum of cosines: Abramowitz and Stegun, 26.7.3 and 26.7.4), and needs no numpy, which a table on a terminal
should not have to load.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from perwatt.results.record import Seconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 10_000


def bootstrap_median(values: npt.ArrayLike, confidence: float = CONFIDENCE, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the median of ``values`` (one dimension, at least one value).

    A resample of n values drawn with replacement is x[ceil(n*U)] of the sorted values for n uniform U, so its median
    is read off the middle order statistics of n uniforms, and these are Beta distributed: U(k) ~ Beta(k, n-k+1), and
    (U(k+1) - U(k)) / (1 - U(k)) ~ Beta(1, n-k). Drawing them directly gives the same bootstrap in O(n log n) for the
    sort instead of O(n) a resample. The samples are taken as exchangeable: slow drift makes the interval too narrow,
    which is why a report shows the samples over time as well.
    """
    import numpy as np

    x = np.sort(np.asarray(values, dtype=np.float64))
    n = len(x)
    if n == 0:
        raise ValueError("a median needs at least one value")
    rng = np.random.default_rng(seed)
    k = (n + 1) // 2
    lower = rng.beta(k, n - k + 1, RESAMPLES)
    medians = _at(x, lower)
    if n % 2 == 0:
        upper = lower + (1 - lower) * rng.beta(1, n - k, RESAMPLES)
        medians = (medians + _at(x, upper)) / 2
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _at(x: Floats, u: Floats) -> Floats:
    """x[ceil(n*u)], counting from one."""
    import numpy as np

    index = np.clip(np.ceil(u * len(x)).astype(np.int64) - 1, 0, len(x) - 1)
    return np.asarray(x[index])


def summarise(seconds: npt.ArrayLike, warmup_samples: int = 0, rank_mean: float | None = None) -> Seconds:
    """Seconds per launch summarised: median with its interval, mean, standard deviation, 5th and 95th percentile.

    Raises ValueError for an empty array or a time that is not finite and positive.
    """
    import numpy as np

    x = np.asarray(seconds, dtype=np.float64)
    if x.size == 0 or not np.all(np.isfinite(x)) or not np.all(x > 0):
        raise ValueError("a timing needs at least one sample, each finite and above 0 s")
    low, high = bootstrap_median(x)
    p5, median, p95 = np.quantile(x, [0.05, 0.5, 0.95])
    return Seconds(
        samples=int(x.size),
        warmup_samples=warmup_samples,
        median=float(median),
        mean=float(x.mean()),
        stdev=float(x.std(ddof=1)) if x.size > 1 else 0.0,
        p5=float(p5),
        p95=float(p95),
        ci_low=low,
        ci_high=high,
        rank_mean=rank_mean,
    )


def student_cdf(t: float, freedom: int) -> float:
    """The probability that Student's t with ``freedom`` degrees of freedom (a whole number, at least 1) is below ``t``.

    Raises ValueError for less than one degree of freedom.
    """
    if freedom < 1:
        raise ValueError(f"Student's t needs one degree of freedom or more, not {freedom}")
    angle = math.atan(t / math.sqrt(freedom))
    cos2 = math.cos(angle) ** 2
    odd = freedom % 2
    # factors of the sum: 2/3, 4/5, 6/7 ... for odd degrees of freedom, 1/2, 3/4, 5/6 ... for even ones
    term = total = (math.cos(angle) if odd else 1.0) * (freedom > 1)
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cos2 * (k - 1) / k
        total += term
    inside = math.sin(angle) * total
    if odd:
        inside = 2 / math.pi * (angle + inside)
    return (1 + inside) / 2


def student_quantile(p: float, freedom: int) -> float:
    """The ``t`` that Student's t with ``freedom`` degrees of freedom stays below with probability ``p``.

    Raises ValueError unless 0 < p < 1, and for less than one degree of freedom.
    """
    if not 0 < p < 1:
        raise ValueError(f"a quantile needs a probability between 0 and 1, not {p}")
    low, high = -1.0, 1.0
    while student_cdf(low, freedom) > p:
        low *= 2
    while student_cdf(high, freedom) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, freedom) < p else (low, middle)
    return (low + high) / 2
