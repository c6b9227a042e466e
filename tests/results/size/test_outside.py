"""Halls cooled by outside air: psychrometrics beside psychrolib, cases by hand, balances, published years."""

from __future__ import annotations

import functools

import msgspec
import numpy as np
import psychrolib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size.facility import cooling_values
from perwatt.results.size.loop import BY_AIR, LATENT_HEAT_MJ_KG, MJ_PER_KWH
from perwatt.results.size.outside import SEA_LEVEL_PA, air_loop, humidity, need_c, saturated
from perwatt.results.size.parameter import Values
from perwatt.results.size.plant import hour
from tests.fleets_of import entry, exact, figures, over_draws, request, site_named_once

plants = st.sampled_from(BY_AIR)
temperatures = st.floats(-25, 45)
depressions = st.floats(0.0, 1.0)


@functools.cache
def defaults() -> dict[str, Values]:
    return cooling_values(exact(request()))


def at(plant: str, db_c: Values, wb_c: Values, heat_w: Values = 1.0, **changed: Values) -> dict[str, Values]:
    values = {**defaults(), "supply_air_c": 25.0, "air_fan": 0.0, "air_rise_k": 12.0, **changed}
    return air_loop(db_c, wb_c, plant, values, heat_w)._asdict()


def wet_bulb(db_c: float, dryness: float) -> float:
    """Between that of dry air and that of fog, as ``dryness`` goes from 1 to 0."""
    psychrolib.SetUnitSystem(psychrolib.SI)
    return float(psychrolib.GetTWetBulbFromRelHum(db_c, 1 - 0.97 * dryness, SEA_LEVEL_PA))


@pytest.mark.parametrize(("db_c", "wb_c"), [(30, 20), (10, 9), (0.5, -1), (-10, -10.5), (40, 18), (20, 20)])
def test_humidity_is_psychrolibs(db_c: float, wb_c: float) -> None:
    psychrolib.SetUnitSystem(psychrolib.SI)
    expected = psychrolib.GetHumRatioFromTWetBulb(db_c, wb_c, SEA_LEVEL_PA)
    assert humidity(db_c, wb_c) == pytest.approx(expected, rel=2e-3, abs=1e-6)
    assert saturated(12.3) == pytest.approx(psychrolib.GetSatHumRatio(12.3, SEA_LEVEL_PA), rel=1e-3)


def test_cold_air_is_mixed_and_takes_no_water() -> None:
    found = at("outside_air", 5.0, 3.5)
    assert (found["trim"], found["water_l_per_kwh"], found["compressor_w"], found["fan_w"]) == (0, 0, 0, 0)
    assert found["rejected_w"] == 1


def test_pads_evaporate_what_the_air_takes_up_by_psychrolib() -> None:
    found = at("outside_air", 32.0, 19.0, cycles=1e3)
    psychrolib.SetUnitSystem(psychrolib.SI)
    # 25 degrees C with the same wet bulb: the difference of moisture, in the air that carries a kWh over 12 K
    before, after = (psychrolib.GetHumRatioFromTWetBulb(t, 19.0, SEA_LEVEL_PA) for t in (32.0, 25.0))
    kg_air = 3.6e6 / (1006 * 12)
    assert found["trim"] == 0
    assert found["water_l_per_kwh"] == pytest.approx(kg_air * (after - before), rel=0.03)


def test_what_pads_leave_a_coil_trims() -> None:
    # effectiveness 0.75 of 8 K is 6 K: 34 - 6 = 28, 3 of the 12 K are left
    found = at("outside_air", 34.0, 26.0, adiabatic_effectiveness=0.75, dew_point_max_c=40.0, trim_share=1.0,
               air_approach_k=4.0, dry_condenser_k=12.0, carnot_fraction_dry=0.5, dry_fan=0.02)  # fmt: skip
    assert found["trim"] == pytest.approx(0.25)
    cop = 0.5 * (21 + 273.15) / (34 + 12 - 21)
    assert found["compressor_w"] == pytest.approx(0.25 / cop)
    assert found["rejected_w"] == pytest.approx(1 + 0.25 / cop)
    assert found["fan_w"] == pytest.approx(0.02 * (0.25 + 0.25 / cop))
    without = at("outside_air", 34.0, 26.0, adiabatic_effectiveness=0.0, dew_point_max_c=40.0, trim_share=1.0)
    assert without["trim"] == pytest.approx(0.75)
    assert without["water_l_per_kwh"] == 0


def test_too_humid_air_is_dried_or_stays_outside_and_too_dry_air_is_humidified() -> None:
    damp = at("outside_air", 28.0, 25.0, dew_point_max_c=21.0, trim_share=1.0)
    latent_k = (humidity(28.0, 25.0) - saturated(21.0)) * LATENT_HEAT_MJ_KG * 1e6 / 1006
    assert (damp["trim"], damp["water_l_per_kwh"]) == (pytest.approx((28 - 25 + latent_k) / 12), 0)
    shut = at("outside_air", 30.0, 28.0, dew_point_max_c=17.0)
    assert (shut["trim"], shut["water_l_per_kwh"]) == (1, 0)
    assert at("outside_air", 28.0, 25.0, dew_point_max_c=26.0)["trim"] < damp["trim"]
    # -15 degrees C at 50 %: brought up to a dew point of -9, in as much outside air as the heat asks for
    wb_c = wet_bulb(-15.0, 0.5 / 0.97)
    found = at("outside_air", -15.0, wb_c, dew_point_min_c=-9.0, cycles=1e3)
    moist = saturated(-9.0) - humidity(-15.0, wb_c)
    let_in = 12 / (37 + 15 + moist * LATENT_HEAT_MJ_KG * 1e6 / 1006)
    kg_air = 3.6e6 / (1006 * 12) * let_in
    assert found["water_l_per_kwh"] == pytest.approx(kg_air * moist, rel=2e-3)
    assert at("outside_air", -15.0, wb_c, dew_point_min_c=-50.0)["water_l_per_kwh"] == 0


def test_plates_hold_the_supply_up_to_what_they_and_their_sprays_leave() -> None:
    # of 12 K over plates of 0.6: outside air of 37 - 20 = 17 degrees C or less
    plates = functools.partial(at, "indirect_air", exchanger_effectiveness=0.6, trim_share=1.0)
    assert plates(17.0, 17.0)["trim"] == pytest.approx(0, abs=1e-12)
    assert plates(27.0, 27.0)["trim"] == pytest.approx(0.5)
    sprayed = plates(27.0, 17.0, adiabatic_effectiveness=1.0, cycles=1e3)
    assert sprayed["trim"] == pytest.approx(0, abs=1e-12)
    assert sprayed["water_l_per_kwh"] == pytest.approx(MJ_PER_KWH / LATENT_HEAT_MJ_KG * 10 / 12, rel=2e-3)


def test_fans_warm_the_air_that_they_blow() -> None:
    assert need_c({"supply_air_c": 25.0, "air_rise_k": 12.6, "air_fan": 0.05}) == pytest.approx(24.4)


@settings(deadline=None, max_examples=60)
@given(plants, temperatures, depressions, st.floats(0, 1), st.floats(0, 0.2))
def test_energy_is_kept_and_nothing_is_negative(
    plant: str, db_c: float, dryness: float, liquid: float, loss: float
) -> None:
    found = hour(db_c, wet_bulb(db_c, dryness), plant, defaults(), liquid, loss)
    for name, value in found._asdict().items():
        assert name == "source_liquid_c" or float(np.asarray(value)) >= 0, name
    entered = 1 + loss + found.air_fan_w + found.pump_w + found.compressor_w
    assert found.rejected_w == pytest.approx(entered, rel=1e-12)
    assert found.pue == pytest.approx(entered + found.fan_w, rel=1e-12)
    assert found.pump_w == pytest.approx(liquid * defaults()["pump"])
    assert found.chilled_w <= found.rejected_w


@settings(deadline=None, max_examples=60)
@given(plants, temperatures, depressions, st.floats(0.1, 10))
def test_a_warmer_hour_never_asks_for_less_of_the_compressor(
    plant: str, db_c: float, dryness: float, more_k: float
) -> None:
    # at the same humidity: the air is only warmer
    psychrolib.SetUnitSystem(psychrolib.SI)
    wb_c = wet_bulb(db_c, dryness)
    ratio = psychrolib.GetHumRatioFromTWetBulb(db_c, wb_c, SEA_LEVEL_PA)
    wetter_c = psychrolib.GetTWetBulbFromHumRatio(db_c + more_k, ratio, SEA_LEVEL_PA)
    cool, warm = at(plant, db_c, wb_c, dew_point_max_c=60.0), at(plant, db_c + more_k, wetter_c, dew_point_max_c=60.0)
    assert warm["trim"] >= cool["trim"] - 0.02
    assert warm["compressor_w"] >= cool["compressor_w"] - 0.005


def test_a_year_of_odense_is_what_is_published_of_such_halls() -> None:
    # Meta: 1.08 over all its centres in 2023, 1.09 in those finished in 2021, 1.07 in Lulea's first tests; Odense was
    # designed for 1.12 (DCD Awards 2020). Stated before: likeliest within 0.02 of 1.08, published within the band.
    asked = request(entry(units=2000), site="odense")
    likeliest = figures(asked)
    assert likeliest["kpi.pue"] == pytest.approx(1.08, abs=0.02)
    assert 0 < likeliest["kpi.wue"] < 0.26  # Meta's centres finished in 2021, most of them in drier places
    _, found = over_draws(asked, 300)
    low, high = np.quantile(np.asarray(found.sheet.values()["kpi.pue"]), [0.05, 0.95])
    assert low < 1.07
    assert high > 1.12


def test_coolant_keeps_its_dry_coolers_beside_outside_air() -> None:
    site = site_named_once("copenhagen")
    by_air = msgspec.structs.replace(site, cooling=msgspec.structs.replace(site.cooling, plant="outside_air"))
    dry, free = (figures(request(entry("gb200_nvl72", 100), site=of)) for of in (site, by_air))
    for key in ("liquid.rejected", "liquid.chilled", "liquid.compressors"):
        assert free[f"cooling.{key}"] == pytest.approx(dry[f"cooling.{key}"]), key
    assert free["redundancy.coolers_liquid.count"] == dry["redundancy.coolers_liquid.count"]
    assert not {"redundancy.coolers_air.count", "cooling.air.water_flow"} & free.keys()
    assert free["year.pumps"] < dry["year.pumps"]
    assert free["kpi.pue"] < dry["kpi.pue"]
