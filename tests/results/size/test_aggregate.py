from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import aggregate
from perwatt.results.size.aggregate import convolved, independent, moments, synchronous, z_of

UNIFORM = tuple(100.0 + 2.0 * k for k in range(101))  # evenly from 100 to 300 W
LOADS = st.lists(st.floats(1.0, 1e4), min_size=101, max_size=101).map(sorted)
Q = (0.5, 0.95, 0.99, 0.999, 1.0)


def test_units_in_step_add_up() -> None:
    assert synchronous(1000.0, 8, 1.0) == 8000.0
    assert np.allclose(synchronous(np.array([1.0, 2.0]), np.array([[10], [20]]), 0.98), [[9.8, 19.6], [19.6, 39.2]])


def test_full_correlation_is_in_step_and_none_is_the_square_root() -> None:
    assert independent(1000.0, 100.0, 64, 1.0, 3.0) == pytest.approx(synchronous(1300.0, 64, 1.0))
    assert independent(1000.0, 100.0, 64, 0.0, 3.0) == pytest.approx(64_000 + 300 * 8)
    # 8 jobs of 8: as 8 independent units of eight times the size
    assert independent(1000.0, 100.0, 64, 1.0, 3.0, job_units=8) == pytest.approx(
        independent(8000.0, 800.0, 8, 0.0, 3.0)
    )
    assert independent(1000.0, 100.0, 4, 0.5, 3.0, job_units=8) == independent(1000.0, 100.0, 4, 0.5, 3.0)


def test_more_units_never_draw_less() -> None:
    n = np.arange(1.0, 500)
    for r in (0.0, 0.3, 1.0):
        assert np.all(np.diff(independent(100.0, 90.0, n, r, 3.09)) > 0)


def test_moments_of_an_even_spread() -> None:
    mean, sigma, skewness = moments(UNIFORM)
    assert (mean, sigma) == (pytest.approx(200), pytest.approx(200 / np.sqrt(12)))
    assert skewness == pytest.approx(0, abs=1e-9)
    assert moments([5.0] * 101) == (5.0, 0.0, 0.0)
    assert moments([float(k * k) for k in range(101)])[2] > 0


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9, 0.99])
def test_one_unit_is_its_own_distribution(q: float) -> None:
    assert convolved(UNIFORM, 1, q) == pytest.approx(100 + 200 * q, abs=0.4)  # the grid's step is 0.2 W


def test_two_even_spreads_make_a_triangle() -> None:
    # P(sum <= 600 - x) = 1 - x^2 / (2 * 200^2)
    for q in (0.9, 0.99, 0.999):
        assert convolved(UNIFORM, 2, q) == pytest.approx(600 - 200 * np.sqrt(2 * (1 - q)), abs=0.5)


def test_two_levels_are_a_binomial() -> None:
    # on for 20 % of the time: of 10 units at most 4 are on with 96.7 %, at most 5 with 99.4 %
    cdf = [0.0] * 80 + [1000.0] * 21
    for q, on in ((0.9, 4), (0.96, 4), (0.99, 5)):
        assert convolved(cdf, 10, q) == pytest.approx(1000 * on, abs=60)


def test_against_drawn_sums() -> None:
    rng = np.random.default_rng(0)
    cdf = np.concatenate([np.linspace(500, 600, 60), np.linspace(600, 5000, 41)])
    sums = np.interp(rng.uniform(0, 100, (100_000, 20)), np.arange(101), cdf).sum(axis=1)
    for q in (0.5, 0.9, 0.99, 0.999):
        assert convolved(list(cdf), 20, q) == pytest.approx(np.quantile(sums, q), rel=0.005)


@pytest.mark.slow
def test_the_normal_limit_continues_the_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    cdf = [100.0] * 90 + [1000.0] * 11
    mean, _, _ = moments(cdf)
    for n in (2000, 20_000):
        for q in (0.5, 0.99, 0.999):
            with monkeypatch.context() as patch:
                patch.setattr(aggregate, "MOST", n)
                exact = convolved(cdf, n, q)
            with monkeypatch.context() as patch:
                patch.setattr(aggregate, "MOST", 1)
                limit = convolved(cdf, n, q)
            assert abs(limit - exact) < 2e-4 * n * mean
    assert convolved(cdf, aggregate.MOST + 1, 0.999) > convolved(cdf, aggregate.MOST, 0.999)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(LOADS, st.integers(1, 300), st.integers(1, 50))
def test_monotone_in_units_and_quantile_and_never_above_all_at_once(cdf: list[float], n: int, more: int) -> None:
    low, high = cdf[0], cdf[-1]
    slack = 1e-6 * n * high
    here = [convolved(cdf, n, q) for q in Q]
    there = [convolved(cdf, n + more, q) for q in Q]
    assert all(a <= b + slack for a, b in itertools.pairwise(here))
    assert all(a <= b + slack for a, b in zip(here, there, strict=True))
    assert all(n * low <= a <= n * high for a in here)
    assert here[-1] == n * high


@settings(max_examples=20, deadline=None)
@given(LOADS, st.integers(1000, 3000))
def test_many_units_draw_at_least_their_mean_at_a_high_quantile(cdf: list[float], n: int) -> None:
    mean, sigma, skewness = moments(cdf)
    assert convolved(cdf, n, 0.95) >= n * mean
    z = z_of(0.999)
    limit = independent(mean, sigma, n, 0.0, z) + sigma * skewness * (z * z - 1) / 6
    assert convolved(cdf, n, 0.999) == pytest.approx(limit, rel=0.02)


def test_the_peak_of_many_falls_towards_the_mean() -> None:
    peaks = [convolved(UNIFORM, n, 0.999) / n for n in (1, 10, 100, 1000, 10_000)]
    assert all(a > b for a, b in itertools.pairwise(peaks))
    assert peaks[-1] == pytest.approx(200, rel=0.01)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: synchronous(1.0, 0, 1.0), "count: found 0"),
        (lambda: synchronous(1.0, 1, 1.2), r"coincidence: found 1\.2"),
        (lambda: independent(1.0, 1.0, 4, 1.5, 1.0), r"correlation: found 1\.5"),
        (lambda: independent(1.0, -1.0, 4, 0.5, 1.0), "sigma_w: found -1"),
        (lambda: independent(1.0, 1.0, 4, 0.5, 1.0, job_units=0), "job_units: found 0"),
        (lambda: convolved(UNIFORM, 0, 0.5), "count: found 0"),
        (lambda: convolved(UNIFORM, 1, 1.5), r"quantile: found 1\.5"),
        (lambda: convolved((2.0, 1.0), 1, 0.5), "that never fall"),
        (lambda: convolved((1.0,), 1, 0.5), "allowed 101"),
        (lambda: z_of(1.0), "quantile: found 1"),
    ],
)
def test_bad_requests_are_one_line(call: object, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        call()  # type: ignore[operator]
