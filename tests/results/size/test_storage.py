from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import storage as module
from perwatt.results.size.storage import LADDER, storage


def step(up: bool = True) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(0.0, 200.0, 0.1)
    return t, np.where((t >= 50) == up, 1000.0, 200.0)


def square(half_s: float, seconds: float, rest_s: float = 0.0, step_s: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    k = np.arange(round(seconds / step_s))
    p = np.where(k // round(half_s / step_s) % 2 == 0, 1000.0, 200.0)
    return k * step_s, np.where(k * step_s < rest_s, 600.0, p)


@pytest.mark.parametrize("up", [True, False])
def test_a_single_step_needs_half_its_square_over_the_limit(up: bool) -> None:
    found = storage(*step(up), 20.0, 0.0)
    assert found.capacity_j == pytest.approx(800**2 / (2 * 20), rel=0.01)
    gives, takes = (found.given_j, found.taken_j) if up else (found.taken_j, found.given_j)
    assert gives == pytest.approx(found.capacity_j)
    assert takes == pytest.approx(0, abs=1e-6)
    assert (found.given_w if up else found.taken_w) == pytest.approx(800, rel=0.01)
    assert found.time_constant_s == 0.0
    assert found.active == pytest.approx(40 / 200, rel=0.03)


def test_a_load_within_the_limit_needs_none() -> None:
    found = storage(*step(), 8000.1, 0.0)
    assert (found.capacity_j, found.given_w, found.taken_w, found.active) == (0.0, 0.0, 0.0, 0.0)


def test_steps_up_and_down_do_not_add_up() -> None:
    t, p = square(100, 1000)
    assert storage(t, p, 20.0, 1.0).capacity_j == pytest.approx(800**2 / 40, rel=0.05)


def test_a_fast_swing_round_the_mean_needs_its_half_cycle() -> None:
    t, p = square(1, 4000, rest_s=1900)
    # a perfect control needs 400 J; one that goes back to a set point starts on one side of it
    assert 390 < storage(t, p, 1.0, 4.0).capacity_j < 620


@pytest.mark.parametrize("hours", [1, 4])
def test_a_swing_that_goes_on_does_not_pile_up(hours: float) -> None:
    # from full power to the mean, and then half a cycle up and down: a perfect control needs 16 + 12 kJ
    t, p = square(30, hours * 3600, step_s=1.0)
    found = storage(t, p, 5.0, 4.0)
    assert 28_000 < found.capacity_j < 70_000
    assert found.time_constant_s > 0


def test_no_ramp_of_the_grid_side_exceeds_the_limit_and_energy_is_conserved() -> None:
    rng = np.random.default_rng(0)
    p = 500 + np.cumsum(rng.normal(0, 40, 3000))
    p -= min(p.min(), 0)
    for share in LADDER:
        reach, gain = np.full(3000, 10.0), np.full(3000, -np.expm1(-1 / (share * 50)) if share else 1.0)
        g = module._followed(p, reach, gain, float(p[0]), 1e-9)
        assert np.abs(np.diff(g)).max() <= 10 + 1e-8


def test_a_gap_is_no_step() -> None:
    t = np.concatenate([np.arange(50.0), np.arange(1000.0, 1050.0)])
    assert storage(t, np.where(t < 500, 200.0, 1000.0), 1.0, 0.0).capacity_j == 0.0


def test_a_looser_limit_never_needs_more_for_one_step() -> None:
    needs = [storage(*step(), limit, 0.0).capacity_j for limit in (5.0, 10.0, 50.0, 500.0)]
    assert needs == sorted(needs, reverse=True)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 400),
    st.floats(1.0, 800.0),
    st.sampled_from([0.0, 0.5, 7.0, 50.0]),
    st.floats(0.0, 300.0),
    st.integers(3, 64),
)
def test_blocks_and_spans_follow_as_one_after_the_other_does(
    seed: int, n: int, limit: float, tau: float, recovery: float, span: int
) -> None:
    rng = np.random.default_rng(seed)
    t, p = np.cumsum(rng.uniform(0.8, 1.2, n)), rng.uniform(0, 1000, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SPAN", span)
        pieces = module._held(t, p, module._Limits(limit, recovery, 10.0, 1000.0), tau)
    g, before, now, low, high = float(p[0]), 0.0, 0.0, 0.0, 0.0
    for i in range(1, n):
        dt = t[i] - t[i - 1]
        g += float(np.clip((p[i] - g) * (1 - np.exp(-dt / tau) if tau > 0 else 1), -limit * dt, limit * dt))
        now += dt * (p[i] - g + before) / 2
        now -= float(np.clip(now, -recovery * dt, recovery * dt))
        before = p[i] - g
        low, high = min(low, now), max(high, now)
    assert pieces.given_j == pytest.approx(high, abs=1e-3)
    assert pieces.taken_j == pytest.approx(-low, abs=1e-3)
    assert pieces.capacity_j == pytest.approx(high - low, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 400), st.floats(5.0, 800.0))
def test_the_capacity_stays_within_the_slowest_filter(seed: int, n: int, limit: float) -> None:
    p = np.random.default_rng(seed).choice([100.0, 900.0], n)
    span = float(np.ptp(p))
    assert storage(np.arange(float(n)), p, limit, 0.0).capacity_j <= (span / limit + 1) * span + 1e-6


def test_a_long_trace_is_held_with_what_holds_its_hardest_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    t, p = square(30, 4 * 3600, step_s=1.0)
    whole = storage(t, p, 5.0, 4.0)
    monkeypatch.setattr(module, "SPAN", 3600)
    pieces = storage(t, p, 5.0, 4.0)
    assert pieces.capacity_j == pytest.approx(whole.capacity_j, rel=0.5)
    assert pieces.capacity_j >= whole.capacity_j * (1 - 1e-9)


def test_what_blocks_do_not_settle_is_followed_reading_by_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    t, p = np.arange(500.0), np.where(np.arange(500) % 2 < 1, 1000.0, 0.0)
    settled = storage(t, p, 0.5, 0.1)
    monkeypatch.setattr(module, "PASSES", 1)
    assert storage(t, p, 0.5, 0.1).capacity_j == pytest.approx(settled.capacity_j, rel=1e-6)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none(limit: float) -> None:
    with pytest.raises(ValueError, match="ramp limit: found"):
        storage(*step(), limit, 0.0)


def test_a_recovery_that_is_none() -> None:
    with pytest.raises(ValueError, match="recovery: found -1"):
        storage(*step(), 1.0, -1.0)


def test_up_in_two_steps_and_down_in_one_piles_up_unless_there_is_time_to_recover() -> None:
    # up gives 4 kJ twice, down takes 16 kJ
    t = np.arange(0.0, 60_000.0, 2.0)
    p = np.array([200.0, 600.0, 1000.0])[(t // 300 % 3).astype(int)]
    piled = module._held(t, p, module._Limits(20.0, 0.0, 10.0, 800.0), 0.0).capacity_j
    slowly = module._held(t, p, module._Limits(20.0, 40.0, 10.0, 800.0), 0.0).capacity_j
    assert piled > 400_000
    assert 16_000 * 0.9 < slowly < 24_000
    assert storage(t, p, 20.0, 0.0).capacity_j <= 800**2 / 20 * 1.1
