"""Transients of all units in step: a unit's times their number, and what cannot be seen said, never guessed."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from perwatt.results.size.dynamics import FLOORS, SHOWN, bound, dynamics
from perwatt.results.size.parameter import Floats
from perwatt.results.size.site import Grid
from perwatt.results.size.sizing import Line, Series
from tests.fleets_of import entry, measured, site_named_once

HIGH, LOW = 8000.0, 4000.0


def square(step_s: float = 1.0, seconds: float = 600.0, period_s: float = 20.0) -> tuple[Floats, Floats]:
    t = np.arange(0.0, seconds, step_s)
    return t, np.where(t % period_s < period_s / 2, HIGH, LOW)


def grid(ramp_w_s: float | None = None) -> Grid:
    return msgspec.structs.replace(site_named_once("copenhagen").grid, ramp_w_s=ramp_w_s)


def found(
    units: int = 10, training: float = 1.0, ramp_w_s: float | None = None, where: str = "", step_s: float = 1.0
) -> tuple[dict[str, Line], dict[str, Series]]:
    made = entry(units=units, load=measured(), training=training)
    lines, curves = dynamics(made, where, *square(step_s), grid(ramp_w_s))
    return {line.key: line for line in lines}, {curve.name: curve for curve in curves}


def test_ramps_are_those_of_all_units_in_step() -> None:
    lines, _ = found(units=10)
    assert lines["transients.ramp_up.1"].value == pytest.approx(10 * (HIGH - LOW))
    assert lines["transients.ramp_down.1"].value == pytest.approx(10 * (HIGH - LOW))
    assert lines["transients.ramp_up.1.share"].value == pytest.approx(0.5)
    assert lines["transients.ramp_up.5"].value == pytest.approx(10 * (HIGH - LOW) / 5)
    assert (lines["transients.ramp_up.1"].unit, lines["transients.ramp_up.1"].kind) == ("W/s", "modelled")
    one, _ = found(units=1)
    assert one["transients.ramp_up.1"].kind == "measured"
    # what cannot be seen was measured by nobody
    assert one["transients.ramp_up.0.1"].kind == "modelled"


def test_only_the_part_in_step_ramps_together() -> None:
    whole, half = found(units=10)[0], found(units=10, training=0.45)[0]
    assert half["transients.ramp_up.1"].value == pytest.approx(5 / 10 * (whole["transients.ramp_up.1"].value or 0))
    assert half["transients.ramp_up.1"].basis.endswith("5 units in step")
    assert found(training=0.0) == ({}, {})


def test_a_window_below_the_period_is_not_observable_and_says_so() -> None:
    lines, curves = found()
    line = lines["transients.ramp_up.0.1"]
    assert line.value is None
    assert line.basis.startswith("not observable")
    assert "0.1 s" in curves["ramps"].note
    fast, _ = found(step_s=0.05)
    assert fast["transients.ramp_up.0.1"].value == pytest.approx(10 * (HIGH - LOW) / 0.1)


def test_the_swing_between_two_levels() -> None:
    lines, _ = found(units=10)
    assert lines["transients.swing.range"].value == pytest.approx(10 * (HIGH - LOW), rel=0.01)
    assert lines["transients.swing.period"].value == pytest.approx(20)
    assert lines["transients.swing.duty"].value == pytest.approx(0.5, abs=0.01)


def test_the_spectrum_shows_the_observable_band_alone() -> None:
    lines, curves = found(units=10, step_s=0.1)
    # 0.05 Hz lies below the band; of a square wave its odd harmonics are in it
    assert lines["transients.spectrum.peak"].value == pytest.approx(0.15, abs=0.03)
    assert max(curves["spectrum"].x) <= 5.0
    one, many = found(units=1, step_s=0.1), found(units=10, step_s=0.1)
    assert many[0]["transients.spectrum.rms"].value == pytest.approx(
        10 * (one[0]["transients.spectrum.rms"].value or 0)
    )
    densities = [np.array(curves["spectrum"].y["all units in step"]) for _, curves in (one, many)]
    np.testing.assert_allclose(densities[1], 100 * densities[0])


def test_a_floor_takes_of_the_swing_and_costs_energy() -> None:
    lines, _ = found(units=10)
    left = [lines[f"transients.floor.{100 * share:.0f}.range"].value for share in FLOORS]
    extra = [lines[f"transients.floor.{100 * share:.0f}.extra"].value for share in FLOORS]
    assert left == pytest.approx([10 * (HIGH - max(LOW, share * HIGH)) for share in FLOORS])
    mean = (HIGH + LOW) / 2
    assert extra == pytest.approx([(max(LOW, share * HIGH) - LOW) / 2 / mean for share in FLOORS], abs=1e-3)


def test_a_ramp_limit_asks_for_storage_and_a_tighter_one_for_more() -> None:
    loose, tight = (found(units=10, ramp_w_s=limit)[0] for limit in (8000.0, 2000.0))
    assert "transients.storage.capacity" not in found()[0]
    capacity = [lines["transients.storage.capacity"].value or 0 for lines in (loose, tight)]
    assert 0 < capacity[0] < capacity[1]
    assert "losses of the storage come on top" in loose["transients.storage.capacity"].basis
    none = found(units=10, ramp_w_s=1e6)[0]
    assert none["transients.storage.trace"].value == pytest.approx(0, abs=1e-6)


def test_a_job_that_starts_or_stops_asks_for_storage_though_the_trace_holds_neither() -> None:
    made = entry(units=10, load=measured())
    t = np.arange(0.0, 600.0)
    lines, _ = dynamics(made, "", t, np.full(600, HIGH), grid(2000.0))
    by_key = {line.key: line.value for line in lines}
    assert made.system.idle_w is not None
    step_w = 10 * (HIGH - made.system.idle_w.mode)
    assert by_key["transients.storage.trace"] == pytest.approx(0, abs=1e-6)
    assert by_key["transients.storage.capacity"] == pytest.approx(step_w**2 / 2 / 2000.0)
    assert by_key["transients.storage.power"] == pytest.approx(step_w)


def test_a_step_takes_its_square_over_twice_the_limit() -> None:
    t = np.arange(0.0, 600.0)
    made = entry(units=10, load=measured())
    lines, _ = dynamics(made, "", t, np.where(t < 300, LOW, HIGH), grid(2000.0))
    by_key = {line.key: line.value for line in lines}
    assert by_key["transients.storage.trace"] == pytest.approx((10 * (HIGH - LOW)) ** 2 / 2 / 2000.0, rel=0.1)


def test_the_trace_is_drawn_for_all_units_and_thinned_where_it_is_long() -> None:
    _, curves = found(units=10)
    assert max(curves["trace"].y["NVIDIA DGX H100"]) == 10 * HIGH
    assert curves["trace"].note == "node.csv"
    _, long = found(units=10, step_s=0.01)
    assert SHOWN <= len(long["trace"].x) < 2 * SHOWN
    assert "is drawn" in long["trace"].note
    assert len(long["trace"].x) == len(long["trace"].y["NVIDIA DGX H100"])


def test_the_name_of_an_entry_stands_in_the_keys() -> None:
    lines, _ = found(where=".dgx_h100")
    assert all(key.startswith("transients.dgx_h100.") for key in lines)


def test_a_trace_of_one_level_has_no_swing() -> None:
    made = entry(load=measured())
    t = np.arange(0.0, 100.0)
    lines, _ = dynamics(made, "", t, np.full(100, 5000.0), grid())
    swing = next(line for line in lines if line.key == "transients.swing.range")
    assert swing.value is None
    assert "one level" in swing.basis


def test_without_a_trace_the_step_from_idle_to_the_highest_is_a_bound_and_says_so() -> None:
    made = entry("dgx_h100", units=10)
    idle_w, most_w = made.system.idle_w, made.system.vendor_max_w
    assert idle_w is not None
    step, share = bound(made, "", grid())
    assert (step.key, step.value) == ("transients.bound.step", pytest.approx(10 * (most_w.mode - idle_w.mode)))
    assert share.value == pytest.approx(1 - idle_w.mode / most_w.mode)
    assert all(line.label.startswith("bound, not measured") and line.kind == "modelled" for line in (step, share))
    assert bound(msgspec.structs.replace(made, training=0.0), "", grid(1e5)) == ()


def test_a_ramp_limit_asks_for_storage_without_a_trace_too() -> None:
    made = entry("dgx_h100", units=10)
    step, _, storage, power = bound(made, "", grid(2e4))
    assert step.value is not None
    assert (storage.key, storage.unit) == ("transients.bound.storage", "J")
    assert storage.value == pytest.approx(step.value**2 / (2 * 2e4))
    assert (power.key, power.value) == ("transients.bound.storage_power", step.value)
    assert "0.02 MW/s" in storage.basis
    assert storage.label.startswith("bound, not measured")
    # nobody asked: no line
    assert len(bound(made, "", grid())) == 2
