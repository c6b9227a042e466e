"""The course of a metered measurement: settling, guards, phases, idle, what sampling costs, and what it flags."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

import pytest
from known_meter import Known

from perwatt.benchmarks.idle import idle
from perwatt.benchmarks.measure import Measurer
from perwatt.benchmarks.measurement import Measurement
from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Snapshot
from perwatt.benchmarks.profile import Profile
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.steady import Block, steady
from perwatt.benchmarks.stopping import Duration
from perwatt.benchmarks.timers import HostTimer


def run(profile: Profile, *meters: Meter, launch: Callable[[], object] = lambda: time.sleep(0.002)) -> Measurement:
    channels, _ = open_meters({str(n): m for n, m in enumerate(meters)}, Part("cpu"), host=True)
    return Measurer(launch, HostTimer(), Sampler(channels), profile, lambda: Duration(profile.window_s)).run()


def block(n: int, rate: float = 100.0, power_w: float | None = 400.0, c: float | None = 60.0, why: str = "") -> Block:
    return Block(10.0 * n, rate, power_w, c, frozenset({why} - {""}))


@pytest.mark.parametrize(
    ("blocks", "settled"),
    [
        ([block(n) for n in range(3)], True),
        ([block(n) for n in range(2)], False),
        ([block(n, rate=100 + n) for n in range(3)], False),
        ([block(n, power_w=400 + n) for n in range(3)], False),
        ([block(n, power_w=400 + 0.02 * n) for n in range(3)], True),
        ([block(n, c=60 + 0.2 * n) for n in range(3)], False),
        ([block(n, c=60 + 0.02 * n) for n in range(3)], True),
        ([block(0), block(1), block(2, why="sw_power_cap")], False),
        ([block(0, rate=50), *(block(n) for n in range(1, 4))], True),
        ([block(n, power_w=None, c=None) for n in range(3)], True),
    ],
)
def test_steady(blocks: list[Block], settled: bool) -> None:
    assert steady(blocks, 60) is settled


@pytest.mark.slow
@pytest.mark.alone
def test_a_load_that_settles_is_waited_for_and_one_that_never_does_is_measured_anyway() -> None:
    settling = Known("power", lambda t: 300.0 if t > 0.6 else 300 - 200 * (0.6 - t))
    out = run(Profile("t", 0.05, 1, 0.2, 1, True, warmup_max_s=20, block_s=0.15), settling)

    assert out.steady is True
    drifting = Known("power", lambda t: 100 + 100 * t)
    out = run(Profile("t", 0.05, 1, 0.2, 1, True, warmup_max_s=0.8, block_s=0.1), drifting)
    assert out.steady is False
    assert "not_steady" in out.flags
    assert len(out.windows) == 1


class Late(Known):
    """Speaks of what was 0.5 s ago."""

    def open(self, part: Part) -> Capabilities:
        return dataclasses.replace(super().open(part), delay_s=0.5)


@pytest.mark.slow
@pytest.mark.alone
def test_the_load_runs_on_until_a_late_meter_has_spoken_of_the_whole_window() -> None:
    """Power rises by 100 W/s; what is read is half a second old."""
    late = Late("power", lambda t: 1000 + 100 * (t - 0.5))
    out = run(Profile("t", 0.1, 2, 0.6, 3, True, guard_s=2.0), late)
    for window in out.windows:
        (energy,) = window.energies
        middle_s = window.start_ns * 1e-9 - late.zero + window.window_s / 2
        assert energy.energy_j == pytest.approx((1000 + 100 * middle_s) * window.window_s, rel=1e-3)


class Failing(Known):
    """Fails in one of three ways after half a second: is lost, or, asked by its own thread, as an edge of a window then
    finds it, hangs or answers after a second."""

    def __init__(self, how: str) -> None:
        super().__init__("power", lambda _: 100.0)
        self.how = how

    def read(self) -> Reading:
        if time.monotonic() - self.zero < 0.5:
            return super().read()
        if self.how == "lost":
            return Reading(time.monotonic_ns(), 0, None, "lost")
        if threading.current_thread() is threading.main_thread():
            return super().read()
        start_ns = time.monotonic_ns()
        time.sleep(1.0 if self.how == "slow" else 30.0)
        reading = super().read()
        return Reading(reading.mono_ns, reading.mono_ns - start_ns, reading.value)


@pytest.mark.parametrize("how", ["hangs", "slow", "lost"])
def test_a_meter_that_fails_is_not_waited_for(how: str) -> None:
    profile = Profile("t", 0.1, 2, 0.6, 10, True, guard_s=1.0)
    began = time.monotonic()
    out = run(profile, Failing(how), Known("energy", lambda t: 250 * t))
    assert time.monotonic() - began < 25
    assert len(out.windows) == 2
    # the other meter's energy and the throughput are kept
    for window in out.windows:
        assert [e.meter for e in window.energies][-1] == "1"
        assert window.iterations > 50
    assert "meter_lost" in out.flags
    assert "time_limit" not in out.flags


@pytest.mark.slow
@pytest.mark.alone
def test_a_window_goes_on_until_a_coarse_counter_has_counted_far_enough() -> None:
    """Steps of 2.5 J at 100 W and a period of 10 ms: 0.025 / (sqrt(6) T) and 0.01 / (sqrt(6) T) are 0.5 % at 2.2 s."""
    coarse = Known("energy", lambda t: 2.5 * int(100 * t / 2.5))
    coarse.quantum = 2.5
    coarse.period_s = 0.01
    out = run(Profile("t", 0.1, 1, 0.3, 1, True, meter_error=0.005), coarse, Known("power", lambda _: 100.0))
    assert 2.0 < out.windows[0].window_s < 2.5
    assert out.windows[0].energies[0].terms["resolution"] <= 0.005
    assert run(Profile("t", 0.1, 1, 0.3, 1, True), coarse).windows[0].window_s < 0.6


def test_nobody_asked_is_not_false() -> None:
    assert run(Profile("t", 0.05, 1, 0.1, 1, True), Known("power", lambda _: 1.0)).steady is None


def test_the_load_runs_on_beyond_both_edges_so_that_a_late_meter_speaks_of_it_alone() -> None:
    known = Known("energy", lambda t: 100 * t)
    out = run(Profile("t", 0.02, 2, 0.2, 1, True, guard_s=0.5), known)
    assert len(out.windows) == 2
    for window in out.windows:
        assert window.energies[0].energy_j == pytest.approx(100 * window.window_s, rel=2e-3)
    outside = [r for r in out.repetition if r < 0]
    assert len(outside) > 3
    assert sum(w.samples for w in out.windows) == sum(r >= 0 for r in out.repetition)


def test_what_sampling_costs_is_measured() -> None:
    out = run(Profile("t", 0.02, 1, 0.1, 1, True, sampler_cost_s=0.8), Known("power", lambda _: 1.0))
    assert out.sampler_cost is not None
    assert out.sampler_cost.error > 0
    assert abs(out.sampler_cost.relative) < 0.5


def test_a_meter_that_blocks_the_interpreter_is_seen_to_cost() -> None:
    class Hog(Known):
        def read(self):  # type: ignore[no-untyped-def]
            end = time.monotonic() + 0.004
            while time.monotonic() < end:
                pass
            return super().read()

    def work() -> None:
        end = time.perf_counter() + 0.002
        n = 0
        while n < 20_000:
            n += 1
        del end

    out = run(Profile("t", 0.05, 1, 0.1, 0, True, sampler_cost_s=1.6), Hog("power", lambda _: 1.0), launch=work)
    assert out.sampler_cost is not None
    assert out.sampler_cost.relative > 0.05
    assert "sampler_cost" in out.flags


@pytest.mark.slow
@pytest.mark.alone
def test_a_load_that_beats_with_the_sensor_is_flagged_or_phased() -> None:
    def meter() -> Known:
        known = Known("power", lambda t: 100.0 + (int(t / 0.04) % 2) * 1e-6)
        known.period_s = 0.04
        return known

    launch = lambda: time.sleep(0.0398)  # noqa: E731
    flagged = run(Profile("t", 0.3, 1, 0.4, 1, True), meter(), launch=launch)
    assert "aliasing_risk" in flagged.flags
    assert flagged.windows[0].segments == 1
    phased = run(Profile("t", 0.3, 1, 0.8, 1, True, segments=8), meter(), launch=launch)
    assert phased.windows[0].segments == 8
    assert "aliasing_risk" not in phased.flags
    (energy,) = phased.windows[0].energies
    assert energy.energy_j == pytest.approx(100 * phased.windows[0].window_s, rel=1e-3)


class Throttling(Known):
    """Throttles a quarter of the time; another process is there."""

    def __init__(self, others: tuple[int, ...] = ()) -> None:
        super().__init__("power", lambda _: 100.0)
        self.others = others

    def snapshot(self) -> Snapshot:
        import os

        age = time.monotonic() - self.zero
        throttled = {"sw_power_cap": round(0.25e9 * age), "hw_thermal": 0}
        return Snapshot(
            throttled,
            {"gpu": 60 + age},
            {"sm": 1.5e9},
            {"enforced": 700.0},
            {"volatile": 3},
            (os.getpid(), *self.others),
        )


def test_throttling_is_a_fraction_of_time_not_a_bit() -> None:
    out = run(Profile("t", 0.02, 1, 0.5, 1, True), Throttling())
    conditions = out.windows[0].conditions
    assert conditions is not None
    assert conditions.throttled["sw_power_cap"] == pytest.approx(0.25, rel=0.05)
    assert conditions.throttled["hw_thermal"] == 0
    assert conditions.temperature_c["gpu"][1] > conditions.temperature_c["gpu"][0]
    assert conditions.ecc == {"volatile": 0}
    assert conditions.others == 0
    assert not {"other_process", "throttled_thermal"} & out.flags


def test_somebody_else_on_the_device_is_seen() -> None:
    out = run(Profile("t", 0.02, 1, 0.1, 1, True), Throttling(others=(1,)))
    assert "other_process" in out.flags


def test_idle_power() -> None:
    channels, _ = open_meters(
        {"a": Known("power", lambda _: 80.0), "b": Known("energy", lambda t: 80 * t)}, Part("cpu"), host=True
    )
    found = idle(channels, 0.3, 0.05, lambda s: bool(time.sleep(s)))
    assert [round(i.power_w, 1) for i in found] == [80.0, 80.0]
    assert found[0].stdev_w == pytest.approx(0)
    assert found[1].stdev_w is None  # a counter has no readings to spread
    assert idle(channels, 0.3, 0.05, lambda s: True) == ()
