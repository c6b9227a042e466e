"""The entries of a fleet: what they inherit, from which traces their loads are made, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from sizing_calls import SECONDS, SWING_W, trace

from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.sites import system_named
from perwatt.results.size.electrical import psu_input_w
from tests.fleets_of import NODE, asked


def test_several_traces_are_one_load_and_the_longest_shows_the_transients(tmp_path: Path) -> None:
    short = trace(tmp_path / "short.csv", SECONDS[:100], SWING_W[:100])
    long = trace(tmp_path / "node.csv")
    ((entry, recorded),) = asked(*NODE, f"trace=[{short},{long}]")
    assert entry.load.seconds == pytest.approx(1100)
    assert entry.load.bands
    assert recorded is not None
    assert len(recorded[0]) == 1000
    told = f"transients are those of the longest of 2 recordings, node in {long}: the others may ramp more"
    assert told in entry.load.notes
    # one recording alone, and units of which none is in step, show no such thing
    for asked_for in ((f"trace={long}",), (f"trace=[{short},{long}]", "mix=inference")):
        ((entry, _),) = asked(*NODE, *asked_for)
        assert not any(note.startswith("transients") for note in entry.load.notes)


def test_gpus_are_lifted_to_the_input_of_the_node_and_marked(tmp_path: Path) -> None:
    path = trace(tmp_path / "gpu.csv", power_w=np.where(SWING_W == 9500, 700.0, 400.0))
    ((entry, recorded),) = asked(*NODE, f"trace={path}", "columns.boundary=gpu", "columns.accuracy_class=D")
    system = system_named("dgx_h100")
    assert system.psu is not None
    dc_w = 8 * 700 + system.host_w.mode
    expected = float(psu_input_w(dc_w, system.psu, system.psu.efficiency_offset.mode))
    assert (entry.load.kind, entry.load.boundary) == ("modelled", "node_ac")
    assert entry.load.at(1.0, 1.0) == pytest.approx(expected)
    assert recorded is not None
    assert recorded[1].max() == pytest.approx(expected)


def test_power_behind_the_supplies_is_lifted_with_its_transients(tmp_path: Path) -> None:
    ((entry, recorded),) = asked(*NODE, f"trace={trace(tmp_path / 'node.csv')}", "columns.boundary=node_dc")
    psu = system_named("dgx_h100").psu
    assert psu is not None
    expected = float(psu_input_w(9500.0, psu, psu.efficiency_offset.mode))
    assert (entry.load.kind, entry.load.boundary) == ("modelled", "node_ac")
    assert entry.load.at(1.0, 1.0) == pytest.approx(expected)
    assert recorded is not None
    assert recorded[1].max() == pytest.approx(expected)
    with pytest.raises(BadRequest, match="psu: found nothing; allowed supplies, to lift node_dc power"):
        asked(*NODE, f"trace={tmp_path / 'node.csv'}", "columns.boundary=node_dc", "system.psu=null")


def test_a_log_is_read_at_the_boundary_that_the_request_says(tmp_path: Path) -> None:
    readings = [("power_measurement_start", 0, None), ("conversion_eff", 0, 0.94)]
    readings += [("power_reading", s, 9000.0 + s % 5) for s in range(1, 100)]
    log = tmp_path / "node_0.txt"
    log.write_text("".join(mllog(key, second, value, kind="DC") for key, second, value in readings))
    with pytest.raises(ValueError, match="boundary: found node_ac for readings on the DC side; allowed node_dc"):
        asked(*NODE, f"trace={log}")
    ((entry, _),) = asked(*NODE, f"trace={log}", "columns.boundary=node_dc")
    assert entry.load.mean_w > 9002 * 1.03


@pytest.mark.parametrize("said", ["columns.start=2026-01-01", "columns.boundary=gpu", "format=spl", "gaps=leave_out"])
def test_what_is_said_of_no_trace_is_refused(said: str, tmp_path: Path) -> None:
    key = said.partition("=")[0]
    with pytest.raises(BadRequest, match=rf"{re.escape(key)}: found .* without a trace; allowed with trace=FILE"):
        asked(*NODE, said)
    with pytest.raises(BadRequest, match=rf"{re.escape(key)}: found .* without a trace"):
        asked("fleet=[{system: dgx_h100, units: 8}]", said)
    log = trace(tmp_path / "node.csv")
    assert asked(f"fleet=[{{system: dgx_h100, units: 8, trace: {log}}}]", "gaps=leave_out")


def mllog(key: str, second: int, value: float | None, kind: str) -> str:
    metadata = {"measurement_type": kind} if key == "conversion_eff" else {}
    event = {"time_ms": 1_745_514_104_000 + 1000 * second, "key": key, "value": value, "metadata": metadata}
    return f":::MLLOG {json.dumps(event)}\n"


def test_entries_inherit_what_they_do_not_say(tmp_path: Path) -> None:
    other = f"{{name: b, system: dgx_b200, units: 4, mix: 0.25, trace: {trace(tmp_path / 'node.csv')}}}"
    first, second = asked(f"fleet=[{{system: dgx_h100, units: 8}}, {other}]", "mix=inference", "per_rack=2")
    assert (first.entry.name, first.entry.units, first.entry.training, first.entry.per_rack) == ("dgx_h100", 8, 0.0, 2)
    assert (second.entry.name, second.entry.training, second.entry.per_rack) == ("b", 0.25, 2)
    assert not first.entry.load.observed
    assert second.entry.load.observed


def test_a_systems_figure_may_be_changed() -> None:
    ((entry, _),) = asked(*NODE, "system.mean_fraction=0.5")
    assert entry.load.mean_w == pytest.approx(5100)
    assert entry.per_rack == system_named("dgx_h100").per_rack


def test_systems_to_choose_from() -> None:
    found = asked("limit_mw=2", "systems=[dgx_h100,dgx_b200]")
    assert [member.entry.name for member in found] == ["dgx_h100", "dgx_b200"]
    assert [member.entry.name for member in asked("limit_mw=2", "systems=dgx_h100")] == ["dgx_h100"]


def test_one_system_may_be_chosen_at_several_caps(tmp_path: Path) -> None:
    path = trace(tmp_path / "node.csv")
    capped = f"{{system: dgx_h100, trace: {path}, cap_w: CAP, work_per_s: 100, work_unit: token}}"
    found = asked("limit_mw=2", f"systems=[{capped.replace('CAP', '9500')}, {capped.replace('CAP', '9400')}, dgx_b200]")
    assert [member.entry.name for member in found] == ["dgx_h100_9500w", "dgx_h100_9400w", "dgx_b200"]
    first = found[0].entry.load
    assert (first.cap_w, first.work_per_s, first.work_unit, first.work_kind) == (9500, 100, "token", "given")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], r"system: found nothing; allowed system=NAME nodes=N, .* or preset=aarhus\|gefion\|"),
        (["system=dgx_h100"], "nodes: found nothing; allowed how many units"),
        ([*NODE, "per_rack=0"], "per_rack: found 0; allowed a whole number, 1 to 10000000"),
        (["fleet=3"], "fleet: found 3; allowed a list of"),
        (["fleet=[3]"], r"fleet\[0\]: found 3; allowed"),
        (["fleet=[{units: 8}]"], r"fleet\[0\]: found {'units': 8}; allowed"),
        (["fleet=[{system: dgx_h100, units: 0}]"], r"fleet\[0\].units: found 0; allowed a whole number, 1 to 10000000"),
        (["fleet=[{system: dgx_h100}]"], r"fleet\[0\].units: found None"),
        (["fleet=[{system: dgx_h100, units: 8, foo: 1}]"], r"fleet\[0\].foo: no such key; choices: name, system, "),
        (
            ["fleet=[{system: dgx_h10, units: 8}]"],
            r"fleet\[0\]\.system=dgx_h10: no such file .*\(did you mean dgx_h100\?\)",
        ),
        (["fleet=[{system: dgx_h100, units: 8}, {system: dgx_h100, units: 1}]"], "fleet: found 'dgx_h100' twice"),
        (["systems=[dgx_h100]"], "systems: found systems to choose from without a limit"),
        (["limit_mw=2", "systems=[{units: 8}]"], r"systems\[0\]: found {'units': 8}; allowed NAME or {system: NAME"),
        (
            ["limit_mw=2", "systems=[dgx_h100,{system: dgx_h100, units: 8}]"],
            r"systems\[1\].units: no such key; choices",
        ),
        (["limit_mw=2", "systems=[{system: dgx_h100, cap_w: 7000}]"], r"systems\[0\].cap_w: found 7000 W and no proof"),
        (["limit_mw=2", "systems=[dgx_h100,dgx_h100]"], "systems: found 'dgx_h100' twice"),
        (["limit_mw=2"], "systems: found nothing; allowed systems="),
        (["fleet=[{name: a.b, system: dgx_h100, units: 8}]"], r"fleet\[0\]\.name: found 'a\.b'; allowed letters"),
        (["fleet=[{name: '', system: dgx_h100, units: 8}]"], r"fleet\[0\]\.name: found ''; allowed letters"),
        (
            ["fleet=[{name: a b, system: dgx_h100, units: 8},{name: A_b, system: gb200_nvl72, units: 8}]"],
            "fleet: found 'a b' and 'A_b', which differ by signs alone",
        ),
        (["fleet=[{system: dgx_h100, units: 8, per_rack: 0}]"], r"fleet\[0\]\.per_rack: found 0"),
        (["fleet=[{system: dgx_h100, units: 8, mix: x}]"], r"fleet\[0\]\.mix: found 'x'"),
        ([*NODE, "work_per_s=5"], "work_per_s: found 5 without a trace; allowed with one: a run counts its own work"),
        (
            [*NODE, "trace=TRACE", "work_per_s=0", "work_unit=token"],
            "work_per_s: found 0; allowed the work of one unit",
        ),
        ([*NODE, "trace=TRACE", "work_per_s=5"], "work_unit: found None; allowed one word"),
        ([*NODE, "mix=2"], "mix: found 2; allowed training, inference"),
        ([*NODE, "utilisation=1.5"], "utilisation: found 1.5; allowed 0 to 1"),
        ([*NODE, "idle_fraction=often"], "idle_fraction: found 'often'; allowed a number"),
        ([*NODE, "load=matmul"], "load: found 'matmul' without a run; allowed with run=RUN"),
        ([*NODE, "run=x", "trace=y"], "trace: found 'y' beside run=x; allowed one of the two"),
        ([*NODE, "run=x"], "x: no run there"),
        ([*NODE, "trace=[]"], "found no trace; allowed one or more"),
        ([*NODE, "trace=x", "gaps=bridge"], "gaps: found 'bridge'; allowed refuse, leave_out"),
    ],
)
def test_what_is_refused(tmp_path: Path, overrides: list[str], said: str) -> None:
    overrides = [override.replace("TRACE", str(trace(tmp_path / "node.csv"))) for override in overrides]
    with pytest.raises(ValueError, match=said) as caught:
        asked(*overrides)
    assert "\n" not in str(caught.value)


def test_power_of_a_whole_rack_is_none_of_a_node(tmp_path: Path) -> None:
    node = f"trace={trace(tmp_path / 'node.csv')}"
    with pytest.raises(BadRequest, match="dgx_h100: found power of a rack; allowed that of one unit"):
        asked(*NODE, node, "columns.boundary=rack")
    whole = trace(tmp_path / "rack.csv", power_w=12 * SWING_W)
    ((entry, _),) = asked("system=gb200_nvl72", "nodes=2", f"trace={whole}", "columns.boundary=rack")
    assert entry.load.boundary == "rack"
    with pytest.raises(BadRequest, match="dgx_h100: found power of room; allowed node_ac, node_dc, rack, gpu or"):
        asked(*NODE, node, "columns.boundary=room")
