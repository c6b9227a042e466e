"""What ``perwatt size`` refuses, in one line and before anything is written, and a site that cannot hold it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from records import measured, record
from sizing_calls import NODES, SECONDS, SWING_W, Size, epw, trace

from perwatt.results.store import Store


@pytest.mark.parametrize(
    ("overrides", "said", "key"),
    [
        (["site.electrical.feed.ratings_a=[16]"], "dgx_h100: rack: no breaker is big enough: 40.8 kW", "per_rack"),
        (["site.electrical.row_ratings_a=[16]"], "dgx_h100: row: no breaker is big enough: ", "row_ratings_a"),
        (["site.electrical.available_w=50000"], "site: the grid offers 0.05 MW, short by 0.0", "available_w"),
        (["site.cooling.heat_limit_w=50000"], "cooling: the plant may reject 0.05 MW, short by 0.0", "heat_limit_w"),
        (["site=phoenix", "site.cooling.plant=tower", "site.cooling.water_limit_m3=1"],
         "water: the site may use 1 m3 a year, short by ", "water_limit_m3"),
    ],
)  # fmt: skip
def test_a_site_that_cannot_hold_it_says_which_level_by_how_much_and_the_key(
    size: Size, overrides: list[str], said: str, key: str
) -> None:
    done = size(*NODES, *overrides)
    assert (done.code, done.last["exit"]) == (2, 2)
    (line,) = done.err.splitlines()
    assert line.startswith(f"perwatt size: {said}")
    assert "short by" in line
    assert key in line.rpartition("; to be changed: ")[2]
    (warning,) = done.sizing["failing"]  # the report is there, and shows where it fails
    assert line == f"perwatt size: {warning}"
    assert warning in done.last["warnings"]


def test_several_levels_that_fail_are_one_line(size: Size) -> None:
    done = size(*NODES, "site.electrical.feed.ratings_a=[16]", "site.electrical.available_w=50000", "out=null")
    (line,) = done.err.splitlines()
    assert done.code == 2
    assert "rack: no breaker" in line
    assert "; and 1 more: site: the grid offers 0.05 MW, short by " in line


WRONG = [
    ("nodes=0", "nodes: found 0; allowed a whole number, 1 to 10000000"),
    ("nodes=1.5", "nodes: found 1.5; allowed a whole number, 1 to 10000000"),
    ("nodes=null", "nodes: found nothing; allowed how many units"),
    ("per_rack=0", "per_rack: found 0; allowed a whole number, 1 to 10000000"),
    ("site.electrical.racks_per_row=0", "site.electrical.racks_per_row: found 0; allowed 1 or more"),
    ("site.electrical.distribution_loss=-0.01", "site.electrical.distribution_loss: found -0.01; allowed 0 to 0.5"),
    ("site.electrical.ups_efficiency=1.2", "site.electrical.ups_efficiency: found 1.2; allowed above 0 to 1"),
    ("site.electrical.feed.ratings_a=[32,16]", "site.electrical.feed.ratings_a: found [32.0, 16.0]; allowed numbers "),
    ("site.electrical.ups_topology=3N", "site.electrical.ups_topology: found '3N'; allowed N, N+1, N+2, 2N, 4N3R"),
    ("site.cooling.plant=wet", "site.cooling.plant: found 'wet'; allowed dry, adiabatic, tower, chiller"),
    ("site.cooling.supply_liquid_c={mode: 50, min: 60, max: 70}", "site.cooling.supply_liquid_c.mode: found 50"),
    ("site.reuse.fraction=1.5", "site.reuse.fraction: found 1.5; allowed 0 to 1"),
    ("site.altitude_m=99999", "site.altitude_m: found 99999; allowed -500 to 5000"),
    ("system.liquid_fraction=1.2", "system.liquid_fraction: found 1.2; allowed 0 to 1"),
    ("system.gpus=0", "system.gpus: found 0; allowed 1 or more"),
    ("site=copenhagn", "site=copenhagn: no such file in conf/site (did you mean copenhagen?); choices: billund, "),
    ("system=dgx_h1000", "system=dgx_h1000: no such file in conf/system (did you mean dgx_h100?); choices: "),
    ("preset=gefon", "preset=gefon: no such file in conf/preset (did you mean gefion?); choices: aarhus, "),
    ("sitee=copenhagen", "sitee: no such key (did you mean site?); choices: title, "),
    ("+foo=1", "foo: no such key; choices: title, "),
    ("site.electrical.ups_eficiency=0.9", "site.electrical.ups_eficiency: no such key (did you mean ups_efficiency?)"),
    ("+site.electrical.foo=1", "site.electrical: unknown key 'foo'; allowed: feed, "),
    ("site.climate=nowhere", "site.climate=nowhere: no such file in conf/climate; choices: billund, "),
    ("site.climate=nowhere.epw", "site.climate: nowhere.epw: No such file or directory; allowed an EPW file"),
    ("site=null", "site=null: found nothing; allowed a name in conf/site"),
    ("run=nothing", "run=nothing: no run there (a folder with records.jsonl)"),
    ("run=latest", "run=latest: results/runs holds no run"),
    ("trace=nothing.csv", "trace: nothing.csv: No such file or directory; allowed the file of a power trace"),
    ("trace=.", "trace: .: Is a directory; allowed the file of a power trace"),
    ("draws=-1", "draws: found -1; allowed a whole number, 0 to 10000000"),
    ("draws=7", "draws: found 7; allowed 0, or 100 to 100000"),
    ("draws=1000000", "draws: found 1000000; allowed 0, or 100 to 100000"),
    ("~draws", "draws: found nothing; allowed a value, or to leave the key as it is"),
    ("nodes=99999999999999999999", "nodes: found 99999999999999999999; allowed a whole number, 1 to 10000000"),
    ("nodes=1e12", "nodes: found 1000000000000.0; allowed a whole number, 1 to 10000000"),
    ("utilisation=nan", "utilisation.mode: found nan; allowed a finite number"),
    ("utilisation=2", "utilisation: found 2; allowed 0 to 1"),
    ("draws=many", "draws: found 'many'; allowed a whole number"),
    ("seed=-1", "seed: found -1; allowed a whole number, 0 to 10000000"),
    ("phases=[{name: a, units: {nope: 3}}]", "phases.a: found 'nope'; allowed dgx_h100"),
    ("phases=[{name: a}]", "phases[0]: found {'name': 'a'}; allowed {name: NAME, units: "),
    ("phases=[{name: a, units: {dgx_h100: -1}}]", "phases[0].units.dgx_h100: found -1; allowed a whole number, 0 "),
    ("phases=[{name: '', units: {dgx_h100: 8}}]", "phases[0].name: found nothing; allowed a name"),
    ("site.cooling.dew_point_min_c=22", "site.cooling.dew_point_min_c: found up to 22, and dew_point_max_c from 17"),
    ("phases=3", "phases: found 3; allowed a list of {name: NAME, "),
    ("mix=both", "mix: found 'both'; allowed training, inference, or the fraction in step, 0 to 1"),
    ("site.cooling.heat_limit_w=0", "site.cooling.heat_limit_w: found 0; allowed above 0"),
    ("limit_mw=2", "nodes: found 8 beside limit_mw; allowed one of the two: nodes=null under a limit"),
    ("fleet=[{system: dgx_h100, units: 3}]", "fleet: found system and nodes beside it; allowed a fleet without them"),
    ("systems=[dgx_b200]", "systems: found system beside it; allowed one of the two"),
    ("compare_changes={cooling: {plant: tower}}", "compare_changes: found changes to no site; allowed with compare_"),
    ("compare_changes={colling:", "compare_changes={colling:: found '{' and no '}' to it; allowed all of it in quotes"),
    ("phases=[{name: a, units: {dgx_h100: 99}}]", "phases.a.dgx_h100: found 99; allowed 0 to 8, the units of the flee"),
    ("phases=[{name: a, units: {dgx_h100: 4}}]", "phases.a.dgx_h100: found 4; allowed 8, as the last phase is the who"),
    ("system.idle_w=20000", "system.idle_w: found 20000; allowed up to vendor_max_w, 10200"),
    ("system.gpu_max_w=7000", "system.gpu_max_w: found 7000 of 8 GPUs; allowed up to 1275, as nameplate_w is 10200"),
    ("system.vendor_max_w=20000", "system.vendor_max_w: found 20000; allowed up to nameplate_w, 10200"),
    ("system.psu.rating_w=33", "system.psu.rating_w: found 33 in each of the 4 needed; allowed 2320 or more, to carry"),
    ("system=nan", "system=nan: no such file in conf/system; choices: "),
    ("site=3", "site=3: no such file in conf/site; choices: "),
    ("site.cooling.supply_liquid_c=1", "site.cooling.supply_liquid_c: found 1; allowed 2 to 80"),
    ("site.cooling.return_years=1", "site.cooling.return_years: found 1; allowed 2 or more"),
    ("site.cooling.dry_fan.mode=0.05", "site.cooling.dry_fan.mode: found 0.05; allowed 0.01 to 0.04, its own min and"),
    ("site.size_class=midsize", "site.size_class=midsize: found a name alone; allowed size_class=NAME, which brings"),
    ("site.hyperscale_from_w=-1", "site.hyperscale_from_w: found -1; allowed above 0"),
    ("site.opening=yesterday", "site.opening: found no date; allowed one such as 2027-07-01"),
    ("size_class=huge", "size_class=huge: no such file in conf/size_class; choices: hyperscale, midsize"),
    ("compare_site=nowhere", "compare_site=nowhere: no such file in conf/site; choices: billund, "),
    ("--config-dir", "--config-dir: needs a value: a folder"),
    ("--config-dir=nowhere", "--config-dir nowhere: no such folder"),
    ("--fast", "--fast: no such flag; choices: --config-dir, --help"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=lambda w: w[:40])
def test_one_line_and_nothing_is_written(tmp_path: Path, size: Size, wrong: str, said: str) -> None:
    done = size(*NODES, wrong)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"perwatt size: {said}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("limit_mw=inf", "limit_mw: found inf; allowed 100000 MW at most"),
        ("limit_mw=nan", "limit_mw: found nan; allowed above 0"),
        ("limit_mw=0", "limit_mw: found 0; allowed above 0"),
        ("limit_mw=much", "limit_mw: found 'much'; allowed a number of MW above 0"),
        ("limit_mw=0.001", "limit_mw=0.001: not one unit of NVIDIA DGX H100 fits"),
    ],
)
def test_a_limit_that_cannot_be(size: Size, wrong: str, said: str) -> None:
    done = size("system=dgx_h100", "draws=0", wrong)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"perwatt size: {said}")


@pytest.mark.parametrize(
    ("group", "name", "text", "said"),
    [
        ("system", "broken", "name: [", "while parsing"),
        ("system", "empty", "", "found no keys and values"),
        ("system", "nm", "defaults: [dgx_h100, _self_]\nname: other\n", "name: found 'other'; allowed 'nm', the"),
        ("system", "box", "defaults: [dgx_h100, _self_]\nname: box\nliquid_fraction: 2\n", "liquid_fraction: found 2"),
        ("system", "box", "defaults: [dgx_h100, _self_]\nname: box\nhost_w: .nan\n", "host_w.mode: found nan; all"),
        ("site", "barn", "defaults: [odum, _self_]\nname: barn\ncooling: {pump: -1}\n", "cooling.pump: found -1; "),
        ("preset", "mine", "nodes: {", "while parsing"),
    ],
)  # fmt: skip
def test_a_users_wrong_file_is_named_with_the_key(
    tmp_path: Path, size: Size, group: str, name: str, text: str, said: str
) -> None:
    (tmp_path / group).mkdir()
    path = tmp_path / group / f"{name}.yaml"
    path.write_text(text)
    done = size("--config-dir", str(tmp_path), *NODES, f"{group}={name}")
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"perwatt size: {path}: ")
    assert said in line


@pytest.mark.parametrize(
    ("overrides", "path", "found"),
    [
        (["site.cooling.dry_fan.mode=0.039"], "site.cooling.dry_fan", (0.01, 0.039, 0.04, "given", "the request")),
        (["site.electrical.ups_efficiency={mode: 0.91}"], "site.electrical.ups_efficiency",
         (0.90, 0.91, 0.99, "given", "the request")),
        (["site.electrical.ups_efficiency={mode: 0.91, kind: measured, source: our meter}"],
         "site.electrical.ups_efficiency", (0.90, 0.91, 0.99, "measured", "our meter")),
        (["site.electrical.ups_efficiency.mode=0.95", "site.electrical.ups_efficiency.source=our meter",
          "site.electrical.ups_efficiency.kind=measured"],
         "site.electrical.ups_efficiency", (0.90, 0.95, 0.99, "measured", "our meter")),
        (["utilisation.max=0.9"], "fleet.dgx_h100.utilisation", (0.6, 0.85, 0.9, "given", "the request")),
    ],
)  # fmt: skip
def test_a_figure_that_is_changed_in_part_is_no_longer_its_sources(
    size: Size, overrides: list[str], path: str, found: tuple[object, ...]
) -> None:
    (row,) = (row for row in size(*NODES, *overrides).sizing["inputs"] if row[0] == path)
    assert (*row[1:4], *row[5:]) == found


def test_a_users_file_is_the_source_of_what_it_changes_and_keeps_what_it_says(tmp_path: Path, size: Size) -> None:
    for group, text in {
        "system": "defaults: [dgx_h100, _self_]\nname: box\nnameplate_w: {mode: 11000}\n"
        "vendor_max_w: {mode: 9000, kind: measured, source: our meter}\n",
        "site": "defaults: [odum, _self_]\nname: box\ncooling: {dry_fan: {mode: 0.03}, pump: {mode: 0.012}}\n",
        "preset": "# @package _global_\ndefaults: [override /system: box, override /site: box]\nnodes: 2\n"
        "site: {electrical: {ups_efficiency: {max: 0.98}}}\n",
    }.items():
        (tmp_path / group).mkdir()
        (tmp_path / group / "box.yaml").write_text(text)
    done = size("--config-dir", str(tmp_path), "preset=box", "draws=0", "site.cooling.pump.mode=0.013")
    said = {row[0]: (row[5], row[6]) for row in done.sizing["inputs"]}
    assert said["fleet.box.nameplate_w"] == ("given", "system/box.yaml")
    assert said["fleet.box.vendor_max_w"] == ("measured", "our meter")
    assert said["site.cooling.dry_fan"] == ("given", "site/box.yaml")
    assert said["site.cooling.pump"] == ("given", "the request")
    assert said["site.electrical.ups_efficiency"] == ("given", "preset/box.yaml")


@pytest.mark.parametrize(
    ("overrides", "title", "note"),
    [
        ([], "Gefion: 191 DGX H100 in Copenhagen", True),
        (["site.electrical.ups_topology=2N"], "Gefion: 191 DGX H100 in Copenhagen", True),
        (["nodes=10"], "10 NVIDIA DGX H100 at Copenhagen, Denmark", True),
        (["system=dgx_b200"], "191 NVIDIA DGX B200 at Copenhagen, Denmark", True),
        (["site=odum", "title=Ours"], "Ours", False),
    ],
)
def test_the_title_of_a_preset_stands_over_nothing_else(
    size: Size, overrides: list[str], title: str, note: bool
) -> None:
    asked = size("preset=gefion", "draws=0", *overrides).sizing
    assert asked["title"] == title
    assert ("Digital Realty" in asked["request"]["site_note"]) == note


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["run=a", "trace=b"], "trace: found 'b' beside run=a; allowed one of the two"),
        (["format=excel"], "format: found 'excel'; allowed auto, csv, parquet, mlperf, spl, prometheus"),
        (["format=mlperf"], "node.csv: found no :::MLLOG line; allowed :::MLLOG "),
        (["columns.pwr=x"], "columns.pwr: no such key (did you mean power?); choices: time, power, "),
        (["columns.power=x"], "node.csv line 1: found the columns t_s, power_w; allowed one of t_s|"),
        (["columns.accuracy=good"], "columns.accuracy: found 'good'; allowed a fraction from 0 to 1"),
        (["columns=3"], "columns: found 3; allowed keys and values: "),
        (["compare_site=phoenix", "compare_changes={colling: {plant: tower}}"],
         "compare_changes: unknown key 'colling' (did you mean cooling?)"),
    ],
)  # fmt: skip
def test_what_cannot_go_together(tmp_path: Path, size: Size, overrides: list[str], said: str) -> None:
    trace(tmp_path / "node.csv")
    done = size(*NODES, "trace=node.csv", *overrides)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"perwatt size: {said}")


def test_a_run_that_no_meter_watched(tmp_path: Path, size: Size) -> None:
    (tmp_path / "run").mkdir()
    with Store(tmp_path / "run") as store:
        store.append(record("k0", measured(unmetered="no meter")))
    done = size(*NODES, "run=run")
    assert done.code == 2
    assert done.err.startswith("perwatt size: run: found no case with a measured power; allowed a run with power at ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("stamps", "watts", "said"),
    [
        (np.r_[0:100, 50, 101:200], SWING_W[:200], "line 102: found a stamp 49.000 s before the one above it"),
        (np.r_[0:100, -3000:-2900], SWING_W[:200], "line 102: found a stamp 3099.000 s before the one above it"),
        (SECONDS[:100], np.r_[SWING_W[:50], -3, SWING_W[51:100]], "line 52: found power_w -3; allowed watts"),
        (SECONDS[:1], SWING_W[:1], "found 1 readings; allowed 2 or more"),
        (np.zeros(9, int), SWING_W[:9], "found stamps that are all the same; allowed stamps that grow"),
    ],
    ids=["unsorted", "clock set back", "negative", "one reading", "one moment"],
)  # fmt: skip
def test_traces_that_cannot_be(tmp_path: Path, size: Size, stamps: np.ndarray, watts: np.ndarray, said: str) -> None:
    done = size(*NODES, f"trace={trace(tmp_path / 'node.csv', stamps, watts)}")
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.__delitem__(slice(4000, 4010)), "found no hour 06-16 17h, 10 such in all; allowed the 8760"),
        (lambda rows: rows.insert(4000, rows[3999]), "found the hour 06-16 16h twice; allowed once"),
        (lambda rows: rows[5000].__setitem__(6, "99.9"), "found dry bulb 99.9 at 07-28 09h and in 1 hours in all"),
        (lambda rows: rows[5000].__setitem__(8, "999"), "found relative humidity 999 at 07-28 09h"),
        (lambda rows: rows[5000].__setitem__(6, "warm"), "warm"),
    ],
    ids=["gap", "twice", "missing temperature", "missing humidity", "a word"],
)
def test_weather_that_is_no_whole_year(
    tmp_path: Path, size: Size, change: Callable[[list[list[str]]], object], said: str
) -> None:
    path = epw(tmp_path / "odd.epw", change)
    done = size(*NODES, f"site.climate={path}")
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"perwatt size: site.climate: {path}: ")
    assert said in line


def test_a_key_that_is_given_twice_is_told_and_the_last_one_counts(size: Size) -> None:
    done = size(*NODES, "nodes=3", "draws=0")
    assert done.code == 0
    said = [line for line in done.sizing["warnings"] if line.startswith("nodes: ")]
    assert said == ["nodes: found 8 and 3: the last one counts"]
    assert done.last["units"] == 3
