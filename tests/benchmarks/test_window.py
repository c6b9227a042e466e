"""Windows over meters of known truth: energies, edges, failures, and the thread that polls."""

from __future__ import annotations

import time

import pytest
from known_meter import Known

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Unavailable
from perwatt.benchmarks.window import Sampler, Window, open_meters


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
    window = measure(Known("power", lambda _: 100.0, lambda t: "stale" if 0.15 < t < 0.165 else "ok"), seconds=1.0)
    (energy,) = window.energies()
    assert "stale" in energy.flags
    assert energy.energy_j == pytest.approx(100.0 * (window.end_ns - window.start_ns) * 1e-9, rel=1e-6)


def test_a_missing_meter_says_why_and_the_others_go_on() -> None:
    channels, missing = open_meters({"a": Absent(), "b": Known("power", lambda _: 1.0)}, Part("cpu"), host=True)
    assert [c.capabilities.name for c in channels] == ["known_power"]
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
