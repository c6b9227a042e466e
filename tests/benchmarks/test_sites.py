"""What ships of systems, climates and sites is whole and plausible, and what users change of it is theirs."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from perwatt.benchmarks import sites
from perwatt.benchmarks.targets import load_targets
from perwatt.results.size import checks
from perwatt.results.size.parameter import Parameter, leaves
from perwatt.results.size.site import Climate, Site
from perwatt.results.size.system import System
from tests.fleets_of import plain

SYSTEMS = {name: sites.system_named(name) for name in sites.choices("system")}
CLIMATES = {name: sites.climate_named(name) for name in sites.choices("climate")}
SITES = {name: sites.site_named(name) for name in sites.choices("site")}
TARGETS = {file.target.name: file.target for file in load_targets()}


def test_what_is_promised_ships() -> None:
    assert {"dgx_a100", "dgx_h100", "dgx_h200", "dgx_b200", "dgx_b300", "gb200_nvl72", "gb300_nvl72"} <= SYSTEMS.keys()
    assert {"mi300x_node", "mi355x_node", "gaudi3_node", "sr780a_b200", "hgx_h100"} <= SYSTEMS.keys()
    names = {"copenhagen", "billund", "karup", "odum", "granada", "helsinki", "stockholm", "phoenix"}
    assert names == CLIMATES.keys()
    assert names | {"odense"} == SITES.keys()  # has the weather of Billund


@pytest.mark.parametrize("path", sorted((files("perwatt.conf") / "system").iterdir(), key=str), ids=lambda p: p.name)
def test_pyyaml_and_omegaconf_read_the_same_numbers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text) == OmegaConf.to_container(OmegaConf.create(text))


@pytest.mark.parametrize("owner", [*SYSTEMS.values(), *SITES.values()], ids=lambda owner: owner.name)
def test_each_figure_has_its_unit_and_a_source_and_what_is_assumed_a_range_or_a_choice(owner: System | Site) -> None:
    figures = list(leaves(owner))
    assert len(figures) > 10
    choices = (
        "ups_module_w",
        "transformer_va",
        "ups_power_factor",
        "cdu_w",
        "cooler_w",
        "chiller_w",
        "plant_group_w",
        "crah_w",
        "crah_group_w",
        "hx_approach_k",  # whether an exchanger stands there is designed, not unknown
        "margin",
        "growth",
        "continuous_factor",
        "fraction",
        "renewable",
    )
    for path, figure in figures:
        assert figure.unit == checks.unit_of(path), path
        assert len(figure.source) > 8, path
        assert figure.kind != "measured", path  # what was measured is a load, never a fact of a system
        stands_over = owner.name == "sr780a_b200" and path in ("nameplate_w", "vendor_max_w")
        if figure.kind == "assumed" and not stands_over and path.split(".")[-1] not in choices:
            assert figure.low < figure.high, f"{path} is assumed and has no range"


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
def test_a_system_agrees_with_itself_and_with_its_target(system: System) -> None:
    target = TARGETS[system.target]
    assert target.tdp is not None
    assert system.gpu_max_w.low <= target.tdp.value <= system.gpu_max_w.high
    assert system.peak_flops is not None
    assert system.peak_flops.mode == pytest.approx(system.gpus * target.peak_flops["bf16"].value, rel=2e-3)
    # the GPUs and the host at full load, at the AC side, are about what the vendor states, never far above
    assert system.psu is not None
    assert system.supply_v is not None
    dc_w = system.gpus * system.gpu_max_w.mode + system.host_w.mode
    eta = max(efficiency for _, efficiency in system.psu.efficiency)
    assert 0.7 < dc_w / eta / system.vendor_max_w.mode < 1.03
    assert system.psu.needed * system.psu.rating_w.mode > 0.93 * system.vendor_max_w.mode * eta
    assert system.idle_w is not None
    mean_w = system.mean_fraction.mode * system.vendor_max_w.mode
    assert system.idle_w.high < 0.5 * mean_w
    assert 1.0 <= system.peak_over_mean.mode <= 1.15
    assert system.peak_over_mean.mode * mean_w <= system.vendor_max_w.mode
    assert system.vendor_max_w.mode <= system.nameplate_w.mode
    if system.peak_w is not None:
        assert system.peak_w.mode > system.vendor_max_w.mode
    if system.liquid_fraction.mode == 0:
        assert system.air_rise_k is not None
    else:
        assert system.supply_max_c is not None


def test_published_figures_stand_as_read() -> None:
    assert SYSTEMS["dgx_h100"].vendor_max_w.mode == 10200
    assert 4 * SYSTEMS["dgx_h100"].nameplate_w.mode == 40800
    assert SYSTEMS["dgx_b200"].vendor_max_w.mode == 14300
    assert SYSTEMS["gb200_nvl72"].nameplate_w.mode * 100_000 / 72 == pytest.approx(183.3e6, rel=1e-3)
    assert SYSTEMS["gb200_nvl72"].liquid_fraction.mode == pytest.approx(115 / 132, abs=1e-3)
    psu = SYSTEMS["gb200_nvl72"].psu
    assert psu is not None
    assert psu.count * psu.rating_w.mode == 8 * 33e3
    label = SYSTEMS["dgx_h100"].supply_v
    assert label is not None
    assert (label.phases, label.low_v, label.high_v) == (1, 200, 240)
    # 1105 CFM carry 10.2 kW at the rise that is published, rho 1.18 and cp 1006
    air = SYSTEMS["dgx_h100"]
    assert air.airflow_m3_s is not None
    assert air.air_rise_k is not None
    assert air.air_rise_k.low < 10200 / (1.18 * 1006 * air.airflow_m3_s.mode) < air.air_rise_k.high


@pytest.mark.parametrize("climate", CLIMATES.values(), ids=lambda climate: climate.name)
def test_a_climate_is_a_year_that_agrees_with_its_extremes(climate: Climate) -> None:
    edges = [edge for edge, _, _ in climate.bins]
    assert sum(hours for _, hours, _ in climate.bins) == 8760
    assert edges[-1] <= climate.db_max_c <= edges[-1] + 1
    assert max(wet for _, _, wet in climate.bins) <= climate.wb_max_c
    if climate.n_year_max_c:
        years = sorted(climate.n_year_max_c)
        assert [climate.n_year_max_c[y] for y in years] == sorted(climate.n_year_max_c.values())
        margin = SITES[climate.name].cooling.extreme_margin_k
        assert margin.low - 0.05 <= climate.n_year_max_c[20] - climate.db_max_c <= margin.high + 0.05


def test_the_climates_are_those_of_the_derived_data(data: Path) -> None:
    with open(data / "climate" / "climate_stats.csv", encoding="utf-8") as text:
        stats = {row["station"]: row for row in csv.DictReader(text)}
    for climate in CLIMATES.values():
        row = stats[climate.station]
        mean = sum((edge + 0.5) * hours for edge, hours, _ in climate.bins) / 8760
        assert mean == pytest.approx(float(row["db_mean"]), abs=0.5)  # half a bin: some files are in whole degrees
        assert (climate.db_max_c, climate.wb_max_c) == (float(row["db_max"]), float(row["wb_max"]))
        assert climate.cdd21 == float(row["cdd21"])
        for limit in (17, 22, 24, 28, 32):  # an hour at the limit itself is in its bin and not above it
            at_least, above = (sum(h for edge, h, _ in climate.bins if edge >= limit + i) for i in (0, 1))
            assert above <= int(row[f"h_db_gt_{limit}"]) <= at_least


@pytest.mark.parametrize("site", SITES.values(), ids=lambda site: site.name)
def test_a_site_stands_in_a_climate_that_ships(site: Site) -> None:
    assert site.climate in CLIMATES
    feed = site.electrical.feed
    if feed.standard == "NEC":
        assert (feed.voltage_v.mode, feed.continuous_factor.mode) == (415, 0.8)
        # NEC 240.6(A) up to 400 A
        assert len(feed.ratings_a) == 23
        assert {15, 25, 35, 45, 70, 90, 110} <= set(feed.ratings_a)
    else:
        assert (feed.voltage_v.mode, feed.continuous_factor.mode) == (400, 1.0)
    assert site.cooling.supply_liquid_c.low > site.cooling.supply_air_c.mode


def test_a_site_keeps_what_it_does_not_change() -> None:
    assert SITES["granada"].cooling.plant == "adiabatic"
    assert SITES["granada"].electrical == SITES["copenhagen"].electrical
    assert SITES["phoenix"].electrical.ups_efficiency == SITES["copenhagen"].electrical.ups_efficiency


def test_what_a_type_assumes_is_what_the_defaults_state() -> None:
    for part in ("electrical", "cooling", "grid"):
        node = plain(SITES["copenhagen"])
        stated = getattr(SITES["copenhagen"], part)
        later = [name for name, default in zip(stated.__struct_fields__[::-1], stated.__struct_defaults__[::-1],
                                               strict=False) if isinstance(default, Parameter)]  # fmt: skip
        assert later
        for name in later:
            node[part].pop(name)
        bare = getattr(sites.site_from(node), part)
        for name in later:
            assumed, figure = getattr(bare, name), getattr(stated, name)
            assert (assumed.low, assumed.mode, assumed.high) == (figure.low, figure.mode, figure.high), name


def test_a_number_in_place_of_a_figure_is_exact_and_given() -> None:
    node = plain(SITES["copenhagen"])
    node["electrical"]["ups_efficiency"] = 0.96
    node["cooling"]["thermal_mass_j_k"] = 2e5
    site = sites.site_from(node)
    assert site.electrical.ups_efficiency == Parameter(0.96, "1", "the request", kind="given")
    assert site.cooling.thermal_mass_j_k.unit == "J/K"
    assert sites.parameter_from(0.5, "utilisation", 0, 1).low == 0.5


def test_changes_are_merged_into_a_named_site() -> None:
    site = sites.site_named("phoenix", changes={"cooling": {"plant": "dry", "pump": 0.02}})
    assert (site.cooling.plant, site.cooling.pump.mode) == ("dry", 0.02)
    assert site.cooling.dry_fan == SITES["phoenix"].cooling.dry_fan


def test_a_users_file_adds_replaces_and_starts_from_a_shipped_one(tmp_path: Path) -> None:
    for group in ("site", "system"):
        (tmp_path / group).mkdir()
    (tmp_path / "site" / "barn.yaml").write_text(
        "defaults:\n  - /site_defaults@_here_: eu\n  - _self_\n"
        "name: barn\ntitle: A barn\nclimate: billund\nelectrical: {ups_efficiency: 0.91, ups_topology: 2N}\n"
    )
    barn = sites.site_named("barn", [tmp_path])
    assert (barn.electrical.ups_topology, barn.electrical.ups_efficiency.mode) == ("2N", 0.91)
    assert barn.electrical.ups_efficiency.source == "site/barn.yaml"
    assert barn.cooling == SITES["billund"].cooling
    (tmp_path / "system" / "mine.yaml").write_text(
        "defaults: [dgx_h100@_here_, _self_]\nname: mine\ntitle: Mine\ngpu_max_w: 650\n"
    )
    (tmp_path / "system" / "dgx_h200.yaml").write_text("defaults: [mine@_here_, _self_]\nname: dgx_h200\n")
    assert sites.system_named("mine", [tmp_path]).gpu_max_w.mode == 650
    assert sites.system_named("dgx_h200", [tmp_path]).title == "Mine"
    assert sites.system_named("dgx_h200").gpu_max_w.mode == 700
    assert {"mine", "dgx_h100"} <= set(sites.choices("system", [tmp_path]))
