"""Seconds without cooling: by hand, and the shorter loop governs."""

from __future__ import annotations

import numpy as np
import pytest

from perwatt.results.size.ride_through import seconds
from tests.fleets_of import entry, figures, measured, over_draws, point, request

GB200 = entry("gb200_nvl72", units=100)
MASSES = {"thermal_mass_j_k": 150e3, "ride_through_rise_k": 10.0, "air_thermal_mass_j_k": 60e3,
          "air_ride_through_rise_k": 12.0}  # fmt: skip


def test_of_a_rack() -> None:
    # 150 kJ/K over 10 K against 132 kW
    assert seconds(132e3, 150e3, 10.0) == pytest.approx(11.4, abs=0.05)
    np.testing.assert_array_equal(seconds(np.array([1.0, 0.0]), 2.0, 3.0), [6.0, np.inf])
    with pytest.raises(ValueError, match="heat: found -1; allowed"):
        seconds(-1.0, 2.0, 3.0)


def test_each_loop_has_its_own_seconds_and_the_shorter_governs() -> None:
    found = figures(request(GB200), **MASSES)
    liquid_s = 100 * 1.5e6 / found["cooling.liquid_heat"]
    air_s = 100 * 720e3 / found["cooling.air_heat"]
    assert found["cooling.ride_through_liquid"] == pytest.approx(liquid_s)
    assert found["cooling.ride_through_air"] == pytest.approx(air_s)
    assert found["cooling.ride_through"] == found["cooling.ride_through_liquid"] < found["cooling.ride_through_air"]
    stuffy = point(request(GB200), **{**MASSES, "air_thermal_mass_j_k": 10e3})
    assert air_s / 6 < liquid_s
    assert stuffy.sheet.values()["cooling.ride_through"] == pytest.approx(air_s / 6)
    assert stuffy.sheet.entries["cooling.ride_through"].basis.endswith("the air")


def test_a_hall_of_air_alone_has_the_airs() -> None:
    found = figures(request(entry(units=64, load=measured())), **MASSES)
    assert "cooling.ride_through_liquid" not in found
    assert found["cooling.ride_through"] == found["cooling.ride_through_air"]
    assert found["cooling.ride_through"] == pytest.approx(16 * 720e3 / found["cooling.air_heat"])


def test_racks_of_air_warm_their_air_not_the_coolant_of_others() -> None:
    wet, both = (figures(request(*fleet), **MASSES) for fleet in ((GB200,), (GB200, entry(units=400, load=measured()))))
    assert both["cooling.ride_through_liquid"] == pytest.approx(wet["cooling.ride_through_liquid"])
    assert both["cooling.ride_through_air"] == pytest.approx(200 * 720e3 / both["cooling.air_heat"])


def test_the_shorter_is_so_in_every_draw() -> None:
    _, found = over_draws(request(GB200), 100)
    lines = found.sheet.values()
    both = np.minimum(lines["cooling.ride_through_liquid"], lines["cooling.ride_through_air"])
    np.testing.assert_array_equal(lines["cooling.ride_through"], both)
    assert np.ptp(both) > 1
