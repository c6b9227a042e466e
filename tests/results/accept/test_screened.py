"""Verdicts of a fleet's screening in an acceptance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from acceptances import devices, judged, of, run_of

from perwatt.benchmarks.cli import main
from perwatt.results.accept import screened
from perwatt.results.accept.said import ALONE, newest
from perwatt.results.fleet.nodesets import expand
from perwatt.results.store import RECORDS, load

OTHER = {"kernel": "5.4"}


def well(hosts: tuple[str, ...]) -> float:
    return 1e9


@pytest.fixture
def odd(led: Any) -> Any:
    """A fleet of which n2 has other software than the rest, and was tested alone only."""

    def lead(name: str = "run") -> Any:
        return led(well, name, all=False, prepare=lambda fleet: fleet.facts.update(n2=OTHER))

    return lead


def test_who_did_not_pass_the_screening_fails_though_its_records_pass(odd: Any) -> None:
    fleet = odd()
    code, told = judged(fleet.run)
    nodes = of(told, "node")
    assert code == 1
    assert (
        [n for n, status in nodes.items() if status == "FAIL"] == [*expand(fleet.text("failing_nodes.txt"))] == ["n2"]
    )
    assert of(told, "device")["n2:0"] == "PASS"
    (one,) = told["findings"]
    assert (one["criterion"], one["subject"], one["source"]) == (screened.NAME, "n2", "screening.json")
    assert one["why"] == "other software than most nodes: kernel 5.4 (most: 6.1)"
    assert (one["cause"], one["todo"]) == screened.HINTS["its machine"]


def test_a_waiver_covers_it(odd: Any) -> None:
    waiver = {"subject": "n2", "criterion": "screening", "who": "A", "why": "on trial", "until": "2999-01-01"}
    assert judged(odd().run, waivers=[waiver])[0] == 0


def test_whose_run_never_ended_is_missing_whatever_it_measured(led: Any) -> None:
    fleet = led(well, all=False, prepare=lambda fleet: fleet.lost.update(n3="its run never ended: silent for 20 s"))
    code, told = judged(fleet.run)
    assert (code, of(told, "node")["n3"], of(told, "device")["n3:0"]) == (4, "MISSING", "PASS")
    (one,) = told["findings"]
    assert (one["why"], one["cause"]) == ("its run never ended: silent for 20 s", screened.ENDED[0])


def test_who_has_no_record_is_told_once(led: Any) -> None:
    fleet = led(well, all=False, prepare=lambda fleet: fleet.lost.update(n3="it never said that it had started"))
    (fleet.run / "nodes" / "n3" / RECORDS).write_bytes(b"")
    assert main(["merge", f"run={fleet.run}"]) == 0
    code, told = judged(fleet.run)
    assert (code, [(f["subject"], f["status"]) for f in told["findings"]]) == (4, [("n3", "MISSING")])


def test_mended_and_screened_again_it_passes(odd: Any, led: Any) -> None:
    before, after = odd("before"), led(well, "after", all=False)
    for n, fleet in enumerate((before, after)):
        for path in (fleet.run / RECORDS, *fleet.run.glob(f"nodes/*/{RECORDS}")):
            records = [msgspec.structs.replace(r, run=f"r{n}") for r in load(path.parent)]
            path.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in records))
        assert main(["merge", f"run={fleet.run}"]) == 0
    code, told = judged(after.run, f"before={before.run}")
    assert (code, told["findings"]) == (0, [])
    assert ("n2", "FAIL", "PASS") in [(a["subject"], a["before"], a["after"]) for a in told["again"]]


def written(path: Path, **hosts: dict[str, str]) -> Path:
    path.mkdir(exist_ok=True)
    (path / "screening.json").write_text(json.dumps(hosts))
    return path


@pytest.mark.parametrize("by", ALONE)
def test_a_run_of_a_machine_alone_has_the_last_word_on_its_records_only(tmp_path: Path, by: str) -> None:
    fleet = screened.read(written(tmp_path, n1={"status": "failed", "reason": "why", "by": by}), ())
    found = newest([fleet, screened.alone(["n1"])]).findings
    assert [f.subject for f in found] == ([] if by == "its records" else ["n1"])


def test_what_comes_after_that_by_which_it_failed_was_not_looked_at(tmp_path: Path) -> None:
    clock = screened.read(written(tmp_path, n1={"status": "failed", "reason": "no clock sync", "by": "its clock"}), ())
    failed = screened.read(written(tmp_path, n1={"status": "failed", "reason": "died", "by": "its records"}), ())
    assert {f.why for f in newest([clock, failed]).findings} == {"no clock sync", "died"}
    assert {f.why for f in newest([failed, clock]).findings} == {"no clock sync"}
    gone = screened.read(written(tmp_path, n1={"status": "missing", "reason": "gone", "by": ""}), ())
    assert {f.why for f in newest([clock, gone]).findings} == {"no clock sync", "gone"}
    assert newest([clock, gone, screened.read(written(tmp_path, n1={"status": "passed"}), ())]).findings == []


def test_what_is_to_be_known_of_one_that_passed_decides_nothing(tmp_path: Path) -> None:
    told = {"status": "passed", "reason": "no clock sync known: nothing compared", "by": "its clock"}
    (one,) = screened.read(written(tmp_path, n1=told), ()).findings
    assert (one.warning, one.counts) == (True, False)


def test_of_a_run_before_causes_were_kept_everything_is_to_be_tested_again(tmp_path: Path) -> None:
    old = screened.read(written(tmp_path, n1={"status": "failed", "reason": "why"}), ())
    assert [f.cause for f in newest([old, screened.alone(["n1"])]).findings] == ["the node itself"]


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"n1": 3}', b'{"n1": {"status": "lost"}}', b"\xff\xfe"])
def test_a_damaged_file_is_one_line(text: bytes, odd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = odd()
    (fleet.run / "screening.json").write_bytes(text)
    capsys.readouterr()
    assert main(["accept", f"run={fleet.run}", "criteria=fleet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(fleet.run / "screening.json") in line


def test_a_run_of_one_machine_has_no_verdict_of_a_screening(tmp_path: Path) -> None:
    code, told = judged(run_of(tmp_path / "run", devices(8)))
    assert code == 0
    assert {v["checks"] for v in told["verdicts"] if v["scope"] == "node"} == {0}
