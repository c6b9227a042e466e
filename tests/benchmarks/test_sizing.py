"""``perwatt size`` as its user meets it: what it takes, what it leaves behind, and what it refuses in one line."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import climates
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from conftest import Perwatt

from perwatt.benchmarks.cli import main

FILES = {"sizing.json", "lines.csv", "inputs.csv", "series.csv", "flows.csv", "eed.csv", "report.html", "sizing.xlsx",
         "report.pdf"}  # fmt: skip
NODES = ("system=dgx_h100", "nodes=8", "draws=0")
SECONDS = np.arange(1000)
SWING_W = np.where(SECONDS % 20 < 14, 9500.0, 7200.0)


@pytest.fixture(scope="module")
def recorded() -> ModuleType:
    """Runs with a meter, as the tests of fleets write them."""
    spec = importlib.util.spec_from_file_location("recorded", Path(__file__).with_name("test_fleets.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Sized:
    """One call in this process: its exit code, what it said, and its sizing as JSON where it left one."""

    def __init__(self, code: int, out: str, err: str, where: Path) -> None:
        self.code, self.out, self.err = code, out, err
        self.last: dict[str, Any] = json.loads(out.splitlines()[-1]) if out else {}
        self.folder = where / self.last["sizing"] if self.last.get("sizing") else None

    @property
    def sizing(self) -> dict[str, Any]:
        assert self.folder is not None, self.err
        found: dict[str, Any] = json.loads((self.folder / "sizing.json").read_text())
        return found

    def values(self) -> dict[str, float | None]:
        return {line["key"]: line["value"] for line in self.sizing["lines"]}


Size = Callable[..., Sized]


@pytest.fixture
def size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Size:
    """``perwatt size`` in a folder of its own; without PDF and page, which take most of the time, unless ``whole``."""
    monkeypatch.chdir(tmp_path)

    def call(*overrides: str, whole: bool = False) -> Sized:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            if not whole:
                patch.setattr("perwatt.results.reports.sizing_pdf.render", lambda *_: b"%PDF-")
                patch.setattr("perwatt.results.reports.sizing_html.render", lambda *_: "<html>")
            code = main(["size", *overrides])
        said = capsys.readouterr()
        return Sized(code, said.out, said.err, tmp_path)

    return call


def trace(path: Path, t_s: np.ndarray = SECONDS, power_w: np.ndarray = SWING_W) -> Path:
    stamps = (f"{1_767_225_600 + t},{w:g}" for t, w in zip(t_s.tolist(), power_w.tolist(), strict=True))
    path.write_text("t_s,power_w\n" + "\n".join(stamps) + "\n")
    return path


def epw(path: Path, change: Callable[[list[list[str]]], object] = lambda rows: None) -> Path:
    """A made-up year of a place whose header knows no extremes."""
    dry, humidity = climates.made_up()
    days = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    stamps = [(m, d, h) for m, n in enumerate(days, 1) for d in range(1, n + 1) for h in range(1, 25)]
    rest = ["0"] * 16 + ["9", "999999999", "120", "0.0", "0", "88", "0.2", "0.0", "1.0"]
    rows = [
        ["2009", str(m), str(d), str(h), "60", "?9", f"{t:.1f}", "3.0", f"{r:.0f}", "100500", *rest]
        for (m, d, h), t, r in zip(stamps, dry, humidity, strict=True)
    ]
    change(rows)
    header = ["LOCATION,Somewhere,-,DNK,TMYx,061800,55.63,12.67,1.0,5.0", "DESIGN CONDITIONS,0"]
    header += ["TYPICAL/EXTREME PERIODS,0", "GROUND TEMPERATURES,0", "HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0"]
    header += ["COMMENTS 1,made up", "COMMENTS 2,", "DATA PERIODS,1,1,Data,Sunday,1/1,12/31"]
    path.write_text("\r\n".join([*header, *(",".join(row) for row in rows)]) + "\r\n")
    return path


# -- what it makes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "units"),
    [
        pytest.param("gefion", 191, marks=pytest.mark.slow),
        pytest.param("aarhus", 8, marks=pytest.mark.slow),
        ("gigafactory", 1389),
    ],
)
def test_presets_run_out_of_the_box(size: Size, preset: str, units: int) -> None:
    done = size(f"preset={preset}", "draws=1000", whole=True)
    assert (done.code, done.err) == (0, "")
    assert done.folder is not None
    beside = {"beside.csv"} if preset == "gigafactory" else set()
    assert {path.name for path in done.folder.iterdir()} == FILES | beside
    assert (done.folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert [path.name for path in done.folder.parent.iterdir()] == [done.folder.name]
    last = done.last
    assert (last["units"], last["exit"]) == (units, 0)
    assert 1.0 < last["pue"] < 1.6
    assert last["site_w_5"] < last["site_w"] < last["site_w_95"]
    # nothing of a preset was measured here, and no line may say so
    assert "measured" not in {line["kind"] for line in done.sizing["lines"]}


def test_from_the_shell_as_well(tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt("size", *NODES, "out=here")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / done.last["sizing"] / "report.html").stat().st_size > 10_000
    assert done.last["sizing"].startswith("here/")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


def test_out_null_leaves_nothing(tmp_path: Path, size: Size) -> None:
    done = size(*NODES, "out=null")
    assert (done.code, done.last["sizing"]) == (0, None)
    assert "report:" not in done.out
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_gives_the_same_and_no_draws_no_bands(size: Size) -> None:
    nodes = ("system=dgx_h100", "nodes=8", "out=null")
    first, again, other = (size(*nodes, "draws=300", f"seed={seed}").last for seed in (1, 1, 2))
    assert first == again
    assert first["site_w_95"] != other["site_w_95"]
    bare = size(*nodes, "draws=0").last
    assert (bare["site_w_5"], bare["site_w_95"]) == (None, None)
    assert bare["pue"] == first["pue"]


def test_stopped_it_leaves_no_half_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("perwatt.results.reports.sizing_xlsx.render", stopped)
    assert main(["size", *NODES, "out=o"]) == 130
    assert list((tmp_path / "o").iterdir()) == []
    assert "report:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "why", "overrides", "said"),
    [
        ("weasyprint", "raise OSError('cannot load library\\nlibpango')", NODES, "report.pdf is left out: pdf: Weasy"),
        ("xlsxwriter", "raise ImportError", NODES, "sizing.xlsx is left out: "),
        ("psychrolib", "raise ImportError", NODES, "psychrolib is not installed: pip install 'perwatt[sizing]'"),
        ("CoolProp", "raise ImportError", ("system=gb200_nvl72", "nodes=8", "draws=0"), "CoolProp is not installed: "),
    ],
)
def test_a_library_that_is_not_there_is_named_in_one_line(
    tmp_path: Path, perwatt: Perwatt, module: str, why: str, overrides: tuple[str, ...], said: str
) -> None:
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs" / f"{module}.py").write_text(why + "\n")
    done = perwatt("size", *overrides, "out=o", PYTHONPATH=str(tmp_path / "stubs"))
    (line,) = done.err.splitlines()
    assert line.startswith(f"perwatt size: {said}")
    assert "pip install 'perwatt[sizing]'" in line
    if "left out" in said:
        assert done.code == 0
        found = {path.name for path in (tmp_path / done.last["sizing"]).iterdir()}
        assert found == FILES - {said.split(maxsplit=1)[0]}
    else:
        assert (done.code, done.out) == (2, "")
        assert not (tmp_path / "o").exists()


# -- what it takes ---------------------------------------------------------------------------------------------------


def test_a_run_of_gpus_is_modelled_and_its_work_is_counted(tmp_path: Path, size: Size, recorded: ModuleType) -> None:
    run = recorded.write_run(tmp_path / "run", {"k0": 1.0})
    done = size(*NODES, f"run={run}")
    lines = {line["key"]: line for line in done.sizing["lines"]}
    assert lines["power.unit.max"]["kind"] == "modelled"
    assert "lifted to the AC input by a model" in lines["power.unit.max"]["basis"]
    # 8 units of 8 GPUs, 0.85 of the time, over all that the site takes
    rate = 8 * 8 * 200 * 4_000_000 / 20.0 * 0.85
    per_joule = rate * 8760 * 3600 / lines["year.edc"]["value"]
    assert lines["work.FLOP.per_joule"]["value"] == pytest.approx(per_joule)
    assert lines["work.FLOP.per_mwh"]["value"] == pytest.approx(3.6e9 * per_joule)
    assert any("modelled: 8 GPUs in step" in warning for warning in done.last["warnings"])


def test_a_run_of_the_nodes_input_is_measured(tmp_path: Path, size: Size, recorded: ModuleType) -> None:
    run = recorded.write_run(tmp_path / "run", {"small": 8.0, "large": 16.0}, "node_ac", "pdu")
    lines = {line["key"]: line for line in size(*NODES, f"run={run}").sizing["lines"]}
    assert lines["power.unit.max"]["kind"] == "measured"
    assert lines["power.unit.max"]["value"] == pytest.approx(9600)
    assert "case fp32 large, meter pdu" in lines["power.unit.max"]["basis"]
    assert size(*NODES, f"run={run}", "load=small").values()["power.unit.max"] == pytest.approx(4800)


def test_a_branch_circuit_is_below_the_nameplate_only_under_a_proven_cap(tmp_path: Path, size: Size) -> None:
    path = trace(tmp_path / "node.csv", power_w=SWING_W - 2500)
    free, capped = size(*NODES, f"trace={path}").values(), size(*NODES, f"trace={path}", "cap_w=7000").values()
    nameplate_w = 4 * 10_200.0
    assert free["feeds.rack.load"] == pytest.approx(nameplate_w)
    load_w = capped["feeds.rack.load"]
    assert load_w is not None
    assert 4 * 7000 <= load_w < 0.8 * nameplate_w
    assert capped["power.unit.recommended"] == 7000
    refused = size(*NODES, f"trace={path}", "cap_w=6000")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "perwatt size: cap_w: found 6000 W, and a highest second of 7000 W: it did not hold\n"


def test_a_trace_shows_its_transients_and_its_gaps(tmp_path: Path, size: Size) -> None:
    t_s = np.where(SECONDS < 500, SECONDS, SECONDS + 3600)
    done = size(*NODES, f"trace={trace(tmp_path / 'node.csv', t_s)}", "site.grid.ramp_w_s=2000")
    found = done.values()
    assert found["transients.ramp_up.1"] == pytest.approx(8 * 2300)
    assert found["transients.ramp_up.0.1"] is None
    assert found["transients.swing.period"] == pytest.approx(20, rel=0.01)
    assert (found["transients.storage.capacity"] or 0) > 0
    assert any("1 gap of" in warning and "not bridged" in warning for warning in done.last["warnings"])
    # units that serve independently do not ramp together
    assert not [key for key in size(*NODES, f"trace={tmp_path / 'node.csv'}", "mix=inference").values()
                if key.startswith("transients")]  # fmt: skip


def test_any_station_of_the_world(tmp_path: Path, size: Size) -> None:
    done = size(*NODES, f"site.climate={epw(tmp_path / 'somewhere.epw')}")
    assert done.code == 0
    assert done.sizing["request"]["station"] == "somewhere"
    (year,) = (series for series in done.sizing["series"] if "hours" in series["y"])
    assert sum(year["y"]["hours"]) == pytest.approx(8760)


def test_independent_units_need_less_than_units_in_step(tmp_path: Path, size: Size) -> None:
    path = trace(tmp_path / "node.csv")
    nodes = ("system=dgx_h100", "nodes=64", "draws=0", f"trace={path}")
    step, half, alone = (size(*nodes, f"mix={mix}").values() for mix in ("training", "0.5", "inference"))
    key = "power.ups.recommended"
    assert alone[key] < half[key] < step[key]  # type: ignore[operator]


def test_two_kinds_grow_in_phases(size: Size) -> None:
    done = size(
        "fleet=[{system: dgx_h100, units: 8}, {name: new, system: dgx_b200, units: 4, mix: inference}]",
        "phases=[{name: first, units: {dgx_h100: 8}}, {name: whole, units: {dgx_h100: 8, new: 4}}]",
        "draws=0",
    )
    found = done.values()
    assert done.last["units"] == 12
    assert (found["fleet.dgx_h100.units"], found["fleet.new.units"]) == (8, 4)
    key = "power.site.recommended"
    assert found[f"phase.first.{key}"] < found[key]  # type: ignore[operator]
    assert found[f"phase.whole.{key}"] == pytest.approx(found[key])


def test_the_most_units_under_a_limit(size: Size) -> None:
    done = size("limit_mw=2", "systems=[dgx_h100,dgx_b200]", "draws=0")
    found = done.values()
    assert done.last["site_w"] <= 2e6
    assert found["limit.dgx_h100.units"] > found["limit.dgx_b200.units"] > 0  # type: ignore[operator]
    assert found["limit.dgx_b200.work"] > found["limit.dgx_h100.work"]  # type: ignore[operator]
    units = int(found["limit.dgx_b200.units"])  # type: ignore[arg-type]
    assert done.last["units"] == units
    assert size("system=dgx_b200", f"nodes={units + 1}", "draws=0").last["site_w"] > 2e6


def test_water_may_bind_before_power(size: Size) -> None:
    tower = ("system=dgx_h100", "limit_mw=2", "site.cooling.plant=tower", "draws=0")
    free, dry = size(*tower), size(*tower, "site.cooling.water_limit_m3=500")
    assert dry.last["units"] < free.last["units"]
    assert dry.values()["limit.dgx_h100.water"] <= 500  # type: ignore[operator]
    (line,) = (line for line in dry.sizing["lines"] if line["key"] == "limit.dgx_h100.units")
    assert "water binds" in line["basis"]


def test_another_site_stands_beside_with_its_changes(tmp_path: Path, size: Size) -> None:
    beside = ("compare_site=phoenix", "compare_changes={cooling: {plant: tower}}")
    done = size(*NODES, *beside, f"trace={trace(tmp_path / 'node.csv')}", whole=True)
    assert done.folder is not None
    assert (done.code, done.err) == (0, "")
    assert "Phoenix" in (done.folder / "report.html").read_text()


def test_figures_may_be_numbers_or_ranges_and_topologies_names(size: Size) -> None:
    base = size(*NODES).values()
    worse = size(*NODES, "site.electrical.ups_efficiency=0.93")
    assert worse.values()["power.site.recommended"] > base["power.site.recommended"]  # type: ignore[operator]
    given = [row for row in worse.sizing["inputs"] if row[0] == "site.electrical.ups_efficiency"]
    assert given[0][1:4] == [0.93, 0.93, 0.93]
    assert given[0][5] == "given"
    ranged = size(*NODES, "site.electrical.ups_efficiency={mode: 0.93, min: 0.91, max: 0.94, unit: '1', source: ours}")
    assert ranged.values()["kpi.pue"] == pytest.approx(worse.values()["kpi.pue"])
    assert size(*NODES, "site.electrical.ups_topology=2N").values()["redundancy.ups.count"] == 2


def test_a_users_own_system_site_and_climate(tmp_path: Path, size: Size) -> None:
    mine = tmp_path / "mine"
    for group, text in {
        "system": "defaults: [dgx_h100, _self_]\nname: box\ntitle: Our box\nnameplate_w: 9000\n",
        "site": "defaults: [odum, _self_]\nname: barn\ntitle: The barn\nclimate: steady\n",
        "climate": "name: steady\ntitle: Steady\nstation: OURS\nsource: made up\nbins: [[10.0, 8760.0, 8.0]]\n"
        "db_max_c: 25.0\nwb_max_c: 18.0\ncdd21: 0.0\n",
    }.items():
        (mine / group).mkdir(parents=True)
        name = {"system": "box", "site": "barn", "climate": "steady"}[group]
        (mine / group / f"{name}.yaml").write_text(text)
    done = size("--config-dir", str(mine), "system=box", "site=barn", "nodes=3", "draws=0")
    assert (done.code, done.err) == (0, "")
    assert done.values()["power.unit.nameplate"] == 9000
    assert done.sizing["title"] == "3 Our box at The barn"
    assert done.sizing["request"]["station"] == "OURS"


# -- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["site.electrical.feed.ratings_a=[16]"], "rack: no breaker is big enough: 40.8 kW"),
        (["site.electrical.row_ratings_a=[16]"], "row: no breaker is big enough: "),
        (["site.electrical.available_w=50000"], "site: the grid offers 0.05 MW, short by 0.0"),
    ],
)
def test_a_site_that_cannot_hold_it_says_which_level_and_by_how_much(
    size: Size, overrides: list[str], said: str
) -> None:
    done = size(*NODES, *overrides)
    assert (done.code, done.last["exit"], done.err) == (1, 1, "")
    (warning,) = (w for w in done.last["warnings"] if said in w)
    assert "short by" in warning
    assert done.folder is not None  # the report shows where it fails
    assert "short by" in done.out.replace("\n", " ")


WRONG = [
    ("nodes=0", "nodes: found 0; allowed a whole number, 1 or more"),
    ("nodes=1.5", "nodes: found 1.5; allowed a whole number, 1 or more"),
    ("nodes=null", "nodes: found nothing; allowed how many units"),
    ("per_rack=0", "per_rack: found 0; allowed a whole number, 1 or more"),
    ("site.electrical.racks_per_row=0", "site.electrical.racks_per_row: found 0; allowed 1 or more"),
    ("site.electrical.distribution_loss=-0.01", "site.electrical.distribution_loss: found -0.01; allowed 0 to 0.5"),
    ("site.electrical.ups_efficiency=1.2", "site.electrical.ups_efficiency: found 1.2; allowed above 0 to 1"),
    ("site.electrical.feed.ratings_a=[32,16]", "site.electrical.feed.ratings_a: found [32.0, 16.0]; allowed numbers "),
    ("site.electrical.ups_topology=3N", "site.electrical: ups_topology: found '3N'; allowed N, N+1, N+2, 2N, 4N3R"),
    ("site.cooling.plant=wet", "site.cooling: plant: found 'wet'; allowed dry, adiabatic, tower, chiller"),
    ("site.cooling.supply_liquid_c={mode: 50, min: 60, max: 70}", "site.cooling.supply_liquid_c.mode: found 50"),
    ("site.reuse.fraction=1.5", "site.reuse.fraction: found 1.5; allowed 0 to 1"),
    ("system.liquid_fraction=1.2", "system.liquid_fraction: found 1.2; allowed 0 to 1"),
    ("system.gpus=0", "system.gpus: found 0; allowed 1 or more"),
    ("site=copenhagn", "site=copenhagn: no such file in conf/site (did you mean copenhagen?); choices: billund, "),
    ("system=dgx_h1000", "system=dgx_h1000: no such file in conf/system (did you mean dgx_h100?); choices: "),
    ("preset=gefon", "preset=gefon: no such file in conf/preset (did you mean gefion?); choices: aarhus, "),
    ("sitee=copenhagen", "sitee: no such key (did you mean site?); choices: title, "),
    ("+foo=1", "foo: no such key; choices: title, "),
    ("site.electrical.ups_eficiency=0.9", "site.electrical.ups_eficiency: no such key (did you mean ups_efficiency?)"),
    ("+site.electrical.foo=1", "site.electrical: unknown key 'foo'; allowed: feed, "),
    ("site.climate=nowhere", "climate=nowhere: no such file in conf/climate; choices: billund, "),
    ("site.climate=nowhere.epw", "nowhere.epw: No such file or directory; allowed an EPW file"),
    ("site=null", "site=null: found nothing; allowed a name in conf/site"),
    ("run=nothing", "nothing: no run there (a folder with records.jsonl)"),
    ("run=latest", "run=latest: results/runs holds no run"),
    ("trace=nothing.csv", "trace: nothing.csv: No such file or directory; allowed the file of a power trace"),
    ("trace=.", "trace: .: Is a directory; allowed the file of a power trace"),
    ("draws=-1", "draws: found -1; allowed a whole number, 0 or more"),
    ("draws=7", "draws: found 7; allowed 0, or 100 to 100000"),
    ("draws=1000000", "draws: found 1000000; allowed 0, or 100 to 100000"),
    ("~draws", "draws: found nothing; allowed a value, or to leave the key as it is"),
    ("nodes=99999999999999999999", "nodes: found 99999999999999999999; allowed 10000000 at most"),
    ("utilisation=nan", "utilisation.mode: found nan; allowed a finite number"),
    ("utilisation=2", "utilisation: found 2; allowed 0 to 1"),
    ("limit_mw=inf", "limit_mw: found inf; allowed 100000 MW at most"),
    ("limit_mw=nan", "limit_mw: found nan; allowed above 0"),
    ("draws=many", "draws: found 'many'; allowed a whole number"),
    ("seed=-1", "seed: found -1; allowed a whole number, 0 or more"),
    ("phases=[{name: a, units: {nope: 3}}]", "phases.a: found 'nope'; allowed dgx_h100"),
    ("phases=[{name: a}]", "phases[0]: found {'name': 'a'}; allowed {name: NAME, units: "),
    ("phases=[{name: a, units: {dgx_h100: -1}}]", "phases[0].units.dgx_h100: found -1; allowed a whole number, 0 "),
    ("phases=3", "phases: found 3; allowed a list of {name: NAME, "),
    ("mix=both", "mix: found 'both'; allowed training, inference, or the fraction in step, 0 to 1"),
    ("limit_mw=0", "limit_mw: found 0; allowed above 0"),
    ("limit_mw=much", "limit_mw: found 'much'; allowed a number of MW above 0"),
    ("limit_mw=0.001", "limit_mw=0.001: not one unit of NVIDIA DGX H100 fits"),
    ("compare_site=nowhere", "site=nowhere: no such file in conf/site; choices: billund, "),
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
    ("overrides", "said"),
    [
        (["run=a", "trace=b"], "system: found run and trace; allowed one of the two"),
        (["format=excel"], "format: found 'excel'; allowed auto, csv, parquet, mlperf, spl, prometheus"),
        (["format=mlperf"], "node.csv: found no :::MLLOG line; allowed :::MLLOG "),
        (["columns.pwr=x"], "columns.pwr: no such key (did you mean power?); choices: time, power, "),
        (["columns.power=x"], "node.csv line 1: found the columns t_s, power_w; allowed one of t_s|"),
        (["columns.accuracy=good"], "columns.accuracy: found 'good'; allowed a fraction from 0 to 1"),
        (["columns=3"], "columns: found 3; allowed keys and values: "),
        (["compare_site=phoenix", "compare_changes={colling: {plant: tower}}"],
         "site phoenix, changed: unknown key 'colling' (did you mean cooling?)"),
    ],
)  # fmt: skip
def test_what_cannot_go_together(tmp_path: Path, size: Size, overrides: list[str], said: str) -> None:
    trace(tmp_path / "node.csv")
    done = size(*NODES, "trace=node.csv", *overrides)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"perwatt size: {said}")


def test_a_run_that_no_meter_watched(tmp_path: Path, size: Size, recorded: ModuleType) -> None:
    (tmp_path / "run").mkdir()
    with recorded.Store(tmp_path / "run") as store:
        store.append(recorded.record("k0", recorded.measured(unmetered="no meter")))
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
    assert line.startswith(f"perwatt size: {path}: ")
    assert said in line


# -- how fast ---------------------------------------------------------------------------------------------------------


def test_the_front_is_fast_and_a_sizing_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from perwatt.benchmarks.cli import main; code = main(sys.argv[1:]);"
        "print([m for m in ('torch', 'triton', 'hydra', 'pandas') if m in sys.modules]); sys.exit(code)"
    )

    def loaded(*arguments: str) -> tuple[list[str], float]:
        start = time.perf_counter()
        argv = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout.splitlines()[-1].replace("'", '"')), time.perf_counter() - start

    assert loaded("size", "--help")[0] == []
    assert min(loaded("--help")[1] for _ in range(5)) < 0.5
    modules, _ = loaded("size", *NODES, "out=null")
    assert "torch" not in modules
    assert "triton" not in modules


def used(argv: list[str], cwd: Path) -> tuple[int, float, float, int]:
    """Exit code, wall and processor seconds, and the most memory in bytes of a process of its own."""
    start = time.perf_counter()
    with open(cwd / "said.txt", "wb") as said:
        process = subprocess.Popen(argv, cwd=cwd, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def a_year(path: Path, count: int) -> Path:
    """Seconds of a node that computes and communicates in turn and rests on Sundays."""
    parquet = path.suffix == ".parquet"
    schema = pa.schema([("t_s", pa.float64() if parquet else pa.int64()), ("power_w", pa.float64())])
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, schema) if parquet else pa_csv.CSVWriter(path, schema) as file:
        for first in range(0, count, 1 << 20):
            t = np.arange(first, min(first + (1 << 20), count))
            watts = np.where(t % 97 < 70, 9500.0, 7200.0) * np.where((t // 86_400) % 7 == 6, 0.3, 1.0)
            watts = np.round(np.clip(watts + rng.normal(0, 60, len(t)), 0, None), 1)
            stamps = pa.array(t + 1_767_225_600).cast(schema.field(0).type)
            file.write_batch(pa.record_batch([stamps, pa.array(watts)], schema=schema))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_year_of_seconds_fits_in_two_gibibytes(
    tmp_path: Path, record_property: Callable[[str, object], None], kind: str
) -> None:
    path = a_year(tmp_path / f"year.{kind}", 31_536_000)
    # what any tool has to do first, on the same machine at the same time: a ratio holds on a busy one too
    program = f"import sys, pandas; t = pandas.read_{kind}(sys.argv[1]); t.power_w.sort_values()"
    code, read_s, read_cpu_s, _ = used([sys.executable, "-c", program, str(path)], tmp_path)
    assert code == 0
    sized = [sys.executable, "-m", "perwatt.benchmarks.cli", "size", "system=sr780a_b200", "nodes=64", f"trace={path}"]
    code, wall_s, cpu_s, most_bytes = used(sized, tmp_path)
    said = (tmp_path / "said.txt").read_text()
    for name, value in (("wall_s", wall_s), ("cpu_s", cpu_s), ("read_s", read_s), ("read_cpu_s", read_cpu_s),
                        ("gibibytes", most_bytes / 2**30)):  # fmt: skip
        record_property(name, round(value, 2))
        print(f"{kind} {name} {value:.2f}")
    assert code == 0, said
    assert most_bytes < 2 * 2**30
    assert cpu_s < 4 * read_cpu_s
    lines = json.loads((tmp_path / json.loads(said.splitlines()[-1])["sizing"] / "sizing.json").read_text())["lines"]
    values = {line["key"]: line["value"] for line in lines}
    assert values["transients.swing.period"] == pytest.approx(7 * 86_400)  # rest and work part best
    assert values["transients.ramp_up.1"] is not None
