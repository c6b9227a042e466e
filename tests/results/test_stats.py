"""The bootstrap of the median against brute force and against what it promises; summaries."""

from __future__ import annotations

import numpy as np
import pytest

from perwatt.results.stats import bootstrap_median, summarise


@pytest.mark.parametrize("n", [2, 3, 10, 51, 200])
def test_it_is_the_bootstrap_that_resampling_gives(n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.lognormal(size=n)
    resampled = np.median(x[rng.integers(0, n, (20_000, n))], axis=1)
    got, expected = bootstrap_median(x), np.quantile(resampled, [0.025, 0.975])
    # ends of the interval are order statistics: both Monte Carlos may land one apart
    order = np.sort(x)
    for a, b in zip(got, expected, strict=True):
        assert abs(np.searchsorted(order, a) - np.searchsorted(order, b)) <= 1


def test_it_covers_the_true_median_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(400):
        low, high = bootstrap_median(rng.exponential(size=60), seed=trial)
        hits += low <= np.log(2) <= high
    assert 0.91 <= hits / 400 <= 0.99


def test_a_summary_by_hand() -> None:
    s = summarise([1.0, 2.0, 3.0, 4.0, 100.0], warmup_samples=7, rank_mean=20.0)
    assert (s.samples, s.warmup_samples, s.median, s.mean, s.rank_mean) == (5, 7, 3.0, 22.0, 20.0)
    assert s.p95 == pytest.approx(80.8)  # nothing is trimmed
    assert s.ci_low <= s.median <= s.ci_high


@pytest.mark.parametrize("bad", [[], [1.0, 0.0], [1.0, -1.0], [float("nan")], [float("inf")]])
def test_a_time_that_cannot_be_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="sample"):
        summarise(bad)
