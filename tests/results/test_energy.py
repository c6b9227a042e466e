"""Integration of power: exact where it can be, flagged where it cannot, and right on a published log."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perwatt.results.energy import integrate, unwrap

S = 1_000_000_000


def grid(seconds: float, period: float) -> np.ndarray:
    return (np.arange(0, seconds + period / 2, period) * S).astype(np.int64)


def test_constant_power_is_exact_however_the_edges_lie() -> None:
    t = grid(10, 0.1)
    got = integrate(t, np.full(len(t), 250.0), 1_234_567_890, 7_654_321_012)
    assert got.energy_j == pytest.approx(250.0 * 6.419753122, rel=1e-12)
    assert got.flags == ()


def test_a_ramp_is_exact_where_a_right_rectangle_is_not() -> None:
    t = grid(10, 1.0)
    power = 100.0 + 50.0 * t / S
    start, end = 2 * S + S // 2, 7 * S + S // 4
    exact = sum(k * (100.0 * x + 25.0 * x * x) for k, x in ((1, end / S), (-1, start / S)))
    assert integrate(t, power, start, end).energy_j == pytest.approx(exact, rel=1e-12)
    inside = (t > start) & (t <= end)
    assert abs(power[inside].sum() * 1.0 - exact) / exact > 0.01


@given(st.lists(st.floats(0, 1000), min_size=20, max_size=20), st.integers(1, 98))
def test_energy_is_additive_over_adjacent_windows(power: list[float], cut: int) -> None:
    t = grid(9.5, 0.5)
    start, end = S // 3, 9 * S
    middle = start + (end - start) * cut // 99
    whole, left, right = (integrate(t, power, a, b, 0.5) for a, b in ((start, end), (start, middle), (middle, end)))
    assert whole.energy_j is not None
    assert left.energy_j is not None
    assert right.energy_j is not None
    assert left.energy_j + right.energy_j == pytest.approx(whole.energy_j, rel=1e-9, abs=1e-9)


def test_equal_stamps_are_averaged_and_order_does_not_matter() -> None:
    got = integrate([2 * S, 0, S, S], [100.0, 100.0, 50.0, 150.0], 0, 2 * S)
    assert got.energy_j == pytest.approx(200.0)


def test_a_short_gap_is_flagged_and_a_long_one_refused() -> None:
    t = np.concatenate([grid(10, 0.1), 10 * S + 4 * S // 10 + grid(10, 0.1)])
    p = np.full(len(t), 100.0)
    assert integrate(t, p, 0, 20 * S, 0.1).flags == ("gappy",)
    t[101:] += 2 * S
    long = integrate(t, p, 0, 20 * S, 0.1)
    assert long.energy_j is None
    assert long.flags == ("gappy",)


def test_a_log_that_ends_before_the_window_does_has_no_energy() -> None:
    t = grid(10, 0.1)
    got = integrate(t, np.full(len(t), 100.0), 5 * S, 12 * S)
    assert got.energy_j is None
    assert got.flags == ("uncovered",)
    assert integrate([], [], 0, S).energy_j is None


def test_a_counter_that_wraps_once_and_twice() -> None:
    assert unwrap([90, 95, 2, 50, 99, 1], 100).tolist() == [90, 95, 102, 150, 199, 201]
    assert unwrap([], 100).tolist() == []


def test_a_published_node_log_gives_the_published_energy(data: Path) -> None:
    """MLPerf training v5.0, Lenovo 8 x B200, LoRA: 655.908 s; the windowed trapezoid gives 5,908,051 J."""
    lora = data / "power_traces/mlperf_training_v5_0_lenovo_b200/llama2_70b_lora"

    def events(text: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line.split(":::MLLOG ")[1]) for line in text.splitlines()]

    node = events(gzip.decompress((lora / "node_0.txt.gz").read_bytes()).decode())
    marks = {e["key"]: e["time_ms"] for e in events((lora / "result_0.markers.txt").read_text())}
    readings = [e for e in node if e["key"] == "power_reading"]
    efficiency = next(float(e["value"]) for e in node if e["key"] == "conversion_eff")
    start, stop = marks["run_start"], marks["run_stop"]
    t = np.array([e["time_ms"] for e in readings], dtype=np.int64) * 1_000_000
    p = np.array([float(e["value"]) for e in readings]) * efficiency
    got = integrate(t, p, int(start) * 1_000_000, int(stop) * 1_000_000, 1.0)
    assert (stop - start) / 1000 == pytest.approx(655.908)
    assert got.energy_j == pytest.approx(5_908_051, rel=1e-5)
