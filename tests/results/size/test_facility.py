"""The site at its design hour: what is built, what warnings say, cooling equipment by hand."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from perwatt.results.size import redundancy
from perwatt.results.size.facility import cooling_values, cooling_w
from perwatt.results.size.model import size
from perwatt.results.size.plant import at_design, hour
from tests.fleets_of import MEAN_W, bins, changed_site, entry, exact, figures, measured, over_draws, point, request

GB200 = entry("gb200_nvl72", units=100)


def test_the_design_hour_is_the_20_year_maximum_warmed_and_recirculated() -> None:
    asked = request()
    values = exact(asked, warming_k=1.5, recirculation_k=2.5)
    assert asked.climate.n_year_max_c[20] == 31.0
    assert figures(asked, warming_k=1.5, recirculation_k=2.5)["cooling.design_db"] == pytest.approx(35.0)
    assert values["site.cooling.warming_k"] == 1.5


@pytest.mark.parametrize("made", [entry(units=64, load=measured()), GB200])
def test_what_the_grid_gives_is_it_losses_cooling_and_the_rest(made: object) -> None:
    found = point(request(made)).facility  # type: ignore[arg-type]
    for through in found.through.values():
        losses_w = (through.ups_in_w - through.it_w) + (through.grid_w - through.low_voltage_w)
        assert losses_w > 0
        assert through.grid_w == pytest.approx(through.it_w + losses_w + through.cooling_w + through.other_w, rel=1e-12)
    # and what enters the hall, the pumps and the compressors leaves it through the plant
    design, it_w = found.design, found.through["recommended"].it_w
    inside_w = found.through["recommended"].low_voltage_w - design.fan_w * it_w
    assert design.rejected_w * it_w == pytest.approx(inside_w, rel=1e-9)


def test_heat_balances_in_every_draw() -> None:
    _, found = over_draws(request(GB200), 300)
    through, design = found.facility.through["recommended"], found.facility.design
    inside_w = through.low_voltage_w - design.fan_w * through.it_w
    np.testing.assert_allclose(design.rejected_w * through.it_w, inside_w, rtol=1e-9)


def test_the_ups_is_sized_on_ten_seconds_and_the_grid_on_a_quarter_of_an_hour() -> None:
    load = measured()
    found = point(request(entry(units=64, load=load)), coincidence=1.0, margin=0.1, support_fraction=0.0)
    lines, chain = found.sheet.values(), found.facility.chain
    modules = found.facility.built
    assert lines["power.ups.recommended"] == pytest.approx(
        chain.ups_in_w(64 * 1.18 * MEAN_W * 1.1, modules, design=True)
    )
    assert lines["power.ups.max"] == pytest.approx(chain.ups_in_w(64 * 1.18 * MEAN_W, modules, design=True))
    assert found.facility.through["max"].it_w == pytest.approx(64 * 1.04 * MEAN_W)
    assert lines["power.site.max"] == found.facility.through["max"].grid_w


@pytest.mark.parametrize("topology", ["N+1", "2N", "4N3R"])
def test_counts_of_modules_and_transformers_carry_what_the_lines_say_after_the_fault(topology: str) -> None:
    site = changed_site(electrical={"ups_topology": topology, "transformer_topology": topology})
    asked = request(entry(units=300, load=measured()), site=site)
    found = figures(asked)
    for key in ("ups", "transformer"):
        assert 0 < found[f"redundancy.{key}.normal"] < found[f"redundancy.{key}.fault"] <= 1 + 1e-9, key
    out_w = point(asked).facility.chain.ups_out_w(point(asked).demand.ups_w["recommended"])
    # below the modules' own power factor of 1 they are full by their apparent power
    module_w = found["redundancy.ups.module"] * site.electrical.feed.power_factor.mode
    assert found["redundancy.ups.count"] == redundancy.count(out_w, module_w, topology)  # type: ignore[arg-type]
    assert found["redundancy.ups.normal"] == pytest.approx(out_w / module_w / found["redundancy.ups.count"])


def test_without_a_spare_the_loss_of_the_only_module_leaves_nothing() -> None:
    site = changed_site(electrical={"ups_topology": "N", "ups_module_w": 1e6})
    asked = request(entry(units=4, load=measured()), site=site)
    assert figures(asked)["redundancy.ups.count"] == 1
    line = size(asked, bins(asked.climate)).line("redundancy.ups.fault")
    assert line.value is None
    assert "not carried" in line.basis


def test_all_draws_carry_their_load_after_the_fault() -> None:
    _, found = over_draws(request(entry(units=300, load=measured())), 200)
    lines = found.sheet.values()
    assert np.all(np.asarray(lines["redundancy.ups.fault"]) <= 1 + 1e-9)
    assert np.all(np.asarray(lines["redundancy.transformer.fault"]) <= 1 + 1e-9)


def test_transformers_carry_the_cooling_of_the_design_hour() -> None:
    warm = figures(request(GB200), supply_liquid_c=40.0, carnot_fraction_dry=0.6)
    cold = figures(request(GB200), supply_liquid_c=20.0, carnot_fraction_dry=0.5)
    assert cold["cooling.cooling_power"] > 1.1 * warm["cooling.cooling_power"]
    assert cold["power.transformer.recommended"] - warm["power.transformer.recommended"] == pytest.approx(
        cold["cooling.cooling_power"] - warm["cooling.cooling_power"]
    )
    assert cold["power.ups.recommended"] == pytest.approx(warm["power.ups.recommended"])


def test_the_pue_of_the_design_hour_is_power_before_the_transformers_over_it() -> None:
    found = point(request(GB200))
    through = found.facility.through["recommended"]
    assert found.facility.design.pue == pytest.approx(through.low_voltage_w / through.it_w)
    # what is told has the year's basis: from the grid, over the UPS outputs
    assert found.sheet.values()["cooling.pue_peak"] == pytest.approx(through.grid_w / through.ups_out_w)


def test_the_design_hour_is_the_plants_own_hour() -> None:
    asked = request(GB200)
    found, values = point(asked), exact(asked)
    line = figures(asked)
    expected = hour(line["cooling.design_db"], 23.9, "dry", at_design(cooling_values(values)), found.demand.liquid,
                    found.facility.loss)  # fmt: skip
    it_w = found.demand.site_w["recommended"]
    assert line["cooling.cooling_power"] == pytest.approx(float(np.asarray(cooling_w(expected))) * it_w)
    # a dry plant does not ask for the wet bulb
    assert line["cooling.liquid_heat"] == pytest.approx(found.demand.liquid * it_w)


def test_coolant_flow_is_15_litres_a_minute_and_kw_at_10_k_and_40_degrees() -> None:
    found = figures(request(GB200), supply_liquid_c=40.0, liquid_rise_k=10.0)
    assert found["cooling.liquid_flow_per_kw"] == pytest.approx(1.50, abs=0.01)
    litres = found["cooling.liquid_heat"] / 1e3 * found["cooling.liquid_flow_per_kw"]
    assert found["cooling.liquid_flow"] * 60_000 == pytest.approx(litres)
    assert found["cooling.return"] - found["cooling.supply"] == 10


def test_pipes_and_cdus_are_those_of_a_full_row() -> None:
    # nine racks make a row of eight and a row of one: each row's CDUs and pipe are those of eight
    nine, eight, one = (figures(request(entry("gb200_nvl72", units=n))) for n in (9, 8, 1))
    assert nine["fleet.rows"] == 2
    assert nine["cooling.pipe"] == pytest.approx(eight["cooling.pipe"])
    assert nine["cooling.cdus"] == 2 * eight["cooling.cdus"]
    assert nine["cooling.liquid_flow_rack"] == pytest.approx(one["cooling.liquid_flow_rack"])
    flow = one["cooling.liquid_flow_rack"] / 60_000
    assert eight["cooling.pipe"] == pytest.approx(math.sqrt(4 * 8 * flow / math.pi / 2.0))
    assert one["cooling.pipe"] == pytest.approx(math.sqrt(4 * flow / math.pi / 2.0))
    assert eight["cooling.cdus"] == math.ceil(8 * 132e3 * 0.871 / 1e6) + 1


def test_pipes_and_cdus_carry_the_nameplate_unless_a_cap_is_proven() -> None:
    kw_liquid = 132 * 0.871
    found = point(request(GB200))
    line = found.sheet.values()
    litres = line["cooling.liquid_flow_rack"]
    assert litres == pytest.approx(kw_liquid * line["cooling.liquid_flow_per_kw"])
    assert 170 < litres < 195  # published for the rack
    assert "the nameplate" in found.sheet.entries["cooling.liquid_flow_rack"].basis
    # the plant has the fleet's recommended power, which is less
    assert line["cooling.liquid_flow"] * 60_000 < 100 * litres
    for proof, kw in (("", 132), ("cap held in the run", 125)):
        load = msgspec.structs.replace(GB200.load, cap_w=125e3, cap_proof=proof)
        capped = figures(request(entry("gb200_nvl72", units=100, load=load)))
        assert capped["feeds.rack.load"] == kw * 1e3
        litres = kw * 0.871 * capped["cooling.liquid_flow_per_kw"]
        assert capped["cooling.liquid_flow_rack"] == pytest.approx(litres)


def test_racks_without_liquid_do_not_thin_the_coolant_of_the_others() -> None:
    fleets = (GB200,), (GB200, entry(units=400, load=measured()))
    wet, both = (figures(request(*fleet), support_fraction=0.0) for fleet in fleets)
    for key in ("liquid_heat", "liquid_flow", "liquid_flow_rack", "pipe", "cdus", "ride_through_liquid"):
        assert both[f"cooling.{key}"] == pytest.approx(wet[f"cooling.{key}"]), key
    assert both["cooling.air_heat"] > 2 * wet["cooling.air_heat"]


def test_a_fleet_in_air_has_no_coolant_and_says_so() -> None:
    found = point(request())
    assert found.sheet.values()["cooling.liquid_flow"] is None
    assert "no system of the fleet" in found.sheet.entries["cooling.liquid_flow"].basis
    assert "cooling.cdus" not in found.sheet.entries


def test_air_at_altitude_needs_more_volume() -> None:
    sites = [changed_site(altitude_m=m) for m in (0.0, 1500.0)]  # type: ignore[arg-type]
    low, high = (figures(request(GB200, site=site), support_fraction=0.0) for site in sites)
    assert high["cooling.air_flow"] > 1.15 * low["cooling.air_flow"]
    # machines that state theirs move as much of it, and it warms more
    of_stated = [figures(request(site=site), support_fraction=0.0) for site in sites]
    assert of_stated[1]["cooling.air_flow"] == pytest.approx(of_stated[0]["cooling.air_flow"])
    assert of_stated[1]["cooling.air_rise"] > 1.15 * of_stated[0]["cooling.air_rise"]
    assert low["cooling.air_flow_cfm"] == pytest.approx(low["cooling.air_flow"] * 2118.88, rel=1e-4)


def test_the_margin_to_the_water_class_is_in_kelvin_and_may_be_missed() -> None:
    found = figures(request(GB200), supply_liquid_c=35.0, cdu_approach_k=4.0)
    assert found["cooling.facility_supply"] == 31
    assert found["cooling.water_class_margin"] == 1  # W32
    assert figures(request(GB200), supply_liquid_c=40.0, cdu_approach_k=4.0)["cooling.water_class_margin"] == -4
    free = request(GB200, site=changed_site(cooling={"water_class": "W+"}))
    assert "cooling.water_class_margin" not in figures(free)


def test_a_grid_that_offers_too_little_is_told_by_how_much() -> None:
    asked = request(GB200)
    needed_w = figures(asked)["power.site.recommended"]
    for offered_w, short in ((needed_w - 1e6, True), (needed_w + 1e6, False)):
        site = changed_site(electrical={"available_w": offered_w})
        found = point(request(GB200, site=site))
        told = [finding.text for finding in found.failing if finding.where == "site"]
        assert len(told) == short
        left_w = found.sheet.values()["power.site.left"]
        assert left_w == pytest.approx(-1e6 if short else 1e6)
        if short:
            assert told[0].endswith("short by 1 MW")
    assert "power.site.left" not in figures(asked)


def test_a_plant_or_a_well_too_small_is_told_by_how_much() -> None:
    tower = {"plant": "tower"}
    free = figures(request(GB200, site=changed_site(cooling=tower)))
    limits = {"heat_limit_w": free["cooling.rejected"] - 2e6, "water_limit_m3": free["year.water"] - 1234}
    found = point(request(GB200, site=changed_site(cooling=tower | limits)))
    told = {finding.where: finding.text for finding in found.failing}
    assert told.keys() == {"cooling", "water"}
    assert told["cooling"].startswith("cooling: the plant may reject ")
    assert told["cooling"].endswith(", short by 2 MW")
    assert told["water"].endswith(", short by 1234 m3")
    assert found.sheet.values()["cooling.left"] == pytest.approx(-2e6)
    roomy = {key: 1.01 * (value + 2e6) for key, value in limits.items()}
    assert not point(request(GB200, site=changed_site(cooling=tower | roomy))).failing


def test_a_chiller_behind_the_plant_is_told_with_its_share() -> None:
    warm = point(request(GB200), supply_liquid_c=60.0, supply_air_c=60.0, air_approach_k=0.0)
    assert not warm.facility.warnings
    cold = point(request(GB200), supply_liquid_c=20.0, supply_air_c=20.0)
    (told,) = cold.facility.warnings
    assert told.text.endswith("at the design hour; a chiller behind it carries 100 % of the heat")


def test_heat_through_compressors_at_the_design_hour() -> None:
    dry = point(request(GB200), supply_liquid_c=20.0, supply_air_c=20.0)
    all_of_it = dry.sheet.values()["cooling.chilled"]
    assert all_of_it == pytest.approx(dry.facility.design.chilled_w * dry.facility.through["recommended"].it_w)
    assert all_of_it > 0.9 * dry.facility.through["recommended"].it_w


def test_what_the_modules_of_a_ups_carry_follows_both_power_factors() -> None:
    asked = request(entry(units=300, load=measured()), site=changed_site(electrical={"ups_module_w": 1e6}))
    for load_pf, own_pf, part in ((0.98, 1.0, 0.98), (0.95, 0.9, 1.0), (0.9, 0.9, 1.0), (0.81, 0.9, 0.9)):
        found = figures(asked, power_factor=load_pf, ups_power_factor=own_pf)
        assert found["power.ups.apparent"] == pytest.approx(found["power.ups.output"] / load_pf)
        assert found["redundancy.ups.module_va"] == pytest.approx(1e6 / own_pf)
        by_w = found["power.ups.output"] / 1e6
        by_va = found["power.ups.apparent"] / found["redundancy.ups.module_va"]
        fuller = max(by_w, by_va)
        assert fuller == pytest.approx(by_w / part)
        assert found["redundancy.ups.count"] == math.ceil(fuller) + 1
        assert found["redundancy.ups.normal"] == pytest.approx(fuller / found["redundancy.ups.count"])
        assert found["redundancy.ups.fault"] == pytest.approx(fuller / math.ceil(fuller))


def test_apparent_power_is_real_power_over_the_power_factor() -> None:
    found = figures(request(GB200), power_factor=0.95)
    assert found["power.site.apparent"] == pytest.approx(found["power.site.recommended"] / 0.95)


def test_savings_at_the_site_are_the_columns_difference() -> None:
    found = figures(request(entry(units=64, load=measured())))
    assert found["savings.site.power"] == pytest.approx(found["power.site.nameplate"] - found["power.site.recommended"])
    assert found["savings.site.power"] > 0


@pytest.mark.parametrize(("plant", "told"), [("dry", False), ("tower", True), ("adiabatic", True)])
def test_plants_that_wet_tell_the_hours_above_their_design_wet_bulb(plant: str, told: bool) -> None:
    found = figures(request(site=changed_site(cooling={"plant": plant})))
    assert (found.get("cooling.wet_bulb_above") == 0) == told
