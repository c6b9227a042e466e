"""Air of a hall and of its racks: stated flows by hand, rises that follow, what is warmer than a machine stands."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from perwatt.results.size.fitting import warnings
from perwatt.results.size.fluid import air
from perwatt.results.size.model import size
from tests.fleets_of import bins, changed_site, entry, figures, over_draws, point, request

H100 = entry(units=64)
GB200 = entry("gb200_nvl72", units=100)
CFM = 0.3048**3 / 60


def celsius(mode: float, low: float, high: float) -> dict[str, object]:
    return {"mode": mode, "min": low, "max": high, "unit": "degC", "source": "test"}


def test_a_rack_moves_what_its_machines_state_and_the_rise_follows() -> None:
    found = figures(request(H100), air_bypass=0.05, support_fraction=0.0)
    assert found["cooling.air_flow_rack"] == pytest.approx(4 * 1105, rel=1e-3)
    rho, cp = air(25.0, request().climate.altitude_m)
    rise = 40800 / (rho * cp * 4 * 0.5215)
    assert found["cooling.air_rise_rack"] == pytest.approx(rise)
    assert 16.0 < rise < 16.8  # 16.2 as published, 16.5 at 1.18 kg/m3
    assert found["cooling.air_flow"] == pytest.approx(64 * 0.5215 * 1.05)
    heat_w = rho * cp * found["cooling.air_flow"] * found["cooling.air_rise"]
    assert heat_w == pytest.approx(found["cooling.air_heat"])
    # switches and storage move air of their own, at the site's rise
    more = figures(request(H100), air_bypass=0.05, support_fraction=0.1, air_rise_k=12.0)
    own = more["cooling.air_flow"] - found["cooling.air_flow"]
    beside_w, units_w = 0.1 * 64 * 10_200, point(request(H100)).demand.entry_w["dgx_h100"]
    assert own == pytest.approx(more["cooling.air_heat"] * beside_w / (beside_w + units_w) / (rho * cp * 12))


def test_machines_that_state_no_flow_have_their_own_rise_or_the_sites() -> None:
    rho, cp = air(25.0, request().climate.altitude_m)
    own = figures(request(entry("gaudi3_node", units=8)), air_bypass=0.1, support_fraction=0.0)
    assert own["cooling.air_rise"] == pytest.approx(15 / 1.1)
    of_site = figures(request(GB200), air_rise_k=12.0, air_bypass=0.1)
    assert of_site["cooling.air_rise"] == pytest.approx(12.0)
    rack_w = 132e3 * (1 - 0.871)
    assert of_site["cooling.air_flow_rack"] * CFM == pytest.approx(rack_w / (rho * cp * 12))
    assert figures(request(GB200), liquid_fraction=1.0, support_fraction=0.0)["cooling.air_rise"] == 12


def test_in_every_draw_the_air_carries_its_heat_and_more_bypass_moves_more() -> None:
    values, found = over_draws(request(H100, GB200), 200)
    lines = found.sheet.values()
    rho, cp = air(values["site.cooling.supply_air_c"], request().climate.altitude_m)
    carried_w = rho * cp * np.asarray(lines["cooling.air_flow"]) * np.asarray(lines["cooling.air_rise"])
    np.testing.assert_allclose(carried_w, np.asarray(lines["cooling.air_heat"]))
    tight, open_ = (figures(request(H100, GB200), air_bypass=part) for part in (0.0, 0.2))
    assert open_["cooling.air_flow"] > tight["cooling.air_flow"]
    assert open_["cooling.air_rise"] < tight["cooling.air_rise"]


def test_air_warmer_than_a_machine_stands_is_told_at_the_likeliest_and_in_its_share_of_the_draws() -> None:
    hot = changed_site(cooling={"supply_air_c": celsius(32, 32, 32)})
    (line,) = warnings(H100.system, hot)
    assert line.startswith("air: supplied at 32 degrees C, 2 K warmer than NVIDIA DGX H100 stands (30: NVIDIA DGX H100")
    assert warnings(H100.system, msgspec.structs.replace(hot, altitude_m=1500.0))[0].startswith(
        "air: supplied at 32 degrees C, 4 K warmer than NVIDIA DGX H100 stands at 1500 m (30: "
    )
    some = changed_site(cooling={"supply_air_c": celsius(27, 22, 32)})
    asked = msgspec.structs.replace(request(H100, site=some), draws=400)
    assert warnings(H100.system, some) == []
    (told,) = (line for line in size(asked, bins(asked.climate)).warnings if "supply air" in line)
    # above 30 of a triangle from 22 by 27 to 32: (2 / 10)^2 x 2 = 8 %
    assert "air: supply air is up to" in told
    share = float(told.split(" in ")[-1].partition(" %")[0])
    assert share == pytest.approx(8, abs=3)


def test_coolant_and_facility_water_too_warm_in_some_draws_are_told_with_their_share() -> None:
    warm = changed_site(cooling={"supply_liquid_c": celsius(35, 30, 40), "water_class": "W32"})
    asked = msgspec.structs.replace(request(GB200, site=warm), draws=400)
    told = {line.split(":")[1].strip(): line for line in size(asked, bins(asked.climate)).warnings
            if line.startswith("gb200_nvl72: ") and "of the draws" in line}  # fmt: skip
    assert told.keys() == {"coolant", "water"}
    assert "K warmer than NVIDIA GB200 NVL72 stands in " in told["coolant"]
    assert "K warmer than class W32 allows in " in told["water"]
    cool = changed_site(cooling={"supply_liquid_c": celsius(28, 27, 29), "water_class": "W32"})
    asked = msgspec.structs.replace(request(GB200, site=cool), draws=100)
    assert not [line for line in size(asked, bins(asked.climate)).warnings if line.startswith("gb200_nvl72: ")]
