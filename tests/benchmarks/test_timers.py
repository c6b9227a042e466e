"""Timers against truth: a device of known speed, and a host function of known cost."""

from __future__ import annotations

import statistics
import time

import pytest
from fake_device import FakeDevice

from perwatt.benchmarks.timers import EventTimer, HostTimer, Sample


def window(timer: EventTimer, device: FakeDevice, chunks: int, samples: int = 20, per: int = 5) -> list[Sample]:
    out: list[Sample] = []
    timer.start()
    for _ in range(chunks):
        out += timer.chunk(device.launch, samples, per)
    return out + timer.finish()


def test_launch_gaps_do_not_enter_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(monkeypatch, device_s=100e-6, host_s=20e-6)
    timer = EventTimer(device)
    samples = window(timer, device, 10)
    assert len(samples) == 200
    assert device.launched == 1000
    assert all(s.seconds == pytest.approx(100e-6, rel=1e-9) for s in samples)
    assert device.spins == 1
    assert not timer.launch_bound


def test_a_kernel_that_the_host_cannot_feed_is_held_and_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(monkeypatch, device_s=2e-6, host_s=8e-6)
    timer = EventTimer(device)
    starved = window(timer, device, 10)
    assert statistics.median(s.seconds for s in starved) > 4e-6  # the gaps are in there
    assert timer.launch_bound
    held = window(timer, device, 10)
    assert all(s.seconds == pytest.approx(2e-6, rel=1e-6) for s in held)
    assert device.spins == 1 + 10
    assert timer.launch_bound


def test_ranks_of_a_group_are_never_held_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(monkeypatch, device_s=2e-6, host_s=8e-6)
    timer = EventTimer(device, may_hold=False)
    window(timer, device, 10)
    window(timer, device, 10)
    assert device.spins == 2


def test_samples_are_stamped_on_the_hosts_clock_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(monkeypatch, device_s=100e-6, host_s=20e-6)
    start = device.now
    stamps = [s.end_ns for s in window(EventTimer(device), device, 3)]
    assert stamps == sorted(stamps)
    assert start * 1e9 < stamps[0]
    assert stamps[-1] <= device.now * 1e9 + 1


@pytest.mark.parametrize("drift", [0.0, 0.02])
def test_the_two_clocks_are_compared(monkeypatch: pytest.MonkeyPatch, drift: float) -> None:
    device = FakeDevice(monkeypatch, device_s=100e-6, host_s=20e-6, drift=drift)
    timer = EventTimer(device)
    window(timer, device, 10)
    assert timer.clock_error() == pytest.approx(1 / (1 + drift) - 1, abs=1e-6)


def test_a_flush_stays_outside_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(monkeypatch, device_s=100e-6, host_s=20e-6)
    flushes = []

    def flush() -> None:
        flushes.append(device.now)
        device.free_at = max(device.now, device.free_at) + 5e-3

    timer = EventTimer(device).flush_between(flush)
    timer.start()
    samples = timer.chunk(device.launch, 10, 1) + timer.finish()
    assert len(flushes) == len(samples) == 10
    assert all(s.seconds == pytest.approx(100e-6, rel=1e-6) for s in samples)


def test_a_platform_without_a_spin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeDevice(monkeypatch, device_s=100e-6, host_s=20e-6)
    device._sleep = None  # type: ignore[assignment, method-assign]
    timer = EventTimer(device)
    assert len(window(timer, device, 2)) == 40
    assert timer.name == "device events, no spin"


def test_the_hosts_samples_follow_each_other_without_a_gap() -> None:
    def busy() -> None:
        end = time.perf_counter_ns() + 200_000
        while time.perf_counter_ns() < end:
            pass

    for per in (1, 4):
        samples = HostTimer().chunk(busy, 10, per)
        assert [s.launches for s in samples] == [per] * 10
        assert min(s.seconds for s in samples) >= 200e-6
        span = (samples[-1].end_ns - samples[0].end_ns) * 1e-9
        assert span == pytest.approx(sum(s.seconds * per for s in samples[1:]), rel=1e-9)


def test_the_hosts_flush_is_not_timed() -> None:
    samples = HostTimer().flush_between(lambda: time.sleep(0.01)).chunk(lambda: None, 5, 1)
    assert len(samples) == 5
    assert sorted(s.seconds for s in samples)[2] < 0.005  # this machine may pause in one of them
