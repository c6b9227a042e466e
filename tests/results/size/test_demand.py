"""Columns from a unit to a row, and their circuits: published racks, caps with and without proof, mixed fleets."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from perwatt.results.size import loads
from perwatt.results.size.demand import demand
from perwatt.results.size.request import Request
from perwatt.results.size.sheet import Sheet
from tests.fleets_of import MEAN_W, changed_site, entry, exact, figures, measured, over_draws, point, request

COLUMNS = ("nameplate", "vendor_max", "p50", "p99", "max", "recommended")


def test_a_rack_of_four_dgx_h100_takes_63_a_at_factor_1_and_125_a_at_08() -> None:
    # 40.8 kW at 400 V: 58.9 A at unity power factor, 62.0 A at 0.95; 63 A carry that, 0.8 of 63 A do not
    for factor, rating in ((1.0, 63), (0.8, 125)):
        found = figures(request(entry(units=4)), power_factor=0.95, voltage_v=400.0, continuous_factor=factor,
                        temperature_factor=1.0)  # fmt: skip
        assert found["power.rack.nameplate"] == pytest.approx(40_800)
        assert found["feeds.rack.load"] == pytest.approx(40_800)
        assert found["feeds.rack.failover"] == pytest.approx(40_800 / (math.sqrt(3) * 400 * 0.95))
        assert (found["feeds.rack.rating"], found["feeds.rack.circuits"]) == (rating, 1)


def test_a_rack_of_four_dgx_b200_is_sized_on_57_2_kw() -> None:
    found = figures(request(entry("dgx_b200", units=4, per_rack=4)))
    assert found["power.rack.nameplate"] == pytest.approx(57_200)
    assert found["feeds.rack.load"] == pytest.approx(57_200)
    assert found["fleet.racks"] == 1


def test_a_rack_that_no_breaker_carries_says_so_and_by_how_much() -> None:
    site = changed_site(electrical={"feed": {"ratings_a": [16, 32], "circuits": 1}})
    asked = request(entry(units=4), site=site)
    found = point(asked)
    (failing,) = found.demand.failing
    assert failing.text.startswith("dgx_h100: rack: no breaker is big enough: ")
    assert "short by" in failing.text
    assert (failing.where, failing.share) == ("dgx_h100.rack", 1)
    assert figures(asked)["feeds.rack.circuits"] == 2


def test_two_circuits_of_a_path_share_a_rack_as_the_vendors_design_has_it() -> None:
    feed = {"ratings_a": [30, 60], "continuous_factor": 0.8, "voltage_v": 415}
    asked = request(entry("dgx_b200", units=8, per_rack=4), site=changed_site(electrical={"feed": feed}))
    assert point(asked).demand.failing == []
    found = figures(asked)
    assert (found["feeds.rack.circuits"], found["feeds.rack.rating"], found["feeds.row.circuits"]) == (2, 60, 1)
    assert "circuits of a path share its load evenly" in point(asked).sheet.entries["feeds.rack.circuits"].basis
    assert figures(request(entry("dgx_b200", units=8, per_rack=4)))["feeds.rack.circuits"] == 1


@pytest.mark.parametrize("units", [1, 4, 100])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_branch_circuit_is_never_sized_below_the_nameplate(units: int, share: float) -> None:
    found = figures(request(entry(units=units, load=measured(3000.0), training=share)))
    in_rack = min(units, 4)
    assert found["power.unit.recommended"] == found["power.unit.nameplate"] == 10_200
    assert found["feeds.rack.load"] == in_rack * 10_200
    assert found["power.rack.recommended"] == found["feeds.rack.load"]
    # what the rack itself is expected to draw is less, and is told
    assert found["power.rack.upward"] < found["feeds.rack.load"]


def test_only_a_proven_cap_goes_below_the_nameplate() -> None:
    proven = figures(request(entry(units=4, load=measured(cap_w=8000.0, cap_proof="enforced in the run"))))
    assert proven["power.unit.recommended"] == 8000
    # the rack with its margin lies above the four caps
    assert proven["feeds.rack.load"] == pytest.approx(max(4 * 8000, 4 * 1.2 * MEAN_W * 1.1))
    # and so it is said; of a cap above it the cap alone
    for cap_w, floor in ((7500.0, "the demand with its margin, above the power cap"), (8000.0, "the power cap")):
        asked = request(entry(units=4, load=measured(cap_w=cap_w, cap_proof="enforced in the run")))
        sheet = Sheet()
        demand(asked, exact(asked), sheet)
        basis = next(line.basis for line in sheet.lines({}) if line.key == "feeds.rack.load")
        assert basis.startswith(f"sized on {floor}, enforced and proven;")
    claimed = figures(request(entry(units=4, load=measured(cap_w=8000.0, cap_proof=""))))
    assert claimed["power.unit.recommended"] == 10_200
    assert claimed["feeds.rack.load"] == 40_800


def test_a_cap_that_was_exceeded_does_not_hold() -> None:
    found = figures(request(entry(units=4, load=measured(cap_w=5000.0, cap_proof="said to be enforced"))))
    assert found["power.unit.recommended"] == pytest.approx(1.25 * MEAN_W)
    assert found["feeds.rack.load"] >= 4 * 1.2 * MEAN_W


def test_a_load_above_the_nameplate_is_sized_on_itself() -> None:
    found = figures(request(entry(units=4, load=measured(10_000.0))))
    assert found["power.unit.recommended"] == pytest.approx(12_500)
    assert found["feeds.rack.load"] == pytest.approx(4 * 1.2 * 10_000 * 1.1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_columns_are_in_order_at_every_level(share: float) -> None:
    found = figures(request(entry(units=64, load=measured(), training=share)))
    for level in ("unit", "rack", "row", "ups", "transformer", "site"):
        row = [found[f"power.{level}.{column}"] for column in ("p50", "p99", "max", "vendor_max", "nameplate")]
        assert row == sorted(row), level
        assert found[f"power.{level}.recommended"] >= found[f"power.{level}.p99"], level


def test_a_level_with_a_longer_window_asks_for_less_of_each_unit() -> None:
    found = figures(request(entry(units=64, load=measured(), training=1.0)), coincidence=1.0, margin=0.1)
    assert found["power.rack.upward"] == pytest.approx(4 * 1.20 * MEAN_W * 1.1)
    # with the margin the highest minute is 1.232 of the mean: less than the highest second
    assert found["power.row.recommended"] == pytest.approx(32 * 1.25 * MEAN_W)
    whole = point(request(entry(units=64, load=measured())), coincidence=1.0, margin=0.1, support_fraction=0.0)
    assert whole.demand.ups_w["recommended"] == pytest.approx(64 * 1.18 * MEAN_W * 1.1)
    assert whole.demand.site_w["recommended"] == pytest.approx(64 * 1.04 * MEAN_W * 1.1)
    assert whole.demand.ups_w["max"] == pytest.approx(64 * 1.18 * MEAN_W)
    assert whole.demand.ups_w["nameplate"] == whole.demand.site_w["nameplate"] == 64 * 10_200


def test_coincidence_and_no_margin_never_go_below_what_was_measured() -> None:
    found = point(request(entry(units=64, load=measured())), coincidence=0.9, margin=0.0, support_fraction=0.0)
    assert found.demand.site_w["recommended"] == pytest.approx(64 * 1.04 * MEAN_W)
    assert found.demand.ups_w["recommended"] >= found.demand.site_w["recommended"]


def test_growth_is_added_for_the_site_and_not_for_a_rack() -> None:
    plain, grown = (figures(request(entry(units=64, load=measured())), growth=g) for g in (0.0, 0.25))
    assert grown["power.rack.recommended"] == plain["power.rack.recommended"]
    assert grown["power.site.recommended"] > 1.2 * plain["power.site.recommended"]
    wet = [point(request(entry("gb200_nvl72", units=8)), growth=g).demand for g in (0.0, 0.25)]
    assert wet[1].site_w["recommended"] == pytest.approx(1.25 * wet[0].site_w["recommended"])
    assert wet[1].ups_w["recommended"] == pytest.approx(1.25 * wet[0].ups_w["recommended"])
    assert wet[1].liquid == pytest.approx(wet[0].liquid)
    units_w = wet[0].entry_w["gb200_nvl72"]
    assert wet[0].liquid == pytest.approx(0.871 * units_w / (units_w + 0.08 * 8 * 132_000))


def test_inference_needs_less_than_training() -> None:
    training, inference = (figures(request(entry(units=256, load=measured(), training=share))) for share in (1.0, 0.0))
    for key in ("rack.upward", "row.recommended", "ups.recommended", "transformer.recommended", "site.recommended"):
        assert inference[f"power.{key}"] < training[f"power.{key}"], key
    assert inference["power.unit.max"] == training["power.unit.max"]


def test_a_fleet_of_two_systems_adds_up() -> None:
    h100, gb200 = entry(units=64, load=measured()), entry("gb200_nvl72", units=10)
    both = point(request(h100, gb200)).demand
    alone = [point(request(one)).demand for one in (h100, gb200)]
    for column in COLUMNS:
        assert both.site_w[column] == pytest.approx(sum(one.site_w[column] for one in alone))
        assert both.ups_w[column] == pytest.approx(sum(one.ups_w[column] for one in alone))
    assert both.racks == {"dgx_h100": 16, "gb200_nvl72": 10}
    assert both.rows == {"dgx_h100": 2, "gb200_nvl72": 2}
    wet = both.liquid_w["gb200_nvl72"] / both.site_w["recommended"]
    assert both.liquid == pytest.approx(wet)
    assert 0 < both.liquid < alone[1].liquid
    keys = point(request(h100, gb200)).sheet.entries
    assert {"power.dgx_h100.rack.max", "power.gb200_nvl72.rack.max", "power.site.max"} <= keys.keys()
    assert "power.rack.max" not in keys


def test_counts_of_racks_and_rows_round_up() -> None:
    found = figures(request(entry(units=33, per_rack=4)))
    assert (found["fleet.units"], found["fleet.gpus"]) == (33, 264)
    assert (found["fleet.racks"], found["fleet.rows"]) == (9, 2)


def test_what_nameplates_leave_unused_would_feed_more_units() -> None:
    asked = request(entry(units=64, load=measured()))
    found = figures(asked)
    per_unit_w = point(asked).demand.entry_w["dgx_h100"] / 64
    assert found["savings.fleet.power"] == pytest.approx(64 * (10_200 - per_unit_w))
    more = math.floor(64 * 10_200 / per_unit_w) - 64
    assert found["savings.fleet.units"] == more > 0
    assert found["savings.fleet.racks"] == more // 4


def test_the_range_of_a_nameplate_that_nobody_published_reaches_its_circuits() -> None:
    made = entry("mi300x_node", units=8)
    assert made.system.nameplate_w.low < made.system.nameplate_w.high
    _, found = over_draws(request(made), 200)
    loads_w = np.asarray(found.sheet.values()["feeds.rack.load"])
    assert loads_w.shape == (200,)
    assert np.ptp(loads_w) > 0.05 * loads_w.mean()


def test_the_electrical_peak_and_the_gpu_are_told_beside_and_sized_on_by_nobody() -> None:
    found = figures(request(entry("gb200_nvl72", units=4)))
    assert found["power.unit.edpp"] == 192_000
    assert found["power.gpu.vendor_max"] == 1200
    assert found["power.unit.recommended"] == found["feeds.rack.load"] == 132_000


def test_metered_gpus_stand_beside_their_vendors_maximum_and_the_unit_is_modelled() -> None:
    fast = {(0.1, 0.5): 610.0, (0.1, 0.99): 690.0, (0.1, 1.0): 705.0}
    gpu = measured(600.0, boundary="gpu", evidence="gpu.csv")
    gpu = msgspec.structs.replace(gpu, statistics=gpu.statistics | fast)
    plain = entry()
    assert plain.system.psu is not None
    made = entry(load=loads.lift(gpu, 8, plain.system.host_w.mode, plain.system.psu))
    lines = point(request(made)).sheet.entries
    found = {key.rpartition(".")[2]: line for key, line in lines.items() if line.level == "gpu"}
    assert {key: line.value for key, line in found.items()} == {
        "vendor_max": 700.0, "p50": 610.0, "p99": 690.0, "p999": pytest.approx(1.20 * 600), "max": 705.0,
    }  # fmt: skip
    assert {key for key, line in found.items() if line.kind == "measured"} == {"p50", "p99", "p999", "max"}
    assert (found["max"].basis, found["p999"].basis) == (
        "gpu.csv; means over 0.1 s; for no breaker",
        "gpu.csv; means over 1 s; for no breaker",
    )
    assert lines["power.unit.max"].kind == "modelled"
    assert [key for key in point(request()).sheet.entries if ".gpu." in key] == ["power.gpu.vendor_max"]


def test_a_statistic_says_over_which_window_it_was_taken() -> None:
    slow = measured(period_s=60.0)
    slow = msgspec.structs.replace(slow, statistics={k: v for k, v in slow.statistics.items() if k[0] >= 60.0})
    asked = request(entry(units=4, load=slow))
    assert point(asked).sheet.entries["power.unit.max"].basis == ("node.csv; means over 60 s (1 s: not observable)")
    assert point(request(entry(load=measured()))).sheet.entries["power.unit.max"].basis.endswith("means over 1 s")


def test_what_readings_of_a_minute_hide_is_added_where_something_is_designed_on_them() -> None:
    slow = measured(period_s=60.0)
    slow = msgspec.structs.replace(slow, statistics={k: v for k, v in slow.statistics.items() if k[0] >= 60.0})
    asked = request(entry(units=4, load=slow))
    told, watts = point(asked, coincidence=1.0, margin=0.0).sheet, figures(asked, coincidence=1.0, margin=0.0)
    assert watts["power.unit.max"] == pytest.approx(1.12 * MEAN_W)  # what was measured stays it
    assert watts["power.rack.upward"] == pytest.approx(4 * 1.10 * MEAN_W * 1.07)
    assert watts["power.row.recommended"] == pytest.approx(4 * 1.12 * MEAN_W * 1.07)  # its second, over its minute
    known = figures(request(entry(units=4, load=measured())), coincidence=1.0, margin=0.0)
    assert watts["power.site.recommended"] == pytest.approx(known["power.site.recommended"])  # a quarter hour is seen
    assert told.entries["power.rack.upward"].basis.startswith("99.9 % of means over 60 s, raised by the sampling rule")
    assert "10 s: not observable" in told.entries["power.ups.recommended"].basis
    assert "means over 900 s" in told.entries["power.site.recommended"].basis


def test_a_short_recording_says_which_window_was_the_longest() -> None:
    short = measured(seconds=90.0)
    short = msgspec.structs.replace(short, statistics={k: v for k, v in short.statistics.items() if k[0] <= 60.0})
    found = point(request(entry(load=short))).sheet.entries
    assert "means over 60 s, the longest seen" in found["power.site.recommended"].basis
    assert "longest" not in found["power.row.recommended"].basis


def test_demand_stands_alone_from_the_rest_of_the_model() -> None:
    asked: Request = request()
    sheet = Sheet()
    found = demand(asked, exact(asked), sheet)
    assert found.racks == {"dgx_h100": 4}
    assert {entry.section for entry in sheet.entries.values()} == {"power", "fleet", "feeds", "savings"}
