"""A device that was repaired and tested again: before and after side by side, the fleet judged by the newest."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import msgspec
import pytest
from acceptances import TFLOPS, Change, devices, fleet_of, run_of, slower

from perwatt.benchmarks.cli import main
from perwatt.results.fleet.merge import merge
from perwatt.results.record import Record


def slow(device: int, times: float) -> Change:
    return lambda r: slower(r, times) if r.case.device_index == device else r


def named(records: list[Record], run: str) -> list[Record]:
    return [msgspec.structs.replace(r, run=run) for r in records]


def again(host: str, device: int, run: str) -> list[Record]:
    """One device alone, sound."""
    return named(devices(8, 3, host, lambda r: r if r.case.device_index == device else None, seed=7), run)


def test_a_repaired_device_stands_beside_what_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = run_of(tmp_path / "before", named(devices(8, 3, change=slow(3, 1.08)), "a"))
    after = run_of(tmp_path / "after", again("n1", 3, "b"))
    assert main(["accept", f"run={before}", "criteria=fleet"]) == 1
    assert main(["accept", f"run={after}", "criteria=fleet"]) == 4  # alone it has no fleet
    capsys.readouterr()
    assert main(["accept", f"run={after}", f"before={before}", "criteria=fleet"]) == 0
    out = capsys.readouterr().out
    assert "tested again\nFAIL → PASS  n1:3" in out
    told = json.loads((after / "accept" / "verdict.json").read_text())
    assert told["counts"]["device"]["PASS"] == 8
    (one,) = told["again"]
    assert (one["before"], one["after"], len(one["values"])) == ("FAIL", "PASS", 6)
    rows = list(csv.DictReader((after / "accept" / "again.csv").open()))
    first = rows[0]
    assert (first["subject"], first["case"], first["unit"]) == ("n1:3", "matmul bf16 0", "FLOP/s")
    assert float(first["before"]) == pytest.approx(TFLOPS * 1e12 / 1.08, rel=0.02)
    assert float(first["after"]) == pytest.approx(TFLOPS * 1e12, rel=0.02)
    page = (after / "accept" / "verdict.html").read_text()
    assert "<h2>Tested again</h2>" in page
    assert "## Tested again" in (after / "accept" / "summary.md").read_text()


def test_a_node_of_a_merged_fleet_is_tested_again_twice(tmp_path: Path) -> None:
    hosts = {f"n{i}": named(devices(4, 2, f"n{i}", seed=i), "fleet") for i in range(1, 4)}
    hosts["n2"] = named(devices(4, 2, "n2", slow(1, 1.1), seed=2), "fleet")
    fleet = fleet_of(tmp_path / "fleet", hosts, ["n1", "n2", "n3", "n4"])
    first = run_of(tmp_path / "first", named(devices(4, 2, "n2", slow(1, 1.06), seed=8), "first"))
    second = fleet_of(
        tmp_path / "second",
        {"n2": named(devices(4, 2, "n2", seed=9), "second"), "n4": named(devices(4, 2, "n4", seed=4), "second")},
    )
    out = tmp_path / "out"
    assert main(["accept", f"run={second}", f"before=[{fleet},{first}]", "criteria=fleet", f"out={out}"]) == 0
    told = json.loads((out / "verdict.json").read_text())
    assert told["counts"]["device"] == {"PASS": 16, "INCONCLUSIVE": 0, "MISSING": 0, "FAIL": 0}
    verdicts = {one["subject"]: (one["before"], one["after"]) for one in told["again"]}
    assert verdicts == {f"n2:{i}": ("FAIL" if i == 1 else "PASS", "PASS") for i in range(4)}
    assert main(["accept", f"run={first}", f"before={fleet}", "criteria=fleet", f"out={out}"]) == 1
    told = json.loads((out / "verdict.json").read_text())
    assert told["counts"]["node"]["MISSING"] == 1  # n4 is in neither


def test_who_was_to_be_tested_again_and_was_not_is_missing(tmp_path: Path) -> None:
    hosts = {f"n{i}": named(devices(4, 2, f"n{i}", seed=i), "fleet") for i in range(1, 4)}
    fleet = fleet_of(tmp_path / "fleet", hosts)
    lost = named(devices(4, 2, "n2", lambda r: r if r.case.device_index != 2 else None, seed=9), "again")
    retest = fleet_of(tmp_path / "again", {"n2": lost})
    (retest / "fleet.json").write_text(json.dumps({"hosts": ["n2", "n3"], "devices": 4}))
    merge(retest)
    out = tmp_path / "out"
    assert main(["accept", f"run={retest}", f"before={fleet}", "criteria=fleet", f"out={out}"]) == 4
    rows = list(csv.DictReader((out / "devices.csv").open()))
    assert {r["subject"] for r in rows if r["verdict"] == "MISSING"} == {"n2", "n2:2", "n3"}
    # once they have a record they are not
    last = fleet_of(tmp_path / "last", {h: named(devices(4, 2, h, seed=11), "last") for h in ("n2", "n3")})
    assert main(["accept", f"run={last}", f"before=[{fleet},{retest}]", "criteria=fleet", f"out={out}"]) == 0


def test_a_run_is_not_before_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", devices(5, 1))
    copy = run_of(tmp_path / "copy", devices(5, 1))
    for before in (run, copy, f"[{copy},{copy}]"):
        assert main(["accept", f"run={run}", f"before={before}", "criteria=fleet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "found run run, as in" in line
    assert main(["accept", f"run={run}", f"before={tmp_path / 'none'}", "criteria=fleet"]) == 2
