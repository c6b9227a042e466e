from __future__ import annotations

import math

import numpy as np
import pytest

from perwatt.results.size import liquid


@pytest.mark.parametrize(("rise_k", "expected"), [(8.0, 1.87), (10.0, 1.50), (12.0, 1.25), (15.0, 1.00)])
def test_specific_flow_of_glycol_at_40_degrees(rise_k: float, expected: float) -> None:
    assert liquid.l_min_per_kw(rise_k, "PG25", 40.0) == pytest.approx(expected, abs=0.005)


def test_a_rack_of_115_kw_takes_173_litres_a_minute() -> None:
    flow = liquid.flow_m3_s(115e3, 10.0, "PG25", 40.0)
    assert flow * liquid.LITRE_PER_MINUTE == pytest.approx(172.5, rel=0.005)


def test_flow_carries_the_heat_it_was_asked_for() -> None:
    heat = np.array([1e3, 2e5, 3e6])
    rho, cp = liquid.coolant("water", 30.0)
    np.testing.assert_allclose(liquid.flow_m3_s(heat, 7.0, "water", 30.0) * rho * cp * 7.0, heat, rtol=1e-12)


def test_pump_takes_more_than_it_gives() -> None:
    assert liquid.pump_w(0.025, 250e3, 0.65) == pytest.approx(9615.4, abs=0.1)
    with pytest.raises(ValueError, match=r"pump efficiency: found 1.2; allowed 0 to 1"):
        liquid.pump_w(0.025, 250e3, 1.2)
    with pytest.raises(ValueError, match=r"pump efficiency: found 0; allowed"):
        liquid.pump_w(0.025, 250e3, np.array([0.5, 0.0]))


def test_pipe_passes_its_flow_at_its_velocity() -> None:
    bore = liquid.pipe_diameter_m(0.025, 2.0)
    assert math.pi / 4 * bore**2 * 2.0 == pytest.approx(0.025)
    assert bore == pytest.approx(0.1262, abs=1e-4)


def test_nominal_size_is_never_too_narrow() -> None:
    np.testing.assert_array_equal(liquid.nominal_size(np.array([0.001, 0.1, 0.1001, 0.1262])), [15, 100, 125, 150])
    assert liquid.nominal_size(2.0) == 2000
    assert math.isnan(float(liquid.nominal_size(2.1)))


def test_a_rise_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="liquid rise: found 0; allowed"):
        liquid.flow_m3_s(1e3, np.array([10.0, 0.0]), "PG25", 40.0)


def test_water_classes() -> None:
    assert liquid.class_limit_c("W32") == 32.0
    assert liquid.class_limit_c("W+") == math.inf
    with pytest.raises(ValueError, match="water_class: found 'W33'; allowed W17"):
        liquid.class_limit_c("W33")
