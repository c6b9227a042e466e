"""The workbook beside the model: what an edited cell moves in the one, the same input moves in the other."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping

import msgspec
import pytest
import sizings

from perwatt.results.reports import sizing_chain, sizing_xlsx
from perwatt.results.size.model import size
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.request import Request
from tests.fleets_of import bins, changed_site, entry, figures, measured, request
from tests.workbooks import Calculated

YELLOW = "FFFFF3B8"  # of a cell that may be edited

openpyxl = pytest.importorskip("openpyxl")
pytest.importorskip("xlsxwriter")


def workbook(asked: Request) -> bytes:
    """The workbook of what ``asked`` comes to."""
    return sizing_xlsx.render(size(asked, bins(asked.climate)))


def handed_over(fraction: float) -> dict[str, object]:
    """A site's use of that part of its heat."""
    return {"fraction": {"mode": fraction, "unit": "1", "kind": "given", "source": "test"}}


def mixed() -> Request:
    """Measured nodes and published racks of two kinds in one place, some of each alone, heat handed over."""
    return request(
        entry("dgx_h100", 64, measured(), training=0.5),
        entry("gb200_nvl72", 9),
        entry("dgx_b200", 30, support_fraction=Parameter(0.12, "1", "test")),
        site=changed_site(reuse=handed_over(0.2)),
    )


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(entry(units=191, load=measured())),
        request(entry("gb200_nvl72", 100), site="phoenix"),
        mixed(),
    ],
    ids=["published", "measured", "racks", "mixed"],
)
def test_what_the_model_says_the_formulas_say(asked: Request) -> None:
    sizing = size(asked, bins(asked.climate))
    book, calculated = sizing_chain.build(sizing), Calculated(sizing_xlsx.render(sizing))
    names = [cell.name for cell in (*book.given, *book.computed, *book.bins)] + list(book.names.values())
    assert len(names) == len(set(names))
    reported = {cell.name: cell.reported for cell in book.computed if isinstance(cell.reported, int | float)}
    assert {"it_w", "site_in_w", "ups_units", "transformer_units", "it_mean_w", "edc_mwh", "pue"} <= reported.keys()
    for name, value in reported.items():
        assert calculated.named(name) == pytest.approx(value, rel=1e-3), name


# Cells of the workbook by the lines that they come to, in the unit of the cell.
PAIRS = {"site_in_w": "power.site.recommended", "ups_module_w": "redundancy.ups.module",
         "transformer_va": "redundancy.transformer.rating", "ups_units": "redundancy.ups.count",
         "transformer_units": "redundancy.transformer.count", "rack_a": "feeds.rack.failover",
         "row_a": "feeds.row.failover", "rejected_w": "cooling.rejected", "chilled_w": "cooling.chilled",
         "cooling_w": "cooling.cooling_power", "pue_peak": "cooling.pue_peak", "liquid_l_min": "cooling.liquid_flow",
         "make_up_l_min": "cooling.make_up",
         "air_m3_h": "cooling.air_flow", "rack_l_min": "cooling.liquid_flow_rack", "pipe_mm": "cooling.pipe",
         "pump_w": "cooling.pump", "cdus": "cooling.cdus", "ride_through_s": "cooling.ride_through",
         "liquid_coolers": "redundancy.coolers_liquid.count", "air_coolers": "redundancy.coolers_air.count",
         "liquid_chillers": "redundancy.chillers_liquid.count", "air_chillers": "redundancy.chillers_air.count",
         "crahs": "redundancy.crahs.count", "it_mean_w": "year.it_power", "edc_mwh": "year.edc", "eit_mwh": "year.eit",
         "loss_ups_mwh": "year.loss_ups", "loss_transformer_mwh": "year.loss_transformer", "fans_mwh": "year.fans",
         "pumps_mwh": "year.pumps", "compressors_mwh": "year.compressors", "win_m3": "year.water",
         "chiller_h": "year.chiller_hours", "free_share": "year.free_share", "pue": "kpi.pue", "wue": "kpi.wue",
         "cue": "kpi.cue", "erf": "kpi.erf", "ere": "kpi.ere", "co2_kg": "kpi.co2",
         "delivered_mwh": "kpi.heat.delivered"}  # fmt: skip
FACTORS = {"mwh": 1 / 3.6e9, "min": 60_000.0, "h": 3600.0, "mm": 1000.0}
PLAIN = ("rack_l_min", "chiller_h")  # the lines are in the unit of the cell


def same(calculated: Calculated, model: Mapping[str, float]) -> dict[str, float]:
    """Assert that each cell comes to its line; the cells."""
    found = {}
    for name, key in PAIRS.items():
        if key in model:
            found[name] = calculated.named(name)
            factor = 1.0 if name in PLAIN else FACTORS.get(name.rpartition("_")[2], 1.0)
            # heat capacities of the coolant are linear between steps of 5 K
            assert found[name] == pytest.approx(model[key] * factor, rel=1e-4, abs=1e-9), name
    return found


RATED = {"ups_module_w": 1e6, "transformer_va": 2.5e6}


@pytest.fixture(scope="module")
def wet_model() -> tuple[bytes, Request]:
    """100 racks with liquid and air that hand heat over, of stated ratings: the workbook, and what was asked."""
    asked = request(entry("gb200_nvl72", 100), site=changed_site(electrical=RATED, reuse=handed_over(0.9)))
    return workbook(asked), asked


@pytest.fixture(scope="module")
def before(wet_model: tuple[bytes, Request]) -> dict[str, float]:
    """The cells of that workbook as it was written."""
    return same(Calculated(wet_model[0]), figures(wet_model[1]))


@pytest.mark.parametrize(
    ("end", "own", "value"),
    [
        ("mean_fraction", "mean_fraction", 0.7),
        ("peak_over_mean", "peak_over_mean", 1.1),
        ("electrical.margin", "margin", 0.2),
        ("electrical.growth", "growth_share", 0.1),
        ("electrical.coincidence", "coincidence", 0.95),
        ("electrical.distribution_loss", "distribution_loss", 0.03),
        ("ups_efficiency", "ups_efficiency", 0.94),
        ("ups_module_w", "ups_module_w", 1.5e6),
        ("transformer_va", "transformer_va", 1.6e6),
        ("transformer_efficiency", "transformer_efficiency", 0.98),
        ("utilisation", "utilisation", 0.5),
        ("idle_w", "idle_w", 3000.0),
        ("carbon_g_kwh", "carbon_g_kwh", 300.0),
        ("feed.power_factor", "power_factor", 0.9),
        ("electrical.other", "other", 0.02),
        ("support_fraction", "support_fraction", 0.13),
        ("nameplate_w", "nameplate_w", 150_000.0),
        ("liquid_fraction", "liquid_fraction", 0.6),
        ("supply_liquid_c", "supply_liquid_c", 27.0),
        ("supply_air_c", "supply_air_c", 20.0),
        ("liquid_rise_k", "liquid_rise_k", 7.0),
        ("air_rise_k", "air_rise_k", 16.0),
        ("cdu_approach_k", "cdu_approach_k", 9.0),
        ("hx_approach_k", "hx_approach_k", 5.0),
        ("dry_approach_k", "dry_approach_k", 14.0),
        ("dry_condenser_k", "dry_condenser_k", 18.0),
        ("carnot_fraction_dry", "carnot_fraction_dry", 0.3),
        ("cop_max_dry", "cop_max_dry", 6.0),
        ("pump_at_design", "pump_at_design", 1.1),
        ("fan_at_design", "fan_at_design", 1.9),
        ("trim_share", "trim_share", 0.4),
        ("dry_fan", "dry_fan", 0.04),
        ("air_fan", "air_fan", 0.05),
        ("cooling.pump", "pump", 0.03),
        ("warming_k", "warming_k", 4.0),
        ("recirculation_k", "recirculation_k", 5.0),
        ("cdu_w", "cdu_w", 4e5),
        ("cooler_w", "cooler_w", 6e5),
        ("chiller_w", "chiller_w", 7e5),
        ("plant_group_w", "plant_group_w", 2.5e6),
        ("crah_w", "crah_w", 8e4),
        ("pump_head_pa", "pump_head_pa", 4e5),
        ("pipe_velocity_m_s", "pipe_velocity_m_s", 1.2),
        ("air_thermal_mass_j_k", "air_thermal_mass_j_k", 2e4),
        ("reuse.fraction", "reuse_fraction", 0.3),
        ("network_c", "network_c", 60.0),
        ("source_approach_k", "source_approach_k", 9.0),
        ("condenser_approach_k", "condenser_approach_k", 9.0),
    ],
)
def test_an_edited_input_moves_the_workbook_as_it_moves_the_model(
    end: str, own: str, value: float, wet_model: tuple[bytes, Request], before: dict[str, float]
) -> None:
    data, asked = wet_model
    after = same(Calculated(data, {own: value}), figures(asked, **{end: value}))
    assert len(before) > 35
    assert any(abs(after[name] - was) > 2e-3 * abs(was) for name, was in before.items())


def test_other_machines_and_other_redundancy_move_the_workbook_as_they_move_the_model(
    wet_model: tuple[bytes, Request],
) -> None:
    data, asked = wet_model
    topologies = {"ups_topology": "2N", "transformer_topology": "4N3R"}
    cooling = {"cdu_topology": "2N", "plant_topology": "N+2", "crah_topology": "N"}
    other = changed_site(electrical=topologies | RATED, cooling=cooling, reuse=handed_over(0.9))
    changed = request(entry("gb200_nvl72", 230), site=other)
    same(Calculated(data, {"unit_count": 230, **topologies, **cooling}), figures(changed))
    assert asked.site.electrical.ups_topology != "2N"


@pytest.mark.parametrize(("paths", "proof"), [(2, ""), (3, ""), (2, "held in the run"), (3, "held in the run")])
def test_a_racks_coolant_follows_its_circuit_whatever_that_is_sized_on(paths: int, proof: str) -> None:
    load = msgspec.structs.replace(entry("gb200_nvl72").load, cap_w=125e3, cap_proof=proof)
    feed = {"feed": {"paths": paths}}
    asked = request(entry("gb200_nvl72", 100, load), entry("dgx_h100", 64), site=changed_site(electrical=feed))
    model, calculated = figures(asked), Calculated(workbook(asked))
    for name in ("rack_l_min", "pipe_mm", "cdus"):
        factor = 1000 if name == "pipe_mm" else 1
        assert calculated.named(name) == pytest.approx(model[PAIRS[name]] * factor, rel=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["N+1", "2N", "4N3R"])
def test_ratings_that_fit_follow_units_and_topology(topology: str) -> None:
    def of(units: int, kept: str, most: int) -> Request:
        sizes = msgspec.to_builtins(changed_site().electrical.ups_sizes) | {"most": most}
        electrical = {"ups_topology": kept, "transformer_topology": kept, "ups_sizes": sizes}
        return request(entry("gb200_nvl72", units), site=changed_site(electrical=electrical))

    data, seen = workbook(of(9, "N+1", 4)), set()
    for units, most in ((9, 4), (1, 4), (40, 4), (40, 7), (300, 4)):
        changed = {"unit_count": units, "ups_topology": topology, "transformer_topology": topology}
        edited = Calculated(data, {**changed, "ups_sizes_most": most})
        found = same(edited, figures(of(units, topology, most)))
        seen.add(found["ups_module_w"])
    assert len(seen) >= 3


@functools.cache
def in_the_desert() -> tuple[bytes, Request]:
    """Racks and nodes side by side, some measured, in Phoenix, which hands over most of its heat."""
    site = changed_site("phoenix", reuse=handed_over(0.9))
    asked = request(entry("gb200_nvl72", 9), entry("dgx_h100", 64, measured(), training=0.5), site=site)
    return workbook(asked), asked


@pytest.mark.parametrize("plant", ["dry", "adiabatic", "tower", "chiller", "outside_air", "indirect_air"])
def test_another_plant_moves_the_workbook_as_it_moves_the_model(plant: str) -> None:
    data, asked = in_the_desert()
    site = msgspec.structs.replace(asked.site, cooling=msgspec.structs.replace(asked.site.cooling, plant=plant))
    same(Calculated(data, {"plant": plant}), figures(msgspec.structs.replace(asked, site=site)))


def test_a_hotter_design_hour_moves_the_workbook_as_it_moves_the_model(wet_model: tuple[bytes, Request]) -> None:
    data, asked = wet_model
    climate = msgspec.structs.replace(asked.climate, n_year_max_c={20: 36.0})
    found = same(Calculated(data, {"design_record_c": 36.0}), figures(msgspec.structs.replace(asked, climate=climate)))
    assert found["rejected_w"] > Calculated(data).named("rejected_w")


@pytest.mark.parametrize("curve", [((0.5, 0.97),), ((0.2, 0.9), (0.6, 1.0), (1.0, 0.96))])
def test_another_curve_of_the_ups_is_followed(curve: tuple[tuple[float, float], ...]) -> None:
    asked = request(entry("gb200_nvl72", 100), site=changed_site(electrical={"ups_curve": curve, **RATED}))
    data = workbook(asked)
    same(Calculated(data), figures(asked))
    same(Calculated(data, {"ups_module_w": 3.3e6}), figures(asked, ups_module_w=3.3e6))


def test_an_edited_year_moves_the_sums(wet_model: tuple[bytes, Request]) -> None:
    data, asked = wet_model
    climate = msgspec.structs.replace(
        asked.climate, bins=tuple((edge + 3, *rest) for edge, *rest in asked.climate.bins)
    )
    book = openpyxl.load_workbook(io.BytesIO(data))
    for row in book["Year"].iter_rows(min_row=2):
        assert [cell.fill.fgColor.rgb == YELLOW for cell in row[:4]] == [True, True, True, False]
        row[1].value += 3
    edited = io.BytesIO()
    book.save(edited)
    calculated, model = Calculated(edited.getvalue()), figures(msgspec.structs.replace(asked, climate=climate))
    for name, key in (("edc_mwh", "year.edc"), ("chiller_h", "year.chiller_hours"), ("pue", "kpi.pue")):
        factor = 1 / 3.6e9 if name == "edc_mwh" else 1.0
        assert calculated.named(name) == pytest.approx(model[key] * factor, rel=1e-6)


# Inputs that only a plant of another kind than the model's here heeds.
ONLY_OF = {
    **dict.fromkeys(("adiabatic_effectiveness", "condenser_effectiveness", "hottest_wb_c"), "adiabatic"),
    "exchanger_effectiveness": "indirect_air",
    **dict.fromkeys(("dew_point_min_c", "dew_point_max_c"), "outside_air"),
    **dict.fromkeys(
        (
            "tower_approach_k",
            "tower_condenser_k",
            "tower_fan",
            "latent_share",
            "cycles",
            "design_record_wb_c",
            "carnot_fraction",
            "cop_max",
        ),
        "tower",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", ["ratios", "model"])
def test_only_what_a_formula_refers_to_is_yellow_and_all_of_that_moves_something(
    case: str, wet_model: tuple[bytes, Request]
) -> None:
    data = sizing_xlsx.render(sizings.whole()) if case == "ratios" else wet_model[0]
    book, before = openpyxl.load_workbook(io.BytesIO(data)), Calculated(data)
    names = [cell.value for row in book["Chain"].iter_rows(min_row=2) if (cell := row[4]).value]
    was = {name: before.named(name) for name in names}
    yellow = grey = 0
    for row in book["Inputs"].iter_rows(min_row=2):
        if row[1].value is None:
            continue
        if row[1].fill.fgColor.rgb != YELLOW:
            grey += 1
            assert row[7].value is None
            continue
        yellow += 1
        value = row[1].value
        if row[7].value == "heat_per_mwh":
            continue  # times a fraction of 0 here
        tried = ("N", "tower") if isinstance(value, str) else (value * 1.3 + 0.1, value * 0.3)
        name, base = row[7].value, was
        other: dict[str, float | str] = {}
        if name in ONLY_OF:
            other = {"plant": ONLY_OF[name]}
            base = {n: Calculated(data, other).named(n) for n in names}
        after = [Calculated(data, {**other, name: changed}) for changed in tried]
        assert any(one.named(n) != base[n] for one in after for n in names), name
    assert yellow > (25 if case == "ratios" else 70)
    assert grey >= 3
