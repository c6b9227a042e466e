from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import storage as module
from perwatt.results.size.storage import storage


def step(up: bool = True) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(0.0, 200.0, 0.1)
    return t, np.where((t >= 50) == up, 1000.0, 200.0)


def plain(t: np.ndarray, p: np.ndarray, limit: float) -> np.ndarray:
    g = [float(p[0])]
    for i in range(1, len(p)):
        reach = limit * (t[i] - t[i - 1])
        g.append(float(np.clip(p[i], g[-1] - reach, g[-1] + reach)))
    return np.array(g)


@pytest.mark.parametrize("up", [True, False])
def test_a_single_step_needs_half_its_square_over_the_limit(up: bool) -> None:
    found = storage(*step(up), 20.0, 0.0)
    assert found.capacity_j == pytest.approx(800**2 / (2 * 20), rel=0.01)
    gives, takes = (found.given_j, found.taken_j) if up else (found.taken_j, found.given_j)
    assert gives == pytest.approx(found.capacity_j)
    assert takes == pytest.approx(0, abs=1e-6)
    assert (found.given_w if up else found.taken_w) == pytest.approx(800, rel=0.01)
    assert found.active == pytest.approx(40 / 200, rel=0.02)


def test_a_load_within_the_limit_needs_none() -> None:
    t, p = step()
    found = storage(t, p, 8000.1, 0.0)
    assert (found.capacity_j, found.given_w, found.taken_w, found.active) == (0.0, 0.0, 0.0, 0.0)


def test_steps_up_and_down_do_not_add_up() -> None:
    t = np.arange(0.0, 1000.0, 0.5)
    p = np.where((t // 100) % 2 == 1, 1000.0, 200.0)
    found = storage(t, p, 20.0, 0.0)
    assert found.capacity_j == pytest.approx(800**2 / 40, rel=0.02)
    assert found.taken_j == pytest.approx(0, abs=1)


def test_a_fast_swing_needs_its_half_cycle() -> None:
    # the grid's side stays near the mean: half the range for half a cycle, up and down
    k = np.arange(80_000)
    t, p = k * 0.05, np.where(k // 20 % 2 == 0, 1000.0, 200.0)
    p[k < 38_000] = 600.0
    found = storage(t, p, 1.0, 8.0)
    assert found.given_j == pytest.approx(400 * 1.0, rel=0.06)
    assert found.taken_j == pytest.approx(200 * 1.0, rel=0.06)  # recovery centres the swing round the set point
    # the grid's side lies half a watt beside the mean, which adds up where nothing makes it up
    assert storage(t, p, 1.0, 0.0).capacity_j > 1000


def test_a_gap_is_no_step() -> None:
    t = np.concatenate([np.arange(50.0), np.arange(1000.0, 1050.0)])
    p = np.where(t < 500, 200.0, 1000.0)
    assert storage(t, p, 1.0, 0.0).capacity_j == 0.0


def test_a_looser_limit_never_needs_more_for_one_step() -> None:
    needs = [storage(*step(), limit, 0.0).capacity_j for limit in (5.0, 10.0, 50.0, 500.0)]
    assert needs == sorted(needs, reverse=True)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 400),
    st.floats(1.0, 800.0),
    st.floats(0.0, 300.0),
    st.integers(3, 64),
)
def test_blocks_and_spans_follow_as_one_after_the_other_does(
    seed: int, n: int, limit: float, recovery: float, span: int
) -> None:
    rng = np.random.default_rng(seed)
    t, p = np.cumsum(rng.uniform(0.8, 1.2, n)), rng.uniform(0, 1000, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SPAN", span)
        pieces = storage(t, p, limit, recovery)
    given = p - plain(t, p, limit)
    assert pieces.given_w == pytest.approx(max(given.max(), 0), abs=1e-6)
    assert pieces.taken_w == pytest.approx(max(-given.min(), 0), abs=1e-6)
    now = low = high = 0.0
    for i in range(1, n):
        now += (t[i] - t[i - 1]) * (given[i] + given[i - 1]) / 2
        now -= float(np.clip(now, -recovery * (t[i] - t[i - 1]), recovery * (t[i] - t[i - 1])))
        low, high = min(low, now), max(high, now)
    assert pieces.given_j == pytest.approx(high, abs=1e-6)
    assert pieces.taken_j == pytest.approx(-low, abs=1e-6)
    assert pieces.capacity_j == pytest.approx(high - low, abs=1e-6)


def test_what_blocks_do_not_settle_is_followed_reading_by_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    t = np.arange(500.0)
    p = np.where(t % 2 < 1, 1000.0, 0.0)
    settled = storage(t, p, 0.5, 0.1)
    monkeypatch.setattr(module, "PASSES", 1)
    assert storage(t, p, 0.5, 0.1).capacity_j == pytest.approx(settled.capacity_j)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none(limit: float) -> None:
    with pytest.raises(ValueError, match="ramp limit: found"):
        storage(*step(), limit, 0.0)


def test_a_recovery_that_is_none() -> None:
    with pytest.raises(ValueError, match="recovery: found -1"):
        storage(*step(), 1.0, -1.0)


def test_small_steps_up_add_up_unless_there_is_time_to_recover() -> None:
    t = np.arange(0.0, 4000.0, 0.25)
    p = 200.0 + 200.0 * (t // 1000)  # three steps of 200 W, each of them 1000 J at 20 W/s
    assert storage(t, p, 20.0, 0.0).capacity_j == pytest.approx(3000, rel=0.1)
    assert storage(t, p, 20.0, 2.0).capacity_j == pytest.approx(1000, rel=0.1)
