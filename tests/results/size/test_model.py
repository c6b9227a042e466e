"""The whole model: properties that hold for any fleet and any draws, and what was published elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import loads, model
from perwatt.results.size.load import Load
from perwatt.results.size.model import DRIVEN, parameters, size
from perwatt.results.size.parameter import Parameter, Values
from perwatt.results.size.request import Request
from perwatt.results.size.site import Site
from perwatt.results.size.sizing import Sizing
from perwatt.results.size.trace_file import read_traces
from perwatt.results.traces.trace import Trace
from tests.fleets_of import bins, changed_site, entry, figures, measured, over_draws, request, site_named_once

GB200 = entry("gb200_nvl72", units=100)
H100 = entry(units=64, load=measured())
LEVELS = ("unit", "rack", "row", "ups", "transformer", "site")
EQUIPMENT = ("redundancy.ups.installed", "redundancy.transformer.installed", "redundancy.ups.module",
             "redundancy.transformer.rating", "cooling.cdus", "cooling.liquid_flow",
             "cooling.air_flow", "cooling.pipe_dn", "feeds.rack.load", "feeds.row.load", "fleet.racks",
             "fleet.rows", *(f"redundancy.{key}.count" for key in ("coolers_liquid", "coolers_air", "chillers_liquid",
                                                                   "chillers_air", "crahs")))  # fmt: skip
BENCHMARKS = {"bert": 10_143, "llama2_70b_lora": 10_096, "retinanet": 10_358, "stable_diffusion": 10_251}


def sized(asked: Request) -> Sizing:
    return size(asked, bins(asked.climate))


def single(value: Values, at: int) -> float:
    array = np.asarray(value, dtype=np.float64).reshape(-1)
    return float(array[at] if array.size > 1 else array[0])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3000),
    st.sampled_from((0.0, 0.5, 1.0)),
    st.sampled_from(("N", "N+1", "N+2", "2N", "4N3R")),
    st.sampled_from(("dgx_h100", "gb200_nvl72")),
    st.booleans(),
    st.booleans(),
)
def test_one_more_unit_never_lowers_any_level(
    units: int, share: float, topology: str, system: str, seen: bool, fixed: bool
) -> None:
    plain = site_named_once("copenhagen")
    electrical = msgspec.structs.replace(
        plain.electrical,
        ups_topology=topology,
        transformer_topology=topology,  # type: ignore[arg-type]
    )
    if fixed:
        electrical = msgspec.structs.replace(
            electrical, ups_module_w=Parameter(1e6, "W", "test"), transformer_va=Parameter(2.5e6, "VA", "test")
        )
    cooling = msgspec.structs.replace(plain.cooling, plant_topology=topology, crah_topology=topology)
    site: Site = msgspec.structs.replace(plain, electrical=electrical, cooling=cooling)
    load = measured(100_000.0 if system == "gb200_nvl72" else 6_000.0) if seen else None
    one, more = (
        figures(request(entry(system, units=n, load=load, training=share), site=site)) for n in (units, units + 1)
    )
    keys = [key for key in one if key.startswith("power.")]
    assert {key.split(".")[1] for key in keys} >= set(LEVELS)
    counts = ("redundancy.ups.count", "redundancy.transformer.count") if fixed else ()
    for key in (*keys, *counts, *(key for key in EQUIPMENT if key in one)):
        assert more[key] >= one[key] * (1 - 1e-12), key
    assert more["power.site.recommended"] > one["power.site.recommended"]
    assert more["year.it_power"] > one["year.it_power"]


def test_the_651st_node_does_not_lower_the_sites_power_although_it_takes_a_module_more() -> None:
    site = changed_site(electrical={"ups_module_w": 1e6, "support_fraction": 0.0})
    before, after = (figures(request(entry(units=n), site=site)) for n in (650, 651))
    assert after["redundancy.ups.count"] > before["redundancy.ups.count"]
    for level in ("ups", "transformer", "site"):
        assert after[f"power.{level}.recommended"] > before[f"power.{level}.recommended"]


@pytest.mark.parametrize(
    "asked",
    [
        request(H100),
        request(GB200, site=changed_site(reuse={"fraction": {"mode": 0.2, "min": 0, "max": 0.5, "unit": "1",
                                                             "source": "test"}})),
        request(GB200, entry(units=40, load=measured(), training=0.4), site="phoenix"),
    ],
)  # fmt: skip
def test_all_draws_at_once_are_each_alone(asked: Request) -> None:
    draws = 8
    values, found = over_draws(asked, draws, seed=3)
    together = found.sheet.values()
    assert sum(np.ndim(value) > 0 for value in values.values()) > 20
    for at in range(draws):
        alone = model.evaluate(asked, bins(asked.climate), {path: single(v, at) for path, v in values.items()})
        lines = alone.sheet.values()
        assert lines.keys() == together.keys()
        for key, value in lines.items():
            if value is None:
                assert together[key] is None, key
            else:
                assert single(together[key], at) == pytest.approx(single(value, 0), rel=1e-9, nan_ok=True), key  # type: ignore[arg-type]


COUNTED = ("coolers_liquid", "coolers_air", "chillers_liquid", "chillers_air", "crahs")


def test_the_likeliest_lies_inside_the_band_where_ranges_are_symmetric() -> None:
    def even(node: object) -> object:
        """Every range about its mode, as wide as its narrower side; exact where it has none."""
        if isinstance(node, Parameter):
            half = min(node.mode - node.low, node.high - node.mode)
            return msgspec.structs.replace(node, min=node.mode - half, max=node.mode + half)
        if isinstance(node, msgspec.Struct):
            return msgspec.structs.replace(node, **{n: even(getattr(node, n)) for n in node.__struct_fields__})
        return node

    plain = request(entry("gb200_nvl72", units=100, load=measured(90_000.0)))
    fleet = tuple(even(one) for one in plain.fleet)
    found = sized(msgspec.structs.replace(plain, site=even(plain.site), fleet=fleet, draws=2000))
    # with one unit more each carries less: the load of a counted unit is a saw-tooth, and its mode may be a tooth's tip
    teeth = {f"redundancy.{unit}.{state}" for unit in COUNTED for state in ("normal", "fault")}
    moved = [
        line
        for line in found.lines
        if line.low is not None and line.low < line.high and line.key not in teeth  # type: ignore[operator]
    ]
    assert len(moved) > 60
    outside = [line.key for line in moved if not line.low <= line.value <= line.high]  # type: ignore[operator]
    assert outside == []


def test_ranges_that_lean_put_the_likeliest_pue_below_its_band() -> None:
    # the losses' ranges reach further up than down: all at their likeliest is the better end
    found = sized(msgspec.structs.replace(request(entry(units=16)), draws=2000)).line("kpi.pue")
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value < (found.low + found.high) / 2


def test_bands_widen_with_the_ranges() -> None:
    widths = []
    for half in (0.0, 0.02, 0.06):
        site = changed_site(
            electrical={"ups_efficiency": {"mode": 0.93, "min": 0.93 - half, "max": 0.93 + half, "unit": "1",
                                           "source": "test"}}
        )  # fmt: skip
        found = sized(msgspec.structs.replace(request(H100, site=site), draws=1000)).line("power.ups.recommended")
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] < widths[1] < widths[2]


def test_without_any_range_a_band_has_no_width() -> None:
    _, found = over_draws(request(H100), 3)
    asked = request(H100)
    exactly = {path: np.full(50, p.mode) for path, p in parameters(asked).items()}
    lines = model.evaluate(asked, bins(asked.climate), exactly).sheet.values()
    plain = figures(asked)
    for key, value in lines.items():
        if value is not None:
            np.testing.assert_allclose(value, plain[key], rtol=1e-9, err_msg=key)
    assert found.sheet.entries.keys() == lines.keys()


def test_the_same_seed_is_the_same_sizing_and_another_is_not() -> None:
    first, again, other = (sized(msgspec.structs.replace(request(H100), draws=200, seed=seed)) for seed in (5, 5, 6))
    assert msgspec.json.encode(first.lines) == msgspec.json.encode(again.lines)
    assert first.line("power.site.recommended").low != other.line("power.site.recommended").low
    assert first.line("power.site.recommended").value == other.line("power.site.recommended").value


def test_draws_cost_a_small_part_of_an_evaluation_each() -> None:
    asked = request(entry("gb200_nvl72", units=1389))
    over_draws(asked, 10)  # tables of fluids are made once

    def least(evaluate: object) -> float:
        spent = []
        for _ in range(3):
            start = time.perf_counter()
            evaluate()  # type: ignore[operator]
            spent.append(time.perf_counter() - start)
        return min(spent)

    one = least(lambda: figures(asked))
    many = least(lambda: over_draws(asked, 2000))
    assert many / 2000 < one / 5


def test_a_sizing_stands_alone_with_its_inputs_and_drivers() -> None:
    found = sized(msgspec.structs.replace(request(H100), draws=500))
    assert len({line.key for line in found.lines}) == len(found.lines)
    assert all(line.basis and line.label for line in found.lines)
    paths = {path for path, *_ in found.inputs}
    assert {"site.electrical.ups_efficiency", "fleet.dgx_h100.load", "fleet.dgx_h100.idle_w"} <= paths
    assert all(source for *_, source in found.inputs)
    assert set(found.drivers) == set(DRIVEN)
    for drivers in found.drivers.values():
        assert {driver.path for driver in drivers} <= paths
    # of a mean that is measured, the year's energy hangs on how long units work
    assert found.drivers["year.edc"][0].path == "fleet.dgx_h100.utilisation"
    assert found.request["fleet"][0]["kind"] == "measured"  # type: ignore[index]
    assert (found.draws, found.seed) == (500, 0)


def test_measured_published_and_modelled_lines_are_told_apart() -> None:
    kinds = {line.key: line.kind for line in sized(request(H100)).lines}
    assert kinds["power.unit.max"] == "measured"
    assert kinds["power.unit.nameplate"] == "published"
    assert kinds["power.rack.recommended"] == "modelled"
    assert kinds["fleet.units"] == "given"
    unseen = {line.key: line.kind for line in sized(request(entry(units=4))).lines}
    assert unseen["power.unit.vendor_max"] == "published"
    assert unseen["power.unit.max"] == "modelled"


def test_no_draws_no_bands() -> None:
    found = sized(request(H100))
    assert all(line.low is None and line.high is None for line in found.lines)
    assert found.drivers == {}


def test_nothing_of_a_line_is_infinite() -> None:
    for asked in (request(entry(units=1)), request(entry("gb200_nvl72", units=1)), request(H100, site="phoenix")):
        for line in sized(asked).lines:
            assert line.value is None or np.isfinite(line.value), line.key


def test_inference_needs_less_than_training_and_a_mix_lies_between() -> None:
    site_w = [
        figures(request(entry(units=500, load=measured(), training=share)))["power.site.recommended"]
        for share in (0.0, 0.5, 1.0)
    ]
    assert site_w[0] < site_w[1] < site_w[2]


def test_percentiles_of_a_level_grow_and_longer_windows_ask_for_less() -> None:
    for share in (0.0, 1.0):
        found = figures(request(entry(units=64, load=measured(), training=share)))
        for level in LEVELS:
            assert found[f"power.{level}.p50"] <= found[f"power.{level}.p99"] <= found[f"power.{level}.max"]
    unit, site = found["power.unit.max"], found["power.site.max"]
    assert 64 * unit > site / 1.5  # the site's has losses and cooling on top of a longer window


# -- what was published -------------------------------------------------------------------------------------------


def node_log(data: Path, name: str) -> Trace:
    columns = {"time": "t_rel_run_start_s", "unit": "t_s", "power": "node_w", "start": "2025-05-01"}
    (trace,) = read_traces(data / f"mlperf_lenovo_b200/{name}_result_0.csv", "auto", columns)
    return trace


@pytest.mark.parametrize(("name", "most_w"), BENCHMARKS.items())
def test_published_node_logs_keep_their_maxima(name: str, most_w: float, data: Path) -> None:
    load = loads.from_traces([node_log(data, name)], name)
    found = figures(request(entry("sr780a_b200", units=4, load=load)))
    assert found["power.unit.max"] == pytest.approx(most_w, rel=0.02)
    assert found["power.unit.nameplate"] == found["power.unit.recommended"] == 14_300
    assert found["power.rack.max"] == pytest.approx(4 * most_w, rel=0.02)
    # all in step: a rack's highest second is that of its nodes, and a minute is less
    assert found["power.row.max"] <= found["power.rack.max"]
    assert found["savings.fleet.power"] > 0


def frontier(data: Path) -> Load:
    """The core phase of HPL on all of Frontier, as one unit: from the first to the last reading above half of the
    highest."""
    columns = {"time": "datetime", "power": "sum vals"}
    (trace,) = read_traces(data / "power_traces/frontier_hpl/ornl-frontier.csv", "auto", columns)
    busy = np.flatnonzero(trace.power_w > 0.5 * trace.power_w.max())
    core = slice(busy[0], busy[-1] + 1)
    cut = Trace("frontier", trace.t_ns[core], trace.power_w[core], "node_ac", "C", 0.05, "ornl-frontier.csv")
    return loads.from_traces([cut], "frontier")


def test_a_meter_of_15_s_keeps_its_highest_reading() -> None:
    power_w = np.full(400, 1000.0)
    power_w[200] = 1500.0
    t_ns = 1_700_000_000 * 10**9 + np.arange(400) * 15 * 10**9
    load = loads.from_traces([Trace("slow", t_ns, power_w, "node_ac", "C", 0.05, "slow.csv")], "slow")
    found = figures(request(entry(units=1, load=load)))
    assert found["power.unit.max"] == pytest.approx(1500)
    assert load.at(60.0, 1.0) == pytest.approx(1125)


def test_frontier_in_hpl_peaks_at_1099_of_its_mean(data: Path) -> None:
    load = frontier(data)
    found = figures(request(entry("gb200_nvl72", units=1, load=load)), utilisation=1.0)
    assert found["power.unit.max"] / found["year.it_power"] == pytest.approx(1.099, abs=0.001)
    assert found["power.unit.p50"] < found["power.unit.p99"] <= found["power.unit.max"]


def test_the_site_of_a_measured_load_is_within_its_losses_of_it(data: Path) -> None:
    load = loads.from_traces([node_log(data, "retinanet")], "retinanet")
    asked = request(entry("sr780a_b200", units=100, load=load))
    found: Mapping[str, float] = figures(asked, margin=0.0, coincidence=1.0)
    it_w = 100 * (load.at(900.0, 1.0) or 0)
    assert it_w * 1.05 < found["power.site.max"] < it_w * 1.45
