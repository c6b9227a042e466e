"""A year: energies that close in every draw, indicators from them, and what the defaults land at beside LBNL's."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest

from perwatt.results.size.annual import S_PER_H
from perwatt.results.size.parameter import Values
from perwatt.results.size.request import Entry
from perwatt.results.size.weather import column
from tests.fleets_of import MEAN_W, changed_site, entry, figures, measured, over_draws, point, request, site_named_once

GB200 = entry("gb200_nvl72", units=100)
H100 = entry(units=64, load=measured())
REUSE = changed_site(reuse={"fraction": {"mode": 0.25, "min": 0.1, "max": 0.5, "unit": "1", "source": "test"}})
PARTS = ("loss_ups", "loss_transformer", "other", "fans", "pumps", "compressors")
# The figure's names of large halls cooled by liquid, by what stands outside.
SYSTEMS = {
    "dry": "Large | IT liquid cooling: dry cooler (air-cooled chiller)",
    "adiabatic": "Large | IT liquid cooling: dry cooler w adiabatic assist",
    "tower": "Large | IT liquid cooling: waterside economizer (WCC)",
}


def at(value: Values) -> np.ndarray:
    return np.atleast_1d(np.asarray(value, dtype=np.float64))


@pytest.mark.parametrize("plant", ["dry", "adiabatic", "tower", "chiller"])
@pytest.mark.parametrize("draws", [0, 100])
@pytest.mark.parametrize("fleet", [(GB200, H100), (H100,)])
def test_energy_in_is_heat_out_and_reuse(plant: str, draws: int, fleet: tuple[Entry, ...]) -> None:
    site = changed_site(
        cooling={"plant": plant},
        reuse={"fraction": {"mode": 0.7, "min": 0.1, "max": 1.0, "unit": "1", "source": "test"}},
    )
    asked = request(*fleet, site=site)
    year = (over_draws(asked, draws)[1] if draws else point(asked)).year
    it = column(year.it_w)
    # at the grid
    rejected_j = at(year.weather.total(year.plant.rejected_w * it)) * S_PER_H
    outside_j = at(year.weather.total(year.plant.fan_w * it + year.chain.grid_w - year.chain.low_voltage_w)) * S_PER_H
    np.testing.assert_allclose(at(year.edc_j), rejected_j + outside_j, rtol=1e-9)
    # what is handed over is part of what the plant could reject
    reused_j = at(year.reused.ereuse_j)
    assert np.all(reused_j > 0)
    hall_j = at(year.liquid_j) + at(year.air_j)
    np.testing.assert_allclose(reused_j + at(year.reused.rejected_j), hall_j, rtol=1e-9)
    assert np.all(hall_j < rejected_j)
    assert np.all(reused_j < at(year.edc_j))
    # loop by loop, and the air gives nothing while there is heat left in the liquid
    for loop, heat_j in enumerate((year.liquid_j, year.air_j)):
        taken_j, left_j = (at(x)[..., loop] for x in (year.by_loop.source_j, year.by_loop.rejected_j))
        np.testing.assert_allclose(taken_j + left_j, at(heat_j), rtol=1e-9)
        assert np.all((taken_j >= 0) & (left_j >= -1e-9 * at(heat_j)))
    from_air_j, left_liquid_j = at(year.by_loop.source_j)[..., 1], at(year.by_loop.rejected_j)[..., 0]
    assert np.all((from_air_j <= 1e-9 * hall_j) | (left_liquid_j <= 1e-9 * hall_j))
    # the network gets what is handed over and the heat pump's electricity, which is in no EDC
    np.testing.assert_allclose(at(year.reused.delivered_j), reused_j + at(year.reused.pump_j), rtol=1e-9)
    assert np.all(at(year.reused.edc_extra_j) == 0)
    # in the hall: IT and its losses into two loops
    hall_w = year.chain.ups_in_w + year.chain.other_w
    two_w = (year.plant.liquid_w + year.plant.air_w - year.plant.air_fan_w) * it
    np.testing.assert_allclose(*np.broadcast_arrays(at(hall_w), at(two_w)), rtol=1e-9)


def test_the_lines_of_the_year_add_up_to_what_the_grid_gives() -> None:
    for asked in (request(GB200), request(entry(units=64, load=measured())), request(GB200, site="phoenix")):
        found = figures(asked)
        parts_j = sum(found[f"year.{key}"] for key in PARTS)
        it_j = found["year.it_power"] * 8760 * S_PER_H
        assert found["year.edc"] == pytest.approx(it_j + parts_j, rel=1e-9)
        assert all(found[f"year.{key}"] >= 0 for key in PARTS)
        assert found["kpi.pue"] == pytest.approx(found["year.edc"] / found["year.eit"])
        assert found["year.pue_it"] == pytest.approx(found["year.edc"] / it_j)
        assert found["year.pue_it"] > found["kpi.pue"] > 1


def test_the_mean_is_that_of_busy_and_idle_units() -> None:
    asked = request(entry(units=64, load=measured()))
    beside_w = 0.08 * 64 * 10_200  # as much whether they work or idle
    found = figures(asked, utilisation=0.8, idle_w=2000.0)
    assert found["year.it_power"] == pytest.approx(64 * (0.8 * MEAN_W + 0.2 * 2000) + beside_w)
    full = figures(asked, utilisation=1.0)
    assert full["year.it_power"] == pytest.approx(64 * MEAN_W + beside_w)


def test_the_range_of_idling_reaches_the_years_energy() -> None:
    made = entry(units=64, load=measured(uncertainty=0.0))
    steady = msgspec.structs.replace(made, utilisation=msgspec.structs.replace(made.utilisation, min=None, max=None))
    _, found = over_draws(request(steady), 300)
    assert np.ptp(at(found.year.it_w)) > 0.02 * MEAN_W * 64


def test_water_and_carbon_follow_their_factors() -> None:
    dry, wet = figures(request(GB200)), figures(request(GB200, site=changed_site(cooling={"plant": "tower"})))
    assert (dry["year.water"], dry["kpi.wue"]) == (0, 0)
    # m3 per MWh at the UPS output
    assert wet["kpi.wue"] == pytest.approx(wet["year.water"] / (wet["year.eit"] / 3.6e9))
    assert 0.5 < wet["kpi.wue"] < 3
    assert dry["kpi.co2"] == pytest.approx(dry["year.edc"] / 3.6e6 * 0.1144)
    assert dry["kpi.cue"] == pytest.approx(dry["kpi.pue"] * 0.1144)


def test_reuse_is_a_part_of_the_halls_heat_and_lowers_ere() -> None:
    plain, reused = figures(request(GB200)), figures(request(GB200, site=REUSE))
    assert reused["kpi.heat.available"] == reused["kpi.heat.liquid"] + reused["kpi.heat.air"]
    assert reused["kpi.heat.handed_over"] == pytest.approx(0.25 * reused["kpi.heat.available"])
    assert reused["kpi.heat.liquid_handed_over"] == pytest.approx(reused["kpi.heat.handed_over"])
    assert reused["kpi.heat.air_handed_over"] == 0
    assert reused["kpi.erf"] == pytest.approx(reused["kpi.heat.handed_over"] / reused["year.edc"])
    assert reused["kpi.ere"] == pytest.approx(reused["kpi.pue"] * (1 - reused["kpi.erf"]))
    assert reused["kpi.pue"] == pytest.approx(plain["kpi.pue"])
    assert (plain["kpi.erf"], plain["kpi.heat.handed_over"]) == (0, 0)
    assert reused["kpi.heat.delivered"] == pytest.approx(reused["kpi.heat.handed_over"] + reused["kpi.heat.pump"])
    # facility water back 4 below the coolant at 45: 41, an exchanger takes 2; cooled by 10, condensed at 3 above
    assert reused["kpi.heat.liquid_temperature"] == pytest.approx(39)
    assert reused["kpi.heat.liquid_cop"] == pytest.approx(0.5 * (75.5 + 273.15) / (75.5 - 29))


def test_heat_in_air_alone_is_lifted_from_the_water_of_its_handlers() -> None:
    found = figures(request(H100, site=REUSE))
    # water of 25 - 4, warmer by 8, an exchanger takes 2
    assert found["kpi.heat.air_temperature"] == pytest.approx(27)
    cop = 0.5 * (75.5 + 273.15) / (75.5 - 19)
    assert found["kpi.heat.air_cop"] == pytest.approx(cop)
    assert found["kpi.heat.handed_over"] == pytest.approx(0.25 * found["kpi.heat.air"])
    assert found["kpi.heat.pump"] == pytest.approx(found["kpi.heat.handed_over"] / (cop - 1))
    assert found["kpi.erf"] == pytest.approx(found["kpi.heat.handed_over"] / found["year.edc"])
    # all that enters the hall: IT, what is lost on its way, light, and the fans that blow it
    assert found["kpi.heat.air"] > found["year.it_power"] * 8760 * S_PER_H + found["year.loss_ups"]
    assert not [key for key in found if key.startswith("kpi.heat.liquid")]


@pytest.mark.parametrize("plant", ["outside_air", "indirect_air"])
def test_a_plant_by_air_has_no_water_that_a_network_could_take_the_airs_heat_from(plant: str) -> None:
    site = changed_site(cooling={"plant": plant}, reuse={"fraction": {"mode": 0.95, "unit": "1", "source": "test"}})
    found = figures(request(GB200, site=site))
    assert found["kpi.heat.air"] > 0
    assert found["kpi.heat.air_handed_over"] == 0
    assert found["kpi.heat.handed_over"] == found["kpi.heat.liquid_handed_over"] == found["kpi.heat.liquid"]
    assert "kpi.heat.air_cop" not in found


def test_the_air_fills_up_what_the_liquid_does_not_give() -> None:
    site = changed_site(reuse={"fraction": {"mode": 0.95, "unit": "1", "source": "test"}})
    found = figures(request(GB200, site=site))
    assert found["kpi.heat.liquid_handed_over"] == pytest.approx(found["kpi.heat.liquid"])
    from_air_j = 0.95 * found["kpi.heat.available"] - found["kpi.heat.liquid"]
    assert found["kpi.heat.air_handed_over"] == pytest.approx(from_air_j)
    assert from_air_j > 0
    by_loop_j = [
        found[f"kpi.heat.{loop}_handed_over"] / (found[f"kpi.heat.{loop}_cop"] - 1) for loop in ("liquid", "air")
    ]
    assert found["kpi.heat.pump"] == pytest.approx(sum(by_loop_j))


def test_a_limit_on_water_says_what_is_left() -> None:
    site = changed_site(cooling={"plant": "tower", "water_limit_m3": 1000.0})
    found = figures(request(GB200, site=site))
    assert found["year.water_left"] == pytest.approx(1000 - found["year.water"])
    assert "year.water_left" not in figures(request(GB200))


def test_chiller_hours_lie_within_the_year_and_grow_as_the_supply_cools() -> None:
    hours = [figures(request(GB200), supply_liquid_c=c)["year.chiller_hours"] for c in (15.0, 25.0, 45.0)]
    assert 8760 >= hours[0] > hours[1] >= hours[2] > 0
    free = figures(request(GB200), supply_liquid_c=60.0, supply_air_c=60.0, air_approach_k=0.0)
    assert (free["year.chiller_hours"], free["year.free_share"], free["year.compressors"]) == (0, 1, 0)
    # warm water needs no chiller where the air beside it does
    mixed = figures(request(GB200), supply_liquid_c=60.0, supply_air_c=20.0)
    assert mixed["year.chiller_hours_liquid"] == 0 < mixed["year.chiller_hours"]
    cold = figures(request(GB200), supply_liquid_c=15.0, supply_air_c=60.0, air_approach_k=0.0)
    assert cold["year.chiller_hours_liquid"] == cold["year.chiller_hours"] > 4000
    assert "year.chiller_hours_liquid" not in figures(request())


def test_a_warmer_year_needs_more() -> None:
    cool, warm = (figures(request(entry(units=64, load=measured())), warming_k=k) for k in (0.5, 2.5))
    assert warm["kpi.pue"] > cool["kpi.pue"]
    assert warm["year.edc"] > cool["year.edc"]
    assert warm["year.it_power"] == cool["year.it_power"]
    assert cool["year.pue_hottest"] > cool["kpi.pue"]


def test_work_is_counted_while_units_work_and_over_all_that_the_site_takes() -> None:
    load = measured(work_per_s=2.0e15, work_unit="FLOP")
    site = changed_site(cooling={"plant": "tower"})
    found = figures(request(entry(units=64, load=load), site=site), utilisation=0.8)
    assert found["work.FLOP.year"] == pytest.approx(64 * 2.0e15 * 0.8 * 8760 * 3600)
    assert found["work.FLOP.per_joule"] == pytest.approx(found["work.FLOP.year"] / found["year.edc"])
    assert found["work.FLOP.per_mwh"] == pytest.approx(found["work.FLOP.per_joule"] * 3.6e9)
    assert found["work.FLOP.per_m3"] == pytest.approx(found["work.FLOP.year"] / found["year.water"])
    assert not [key for key in figures(request()) if key.startswith("work.")]


@pytest.mark.parametrize("plant", sorted(SYSTEMS))
def test_the_years_pue_of_the_defaults_lies_between_lbnls_quartiles(plant: str, data: Path) -> None:
    with (data / "lbnl2024_fig4_4_pue_digitised.csv").open() as file:
        rows = {row["system"]: (float(row["q1"]), float(row["q3"])) for row in csv.DictReader(file)}
    low, high = rows[SYSTEMS[plant]]
    # large halls, busy all year; LBNL divides by what the machines take, behind the distribution
    made = entry("gb200_nvl72", units=1000)
    found = []
    for name in ("copenhagen", "billund", "karup", "odum", "helsinki", "stockholm", "granada", "phoenix"):
        site = site_named_once(name)
        site = msgspec.structs.replace(site, cooling=msgspec.structs.replace(site.cooling, plant=plant))
        found.append(figures(request(made, site=site), utilisation=1.0)["year.pue_it"])
    assert low <= found[0] <= high
    assert low <= np.mean(found) <= high
