"""What is ordered for cooling: heat that balances loop by loop, capacities by hand, and units that carry it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perwatt.results.size import liquid
from perwatt.results.size.loop import LATENT_HEAT_MJ_KG
from tests.fleets_of import changed_site, entry, figures, measured, over_draws, point, request

GB200 = entry("gb200_nvl72", units=100)
AIR = entry(units=64, load=measured())
PLANTS = ("dry", "adiabatic", "tower", "chiller")  # those with water in both loops


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("supply_c", [18.0, 33.0, 60.0])
def test_heat_balances_in_each_loop_and_in_both(plant: str, supply_c: float) -> None:
    asked = request(GB200, AIR, site=changed_site(cooling={"plant": plant}))
    found = figures(asked, supply_liquid_c=supply_c)
    for loop in ("liquid", "air"):
        own = {key.rpartition(".")[2]: value for key, value in found.items() if key.startswith(f"cooling.{loop}.")}
        assert own["condensers"] == pytest.approx(own["chilled"] + own["compressors"])
        moved_w = found[f"cooling.{loop}_heat"] * (1 + point(asked).facility.design.pump_w / (1 + _loss(asked)))
        assert own["rejected"] == pytest.approx(moved_w + own["compressors"], rel=1e-9)
        assert ("free" in own) == (plant != "chiller")
        assert own.get("free", 0.0) + own["condensers"] == pytest.approx(own["rejected"], rel=1e-9)
        assert all(value >= 0 for value in own.values())
        assert (f"redundancy.coolers_{loop}.count" in found) == (plant != "chiller")
    for key, total in (("rejected", "cooling.rejected"), ("chilled", "cooling.chilled")):
        both = found[f"cooling.liquid.{key}"] + found[f"cooling.air.{key}"]
        assert both == pytest.approx(found[total], rel=1e-9, abs=1e-3), key
    assert ("cooling.make_up" in found) == (plant in ("adiabatic", "tower"))


def _loss(asked: object) -> float:
    """Heat of both loops over the IT load, less 1."""
    design = point(asked).facility.design  # type: ignore[arg-type]
    return float(design.liquid_w + design.air_w - 1)


def test_chillers_carry_all_of_a_loop_that_the_ambient_does_not_reach_and_nothing_else() -> None:
    # 35 degrees C outside and 8 K of approach: coolant of 60 needs no chiller, air of 25 needs it whole
    found = figures(request(GB200), supply_liquid_c=60.0, supply_air_c=25.0, pump=0.015, pump_at_design=1.0,
                    hx_approach_k=2.0)  # fmt: skip
    assert (found["cooling.liquid.chilled"], found["cooling.liquid.compressors"]) == (0, 0)
    assert found["cooling.liquid.free"] == found["cooling.liquid.rejected"]
    assert (found["redundancy.chillers_liquid.count"], found["redundancy.chillers_liquid.fault"]) == (0, 0)
    assert found["cooling.air.chilled"] == pytest.approx(1.015 * found["cooling.air_heat"])
    # water of 25 - 4 - 2 = 19, condenser 12 over 35
    assert found["cooling.air.plant_supply"] == 19
    cop = 0.55 * (19 + 273.15) / (35 + 12 - 19)
    assert found["cooling.air.compressors"] == pytest.approx(found["cooling.air.chilled"] / cop)


def test_a_towers_make_up_and_blow_down_by_hand() -> None:
    found = figures(request(AIR, site=changed_site(cooling={"plant": "tower"})), cycles=4.0, latent_share=0.9)
    evaporated_m3_s = found["cooling.rejected"] * 0.9 / (LATENT_HEAT_MJ_KG * 1e6) / 1000
    assert found["cooling.make_up"] == pytest.approx(evaporated_m3_s * 4 / 3)
    assert found["cooling.blow_down"] == pytest.approx(evaporated_m3_s / 3)


def test_pads_have_water_for_the_driest_hot_hour_and_for_any_of_the_year() -> None:
    for place in ("phoenix", "helsinki"):
        for plant in ("adiabatic", "outside_air", "indirect_air"):
            asked = request(AIR, site=changed_site(place, cooling={"plant": plant}))
            found, year = point(asked), figures(asked)
            it_w = float(found.demand.site_w["recommended"])
            bins = float(np.max(found.year.plant.water_l_per_kwh))
            design = float(found.facility.design.water_l_per_kwh)
            assert year["cooling.make_up"] * 3.6e9 / it_w >= max(bins, design) * (1 - 1e-9)
            assert year["cooling.make_up"] > 0
    # Phoenix at 51.7 degrees C: its wet bulb there is below the extreme one, and pads take more
    assert year["cooling.design_wb"] < year["cooling.design_db"]


def test_units_of_each_loop_and_air_handlers_are_those_of_their_groups() -> None:
    sizes = {"cooler_w": 4e5, "chiller_w": 3e5, "plant_group_w": 1e6, "plant_topology": "N+1",
             "crah_w": 5e4, "crah_group_w": 2e5, "crah_topology": "N+2"}  # fmt: skip
    found = figures(request(GB200, site=changed_site(cooling=sizes)))
    for key, load_w, unit_w, of_group, spare in (
        ("coolers_liquid", found["cooling.liquid.rejected"], 4e5, 2, 1),
        ("chillers_air", found["cooling.air.chilled"], 3e5, 3, 1),
        ("crahs", found["cooling.air_heat"], 5e4, 4, 2),
    ):
        groups = math.ceil(load_w / (of_group * unit_w))
        each = math.ceil(load_w / groups / unit_w) + spare
        assert groups > 1
        assert found[f"redundancy.{key}.count"] == groups * each, key
        assert found[f"redundancy.{key}.normal"] == pytest.approx(load_w / (groups * each * unit_w)), key
        assert found[f"redundancy.{key}.fault"] == pytest.approx(load_w / (groups * (each - spare) * unit_w)), key


def test_in_every_draw_units_carry_their_load_after_the_fault() -> None:
    warm = {"supply_liquid_c": {"mode": 45, "min": 35, "max": 50, "unit": "degC", "source": "test"}}
    _, found = over_draws(request(GB200, AIR, site=changed_site(cooling=warm)), 200)
    lines = found.sheet.values()
    for key in ("coolers_liquid", "coolers_air", "chillers_liquid", "chillers_air", "crahs"):
        count, fault = (np.asarray(lines[f"redundancy.{key}.{end}"]) for end in ("count", "fault"))
        assert np.all(count == np.round(count)), key
        assert np.all(fault <= 1 + 1e-9), key
    # in some draws the coolant needs no chiller, in others it does
    some = np.asarray(lines["cooling.liquid.chilled"]) > 0
    assert 0 < some.sum() < 200
    np.testing.assert_array_equal(np.asarray(lines["redundancy.chillers_liquid.count"]) > 0, some)


def test_water_of_the_air_handlers_rises_no_higher_than_the_air() -> None:
    found = figures(request(GB200), supply_air_c=25.0, air_approach_k=4.0, air_water_rise_k=8.0, air_rise_k=12.0)
    assert (found["cooling.air.water_supply"], found["cooling.air.water_return"]) == (21, 29)
    flow = liquid.flow_m3_s(found["cooling.air_heat"], 8.0, "PG25", 21.0)
    assert found["cooling.air.water_flow"] == pytest.approx(flow)
    hot = figures(request(GB200), supply_air_c=25.0, air_approach_k=4.0, air_water_rise_k=20.0, air_rise_k=12.0)
    assert hot["cooling.air.water_return"] == 37


def test_a_hall_of_air_alone_orders_nothing_for_a_coolant() -> None:
    found = figures(request(AIR))
    assert not [key for key in found if ".liquid." in key or (key.startswith("redundancy.") and "liquid" in key)]
    assert found["redundancy.crahs.count"] > 1
