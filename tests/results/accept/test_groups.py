"""Verdicts of a fleet's group tests in an acceptance: they count whatever the criteria speak of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from acceptances import asked, judged, of

from perwatt.benchmarks.cli import main
from perwatt.results.accept import groups
from perwatt.results.accept.evidence import read
from perwatt.results.accept.positions import Positions
from perwatt.results.accept.said import TOGETHER, newest
from perwatt.results.fleet.nodesets import expand
from perwatt.results.store import RECORDS, load

LEAVES = {"name": "three", "leaves": {"a": "n[0-2]", "b": "n[3-5]", "c": "n[6-7]"}}


def slow_node(hosts: tuple[str, ...]) -> float:
    return 5e8 if "n2" in hosts else 1e9


def slow_link(hosts: tuple[str, ...]) -> float:
    return 5e8 if set(hosts) == {"n2", "n4"} else 1e9


def slow_leaf(hosts: tuple[str, ...]) -> float:
    return 5e8 if len({host < "n3" for host in hosts}) == 2 else 1e9


def hung(hosts: tuple[str, ...]) -> float | str:
    return "rank 3 hung" if "n3" in hosts else 1e9


def test_a_node_that_its_run_blamed_fails_though_all_its_devices_pass(
    led: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = led(slow_node)
    code, told = judged(fleet.run)
    assert (code, told["status"]) == (1, "FAIL")
    assert told["counts"]["device"]["PASS"] == 8
    nodes = of(told, "node")
    assert [node for node, status in nodes.items() if status == "FAIL"] == ["n2"]
    assert [node for node, status in nodes.items() if status == "PASS"] == [*expand(fleet.text("passing_nodes.txt"))]
    (one,) = told["findings"]
    assert (one["criterion"], one["scope"], one["subject"]) == (groups.NAME, "node", "n2")
    assert one["why"].startswith("2 of 2 tests slow with partners known to be good")
    assert (one["cause"], one["todo"]) == groups.NODE
    assert {(v["checks"], v["passed"]) for v in told["verdicts"] if v["subject"] in ("n1", "n2")} == {(2, 2), (2, 1)}
    shown = capsys.readouterr().out
    assert "FAIL  n2 group tests [all_reduce" in shown
    assert "next: look at its cards" in shown
    assert "| FAIL | n2 | group tests |" in (fleet.run / "accept" / "summary.md").read_text()
    suites = ElementTree.parse(fleet.run / "accept" / "junit.xml")
    failed = [case.attrib["name"] for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed == ["n2"]


def test_the_dossier_says_it_on_its_page_and_in_its_map(led: Any, tmp_path: Path) -> None:
    fleet, out = led(slow_node), tmp_path / "dossier"
    assert main(["dossier", f"run={fleet.run}", asked(tmp_path), f"out={out}", "pdf=false"]) == 1
    page = (out / "report.html").read_text()
    assert "2 of 2 tests slow with partners known to be good" in page
    assert "n2 fail" in page  # its device passed, and its row is told apart all the same
    assert (out / "run" / "groups.json").is_file()


def test_a_link_is_no_node_and_both_its_ends_are_told(led: Any) -> None:
    code, told = judged(led(slow_link).run)
    assert (code, of(told, "group")) == (1, {"pair n2-n4": "FAIL"})
    assert set(of(told, "node").values()) == {"PASS"}
    link, *ends = told["findings"]
    assert (link["subject"], link["warning"]) == ("pair n2-n4", False)
    assert "between n2 and n4" in link["cause"]
    assert [(f["subject"], f["warning"], f["why"].partition(":")[0]) for f in ends] == [
        ("n2", True, "its link to n4 is slow"),
        ("n4", True, "its link to n2 is slow"),
    ]


def test_a_switch_is_told_by_the_level_that_the_run_knows(led: Any) -> None:
    code, told = judged(led(slow_leaf, topology=LEAVES).run)
    assert code == 1
    assert set(of(told, "node").values()) == {"PASS"}
    assert of(told, "group") == {"leaf a": "FAIL"}
    assert told["findings"][0]["cause"].startswith("a slow switch: all behind leaf a")


def test_who_was_cleared_is_not_told(led: Any) -> None:
    tests: list[tuple[str, ...]] = []

    def once(hosts: tuple[str, ...]) -> float:
        tests.append(hosts)
        return slow_link(hosts) if len(set(tests)) < 28 else 1e9  # until every pair was tested once

    fleet = led(once, all=False)
    assert {v["outcome"] for v in fleet.told()["verdicts"]} == {"cleared"}
    assert judged(fleet.run)[1]["findings"] == []


def test_a_group_that_fails_blames_the_node_that_it_fails_with(led: Any) -> None:
    code, told = judged(led(hung, pairs=False).run)
    (one,) = told["findings"]
    assert (code, one["subject"], one["cause"]) == (1, "n3", groups.ALONE[0])
    assert one["why"].endswith("fails wherever it is (rank 3 hung)")


def test_a_failure_that_did_not_come_again_is_the_groups_and_not_decided(led: Any) -> None:
    tests: list[tuple[str, ...]] = []

    def once(hosts: tuple[str, ...]) -> float | str:
        tests.append(hosts)
        return "rank 1 died" if len(tests) <= 2 else 1e9  # asked at its start and at its test

    code, told = judged(led(once, pairs=False).run)
    assert (code, of(told, "group")) == (4, {"all": "INCONCLUSIVE"})
    assert set(of(told, "node").values()) == {"PASS"}


def test_a_waiver_covers_it(led: Any) -> None:
    waiver = {
        "subject": "n2",
        "criterion": groups.NAME,
        "who": "A",
        "why": "cable is on its way",
        "until": "2999-01-01",
    }
    code, told = judged(led(slow_node).run, waivers=[waiver])
    assert (code, told["findings"][0]["waived"]) == (0, "A until 2999-01-01: cable is on its way")


def test_a_repaired_node_is_judged_by_the_newest_pairs_that_it_was_in(led: Any) -> None:
    before, alone, after = led(slow_node, "before"), led(hung, "alone", pairs=False), led(lambda hosts: 1e9, "after")
    for n, fleet in enumerate((before, alone, after)):
        for path in (fleet.run / RECORDS, *fleet.run.glob(f"nodes/*/{RECORDS}")):
            records = [msgspec.structs.replace(r, run=f"r{n}") for r in load(path.parent)]
            path.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in records))
        assert main(["merge", f"run={fleet.run}"]) == 0
    code, told = judged(after.run, f"before={before.run}")
    assert (code, of(told, "node")["n2"]) == (0, "PASS")
    (again,) = [one for one in told["again"] if one["scope"] == "node"]
    assert (again["subject"], again["before"], again["after"]) == ("n2", "FAIL", "PASS")
    assert "| n2 | FAIL → PASS | group tests |" in (after.run / "accept" / "summary.md").read_text()
    # without pairs there is no newer word on n2, and there is one on n3
    code, told = judged(alone.run, f"before={before.run}")
    assert (code, {f["subject"] for f in told["findings"]}) == (1, {"n2", "n3"})
    code, told = judged(after.run, f"before=[{before.run},{alone.run}]")
    assert (code, told["findings"]) == (0, [])


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"hosts": 3, "failed_groups": []}', b"\xff\xfe"]
    + [
        json.dumps({"hosts": [], "failed_groups": [], "verdicts": [{**v, "reason": "r"}]})
        for v in (
            {"kind": "link", "names": ["n1"], "outcome": "blamed"},
            {"kind": "cable", "names": ["n1"], "outcome": "blamed"},
            {"kind": "node", "names": ["n1"], "outcome": "guilty"},
        )
    ],
)
def test_a_damaged_file_is_one_line(
    text: str | bytes, led: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = led(slow_node, all=False)
    (fleet.run / "groups.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    capsys.readouterr()
    assert main(["accept", f"run={fleet.run}", "criteria=fleet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(fleet.run / "groups.json") in line


def test_without_the_file_nothing_is_said(led: Any) -> None:
    fleet = led(slow_node)
    (fleet.run / "groups.json").unlink()
    assert not any(kind in TOGETHER for kind, _ in read(fleet.run).said.tested)
    code, told = judged(fleet.run)
    assert (code, told["findings"]) == (0, [])


def written(path: Path, **told: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "groups.json").write_text(json.dumps({"hosts": ["n1", "n2"], "failed_groups": [], **told}))
    return path


def test_what_could_not_be_tested_again_is_not_decided(tmp_path: Path) -> None:
    verdicts = [
        {"kind": kind, "names": names, "outcome": "undecided", "reason": "was not tested again"}
        for kind, names in (("node", ["n1"]), ("leaf", ["l1"]), ("link", ["n1", "n2"]))
    ]
    where = Positions({"block": {"n1": "l1"}})
    found = groups.read(written(tmp_path, verdicts=verdicts), where, {"n1", "n2"}).findings
    assert {f.status for f in found} == {"INCONCLUSIVE"}
    assert [f.subject for f in found if not f.warning] == ["n1", "block l1", "pair n1-n2"]


def test_who_was_in_no_group_is_not_decided_where_others_were(tmp_path: Path) -> None:
    (one,) = groups.read(written(tmp_path), Positions(), {"n2"}).findings
    assert (one.subject, one.status, one.why) == ("n1", "INCONCLUSIVE", groups.ALONE_ONLY)
    assert groups.read(tmp_path, Positions(), set()).findings == []


def test_pairs_that_all_failed_blame_nobody_and_clear_nobody(tmp_path: Path) -> None:
    blamed = {"kind": "node", "names": ["n1"], "outcome": "blamed", "reason": "r"}
    old = groups.read(written(tmp_path, verdicts=[blamed]), Positions(), {"n1", "n2"})
    failed = groups.read(written(tmp_path, links=[{"hosts": ["n1", "n2"], "rate": None}]), Positions(), {"n1", "n2"})
    assert [(f.subject, f.status) for f in failed.findings] == [("pairs", "INCONCLUSIVE")]
    assert [f.subject for f in newest([old, failed]).findings] == ["n1", "pairs"]
    passed = groups.read(written(tmp_path, links=[{"hosts": ["n2", "n1"], "rate": 1.0}]), Positions(), {"n1", "n2"})
    assert newest([old, failed, passed]).findings == []
