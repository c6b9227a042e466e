"""The measuring loop on the host's clock: windows, readings, stops, agreement."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

import pytest
from fake_device import FakeDevice
from known_meter import Known

from perwatt.benchmarks.measure import LEAST_COLD, Measurer
from perwatt.benchmarks.measurement import Agreed, Measurement, Progress
from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.profile import Profile
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.stopping import Count, Duration, Stdrel, StoppingRule
from perwatt.benchmarks.timers import EventTimer, HostTimer


def busy(seconds: float) -> Callable[[], None]:
    def launch() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return launch


def run(
    launch: Callable[[], object],
    rule: Callable[[], StoppingRule] = lambda: Duration(0.1),
    profile: Profile | None = None,
    sampler: Sampler | None = None,
    **options: object,
) -> Measurement:
    profile = profile or Profile("t", 0.05, 2, 0.1, 0, True)
    return Measurer(launch, HostTimer(), sampler or Sampler([]), profile, rule, **options).run()  # type: ignore[arg-type]


def before_the_last_chunk_s(out: Measurement, repetition: int) -> float:
    """How long the samples of a window took after which it went on: a pause may lie in its last chunk."""
    mine = [s.seconds * s.launches for s, r in zip(out.samples, out.repetition, strict=True) if r == repetition]
    begin, at, last = sum(0 <= r < repetition for r in out.repetition), 0, 0
    for _, count in out.rank_means:
        last = count if begin <= at < begin + len(mine) else last
        at += count
    return sum(mine[:-last])


def test_warm_up_then_the_repetitions_in_time_order() -> None:
    out = run(busy(0.002))
    assert list(out.repetition) == sorted(out.repetition)
    assert set(out.repetition) == {-1, 0, 1}
    stamps = [s.end_ns for s in out.samples]
    assert stamps == sorted(stamps)
    assert len(out.windows) == 2
    for index, window in enumerate(out.windows):
        assert window.samples == out.repetition.count(index)
        assert window.window_s >= 0.1
        assert before_the_last_chunk_s(out, index) < 0.1
    assert out.flags == set()


def test_short_launches_are_timed_in_batches() -> None:
    calls = 0

    def launch() -> None:
        nonlocal calls
        calls += 1

    out = run(launch)
    measured = [s for s, r in zip(out.samples, out.repetition, strict=True) if r >= 0]
    assert min(s.launches for s in measured) > 50
    assert sum(s.seconds * s.launches for s in measured) / len(measured) > 50e-6  # the aim is 100 us
    assert sum(s.launches for s in out.samples) == calls


def test_the_window_waits_for_the_meters_readings() -> None:
    channels, _ = open_meters({"slow": Known("power", lambda _: 5.0)}, Part("cpu"), host=True)
    out = run(busy(0.001), lambda: Count(3), Profile("t", 0.0, 1, 0.05, 20, True), Sampler(channels))
    (window,) = out.windows
    assert window.energies[0].readings >= 20
    assert window.window_s >= 0.15  # twenty readings of a meter that is polled every 10 ms


def test_a_rule_that_gave_up_is_flagged() -> None:
    pauses = iter(0.001 * 1.3 ** (n % 12) for n in range(100_000))
    out = run(
        lambda: time.sleep(next(pauses)),
        lambda: Stdrel(timeout_s=0.2, min_time_s=0.1, max_noise=1e-6, noise_of_noise=1e-9),
    )
    assert "noisy" in out.flags


def test_a_request_to_stop_ends_the_window_after_its_chunk_and_keeps_it() -> None:
    began = time.monotonic()
    out = run(busy(0.001), lambda: Duration(60), stop=lambda: time.monotonic() - began > 0.3)
    assert time.monotonic() - began < 30
    assert "interrupted" in out.flags
    assert len(out.windows) == 1
    assert out.windows[0].samples == out.repetition.count(0) > 0


def test_a_stop_before_anything_was_measured_leaves_no_window() -> None:
    out = run(busy(0.001), stop=lambda: True)
    assert out.windows == []
    assert set(out.repetition) == {-1}


def test_the_slowest_rank_is_what_the_rule_is_fed_with() -> None:
    """As if another rank took three times as long: the rule must see its times, and both averages are kept."""

    def exchange(seconds: list[float], stop: bool, ready: bool) -> Agreed:
        slow = [3 * s for s in seconds]
        mean = 2 * sum(seconds) / len(seconds) if seconds else 0.0
        return Agreed(slow, mean, stop, ready)

    out = run(busy(0.001), lambda: Duration(0.3), exchange=exchange)
    assert 3 * before_the_last_chunk_s(out, 0) < 0.3
    assert list(out.slowest) == pytest.approx([3 * s.seconds for s in out.samples])
    first, (mean, count) = out.repetition.index(0), out.rank_means[0]
    assert mean == pytest.approx(2 / 3 * statistics.fmean(out.slowest[first : first + count]))


def test_progress_is_told_with_phase_and_rate() -> None:
    told: list[Progress] = []
    run(busy(0.002), tell=told.append)
    assert told[0].phase == "warm-up"
    assert told[-1].phase == "window 2/2"
    assert all(p.seconds is None or p.seconds > 0.0015 for p in told)


@pytest.mark.parametrize(
    ("key", "value"),
    [("warmup_s", -1), ("repetitions", 1.5), ("repetitions", 0), ("window_s", 0), ("min_readings", True)],
)
def test_a_wrong_profile_is_named(key: str, value: object) -> None:
    good: dict[str, object] = {"warmup_s": 1, "repetitions": 1, "window_s": 1, "min_readings": 1}
    with pytest.raises(ValueError, match="profile"):
        Profile(name="t", indicative=True, **{**good, key: value})  # type: ignore[arg-type]


def test_windows_on_a_device_are_full_of_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole loop on a device of known speed: every sample true, every window nothing but samples and one spin."""
    device = FakeDevice(monkeypatch, device_s=50e-6, host_s=5e-6)
    profile = Profile("t", 0.01, 3, 0.2, 0, True)
    out = Measurer(device.launch, EventTimer(device), Sampler([]), profile, lambda: Duration(0.2)).run()
    assert all(s.seconds == pytest.approx(50e-6, rel=1e-6) for s in out.samples)
    assert out.flags == set()
    assert out.clock_error == pytest.approx(0.0, abs=1e-6)
    assert len(out.windows) == 3
    for window in out.windows:
        work_s = window.iterations * 50e-6
        assert work_s >= 0.2
        assert window.window_s == pytest.approx(work_s, rel=0.02)  # the spin at its start is in it
    assert sum(w.iterations for w in out.windows) < device.launched


def test_a_collective_is_timed_launch_by_launch() -> None:
    out = run(lambda: None, profile=Profile("t", 0.0, 1, 0.01, 0, True), one_by_one=True, rule=lambda: Count(500))
    assert set(out.launches) == {1}


def test_a_long_window_takes_longer_samples_not_millions() -> None:
    out = run(lambda: None, lambda: Count(30), Profile("t", 0.02, 1, 60.0, 0, True))
    assert out.windows[0].window_s / out.windows[0].samples > 1e-3  # 60 s over 20,000 samples are 3 ms


@pytest.mark.parametrize(
    ("flush_s", "least", "most_s"),
    [(5e-5, 300, 3.0), (0.002, LEAST_COLD, 3.0), (0.02, LEAST_COLD, 10.0)],
    ids=["as long as the launch", "longer", "so long that a window has too few"],
)
def test_a_window_of_a_cold_cache_ends_however_long_its_flushes_take(flush_s: float, least: int, most_s: float) -> None:
    """The last-level cache of a server may take a thousand times as long to be emptied as the launch takes."""
    flushed = 0

    def flush() -> None:
        nonlocal flushed
        flushed += 1
        busy(flush_s)()

    profile = Profile("t", 0.05, 2, 0.2, 0, True)
    timer = HostTimer().flush_between(flush)
    out = Measurer(busy(5e-5), timer, Sampler([]), profile, lambda: Duration(0.2)).run()
    assert out.flags == set()
    assert set(out.launches) == {1}
    assert flushed == len(out.samples)
    for window in out.windows:
        assert window.samples >= least
        assert 0.2 <= window.window_s < most_s
    assert statistics.median(s.seconds for s in out.samples) < 5e-5 + flush_s / 2


def test_a_cold_window_of_long_launches_need_not_have_many() -> None:
    timer = HostTimer().flush_between(busy(0.01))
    profile = Profile("t", 0.05, 1, 0.05, 0, True)
    (window,) = Measurer(busy(0.05), timer, Sampler([]), profile, lambda: Duration(0.05)).run().windows
    assert 0.5 <= window.window_s < 10.0
    assert window.samples < LEAST_COLD


def test_the_garbage_collector_rests_while_it_measures_and_not_after() -> None:
    states = set()
    run(lambda: states.add(gc.isenabled()))
    assert states == {False}
    assert gc.isenabled()
