"""perwatt accept, the command."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
import yaml
from acceptances import criterion, devices, fleet_of, limit, run_of, slower

from perwatt.benchmarks.cli import main
from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.record import SCHEMA, Record


def test_a_run_is_judged_and_the_verdicts_lie_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", devices(8, change=lambda r: slower(r, 1.05) if r.case.device_index == 3 else r))
    assert main(["accept", f"run={run}", "criteria=fleet"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  n1:3 rate within the fleet [all its cases]" in out
    last = json.loads(out.splitlines()[-1])
    assert (last["verdict"], last["exit"], last["out"]) == ("FAIL", 1, str(run / "accept"))
    told = json.loads((run / "accept" / "verdict.json").read_text())
    assert told["counts"]["device"] == {"PASS": 7, "INCONCLUSIVE": 0, "MISSING": 0, "FAIL": 1}
    rows = list(csv.DictReader((run / "accept" / "devices.csv").open()))
    assert [r["verdict"] for r in rows if r["scope"] == "device"] == ["PASS"] * 3 + ["FAIL"] + ["PASS"] * 4
    assert next(iter(csv.DictReader((run / "accept" / "findings.csv").open())))["subject"] == "n1:3"
    assert (run / "accept" / "summary.md").read_text().startswith("# FAIL")
    suites = ElementTree.parse(run / "accept" / "junit.xml").getroot()
    assert suites.find("testsuite[@name='device']").attrib["failures"] == "1"  # type: ignore[union-attr]
    assert len(suites.findall(".//failure")) == 2  # the device and its node


def test_what_is_wrong_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", devices(5))
    mine = tmp_path / "mine.yaml"
    wrong = {
        "nothing": "criteria=",
        "none": "criteria=none",
        "no file": "criteria=there.is.none.yaml",
        "no case": {"name": "a", "criteria": [criterion(cases="attention *")]},
        "other work": {"name": "a", "criteria": [criterion(at_least=limit(1, "GB/s"))]},
        "other hardware": {"name": "a", "criteria": [criterion()], "targets": ["h100_sxm"]},
        "unknown key": {"name": "a", "criteria": [criterion(limit=3)]},
        "no yaml": "[",
        "itself": "name: a\ncriteria: &c\n- *c\n",
    }
    for what in wrong.values():
        named = isinstance(what, str) and what.startswith("criteria")
        asked = what if named else f"criteria={mine}"
        mine.write_text(what if isinstance(what, str) else yaml.safe_dump(what))
        assert main(["accept", f"run={run}", asked]) == 2, what
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"perwatt accept: {asked if named else mine}")
        if what is wrong["other work"]:
            assert line.endswith("found GB/s; matmul bf16 0 counts flops; allowed FLOP/s, with or without a prefix")
    assert main(["accept", f"run={tmp_path / 'none'}", "criteria=fleet"]) == 2
    whole = (run / "records.jsonl").read_bytes()
    (run / "records.jsonl").write_bytes(whole[: len(whole) // 2 - 7] + b"\n" + whole[len(whole) // 2 :])
    assert main(["accept", f"run={run}", "criteria=fleet"]) == 2
    assert "not a perwatt record" in capsys.readouterr().err.splitlines()[-1]
    (run / "records.jsonl").write_bytes(whole)
    newer = (run / "records.jsonl").read_bytes().replace(b'"schema":%d' % SCHEMA, b'"schema":%d' % (SCHEMA + 1), 1)
    (run / "records.jsonl").write_bytes(newer)
    assert main(["accept", f"run={run}", "criteria=fleet"]) == 2
    assert "newer perwatt" in capsys.readouterr().err.splitlines()[-1]
    assert not (run / "accept").exists()


def test_a_topology_of_its_own_compares_racks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = [devices(8, 1, f"n{n}", seed=n, change=lambda r: slower(r, 1.06) if r.host == "n1" else r) for n in range(3)]
    records = [  # keys tell hosts apart
        msgspec.structs.replace(r, case=msgspec.structs.replace(r.case, key=f"{r.host}{r.case.key}"))
        for host in made
        for r in host
    ]
    run = run_of(tmp_path / "run", records)
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\nsource: given\nracks: {r0: n0, r1: n1, r2: n2}\n")
    assert main(["accept", f"run={run}", "criteria=fleet", f"topology={mine}"]) == 1
    assert "FAIL  rack r1 rate within the fleet" in capsys.readouterr().out
    mine.write_text("racks: {r0: n0, r1: n0}\n")
    assert main(["accept", f"run={run}", "criteria=fleet", f"topology={mine}"]) == 2
    assert f"perwatt accept: {mine}: topology topology: rack: found 'n0' in r0 and in r1" in capsys.readouterr().err
    assert main(["accept", f"run={run}", "criteria=fleet", "topology=nowhere"]) == 2


@pytest.mark.slow
def test_a_judgement_loads_neither_torch_nor_plots(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", devices(5))
    code = "import sys; from perwatt.benchmarks.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    argv = [sys.executable, "-c", code, "accept", f"run={run}", "criteria=fleet"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert not {"torch", "matplotlib"} & set(done.stdout.splitlines()[-1].split())


def test_an_output_that_was_wrong_fails_by_whatever_criterion(tmp_path: Path) -> None:
    def wrong(one: Record) -> Record:
        bad = (one.case.device_index, one.case.label) == (3, "bf16 2")
        return msgspec.structs.replace(one, flags=(WRONG_OUTPUT,)) if bad else one

    run = run_of(tmp_path / "run", devices(8, change=wrong))
    for one in (criterion(), criterion(at_least=limit(1e-6, "TFLOP/s"))):
        mine = tmp_path / "mine.yaml"
        mine.write_text(yaml.safe_dump({"name": "mine", "criteria": [one]}))
        assert main(["accept", f"run={run}", f"criteria={mine}"]) == 1
        (found,) = json.loads((run / "accept" / "verdict.json").read_text())["findings"]
        assert (found["subject"], found["status"], found["why"]) == ("n1:3", "FAIL", "its output was wrong")


def test_files_for_programs_say_what_decides_and_what_is_waived_or_a_warning(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", devices(8, change=lambda r: slower(r, 1.05) if r.case.device_index == 3 else r))
    waiver = {"subject": "n1:3", "criterion": "*", "who": "Ada", "why": "known", "until": "2999-01-01"}
    mine = tmp_path / "mine.yaml"
    for more, mark in (({"waivers": [waiver]}, "waived by Ada until 2999-01-01: known: "), ({}, "warning: ")):
        one = criterion(severity="fail" if more else "warn")
        mine.write_text(yaml.safe_dump({"name": "mine", "criteria": [one], **more}))
        assert main(["accept", f"run={run}", f"criteria={mine}"]) == 0
        rows = list(csv.DictReader((run / "accept" / "devices.csv").open()))
        (found,) = [row["found"] for row in rows if row["subject"] == "n1:3"]
        assert found.startswith(f"{mark}below its fleet")
        text = ElementTree.parse(run / "accept" / "junit.xml").find(".//testcase[@name='n1:3']/system-out")
        assert text is not None
        assert mark in str(text.text)


def test_a_waiver_says_who_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", devices(8))
    waiver = {"subject": "n1:3", "criterion": "*", "who": " ", "why": "known", "until": "2999-01-01"}
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"name": "mine", "criteria": [criterion()], "waivers": [waiver]}))
    assert main(["accept", f"run={run}", f"criteria={mine}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(mine) in line
    assert "who is empty" in line


def test_a_report_on_a_fleet_says_where_its_records_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = fleet_of(tmp_path / "fleet", {"n1": devices(8)})
    for form in ("console", "markdown", "html"):
        assert main(["report", f"run={fleet}", f"format={form}"]) == 0
        told = capsys.readouterr().out if form != "html" else (fleet / "report.html").read_text()
        assert "No records of several nodes together; those of each node are in nodes/" in told
        assert "nothing has been measured" not in told
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "records.jsonl").write_text("")
    assert main(["report", f"run={empty}", "format=markdown"]) == 0
    assert capsys.readouterr().out.endswith("No records: nothing has been measured in this run.\n")


def test_a_run_that_did_not_come_to_its_end_is_not_decided(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", devices(8))
    begun = {"host": "n1", "boot": "b", "pid": 1, "start": {"mono_ns": 1, "utc_ns": 1}}
    end = {"mono_ns": 2, "utc_ns": 2}
    for allocation, code in (
        (begun, 4),
        (begun | {"end": end, "whole": False}, 4),
        (begun | {"end": end, "whole": True}, 0),
        (begun | {"end": end}, 0),
    ):
        (run / "environment.json").write_text(json.dumps({"clock": {"allocations": [allocation]}}))
        assert main(["accept", f"run={run}", "criteria=fleet"]) == code
        told = json.loads((run / "accept" / "verdict.json").read_text())
        whys = {finding["why"] for finding in told["findings"] if finding["subject"] == "n1"}
        assert any("did not come to its end" in why for why in whys) == (code == 4)


def test_a_waived_whole_is_in_every_file(tmp_path: Path) -> None:
    run, mine = run_of(tmp_path / "run", devices(8)), tmp_path / "mine.yaml"
    waiver = {"subject": "cluster", "criterion": "none", "who": "me", "why": "later", "until": "2999-01-01"}
    none = criterion(name="none", cases="attention *")
    mine.write_text(yaml.safe_dump({"name": "mine", "criteria": [criterion(), none], "waivers": [waiver]}))
    assert main(["accept", f"run={run}", f"criteria={mine}"]) == 0
    told = json.loads((run / "accept" / "verdict.json").read_text())
    (whole,) = [v for v in told["verdicts"] if v["scope"] == "cluster"]
    assert (whole["status"], whole["waived"]) == ("MISSING", True)
    suites = ElementTree.parse(run / "accept" / "junit.xml").getroot()
    assert suites.findall("testsuite[@name='cluster']/testcase/skipped")
