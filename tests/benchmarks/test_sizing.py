"""``perwatt size`` as its user meets it: what it takes and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Perwatt
from metered_runs import write_run
from sizing_calls import FILES, NODES, SECONDS, SWING_W, Size, epw, trace

from perwatt.benchmarks.cli import main
from perwatt.results.reports.paper import on_paper

# -- what it makes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "units"),
    [
        pytest.param("gefion", 191, marks=pytest.mark.slow),
        pytest.param("aarhus", 8, marks=pytest.mark.slow),
        pytest.param("gigafactory", 1389, marks=pytest.mark.slow),
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


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["gefion", "gigafactory"])
def test_no_word_of_the_pdf_passes_the_right_margin(size: Size, preset: str) -> None:
    weasyprint = pytest.importorskip("weasyprint")
    done = size(f"preset={preset}", "draws=1000", whole=True)
    assert done.folder is not None
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    widest = weasyprint.CSS(string="* { font-family: 'DejaVu Sans' !important }")
    over: set[str] = set()
    for sheet in weasyprint.HTML(string=on_paper(page)).render(stylesheets=[widest]).pages:
        box = sheet._page_box  # WeasyPrint tells nowhere else where a word stands
        right = box.content_box_x() + box.width
        words = [inner for inner in box.descendants() if getattr(inner, "text", "")]
        assert words
        over |= {word.text for word in words if word.position_x + word.width > right + 1}
    assert not over


@pytest.mark.slow
def test_from_the_shell_as_well(tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt("size", *NODES, "out=here")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / done.last["sizing"] / "report.html").stat().st_size > 10_000
    assert done.last["sizing"].startswith("here/")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


@pytest.mark.slow
def test_out_null_leaves_nothing(tmp_path: Path, size: Size) -> None:
    done = size(*NODES, "out=null")
    assert (done.code, done.last["sizing"]) == (0, None)
    assert "report:" not in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_run_of_gpus_is_modelled_and_its_work_is_counted(tmp_path: Path, size: Size) -> None:
    run = write_run(tmp_path / "run", {"k0": 1.0})
    done = size(*NODES, f"run={run}")
    lines = {line["key"]: line for line in done.sizing["lines"]}
    assert lines["power.unit.max"]["kind"] == "modelled"
    assert "lifted to the AC input by a model" in lines["power.unit.max"]["basis"]
    assert (lines["power.gpu.max"]["value"], lines["power.gpu.max"]["kind"]) == (600, "measured")
    assert lines["transients.ramp_up.0.1"]["kind"] == "modelled"
    # 8 units of 8 GPUs, 0.85 of the time, over all that the site takes
    rate = 8 * 8 * 200 * 4_000_000 / 20.0 * 0.85
    per_joule = rate * 8760 * 3600 / lines["year.edc"]["value"]
    assert lines["work.FLOP.per_joule"]["value"] == pytest.approx(per_joule)
    assert lines["work.FLOP.per_mwh"]["value"] == pytest.approx(3.6e9 * per_joule)
    assert any("modelled: 8 GPUs in step" in warning for warning in done.last["warnings"])


@pytest.mark.slow
def test_a_run_of_the_nodes_input_is_measured(tmp_path: Path, size: Size) -> None:
    run = write_run(tmp_path / "run", {"small": 8.0, "large": 16.0}, "node_ac", "pdu")
    lines = {line["key"]: line for line in size(*NODES, f"run={run}").sizing["lines"]}
    assert lines["power.unit.max"]["kind"] == "measured"
    assert lines["power.unit.max"]["value"] == pytest.approx(9600)
    assert "case fp32 large, meter pdu" in lines["power.unit.max"]["basis"]
    assert size(*NODES, f"run={run}", "load=small").values()["power.unit.max"] == pytest.approx(4800)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_trace_shows_its_transients_and_its_gaps(tmp_path: Path, size: Size) -> None:
    t_s = np.where(SECONDS < 500, SECONDS, SECONDS + 3600)
    path = trace(tmp_path / "node.csv", t_s)
    refused = size(*NODES, f"trace={path}")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert "node.csv: found a jump of 3601 s ahead after reading 500" in refused.err
    done = size(*NODES, f"trace={path}", "gaps=leave_out", "site.grid.ramp_w_s=2000")
    found = done.values()
    assert found["transients.ramp_up.1"] == pytest.approx(8 * 2300)
    assert found["transients.ramp_up.0.1"] is None
    assert found["transients.swing.period"] == pytest.approx(20, rel=0.01)
    assert (found["transients.storage.capacity"] or 0) > 0
    assert any("1 gap of" in warning and "not bridged" in warning for warning in done.last["warnings"])
    # units that serve independently do not ramp together
    assert not [key for key in size(*NODES, f"trace={path}", "gaps=leave_out", "mix=inference").values()
                if key.startswith("transients")]  # fmt: skip


def test_a_run_shows_its_transients_as_far_as_it_was_sampled(tmp_path: Path, size: Size) -> None:
    run = write_run(tmp_path / "run", {"k0": 16.0}, "node_ac", "pdu")
    done = size(*NODES, f"run={run}", "site.grid.ramp_w_s=2000")
    lines = {line["key"]: line for line in done.sizing["lines"]}
    # 6400 and 9600 W, one second each, read ten times a second in three windows of 20 s
    assert lines["transients.ramp_up.0.1"]["value"] == pytest.approx(8 * 3200 / 0.1)
    assert lines["transients.ramp_down.1"]["value"] == pytest.approx(8 * 3200)
    assert lines["transients.ramp_up.60"]["value"] is None
    assert lines["transients.swing.range"]["value"] == pytest.approx(8 * 3200, rel=0.001)
    assert lines["transients.swing.period"]["value"] == pytest.approx(2)
    assert lines["transients.spectrum.peak"]["value"] == pytest.approx(0.5, abs=0.1)
    assert lines["transients.spectrum.rms"]["value"] == pytest.approx(8 * 1600, rel=0.05)
    assert "above 5 Hz (one reading every 0.1 s)" in lines["transients.spectrum.rms"]["basis"]
    assert lines["transients.storage.trace"]["value"] > 0


@pytest.mark.slow
def test_any_station_of_the_world(tmp_path: Path, size: Size) -> None:
    done = size(*NODES, f"site.climate={epw(tmp_path / 'somewhere.epw')}")
    assert done.code == 0
    assert done.sizing["request"]["station"] == "somewhere"
    (year,) = (series for series in done.sizing["series"] if "hours" in series["y"])
    assert sum(year["y"]["hours"]) == pytest.approx(8760)


@pytest.mark.slow
def test_independent_units_need_less_than_units_in_step(tmp_path: Path, size: Size) -> None:
    path = trace(tmp_path / "node.csv")
    # with a correlation, peaks of most of the time meet
    nodes = ("system=dgx_h100", "nodes=64", "draws=0", f"trace={path}", "site.electrical.correlation=0")
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


@pytest.mark.slow
def test_the_best_cap_under_a_limit(tmp_path: Path, size: Size) -> None:
    of_caps = []
    for cap_w, rate in ((9500, 100), (7000, 90), (5000, 50)):
        path = trace(tmp_path / f"{cap_w}.csv", power_w=SWING_W * cap_w / SWING_W.max())
        of_caps.append(f"{{system: dgx_h100, trace: {path}, cap_w: {cap_w}, work_per_s: {rate}}}")
    done = size("limit_mw=2", f"systems=[{','.join(of_caps)}]", "work_unit=token", "draws=0", whole=True)
    assert done.folder is not None
    found = done.values()
    work = {cap_w: found[f"limit.dgx_h100_{cap_w}w.work"] for cap_w in (5000, 7000, 9500)}
    assert work[7000] == max(work.values(), key=lambda value: value or 0)
    assert found["limit.dgx_h100_7000w.best_cap"] == 7000
    assert done.last["units"] == found["limit.dgx_h100_7000w.units"]
    assert found["feeds.rack.load"] < found["power.rack.nameplate"]  # type: ignore[operator]
    (drawn,) = (curve for curve in done.sizing["series"] if curve["name"].startswith("caps_"))
    assert drawn["x"] == [5000, 7000, 9500]
    assert list(drawn["y"].values()) == [list(work.values())]
    (row,) = (line for line in done.out.splitlines() if "best cap" in line and "electrical" in line)
    assert row.split()[:3] == ["NVIDIA", "DGX", "H100"]
    page = (done.folder / "report.html").read_text()
    assert "Work by power cap" in page
    assert page.index("DGX H100 at 7 kW</th>") < page.index("DGX H100 at 9.5 kW</th>")


@pytest.mark.slow
def test_water_may_bind_before_power(size: Size) -> None:
    tower = ("system=dgx_h100", "limit_mw=2", "site.cooling.plant=tower", "draws=0")
    free, dry = size(*tower), size(*tower, "site.cooling.water_limit_m3=500")
    assert dry.last["units"] < free.last["units"]
    assert dry.values()["limit.dgx_h100.water"] <= 500  # type: ignore[operator]
    (line,) = (line for line in dry.sizing["lines"] if line["key"] == "limit.dgx_h100.units")
    assert "water binds (site.cooling.water_limit_m3)" in line["basis"]
    none = size("system=dgx_h100", "limit_mw=2", "site.cooling.heat_limit_w=100", "draws=0")
    assert (none.code, none.err) == (
        2, "perwatt size: site.cooling.heat_limit_w=100: not one unit of NVIDIA DGX H100 fits\n")  # fmt: skip


@pytest.mark.slow
def test_another_site_stands_beside_with_its_changes(tmp_path: Path, size: Size) -> None:
    beside = ("compare_site=phoenix", "compare_changes={cooling: {plant: tower}}")
    done = size(*NODES, *beside, f"trace={trace(tmp_path / 'node.csv')}", whole=True)
    assert done.folder is not None
    assert (done.code, done.err) == (0, "")
    assert "Phoenix" in (done.folder / "report.html").read_text()


def test_a_site_beside_that_cannot_hold_it_is_named_in_one_line_and_fails(size: Size) -> None:
    done = size(*NODES, "compare_site=phoenix", "compare_changes={electrical: {available_w: 50000}}")
    assert (done.code, done.last["exit"]) == (2, 2)
    (line,) = done.err.splitlines()
    assert line.startswith("perwatt size: compare_site=phoenix: site: the grid offers 0.05 MW, short by ")
    assert done.folder is not None  # the report is written all the same


@pytest.mark.slow
def test_figures_may_be_numbers_or_ranges_and_topologies_names(size: Size) -> None:
    base = size(*NODES).values()
    worse = size(*NODES, "site.electrical.ups_efficiency=0.93")
    assert worse.values()["power.site.recommended"] > base["power.site.recommended"]  # type: ignore[operator]
    given = [row for row in worse.sizing["inputs"] if row[0] == "site.electrical.ups_efficiency"]
    assert given[0][1:4] == [0.93, 0.93, 0.93]
    assert given[0][5] == "given"
    ranged = size(*NODES, "site.electrical.ups_efficiency={mode: 0.93, min: 0.91, max: 0.94, unit: '1', source: ours}")
    assert ranged.values()["kpi.pue"] == pytest.approx(worse.values()["kpi.pue"])
    two = size(*NODES, "site.electrical.ups_topology=2N", "site.electrical.ups_module_w=1000000")
    assert two.values()["redundancy.ups.count"] == 2


def test_a_users_own_system_site_and_climate(tmp_path: Path, size: Size) -> None:
    mine = tmp_path / "mine"
    for group, text in {
        "system": "defaults: [dgx_h100, _self_]\nname: box\ntitle: Our box\nnameplate_w: 9000\nvendor_max_w: 9000\n",
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
