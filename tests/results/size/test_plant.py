from __future__ import annotations

import csv
import functools
from importlib.resources import files
from pathlib import Path

import climates
import msgspec
import numpy as np
import plant_years
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import epw, plant, weather
from perwatt.results.size.loop import BY_AIR, PLANTS
from perwatt.results.size.parameter import Floats, Values, leaves
from perwatt.results.size.site import Cooling

SHIPPED = yaml.safe_load((files("perwatt.conf") / "site_defaults/eu.yaml").read_text(encoding="utf-8"))
P: dict[str, Values] = {name: leaf.mode for name, leaf in leaves(msgspec.convert(SHIPPED["cooling"], Cooling))}
LIQUID, ELECTRICAL = 0.8, 0.05
# LBNL's figure of halls cooled by liquid, by what stands outside: the year's PUE must fall between its quartiles.
SYSTEMS = {
    "dry": "Large | IT liquid cooling: dry cooler (air-cooled chiller)",
    "adiabatic": "Large | IT liquid cooling: dry cooler w adiabatic assist",
    "tower": "Large | IT liquid cooling: waterside economizer (WCC)",
}

temperatures = st.floats(-20, 45)
depressions = st.floats(0, 20)
fractions = st.floats(0, 1)
plants = st.sampled_from(PLANTS)


def at(db_c: Values, wb_c: Values, kind: str, liquid: Values = LIQUID, **changes: Values) -> plant.Hour:
    return plant.hour(db_c, wb_c, kind, {**P, **changes}, liquid, ELECTRICAL)


def test_a_cold_hour_of_a_dry_plant_by_hand() -> None:
    hour = at(0.0, -1.0, "dry", pump=0.01, air_fan=0.02, dry_fan=0.02)
    air = (0.2 + 0.05) * 1.02
    rejected = (0.8 + air) * 1.01
    assert hour.compressor_w == 0
    assert hour.rejected_w == pytest.approx(rejected)
    assert hour.pue == pytest.approx(1 + 0.05 + 0.25 * 0.02 + (0.8 + air) * 0.01 + rejected * 0.02)
    assert (hour.free_fraction, hour.reachable, hour.water_l_per_kwh) == (1, 1, 0)


def test_a_chiller_by_hand() -> None:
    hour = at(40.0, 20.0, "chiller", 1.0, hx_approach_k=2.0, cdu_approach_k=4.0, supply_liquid_c=35.0,
              dry_condenser_k=12.0, supply_air_c=35.0, air_approach_k=4.0, carnot_fraction_dry=0.55, pump=0.02,
              air_fan=0.03)  # fmt: skip
    cop = 0.55 * (29 + 273.15) / (52 - 29)
    assert hour.compressor_w == pytest.approx((1 + ELECTRICAL * 1.03) * 1.02 / cop)
    assert hour.free_fraction == 0
    assert np.isnan(hour.source_liquid_c)


def test_a_tower_with_its_chiller_by_hand() -> None:
    # all heat in the air: 25 - 4 - 2 = 19 degrees C are needed, the tower offers 24 + 4 = 28, and all of it is chilled
    own = functools.partial(at, 35.0, 24.0, "tower", 0.0, supply_air_c=25.0, air_approach_k=4.0, hx_approach_k=2.0,
                            tower_approach_k=4.0, tower_condenser_k=6.0, carnot_fraction=0.5, pump=0.01,
                            air_fan=0.02)  # fmt: skip
    hour = own(cop_max=99.0)
    cop = 0.5 * (19 + 273.15) / (34 - 19)
    assert hour.chilled_w == pytest.approx(1.05 * 1.02 * 1.01)
    assert hour.compressor_w == pytest.approx(hour.chilled_w / cop)
    assert own(cop_max=4.0).compressor_w == pytest.approx(hour.chilled_w / 4)
    assert own(cop_max=99.0, cop_max_dry=2.0, carnot_fraction_dry=0.1) == hour


def test_a_tower_evaporates_what_was_published() -> None:
    # 3.6 / 2.43 * 0.9 * 5 / 4 = 1.67 L per kWh of heat
    hour = at(20.0, 12.0, "tower", cycles=5.0, latent_share=0.9)
    assert hour.water_l_per_kwh / hour.rejected_w == pytest.approx(1.67, abs=0.005)


def test_the_ambient_takes_what_it_can_of_the_return_and_a_chiller_the_rest() -> None:
    # coolant of 45 to 55, water needed at 41: a dry cooler at 36 + 8 cools the return of 51 by 7 of 10 K
    def trim(db_c: float, share: float = 1.0) -> Values:
        return at(db_c, 20.0, "dry", supply_liquid_c=45.0, cdu_approach_k=4.0, hx_approach_k=0.0, dry_approach_k=8.0,
                  liquid_rise_k=10.0, trim_share=share).trim_liquid  # fmt: skip

    assert trim(36.0) == pytest.approx(0.3)
    assert trim(33.0) == 0
    assert trim(43.0) == 1
    assert trim(36.0, 0.5) == pytest.approx(0.6)


def test_wet_pads_start_when_the_dry_cooler_falls_short() -> None:
    db = np.linspace(0, 40, 801)
    hour = at(db, db - 12, "adiabatic", 1.0)
    edge = P["supply_liquid_c"] - P["cdu_approach_k"] - P["hx_approach_k"] - P["dry_approach_k"]
    assert np.all(np.diff(hour.water_l_per_kwh) >= -1e-12)
    wet = hour.source_liquid_c < at(db, db - 12, "dry", 1.0).source_liquid_c - 1e-9
    np.testing.assert_array_equal(wet, db > edge + 1e-9)
    assert np.all(hour.pue <= at(db, db - 12, "dry", 1.0).pue + 1e-12)


def test_pads_wet_as_much_air_as_what_carries_the_heat_takes() -> None:
    def own(db_c: float, rise_k: float) -> plant.Hour:
        return at(db_c, db_c - 15, "adiabatic", 0.0, supply_air_c=25.0, air_approach_k=4.0, hx_approach_k=0.0,
                  air_water_rise_k=rise_k, air_rise_k=30.0, adiabatic_effectiveness=0.8, dry_approach_k=6.0,
                  dry_condenser_k=12.0, condenser_effectiveness=0.6, cycles=5.0)  # fmt: skip

    # 21 degrees C are needed. At 40, pads cool by 12 K, coolers would offer 34: all of it goes through a condenser,
    # whose air warms by 7.2 K, however much the water does
    hot = own(40.0, 5.0)
    assert hot.free_fraction == 0
    assert hot.water_l_per_kwh == pytest.approx(3.6 / 2.43 * 12 / 7.2 * 5 / 4 * hot.rejected_w)
    assert own(40.0, 12.0).water_l_per_kwh == pytest.approx(hot.water_l_per_kwh)
    # at 20 they cool by the 5 K that are short, and no chiller helps
    mild = own(20.0, 5.0)
    assert mild.free_fraction == 1
    assert mild.water_l_per_kwh == pytest.approx(3.6 / 2.43 * 5 / 5 * 5 / 4 * mild.rejected_w)
    assert own(20.0, 10.0).water_l_per_kwh == pytest.approx(mild.water_l_per_kwh / 2)


def test_the_design_hour_takes_full_fans_and_pumps() -> None:
    hour, mean = (plant.hour(10.0, 5.0, "tower", p, LIQUID, ELECTRICAL) for p in (plant.at_design(P), P))
    assert hour.pump_w == pytest.approx(1.43 * mean.pump_w)
    assert hour.fan_w / hour.rejected_w == pytest.approx(0.027)
    assert (hour.air_fan_w, hour.compressor_w) == (mean.air_fan_w, 0)


def test_a_warm_coolant_is_reached_where_a_cold_one_is_not() -> None:
    assert at(25.0, 17.0, "dry", supply_liquid_c=45.0).reachable == 1
    assert at(25.0, 17.0, "dry", supply_liquid_c=30.0).reachable == 0
    # the supply that the ambient alone would hold, asked for, is just reached
    offered = at(25.0, 17.0, "dry").source_liquid_c
    assert at(25.0, 17.0, "dry", supply_liquid_c=offered + 1e-6).reachable == 1
    assert at(25.0, 17.0, "dry", supply_liquid_c=offered - 1e-3).reachable == 0


@settings(max_examples=150, deadline=None)
@given(plants, temperatures, depressions, fractions, st.floats(0, 0.2), fractions)
def test_all_that_enters_is_rejected(
    kind: str, db: float, under: float, liquid: float, electrical: float, in_hall: float
) -> None:
    hour = plant.hour(db, db - under, kind, P, liquid, electrical, electrical * in_hall)
    outside = electrical * (1 - in_hall)
    assert hour.rejected_w == pytest.approx(hour.pue - outside - hour.fan_w)
    assert hour.pue == pytest.approx(
        1 + hour.electrical_w + hour.air_fan_w + hour.pump_w + hour.compressor_w + hour.fan_w
    )
    assert hour.liquid_w + hour.air_w == pytest.approx(1 + electrical * in_hall + hour.air_fan_w)
    assert hour.pue > 1
    assert min(hour.compressor_w, hour.water_l_per_kwh, hour.free_fraction) >= 0
    assert 0 <= hour.chilled_w <= (hour.liquid_w + hour.air_w + hour.pump_w) * (1 + 1e-12)


@settings(max_examples=150, deadline=None)
@given(plants, temperatures, depressions, fractions, st.floats(0, 15))
def test_warmer_air_never_takes_less(kind: str, db: float, under: float, liquid: float, warmer: float) -> None:
    cool, warm = (at(t, t - under, kind, liquid) for t in (db, db + warmer))
    assert warm.pue >= cool.pue - 1e-12
    assert warm.free_fraction <= cool.free_fraction + 1e-12
    if kind not in BY_AIR:  # those humidify dry air in winter, and close at their hottest
        assert warm.water_l_per_kwh >= cool.water_l_per_kwh - 1e-12


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([kind for kind in PLANTS if kind not in BY_AIR]), st.floats(15, 45), depressions, fractions,
       fractions)  # fmt: skip
def test_more_liquid_never_takes_more_where_the_air_needs_water_too(
    kind: str, db: float, under: float, a: float, b: float
) -> None:
    less, more = sorted((a, b))
    assert at(db, db - under, kind, more).pue <= at(db, db - under, kind, less).pue + 1e-12


@settings(max_examples=100, deadline=None)
@given(plants, temperatures, depressions, st.floats(25, 50), st.floats(0, 10))
def test_a_warmer_coolant_never_takes_more(kind: str, db: float, under: float, supply: float, warmer: float) -> None:
    cold, warm = (at(db, db - under, kind, supply_liquid_c=t) for t in (supply, supply + warmer))
    assert warm.pue <= cold.pue + 1e-12


def test_pue_does_not_leap_with_the_weather() -> None:
    db = np.arange(-10, 45, 0.01)
    for kind in PLANTS:
        assert np.max(np.abs(np.diff(at(db, db - 8.0, kind).pue))) < 5e-4


def _draws(n: int) -> dict[str, Values]:
    rng = np.random.default_rng(3)
    parameters = dict(leaves(msgspec.convert(SHIPPED["cooling"], Cooling)))
    return {name: leaf.draw(rng, n) for name, leaf in parameters.items()}


@pytest.mark.parametrize("kind", PLANTS)
def test_draws_at_once_are_draws_one_by_one(kind: str) -> None:
    p, share = _draws(7), np.linspace(0.7, 0.9, 7)
    year = weather.shifted(weather.of(climates.climate()), np.linspace(0, 3, 7))
    design = np.linspace(30, 40, 7)
    whole = plant_years.year(year, kind, p, share, ELECTRICAL, design, 22.0)
    for i in range(7):
        one = {name: float(np.asarray(value)[i]) for name, value in p.items()}
        hours = weather.Weather(year.db_c[i], year.wb_c[i], year.hours)
        alone = plant_years.year(hours, kind, one, float(share[i]), ELECTRICAL, float(design[i]), 22.0)
        for figure in ("pue", "wue", "pue_peak", "free_hours", "liquid_free_hours"):
            assert isinstance(getattr(alone, figure), float)
            assert np.broadcast_to(getattr(whole, figure), 7)[i] == pytest.approx(getattr(alone, figure)), figure


def test_a_year_is_the_mean_of_its_hours_and_its_peak_the_design_hour() -> None:
    hours = weather.of(climates.climate())
    year = plant_years.year(hours, "dry", P, LIQUID, ELECTRICAL, 35.0, 23.9)
    cold, warm = at(5.5, 4.0, "dry"), at(20.5, 16.0, "dry")
    assert year.pue == pytest.approx((8000 * cold.pue + 760 * warm.pue) / 8760)
    assert year.pue_peak == pytest.approx(at(35.0, 23.9, "dry").pue)
    assert year.pue_peak > year.pue
    assert (year.free_hours, year.liquid_free_hours) == (8000, 8760)
    parts = ("electrical_w", "air_fan_w", "pump_w", "compressor_w", "fan_w")
    assert 1 + sum(getattr(year.mean, part) for part in parts) == pytest.approx(year.pue)


def test_bins_stand_for_their_hours() -> None:
    dry, humidity = climates.made_up(12.0)
    wet = epw.wet_bulb_c(dry, humidity / 100, np.full(8760, 101325.0))
    hours = weather.Weather(dry, wet, np.ones(8760))
    for kind in PLANTS:
        by_hours, by_bins = (
            plant_years.year(w, kind, P, LIQUID, ELECTRICAL, 35.0, 24.0) for w in (hours, weather.binned(hours))
        )
        assert by_bins.pue == pytest.approx(by_hours.pue, abs=5e-4)
        assert by_bins.wue == pytest.approx(by_hours.wue, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("ice", {}, "plant: found 'ice'; allowed dry, adiabatic, tower, chiller, outside_air, indirect_air"),
        ("dry", {"liquid": 1.1}, "liquid_fraction: found 1.1; allowed 0 to 1"),
        ("dry", {"electrical": -0.1}, "electrical losses: found -0.1; allowed"),
        ("dry", {"wb": 31.0}, "dry bulb over wet bulb in K: found -1; allowed"),
        ("dry", {"pump": -0.01}, "cooling.pump: found -0.01; allowed 0 to 1"),
        ("tower", {"cycles": np.array([5.0, 1.0])}, "cooling.cycles: found 1; allowed 1.01 to 1000"),
    ],
)
def test_what_cannot_be_is_refused(kind: str, changes: dict[str, float], message: str) -> None:
    own = {"wb": 20.0, "liquid": LIQUID, "electrical": ELECTRICAL} | changes
    p = {**P, **{name: value for name, value in own.items() if name in P}}
    with pytest.raises(ValueError, match=message):
        plant.hour(30.0, own["wb"], kind, p, own["liquid"], own["electrical"])


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match="cooling: found no pump"):
        plant.hour(30.0, 20.0, "dry", {name: value for name, value in P.items() if name != "pump"}, 0.8, 0.05)


@pytest.mark.parametrize("kind", SYSTEMS)
def test_the_years_pue_lies_between_the_published_quartiles(kind: str, data: Path) -> None:
    with (data / "lbnl2024_fig4_4_pue_digitised.csv").open() as file:
        quartiles = {row["system"]: (float(row["q1"]), float(row["q3"])) for row in csv.DictReader(file)}
    low, high = quartiles[SYSTEMS[kind]]
    chain = SHIPPED["electrical"]
    kept = [chain[key]["mode"] for key in ("ups_efficiency", "transformer_efficiency")]
    electrical = 1 / (np.prod(kept) * (1 - chain["distribution_loss"]["mode"])) - 1 + chain["other"]["mode"]
    years = {name: _year(hours, kind, float(electrical)) for name, hours in climates.stations(data).items()}
    copenhagen = next(year for name, year in years.items() if "Copenhagen" in name)
    assert low <= copenhagen.pue <= high
    assert low <= np.mean([year.pue for year in years.values()]) <= high
    if kind == "tower":  # the same report: 1.96 L/kWh; within 15 %
        assert np.mean([year.wue for year in years.values()]) == pytest.approx(1.96, rel=0.15)
    assert years["USA_AZ_Phoenix"].pue == max(year.pue for year in years.values())


def _year(hours: weather.Weather, kind: str, electrical: float) -> plant_years.Year:
    hottest: Floats = np.max(hours.db_c)
    return plant_years.year(hours, kind, P, LIQUID, electrical, float(hottest) + 8.0, float(np.max(hours.wb_c)) + 3.0)
