"""Windows over meters of known truth: energies, edges, failures, and the thread that polls."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest
from known_meter import Known

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Status, Unavailable
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.window import Window


class Absent(Meter):
    scope = "host"

    def open(self, part: Part) -> Capabilities:
        raise Unavailable("it is not there", "buy one")

    def read(self) -> Reading:
        raise AssertionError("never opened")


def measure(*meters: Meter, seconds: float = 0.3) -> Window:
    channels, missing = open_meters({str(n): m for n, m in enumerate(meters)}, Part("cpu"), host=True)
    assert not missing
    with Sampler(channels) as sampler:
        time.sleep(0.05)
        window = Window(sampler)
        window.open()
        time.sleep(seconds)
        window.close()
    return window


def nth(first: int, beyond: int, status: Status) -> Callable[[float], Status]:
    """Some of the readings are not ok: whenever the thread that reads comes to them."""
    readings = itertools.count()
    return lambda _: status if first <= next(readings) < beyond else "ok"


def test_a_counter_and_a_gauge_agree_on_constant_power() -> None:
    window = measure(Known("energy", lambda t: 250 * t), Known("power", lambda _: 250.0))
    true_j = 250 * (window.end_ns - window.start_ns) * 1e-9
    counter, gauge = window.energies()
    assert (counter.source, gauge.source) == ("counter", "integrated")
    assert counter.energy_j == pytest.approx(true_j, rel=1e-4)
    assert gauge.energy_j == pytest.approx(true_j, rel=1e-9)
    assert counter.readings >= 20
    assert counter.flags == gauge.flags == ()


def test_a_ramp_is_integrated_to_its_edges() -> None:
    window = measure(Known("power", lambda t: 100 + 1000 * t))
    middle = 100 + 1000 * ((window.start_ns + window.end_ns) / 2e9 - window.sampler.channels[0].meter.zero)  # type: ignore[attr-defined]
    assert window.energies()[0].energy_j == pytest.approx(middle * (window.end_ns - window.start_ns) * 1e-9, rel=1e-3)


def test_a_counter_that_stands_still_says_nothing() -> None:
    assert measure(Known("energy", lambda _: 5.0), seconds=0.05).energies() == ()


def test_a_meter_that_is_lost_halfway_has_no_energy_and_never_zero() -> None:
    lost = Known("power", lambda _: 100.0, lambda t: "ok" if t < 0.1 else "lost")
    gone = Known("energy", lambda t: t, lambda t: "ok" if t < 0.1 else "lost")
    assert measure(lost, gone).energies() == ()


def test_a_hiccup_is_flagged_and_bridged() -> None:
    window = measure(Known("power", lambda _: 100.0, nth(20, 22, "stale")), seconds=1.0)
    (energy,) = window.energies()
    assert "stale" in energy.flags
    assert energy.energy_j == pytest.approx(100.0 * (window.end_ns - window.start_ns) * 1e-9, rel=1e-6)


def test_a_missing_meter_says_why_and_the_others_go_on() -> None:
    channels, missing = open_meters({"a": Absent(), "b": Known("power", lambda _: 1.0)}, Part("cpu"), host=True)
    assert [c.capabilities.name for c in channels] == ["b"]
    assert (missing["a"].reason, missing["a"].remedy) == ("it is not there", "buy one")


def test_a_hosts_meters_belong_to_one_rank_only() -> None:
    assert open_meters({"a": Known("power", lambda _: 1.0)}, Part("cpu"), host=False) == ([], {})


def test_a_step_of_the_wall_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    window = measure(Known("power", lambda _: 100.0), seconds=0.1)
    assert window.energies()[0].energy_j == pytest.approx(100.0 * (window.end_ns - window.start_ns) * 1e-9)
    assert window.end_ns - window.start_ns < 1_000_000_000


def test_watts_for_the_progress_line() -> None:
    for meter in (Known("power", lambda _: 42.0), Known("energy", lambda t: 42.0 * t)):
        assert measure(meter).sampler.watts() == pytest.approx(42.0, rel=0.01)
    assert Sampler([]).watts() is None
    assert Sampler([]).fewest_readings(0) is None


class Stuck(Known):
    """Answers every call of its own thread after ``seconds``: an edge of a window comes when it is asked already."""

    def __init__(self, seconds: float, after_s: float = 0.0) -> None:
        super().__init__("power", lambda _: 100.0)
        self.seconds, self.after_s = seconds, after_s

    def read(self) -> Reading:
        start = time.monotonic_ns()
        own = threading.current_thread() is not threading.main_thread()
        if own and (start - self.zero * 1e9) * 1e-9 > self.after_s:
            time.sleep(self.seconds)
        reading = super().read()
        return Reading(reading.mono_ns, reading.mono_ns - start, reading.value)


def test_a_meter_that_hangs_or_slows_holds_up_nothing() -> None:
    began = time.monotonic()
    window = measure(Stuck(30.0, 0.1), Known("power", lambda _: 100.0), seconds=0.4)
    assert time.monotonic() - began < 20
    assert [e.meter for e in window.energies()] == ["1"]


class Raising(Known):
    def read(self) -> Reading:
        if time.monotonic() - self.zero > 0.1:
            raise OSError("cable pulled")
        return super().read()


def test_a_meter_whose_library_raises_is_lost_and_the_case_goes_on() -> None:
    window = measure(Raising("power", lambda _: 100.0), Known("power", lambda _: 100.0), seconds=0.4)
    assert [e.meter for e in window.energies()] == ["1"]
    assert "lost" in window.lost()


def test_a_meter_that_disappears_and_returns_is_flagged_or_absent() -> None:
    gap = Known("power", lambda _: 100.0, nth(30, 32, "lost"))
    hole = Known("power", lambda _: 100.0, lambda t: "lost" if 0.3 < t < 0.6 else "ok")
    window = measure(gap, hole, seconds=1.0)
    (energy,) = window.energies()
    assert (energy.meter, "lost" in energy.flags) == ("0", True)


def test_a_meter_goes_on_after_it_was_paused() -> None:
    channels, _ = open_meters({"a": Known("power", lambda _: 1.0)}, Part("cpu"), host=True)
    with Sampler(channels) as sampler:
        sampler.pause()
        time.sleep(0.1)
        before = len(channels[0].readings)
        time.sleep(0.1)
        assert len(channels[0].readings) <= before + 1
        sampler.resume()
        time.sleep(0.1)
        assert len(channels[0].readings) > before + 3
