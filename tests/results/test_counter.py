"""Energy by a counter that is renewed in steps: ticks, edges, resets, and the law that windows add up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.energy import counted, slopes, ticks

S = 10**9


def polled(
    power_w: float, seconds: float, period_s: float = 0.1, poll_s: float = 0.005, phase_s: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """A counter of constant power renewed every ``period_s``, polled every ``poll_s``."""
    t = np.arange(0, seconds, poll_s)
    renewed = np.floor((t - phase_s) / period_s) * period_s + phase_s
    return np.round(t * S).astype(np.int64), power_w * (renewed + period_s)


@pytest.mark.slow
def test_a_stale_counter_read_at_both_ends_errs_by_four_per_cent_and_one_read_by_its_ticks_does_not() -> None:
    """tau = 100 ms, T = 1 s: sd(E)/E = tau / (sqrt(6) T) = 4.1 %."""
    rng = np.random.default_rng(0)
    naive, aligned = [], []
    for _ in range(1500):
        t, e = polled(400.0, 2.0, phase_s=rng.uniform(0, 0.1))
        start = round(rng.uniform(0.4, 0.5) * S)
        end = start + round(S * 1.0 + rng.uniform(0, 0.1) * S)
        true = 400.0 * (end - start) / S
        at = [e[np.searchsorted(t, x, side="right") - 1] for x in (start, end)]
        naive.append((at[1] - at[0]) / true - 1)
        aligned.append(counted(t, e, start, end, 0.1).energy_j / true - 1)  # type: ignore[operator]
    assert 0.037 <= np.std(naive) <= 0.042
    assert np.std(aligned) < 0.005
    assert abs(np.mean(aligned)) < 1e-3


def test_the_stated_uncertainty_is_the_one_that_is_seen() -> None:
    rng = np.random.default_rng(1)
    errors, stated = [], []
    for _ in range(400):
        t, e = polled(400.0, 2.0, poll_s=0.0173, phase_s=rng.uniform(0, 0.1))
        start = round(rng.uniform(0.4, 0.5) * S)
        result = counted(t, e, start, start + S, 0.1)
        errors.append(result.energy_j - 400.0)  # type: ignore[operator]
        stated.append(result.u_time_j)
    assert np.std(errors) == pytest.approx(np.mean(stated), rel=0.4)


def test_power_that_varies_within_a_tick_stays_below_its_bound() -> None:
    """A wave of 70 ms under a counter of 100 ms: the interpolation errs, never by more than the bound says."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        wave = lambda x: 300 * x + 100 * 0.07 / (2 * np.pi) * (1 - np.cos(2 * np.pi * x / 0.07))  # noqa: E731
        t = np.arange(0, 1.5, 0.001)
        e = wave(np.floor(t / 0.1) * 0.1)
        start = rng.uniform(0.3, 0.5)
        length = rng.uniform(0.05, 0.8)
        result = counted(np.round(t * S), e, round(start * S), round((start + length) * S), 0.1)
        off = abs(result.energy_j - (wave(start + length) - wave(start)))  # type: ignore[operator]
        assert off <= 200 * result.bound_j_per_w + 400 * 0.002


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(400, 1600), min_size=3, max_size=6, unique=True), st.integers(0, 99), st.integers(1, 30))
def test_energies_of_adjacent_windows_add_up(cuts: list[int], phase_ms: int, poll_ms: int) -> None:
    t, e = polled(250.0, 2.0, poll_s=poll_ms * 1e-3, phase_s=phase_ms * 1e-3)
    edges = [c * 10**6 for c in sorted(cuts)]
    parts = [counted(t, e, a, b, 0.1).energy_j for a, b in itertools.pairwise(edges)]
    whole = counted(t, e, edges[0], edges[-1], 0.1).energy_j
    assert None not in parts
    assert sum(p for p in parts if p is not None) == pytest.approx(whole, rel=1e-12)


def test_a_counter_renewed_faster_than_it_is_read_is_good_to_its_period() -> None:
    t, e = polled(100.0, 5.0, period_s=0.001, poll_s=0.1, phase_s=0.0004)
    assert counted(t, e, S, 4 * S, 0.001).energy_j == pytest.approx(300.0, rel=1e-3)


def test_a_reset_has_no_energy() -> None:
    t, e = polled(100.0, 3.0)
    e = np.where(t > 1.5 * S, e - e[len(e) // 2], e)
    result = counted(t, e, S, 2 * S, 0.1)
    assert (result.energy_j, result.flags) == (None, ("counter_reset",))


def test_a_frozen_counter_has_no_energy() -> None:
    t, e = polled(100.0, 5.0)
    assert counted(t, np.minimum(e, 150.0), S, 4 * S, 0.1).flags == ("frozen",)
    assert counted(t, np.full_like(e, 7.0), S, 4 * S, 0.1).energy_j is None


@pytest.mark.parametrize("end_s", np.linspace(1.0, 1.025, 11))
def test_a_counter_of_coarse_steps_covers_a_window_wherever_its_last_step_fell(end_s: float) -> None:
    """2.5 J at 100 W take 25 ms, more than the 10 ms in which the counter is renewed; it is polled until the end."""
    t = np.arange(0, end_s + 0.002, 0.004)
    found = counted(
        np.round(t * S).astype(np.int64), 2.5 * np.floor(100 * t / 2.5), round(0.2 * S), round(end_s * S), 0.01
    )
    assert found.flags == ()
    # by half of a step at each edge
    assert found.energy_j == pytest.approx(100 * (end_s - 0.2), abs=2.5)


def test_a_window_beyond_the_readings_is_uncovered() -> None:
    t, e = polled(100.0, 2.0)
    assert counted(t, e, S, 3 * S, 0.1).flags == ("uncovered",)
    assert counted(t[:1], e[:1], S, 2 * S, 0.1).flags == ("uncovered",)


def test_ticks_lie_between_the_polls_that_saw_them() -> None:
    found = ticks([0, 5, 10, 15], [1.0, 1.0, 2.0, 2.0], 1.0)
    assert found.t_ns.tolist() in ([7], [8])
    assert found.energy_j.tolist() == [2.0]


def test_a_late_poll_costs_nothing_where_the_renewals_keep_a_pace() -> None:
    """A fifth of the polls come up to 40 ms late: alone they would leave some per cent of a window of 130 ms."""
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(300):
        poll = np.cumsum(0.0049 + rng.uniform(0, 0.04, 300) * (rng.random(300) < 0.2))
        phase = rng.uniform(0, 0.1)
        t, e = np.round(poll * S).astype(np.int64), 400 * (np.floor((poll - phase) / 0.1) * 0.1 + 0.1)
        start = round(rng.uniform(1.0, 1.1) * S)
        result = counted(t, e, start, start + round(0.13 * S), 0.1)
        assert result.energy_j is not None
        errors.append(result.energy_j / 52 - 1)
        # each renewal lies within its bounds, half a width to either side of their middle
        found = ticks(t, e, 0.1)
        true = found.energy_j / 400 - 0.1 + phase
        assert np.all(np.abs(found.t_ns / S - true) <= np.sqrt(3) * found.u_s + 1e-6)
    assert np.std(errors) < 0.003
    assert max(np.abs(errors)) < 0.01


def test_a_counter_without_a_pace_is_known_by_its_own_polls_alone() -> None:
    rng = np.random.default_rng(4)
    renewed = np.cumsum(rng.uniform(0.05, 0.15, 40))
    poll = np.arange(0, 3, 0.0049)
    t, e = np.round(poll * S).astype(np.int64), 10.0 * np.searchsorted(renewed, poll, side="right")
    found = ticks(t, e, 0.1)
    assert np.allclose(found.u_s, 0.0049 / np.sqrt(12), rtol=1e-3)
    true = renewed[: len(found.t_ns)]
    assert np.all(np.abs(found.t_ns / S - true) <= 0.00246)


@pytest.mark.parametrize("slow_s", [0.0487, 0.031, 0.0049])
def test_the_slope_of_a_counter_is_power_however_often_it_was_polled(slow_s: float) -> None:
    """Polled closely near the edges of windows and seldom between, as the sampler does: from poll to poll it would
    stand still and leap to 20 times the power."""
    poll = np.cumsum(np.concatenate([np.full(60, 0.00485), np.full(150, slow_s), np.full(60, 0.00485)]))
    t, e = np.round(poll * S).astype(np.int64), 400 * np.floor((poll - 0.0137) / 0.1) * 0.1
    found = slopes(t, e)
    assert len(found.power_w) > 8
    # polls of 31 ms do not tell the period: 100 ms between renewals may look 31 ms shorter
    assert np.allclose(found.power_w, 400, rtol={0.0487: 0.05, 0.031: 0.45, 0.0049: 0.05}[slow_s])
    assert np.average(found.power_w, weights=found.end_ns - found.start_ns) == pytest.approx(400, rel=0.005)
    every = slopes([0, S, 2 * S, 2 * S, 3 * S], [0.0, 100.0, 300.0, 300.0, 50.0])
    assert every.power_w.tolist() == [100.0, 200.0]
