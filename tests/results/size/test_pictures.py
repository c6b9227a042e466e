"""What plots are drawn from: arrows that close, boxes that agree with the lines, curves that integrate to the year."""

from __future__ import annotations

import numpy as np
import pytest

from perwatt.results.size import pictures, support
from perwatt.results.size.model import size
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.request import Request
from perwatt.results.size.sizing import Flow, Sizing
from tests.fleets_of import bins, changed_site, entry, exact, figures, measured, point, request

GB200 = entry("gb200_nvl72", units=100)
REUSE = changed_site(reuse={"fraction": {"mode": 0.25, "min": 0.1, "max": 0.5, "unit": "1", "source": "test"}})
CASES = {
    "liquid, reused": request(GB200, site=REUSE),
    "air": request(entry(units=64, load=measured())),
    "air, reused": request(entry(units=64, load=measured()), site=REUSE),
    "more than the liquid, reused": request(
        GB200, site=changed_site(reuse={"fraction": {"mode": 0.95, "unit": "1", "source": "test"}})
    ),
    "two systems, hot": request(GB200, entry(units=64, load=measured()), site="phoenix"),
    "nothing beside": request(entry(units=64), site=changed_site(electrical={"support_fraction": 0.0})),
}


def sized(asked: Request) -> Sizing:
    return size(asked, bins(asked.climate))


def total(flows: tuple[Flow, ...], source: str = "", target: str = "") -> float:
    return sum(f.energy_j for f in flows if source in ("", f.source) and target in ("", f.target))


@pytest.mark.parametrize("case", CASES)
def test_energy_in_is_energy_out_at_every_node_of_the_sankey(case: str) -> None:
    flows, lines = sized(CASES[case]).flows, figures(CASES[case])
    assert total(flows, source="grid") == pytest.approx(lines["year.edc"], rel=1e-9)
    inner = {f.source for f in flows} & {f.target for f in flows}
    it_j = lines["year.it_power"] * 8760 * 3600
    assert total(flows, target="units") + total(flows, target=support.TITLE) == pytest.approx(it_j, rel=1e-9)
    for node in inner:
        assert total(flows, target=node) == pytest.approx(total(flows, source=node), rel=1e-9), node
    ends = {f.target for f in flows} - {f.source for f in flows}
    assert sum(total(flows, target=end) for end in ends) == pytest.approx(lines["year.edc"], rel=1e-9)
    assert all(f.energy_j > 0 for f in flows)
    assert len({(f.source, f.target) for f in flows}) == len(flows)


def test_heat_that_is_handed_over_is_an_arrow_of_its_own() -> None:
    flows, lines = sized(CASES["liquid, reused"]).flows, figures(CASES["liquid, reused"])
    assert total(flows, target="reused") == pytest.approx(lines["kpi.heat.handed_over"])
    assert total(flows, target="heat in liquid") == pytest.approx(lines["kpi.heat.liquid"])
    assert total(flows, source="heat in liquid", target="reused") == total(flows, target="reused")
    for case in ("air, reused", "more than the liquid, reused"):
        flows, lines = sized(CASES[case]).flows, figures(CASES[case])
        assert total(flows, target="reused") == pytest.approx(lines["kpi.heat.handed_over"])
        # what warms the air is more than the machines' own heat in it
        assert total(flows, target="heat in air") == pytest.approx(lines["kpi.heat.air"]), case
        assert total(flows, source="heat in air", target="reused") == pytest.approx(lines["kpi.heat.air_handed_over"])
    air = sized(CASES["air"]).flows
    assert not [f for f in air if "liquid" in (f.source + f.target) or f.target == "reused"]


@pytest.mark.parametrize("case", CASES)
def test_each_box_gives_what_the_next_takes(case: str) -> None:
    asked = CASES[case]
    found = {stage.level: stage for stage in sized(asked).stages}
    lines = figures(asked)
    assert found["site"].out_w == pytest.approx(lines["power.site.recommended"])
    assert found["transformer"].in_w == pytest.approx(found["site"].out_w)
    beside = [stage for stage in found.values() if stage.level == "support"]
    assert found["ups"].out_w == pytest.approx(found["row"].in_w + sum(stage.in_w for stage in beside))
    assert [stage.out_w for stage in beside] == [v for k, v in lines.items() if k == "power.support.recommended"]
    racks_w = sum(stage.in_w for stage in sized(asked).stages if stage.level == "rack")
    assert found["row"].out_w == pytest.approx(racks_w)
    other_w = found["transformer"].out_w - found["ups"].in_w - found["cooling"].in_w
    assert 0 <= other_w < 0.02 * racks_w
    for stage in found.values():
        assert stage.in_w >= stage.out_w > 0
        assert stage.count >= 1
    assert found["ups"].count == lines["redundancy.ups.count"]
    assert found["transformer"].count == lines["redundancy.transformer.count"]
    levels = [stage.level for stage in sized(asked).stages]
    between = [] if case == "nothing beside" else ["support"]
    assert levels == ["site", "transformer", "cooling", "ups", *between, "row", *["rack", "unit"] * len(asked.fleet)]
    assert found["unit"].count == asked.fleet[-1].units


@pytest.mark.parametrize("case", CASES)
def test_the_load_duration_curve_falls_and_integrates_to_the_years_energy(case: str) -> None:
    asked = CASES[case]
    found = next(s for s in sized(asked).series if s.name == "load_duration")
    power = np.array(found.y["site"])
    assert np.all(np.diff(power) <= 1e-9 * power[0])
    assert (found.x[0], found.x[-1]) == (0, 1)
    mean_w = float(np.trapezoid(power, found.x))
    assert mean_w == pytest.approx(figures(asked)["year.edc"] / (8760 * 3600), rel=0.02)
    assert power[-1] < mean_w < power[0]


def test_idle_hours_are_the_end_of_the_curve() -> None:
    asked = request(entry(units=64, load=measured(), utilisation=Parameter(0.7, "1", "test")))
    found = next(s for s in sized(asked).series if s.name == "load_duration")
    power = np.interp([0.4, 0.69, 0.75, 0.95], found.x, found.y["site"])
    assert power[1] > 1.5 * power[2]
    assert power[2] < 1.2 * power[3]


def test_the_year_by_temperature_has_all_hours_and_the_years_pue() -> None:
    asked = CASES["liquid, reused"]
    found = next(s for s in sized(asked).series if s.name == "year_bins")
    hours, pue = np.array(found.y["hours"]), np.array(found.y["PUE"])
    assert hours.sum() == pytest.approx(sum(h for _, h, _ in asked.climate.bins))
    assert np.all(np.diff(found.x) > 0)
    assert np.average(pue, weights=hours) == pytest.approx(figures(asked)["kpi.pue"], rel=1e-9)
    assert pue.max() == pytest.approx(figures(asked)["year.pue_hottest"])
    assert np.all(np.diff(pue) >= -1e-12)
    assert pue[0] < pue[-1]
    # the bins are those of the climate, warmer
    warmer_k = exact(asked)["site.cooling.warming_k"]
    assert found.x[0] == pytest.approx(asked.climate.bins[0][0] + 0.5 + warmer_k)


def test_many_points_are_thinned_without_losing_power_or_time() -> None:
    rng = np.random.default_rng(1)
    power, weight = rng.gamma(3.0, 1e6, 40_000), rng.random(40_000)
    weight /= weight.sum()
    thin, share = pictures._thinned(power, weight)
    assert len(thin) <= 512
    assert share.sum() == pytest.approx(1)
    assert float(thin @ share) == pytest.approx(float(power @ weight))
    assert np.all(np.diff(thin) > 0)
    few = np.array([1.0, 2.0])
    assert pictures._thinned(few, few)[0] is few


def test_a_chain_without_an_offer_of_the_grid_says_so() -> None:
    asked = request(GB200)
    found = point(asked)
    grid = pictures.stages(asked, found.demand, found.facility)[0]
    assert grid.detail == "what the grid offers is not stated"
    offered = request(GB200, site=changed_site(electrical={"available_w": 20e6}))
    found = point(offered)
    assert pictures.stages(offered, found.demand, found.facility)[0].detail == "of 20 MW offered"
