from __future__ import annotations

import numpy as np
import pytest

from perwatt.results.size import air


@pytest.mark.parametrize(("rise_k", "expected"), [(10.0, 178.0), (15.0, 119.0), (16.2, 110.0)])
def test_airflow_per_kilowatt(rise_k: float, expected: float) -> None:
    # 26 degrees C at the sea: 1.18 kg/m3
    assert air.cfm(air.flow_m3_s(1e3, rise_k, 26.0, 0.0)) == pytest.approx(expected, rel=0.005)


def test_an_eight_gpu_node_of_10_kw_warms_its_1105_cfm_by_16_and_a_half_kelvin() -> None:
    assert air.cfm(air.flow_m3_s(10.2e3, 16.5, 26.0, 0.0)) == pytest.approx(1105, rel=0.006)


def test_more_air_is_needed_up_high_and_in_the_warm() -> None:
    flow = air.flow_m3_s(1e5, 12.0, np.array([15.0, 25.0, 35.0]), 0.0)
    assert np.all(np.diff(flow) > 0)
    assert air.flow_m3_s(1e5, 12.0, 25.0, 1600.0) / air.flow_m3_s(1e5, 12.0, 25.0, 0.0) == pytest.approx(
        1.213, abs=0.01
    )


def test_impossible_air_is_refused() -> None:
    with pytest.raises(ValueError, match="air rise: found -1; allowed"):
        air.flow_m3_s(1e3, -1.0, 25.0, 0.0)
    with pytest.raises(ValueError, match="altitude_m: found 9000; allowed -500 to 5000"):
        air.flow_m3_s(1e3, 10.0, 25.0, 9000.0)
