"""Sites, systems and climates that cannot be, names and files that are not there: each is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from perwatt.benchmarks import sites
from perwatt.benchmarks.config import BadRequest
from tests.fleets_of import plain, site_named_once, system_named_once

BROKEN_SITES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda s: s["electrical"].update(distribution_loss=-0.01),
        r"site\.electrical\.distribution_loss: found -0.01; allowed 0 to 0\.5",
    ),
    (
        lambda s: s["electrical"].update(ups_efficiency=1.02),
        r"electrical\.ups_efficiency: found 1\.02; allowed above 0 to 1",
    ),
    (lambda s: s["electrical"].update(ups_efficiency=0), r"electrical\.ups_efficiency: found 0; allowed above 0 to 1"),
    (lambda s: s["electrical"].update(racks_per_row=0), r"electrical\.racks_per_row: found 0; allowed 1 or more"),
    (
        lambda s: s["electrical"].update(ups_topology="3N"),
        r"electrical.ups_topology: found '3N'; allowed N, N\+1, N\+2, 2N, 4N3R",
    ),
    (
        lambda s: s["electrical"].update(ups_curve=[[0.5, 0.9], [0.4, 1.0]]),
        r"ups_curve: loads: found \[0\.5, 0\.4\]; allowed .*grow",
    ),
    (lambda s: s["electrical"].update(available_w=-1), r"electrical\.available_w: found -1; allowed above 0"),
    (lambda s: s["electrical"]["feed"].update(paths=0), r"electrical\.feed\.paths: found 0; allowed 1 or more"),
    (
        lambda s: s["electrical"]["feed"].update(ratings_a=[32, 16]),
        r"feed\.ratings_a: found \[32\.0, 16\.0\]; allowed .*grow",
    ),
    (lambda s: s["electrical"]["feed"].update(voltage_v=0), r"feed\.voltage_v: found 0; allowed above 0"),
    (
        lambda s: s["electrical"]["feed"]["voltage_v"].update(unit="kV"),
        r"feed\.voltage_v: unit: found 'kV'; allowed 'V'",
    ),
    (
        lambda s: s["electrical"]["feed"]["voltage_v"].update(mode="high"),
        r"feed\.voltage_v\.mode: Expected `float`, got `str`",
    ),
    (
        lambda s: s["electrical"]["feed"]["voltage_v"].pop("source"),
        r"feed\.voltage_v: .*missing required field `source`",
    ),
    (lambda s: s["electrical"]["feed"].pop("paths"), r"electrical\.feed: .*missing required field `paths`"),
    (
        lambda s: s["cooling"].update(water_class="W33"),
        r"cooling\.water_class: found 'W33'; allowed W17, W27, W32, W40, W45, W\+",
    ),
    (lambda s: s["cooling"].update(liquid_loop=1), r"cooling\.liquid_loop: Expected `bool`, got `int`"),
    (lambda s: s["cooling"].update(cooler_w=0), r"cooling\.cooler_w: found 0; allowed above 0"),
    (lambda s: s["cooling"].update(crah_topology="3N"), r"cooling.crah_topology: found '3N'; allowed N, N\+1"),
    (lambda s: s["cooling"].update(air_water_rise_k=0), r"cooling\.air_water_rise_k: found 0; allowed 0\.1 to 60"),
    (
        lambda s: s["electrical"].update(ups_power_factor=1.1),
        r"electrical\.ups_power_factor: found 1\.1; allowed above 0 to 1",
    ),
    (lambda s: s["cooling"].update(derating_m=0), r"cooling\.derating_m: found 0; allowed 1 or more"),
    (lambda s: s["cooling"].update(derating_from_m=-5), r"cooling\.derating_from_m: found -5; allowed 0 or more"),
    (lambda s: s["electrical"].update(correlation=1.1), r"electrical\.correlation: found 1\.1; allowed 0 to 1"),
    (lambda s: s["grid"].update(storage_recovery=-0.1), r"grid\.storage_recovery: found -0\.1; allowed 0 to 1"),
    (
        lambda s: s["cooling"].update(plant="lake"),
        r"cooling.plant: found 'lake'; allowed dry, adiabatic, tower, chiller",
    ),
    (lambda s: s["cooling"].update(cycles=1), r"cooling\.cycles: found 1; allowed 1\.01 to 1000"),
    (lambda s: s["cooling"].update(liquid_rise_k=0), r"cooling\.liquid_rise_k: found 0; allowed 0\.1 to 60"),
    (
        lambda s: s["cooling"].update(supply_liquid_c=float("nan")),
        r"cooling\.supply_liquid_c\.mode: found nan; allowed a finite number",
    ),
    (lambda s: s["cooling"].update(return_years=0), r"cooling\.return_years: found 0; allowed 2 or more"),
    (lambda s: s["cooling"].update(dry_fann=1), r"site\.cooling: unknown key 'dry_fann' \(did you mean dry_fan\?\)"),
    (lambda s: s["cooling"].update(dry_fan="much"), r"cooling\.dry_fan: found 'much'; allowed a number, or mode"),
    (lambda s: s["cooling"].update(dry_fan=True), r"cooling\.dry_fan: found True; allowed a number, or mode"),
    (lambda s: s["cooling"]["pump"].update(mode=0.5), r"cooling\.pump\.mode: found 0\.5; allowed 0\.006 to 0\.02"),
    (lambda s: s["grid"].update(renewable=1.2), r"grid\.renewable: found 1\.2; allowed 0 to 1"),
    (lambda s: s["reuse"].update(fraction=-0.1), r"reuse\.fraction: found -0\.1; allowed 0 to 1"),
    (lambda s: s.update(grid=3), r"site\.grid: found 3; allowed keys and values"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN_SITES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_site_that_cannot_be_is_refused_in_one_line(change: Callable[[dict[str, Any]], object], message: str) -> None:
    node = plain(site_named_once("copenhagen"))
    change(node)
    with pytest.raises(BadRequest, match=message) as refused:
        sites.site_from(node)
    assert "\n" not in str(refused.value)


BROKEN_SYSTEMS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda s: s.update(liquid_fraction=1.2), r"system\.liquid_fraction: found 1\.2; allowed 0 to 1"),
    (lambda s: s.update(gpus=0), r"system\.gpus: found 0; allowed 1 or more"),
    (lambda s: s.update(per_rack=0), r"per_rack: found 0; allowed 1 or more"),
    (lambda s: s.update(nameplate_w=0), r"nameplate_w: found 0; allowed above 0"),
    (lambda s: s.update(peak_over_mean=0.9), r"peak_over_mean: found 0\.9; allowed 1 or more"),
    (lambda s: s["psu"].update(needed=7), r"psu\.needed: found 7; allowed 1 to 6"),
    (lambda s: s["psu"].update(count=0), r"psu\.count: found 0; allowed 1 or more"),
    (
        lambda s: s["psu"].update(efficiency=[[0.5, 1.01]]),
        r"psu\.efficiency: efficiency: found 1\.01; allowed above 0 to 1",
    ),
    (lambda s: s["psu"].update(efficiency=[]), r"psu\.efficiency: loads: found \[\]; allowed"),
    (lambda s: s["supply_v"].update(high_v=100), r"supply_v\.high_v: found 100; allowed 200 or more"),
    (lambda s: s["supply_v"].update(low_v=0), r"supply_v\.low_v: found 0; allowed above 0"),
    (lambda s: s["supply_v"].update(phases=2), r"supply_v.phases: found 2; allowed 1, 3"),
    (lambda s: s["supply_v"].update(source=" "), r"supply_v\.source: found nothing"),
    (lambda s: s.update(form="blade"), r"form: found 'blade'; allowed node, rack"),
    (lambda s: s.update(form="rack"), r"per_rack: found 4; allowed 1 to 1"),
]


@pytest.mark.parametrize(
    ("change", "message"), BROKEN_SYSTEMS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_system_that_cannot_be_is_refused_in_one_line(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    node = plain(system_named_once("dgx_h100"))
    change(node)
    with pytest.raises(BadRequest, match=message) as refused:
        sites.system_from(node)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(bins=[]), r"bins: found 0 bins"),
        (lambda c: c["bins"].pop(), r"bins: hours together: found 8752; allowed 8759 to 8785"),
        (lambda c: c["bins"].reverse(), r"bins: found 37 bins; allowed lower edges that grow"),
        (lambda c: c["bins"].__setitem__(0, [-10, 2, 5]), r"bins: wet bulb at -10: found 5; allowed -90 to -9"),
        (lambda c: c["bins"].__setitem__(0, [-10, -2, -11]), r"bins: hours at -10: found -2; allowed above 0"),
    ],
)
def test_a_climate_that_is_no_year_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    node = yaml.safe_load((files("perwatt.conf") / "climate" / "copenhagen.yaml").read_text(encoding="utf-8"))
    change(node)
    (tmp_path / "climate").mkdir()
    (tmp_path / "climate" / "copenhagen.yaml").write_text(yaml.safe_dump(node))
    with pytest.raises(BadRequest, match=message):
        sites.climate_named("copenhagen", [tmp_path])


@pytest.mark.parametrize(("low", "value"), [(0, 1.2), (0, -0.1), (0, "much")])
def test_a_fraction_of_the_request_is_held_to_its_bounds(low: float, value: object) -> None:
    with pytest.raises(BadRequest, match=r"utilisation: found .*; allowed"):
        sites.parameter_from(value, "utilisation", low, 1)


def test_an_unknown_name_is_answered_with_the_nearest_and_the_choices() -> None:
    with pytest.raises(
        BadRequest, match=r"system=dgx_h10: no such file in conf/system \(did you mean dgx_h100\?\); choices: dgx_a100"
    ):
        sites.system_named("dgx_h10")
    with pytest.raises(BadRequest, match=r"climate=oslo: no such file"):
        sites.climate_named("oslo")
    with pytest.raises(BadRequest, match=r"compare_changes.cooling: unknown key 'plan' \(did you mean plant\?\)"):
        sites.site_named("phoenix", changes={"cooling": {"plan": "dry"}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: other\ntitle: [", r"mine\.yaml: .*while parsing"),
        ("defaults: [dgx_h100@_here_, _self_]\nname: other\n", r"mine\.yaml: name: found 'other'; allowed 'mine'"),
        (
            "defaults: [dgx_h100@_here_, _self_]\nname: mine\ngpu: 3\n",
            r"mine\.yaml: unknown key 'gpu' \(did you mean gpus\?\)",
        ),
        ("defaults: [dgx_h1@_here_, _self_]\nname: mine\n", r"mine\.yaml: .*dgx_h1"),
        ("name: mine\n", r"mine\.yaml: .*missing required field `title`"),
        ("3\n", r"mine\.yaml: found no keys and values"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "mine.yaml").write_text(text)
    with pytest.raises(BadRequest, match=message) as refused:
        sites.system_named("mine", [tmp_path])
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)
