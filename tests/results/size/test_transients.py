from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size.transients import RAMPS_S, floor, ramps, swing
from perwatt.results.size.windows import cells


def square(period_s: float = 20.0, duty: float = 0.5, step_s: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(0.0, 400.0, step_s)
    return t, np.where(t % period_s < duty * period_s, 1000.0, 400.0)


def test_ramps_of_a_step_up_and_a_slope_down() -> None:
    t = np.arange(101.0)
    p = np.where(t < 20, 200.0, np.where(t < 40, 1000.0, np.maximum(1000 - 10 * (t - 40), 400)))
    found = {r.window_s: r for r in ramps(t, p)}
    assert (found[0.1].up_w_s, found[0.1].up_fraction) == (None, None)
    assert found[0.1].reason == "not observable: one reading every 1 s"
    assert found[1.0].up_w_s == pytest.approx(800)
    assert found[1.0].down_w_s == pytest.approx(10)
    assert found[1.0].up_fraction == pytest.approx(0.8)
    assert found[10.0].up_w_s == pytest.approx(80)
    assert found[10.0].down_fraction == pytest.approx(0.1)
    assert found[60.0].down_w_s == pytest.approx(10)


def test_the_greatest_change_may_end_at_a_reading_and_begin_between_two() -> None:
    # rises 0, 1, then 9 in half a second; over 1 s: from 1 s (half way up to the second) the change is 10 - 0.5
    t, p = np.array([0.0, 1.0, 2.0, 2.5, 3.5]), np.array([0.0, 0.0, 1.0, 10.0, 10.0])
    (found,) = ramps(t, p, (1.0,))
    assert found.up_w_s == pytest.approx(9.5)


@pytest.mark.parametrize("period_s", [1.0, 5.0, 20.0])
def test_a_swing_whose_period_divides_the_window_ramps_all_the_same(period_s: float) -> None:
    # where it was a window ago it is again: between the two it has risen and fallen by all that it swings
    for window_s, up_w_s, down_w_s in ((r.window_s, r.up_w_s, r.down_w_s) for r in ramps(*square(period_s, 0.7, 0.1))):
        assert (up_w_s, down_w_s) == (pytest.approx(600 / window_s), pytest.approx(600 / window_s)), window_s


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(130, 300))
def test_what_power_rises_by_never_falls_with_the_window(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    t, p = np.cumsum(rng.uniform(0.5, 0.9, n)), rng.uniform(0, 1000, n)
    found = ramps(t, p, (1.0, 2.0, 5.0, 10.0, 60.0))
    for shorter, longer in itertools.pairwise(found):
        for way in ("up_w_s", "down_w_s"):
            least, most = getattr(shorter, way) * shorter.window_s, getattr(longer, way) * longer.window_s
            assert least <= most * (1 + 1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 200))
def test_the_greatest_change_within_a_window_and_when_it_begins(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    t, p = np.cumsum(rng.uniform(0.5, 1.5, n)), rng.uniform(0, 1000, n)
    (found,) = ramps(t, p, (5.0,))
    pairs = [(p[j] - p[i], t[i]) for i in range(n) for j in range(i, n) if t[j] - t[i] <= 5.0]
    up_w_s, down_w_s, up_at_s = found.up_w_s, found.down_w_s, found.up_at_s
    assert up_w_s is not None
    assert down_w_s is not None
    assert up_at_s is not None
    assert up_w_s * 5 >= max(change for change, _ in pairs) * (1 - 1e-12)
    assert down_w_s * 5 >= max(-change for change, _ in pairs) * (1 - 1e-12)
    after_s = np.linspace(up_at_s, min(up_at_s + 5.0, t[-1]), 20001)
    assert np.max(np.interp(after_s, t, p)) - np.interp(up_at_s, t, p) == pytest.approx(up_w_s * 5, abs=1.0)


def test_a_load_that_never_falls_has_no_fall() -> None:
    (found,) = ramps(np.arange(10.0), np.arange(10.0), (1.0,))
    assert (found.up_w_s, found.down_w_s) == (1.0, 0.0)


def test_no_ramp_is_read_off_inside_a_gap() -> None:
    t = np.concatenate([np.arange(50.0), np.arange(350.0, 400.0)])
    p = np.where(t < 100, 100.0, 900.0)
    one, sixty, long = ramps(t, p, (1.0, 60.0, 320.0))
    assert one.up_w_s == 0.0  # the step lies in the gap: nobody saw how fast it was
    assert sixty.up_w_s is None or sixty.up_w_s == 0.0
    assert long.up_w_s == pytest.approx(800 / 320)  # both ends were read


def test_windows_longer_than_the_trace_say_so() -> None:
    (found,) = ramps(np.arange(10.0), np.arange(10.0), (60.0,))
    assert (found.up_w_s, found.reason) == (None, "not observable: no two readings 60 s apart")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 200))
def test_ramps_against_every_pair_of_moments(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    t, p = np.cumsum(rng.uniform(0.5, 1.5, n)), rng.uniform(0, 1000, n)
    # beyond the last reading its power stands, which no change exceeds
    fine = np.interp(np.arange(t[0], t[-1] + 5.0, 0.01), t, p)
    within = np.lib.stride_tricks.sliding_window_view(fine, 501)
    up, down = np.max(within.max(axis=1) - within[:, 0]), np.max(within[:, 0] - within.min(axis=1))
    (found,) = ramps(t, p, (5.0,))
    assert found.up_w_s is not None
    assert found.down_w_s is not None
    assert up / 5 - 1e-9 <= found.up_w_s <= up / 5 + 6
    assert down / 5 - 1e-9 <= found.down_w_s <= down / 5 + 6


@pytest.mark.parametrize("duty", [0.25, 0.5, 0.8])
def test_swing_of_a_square_wave_under_noise(duty: float) -> None:
    t, p = square(duty=duty)
    found = swing(t, p + np.random.default_rng(0).normal(0, 20, len(t)))
    assert found.high_w == pytest.approx(1000, rel=0.01)
    assert found.low_w == pytest.approx(400, rel=0.02)
    assert found.duty == pytest.approx(duty, abs=0.02)
    assert found.period_s == pytest.approx(20, rel=0.01)
    assert (found.cycles, found.reason) == (18, "")


def test_a_long_trace_in_pieces_is_the_same_as_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    t, p = square()
    p = p + np.random.default_rng(0).normal(0, 20, len(t))
    whole = swing(t, p), ramps(t, p), floor(t, p, 0.7)
    for chunk in (7, 40, 300):
        with monkeypatch.context() as patch:
            patch.setattr("perwatt.results.size.transients.CHUNK", chunk)
            patch.setattr("perwatt.results.size.windows.CHUNK", chunk)
            assert swing(t, p).cycles == whole[0].cycles
            assert ramps(t, p) == whole[1]
            assert floor(t, p, 0.7).extra_w == pytest.approx(whole[2].extra_w)


def test_noise_and_constant_power_have_one_level() -> None:
    t = np.arange(5000.0)
    for p in (np.full(5000, 500.0), np.random.default_rng(0).normal(1000, 100, 5000)):
        found = swing(t, p)
        assert (found.high_w, found.period_s, found.cycles) == (None, None, 0)
        assert found.reason.startswith("one level")


def test_two_levels_that_nearly_agree_are_one() -> None:
    t, p = square()
    assert swing(t, 9000 + p / 10).high_w is None


def test_swings_near_the_sampling_rate_are_said_to_be_doubtful() -> None:
    t, p = square(period_s=2.0, step_s=1.0)
    assert "fewer than four readings a cycle" in swing(t, p).reason


def test_one_job_that_starts_and_ends_has_two_levels_and_no_period() -> None:
    t = np.arange(100.0)
    found = swing(t, np.where((t > 20) & (t < 60), 1000.0, 100.0))
    assert found.high_w == pytest.approx(1000, rel=1e-3)
    assert found.period_s is None
    assert found.reason.startswith("fewer than two rises")


def test_a_floor_fills_up_what_lies_below_it() -> None:
    t, p = square()
    found = floor(t, p, 0.75)
    assert found.floor_w == 750.0
    assert (found.range_before_w, found.range_after_w) == (600.0, 250.0)
    assert found.active == pytest.approx(0.5)
    assert found.extra_w == pytest.approx(175.0)
    assert found.extra_fraction == pytest.approx(0.25)
    assert floor(t, p, 0.75, cells(t, p)) == found
    none, all_of_it = floor(t, p, 0.0), floor(t, p, 1.0)
    assert (none.extra_w, none.active) == (0.0, 0.0)
    assert all_of_it.range_after_w == 0.0
    with pytest.raises(ValueError, match=r"floor: found 1\.2; allowed 0 to 1"):
        floor(t, p, 1.2)


def test_frontier_hpl(data: Path) -> None:
    lines = (data / "power_traces/frontier_hpl/ornl-frontier.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    t = np.array([datetime.fromisoformat(a).timestamp() for a, _ in rows])
    t -= t[0]
    p = np.array([float(b) for _, b in rows])
    found = {r.window_s: r for r in ramps(t, p)}
    assert found[60.0].up_fraction == pytest.approx(0.69, abs=0.005)
    assert found[60.0].down_fraction == pytest.approx(0.36, abs=0.005)
    for window_s in RAMPS_S[:-1]:
        assert found[window_s].reason == "not observable: one reading every 15 s"
    busy = np.flatnonzero(p > 0.5 * p.max())
    core = p[busy[0] : busy[-1] + 1]
    assert core.max() / core.mean() == pytest.approx(1.099, abs=0.001)
