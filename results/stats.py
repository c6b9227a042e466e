"""Statistics of a set of timings. Nothing is trimmed: stragglers and throttled samples are part of the answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perwatt.results.record import Seconds

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
    index = np.clip(np.ceil(u * len(x)).astype(np.int64) - 1, 0, len(x) - 1)
    return np.asarray(x[index])


def summarise(seconds: npt.ArrayLike, warmup_samples: int = 0, rank_mean: float | None = None) -> Seconds:
    """Seconds per launch summarised: median with its interval, mean, standard deviation, 5th and 95th percentile.

    Raises ValueError for an empty array or a time that is not finite and positive.
    """
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
