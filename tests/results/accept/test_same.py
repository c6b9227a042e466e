"""Nodes whose driver, VBIOS, firmware, kernel or packages differ from most nodes'."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from acceptances import criterion, devices, fleet_of, run_of

from perwatt.benchmarks.cli import main
from perwatt.results.accept import same
from perwatt.results.accept.criteria import Same, from_plain
from perwatt.results.accept.verdict import Finding

ALL = ("driver", "vbios", "firmware", "kernel", "packages")
EVERYTHING = Same("same", ALL)  # type: ignore[arg-type]


def machine(**changes: Any) -> dict[str, Any]:
    """What a node says of itself; ``driver`` and ``vbios`` None: its meter does not tell."""
    meter = {"name": "nvml", "available": True, "driver": "580.1", "vbios": "96.1"}
    meter = {key: value for key, value in {**meter, **changes}.items() if value is not None and key in meter}
    about = {
        "kernel": "6.1",
        "packages": {"torch": "2.13"},
        "firmware": {"bios": "1.2"},
        "devices": [{"name": "H100"}] * 8,
    }
    return {**about, "meters": [meter], **{key: value for key, value in changes.items() if key in about}}


def told(folder: Path, nodes: Mapping[str, Any], asked: Same = EVERYTHING) -> list[Finding]:
    """What is found; of a node that is None there is no file."""
    paths = {host: folder / host / "environment.json" for host in nodes}
    for host, about in nodes.items():
        paths[host].parent.mkdir(parents=True)
        if about is not None:
            paths[host].write_text(about if isinstance(about, str) else json.dumps(about))
    return list(same.differing(asked, same.machines(paths)))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"driver": "570.0"}, "driver nvml 570.0 (3 of 4 nodes: 580.1)"),
        ({"vbios": "94.0, 96.1"}, "vbios nvml 94.0, 96.1 (3 of 4 nodes: 96.1)"),
        ({"kernel": "5.15"}, "kernel 5.15 (3 of 4 nodes: 6.1)"),
        ({"packages": {"torch": "2.9"}}, "torch 2.9 (3 of 4 nodes: 2.13)"),
        ({"packages": {}}, "torch none (3 of 4 nodes: 2.13)"),
        ({"packages": {"torch": "2.13", "triton": "3"}}, "triton 3 (3 of 4 nodes: none)"),
        ({"firmware": {"bios": "1.1"}}, "firmware bios 1.1 (3 of 4 nodes: 1.2)"),
    ],
)
def test_the_node_that_differs_is_named_with_what_most_have(changes: dict[str, Any], what: str, tmp_path: Path) -> None:
    nodes = {"n1": machine(), "odd": machine(**changes), "n2": machine(), "n3": machine()}
    (one,) = told(tmp_path, nodes)
    assert (one.status, one.scope, one.subject, one.criterion) == ("FAIL", "node", "odd", "same")
    assert one.why == f"other than most nodes: {what}"
    assert (one.cause, one.todo) == same.OTHER


def test_all_that_differs_is_one_finding_and_what_was_not_asked_is_not_told(tmp_path: Path) -> None:
    odd = machine(driver="570.0", kernel="5.15", vbios="94.0")
    (one,) = told(tmp_path, {"n1": machine(), "odd": odd, "n2": machine()}, Same("few", ("driver", "kernel"), "warn"))
    assert one.why.count(";") == 1
    assert "vbios" not in one.why
    assert one.warning


def test_where_none_has_most_nobody_is_blamed(tmp_path: Path) -> None:
    drivers = ("570.0", "580.1", "580.1", "570.0")
    (one,) = told(tmp_path, {f"n{i}": machine(driver=driver) for i, driver in enumerate(drivers)})
    assert (one.status, one.scope) == ("INCONCLUSIVE", "cluster")
    assert one.why == "no version has most of 4 nodes: driver nvml 570.0 on 2 (n0, n3); 580.1 on 2 (n1, n2)"
    many = told(tmp_path / "b", {f"n{i}": machine(driver=str(i % 3)) for i in range(9)})
    assert [f.subject for f in many] == ["cluster"]


def test_nodes_of_other_devices_are_not_held_against_each_other(tmp_path: Path) -> None:
    old = [{"name": "A100"}]
    nodes = {f"n{i}": machine() for i in range(4)} | {f"a{i}": machine(devices=old, vbios="92.0") for i in range(3)}
    assert told(tmp_path, nodes) == []
    (one,) = told(tmp_path / "b", {**nodes, "a3": machine(devices=old, vbios="96.1")})
    assert one.subject == "a3"


def test_what_a_node_does_not_tell_is_not_decided(tmp_path: Path) -> None:
    found = told(
        tmp_path, {"n1": machine(), "mute": machine(vbios=None), "n2": machine(), "none": None, "n3": machine()}
    )
    assert [(f.subject, f.status, f.why) for f in found] == [
        ("none", "INCONCLUSIVE", "it does not say what it runs (environment.json)"),
        ("mute", "INCONCLUSIVE", "it does not tell its vbios nvml"),
    ]
    (all_mute,) = told(tmp_path / "b", {"n1": None, "n2": None})
    assert (all_mute.subject, all_mute.status) == ("cluster", "INCONCLUSIVE")
    assert told(tmp_path / "c", {"n1": None}) == []  # one node is like itself


@pytest.mark.parametrize("text", ["{", "[]", '{"packages": 3}', '{"devices": [3]}'])
def test_a_damaged_file_is_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"environment\.json: ") as error:
        told(tmp_path, {"n1": machine(), "n2": text})
    assert "\n" not in str(error.value)


def fleet(path: Path, nodes: Mapping[str, Any], run: str = "run") -> Path:
    """A merged fleet whose devices are alike; each with what it says of itself."""
    records = {host: devices(2, 2, host, seed=i) for i, host in enumerate(nodes)}
    found = fleet_of(path, {h: [msgspec.structs.replace(r, run=run) for r in of] for h, of in records.items()})
    for host, about in nodes.items():
        (path / "nodes" / host / "environment.json").write_text(json.dumps(about))
    return found


def asked(path: Path, severity: str, **more: Any) -> str:
    """Criteria of one kind, as a file."""
    plain = {
        "name": "mine",
        "criteria": [criterion()],
        "same": [{"name": "versions", "of": ["driver"], "severity": severity}],
    }
    path.write_text(yaml.safe_dump({**plain, **more}))
    return f"criteria={path}"


def test_the_severity_is_the_criterias_and_a_waiver_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fleet(tmp_path / "run", {**{f"n{i}": machine() for i in range(4)}, "odd": machine(driver="570.0")})
    mine = tmp_path / "mine.yaml"
    assert main(["accept", f"run={run}", asked(mine, "warn")]) == 0
    assert "FAIL (warning)  odd versions" in capsys.readouterr().out
    assert main(["accept", f"run={run}", asked(mine, "fail")]) == 1
    verdicts = json.loads((run / "accept" / "verdict.json").read_text())["verdicts"]
    assert [v["subject"] for v in verdicts if v["status"] == "FAIL"] == ["odd"]
    assert "<failure" in (run / "accept" / "junit.xml").read_text()
    waiver = {"subject": "odd", "criterion": "versions", "who": "A", "why": "b", "until": "2999-01-01"}
    assert main(["accept", f"run={run}", asked(mine, "fail", waivers=[waiver])]) == 0
    assert main(["accept", f"run={run}", "criteria=fleet"]) == 0
    assert "FAIL (warning)  odd same versions" in capsys.readouterr().out
    (run / "nodes" / "odd" / "environment.json").write_text("{")
    assert main(["accept", f"run={run}", asked(mine, "warn")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_node_that_was_brought_up_to_date_is_judged_by_its_newest_versions(tmp_path: Path) -> None:
    before = fleet(tmp_path / "a", {**{f"n{i}": machine() for i in range(4)}, "odd": machine(driver="570.0")}, "a")
    after = run_of(tmp_path / "b", [msgspec.structs.replace(r, run="b") for r in devices(2, 2, "odd", seed=9)])
    (after / "environment.json").write_text(json.dumps(machine()))
    criteria = asked(tmp_path / "mine.yaml", "fail")
    assert main(["accept", f"run={before}", criteria]) == 1
    assert main(["accept", f"run={after}", f"before={before}", criteria]) == 0


def test_several_hosts_in_one_folder_have_no_versions_and_are_not_decided(tmp_path: Path) -> None:
    made = [r for n in range(3) for r in devices(2, 2, f"n{n}", seed=n)]
    records = [
        msgspec.structs.replace(r, case=msgspec.structs.replace(r.case, key=f"{r.host}{r.case.key}")) for r in made
    ]
    run = run_of(tmp_path / "run", records)
    (run / "environment.json").write_text(json.dumps(machine()))  # of the machine that imported them
    assert main(["accept", f"run={run}", asked(tmp_path / "mine.yaml", "warn")]) == 0
    assert main(["accept", f"run={run}", asked(tmp_path / "mine.yaml", "fail")]) == 4


def test_the_page_says_what_was_asked(tmp_path: Path) -> None:
    run, out = fleet(tmp_path / "run", {f"n{i}": machine() for i in range(3)}), tmp_path / "dossier"
    main(["dossier", f"run={run}", asked(tmp_path / "mine.yaml", "warn"), f"out={out}", "pdf=false"])
    assert "as more than half of the nodes" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"name": "a", "of": ["drivers"]}, "same[0].of[0]"),
        ({"name": "a", "of": []}, "a: of: found none; allowed driver"),
        ({"name": "rate of all", "of": ["driver"]}, "found 'rate of all' twice"),
        ({"name": "a", "of": ["driver"], "as": 1}, "same[0]: found the unknown key 'as'; allowed name, of, severity"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(found: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=r"^test\.yaml: ") as error:
        from_plain({"name": "t", "criteria": [criterion()], "same": [found]}, "test.yaml")
    assert what in str(error.value)


@pytest.mark.slow
@pytest.mark.alone
def test_12_500_nodes_are_read_in_a_few_seconds(tmp_path: Path) -> None:
    about = json.dumps({**machine(), "variables": {f"NCCL_{i}": "x" * 20 for i in range(60)}}, indent=1)
    nodes = {f"n{i}": about for i in range(12_499)} | {"odd": json.dumps(machine(kernel="5.15"))}
    paths = {host: tmp_path / host / "environment.json" for host in nodes}
    for host, text in nodes.items():
        paths[host].parent.mkdir()
        paths[host].write_text(text)
    begun = time.perf_counter()
    (one,) = same.differing(EVERYTHING, same.machines(paths))
    took = time.perf_counter() - begun
    print(f"{took:.2f} s")
    assert one.subject == "odd"
    assert took < 5
