"""A fleet's run from the topology to the operators' files, its nodes and groups played."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from simulated_fleet import Fleet

from perwatt.benchmarks.caps.sweep import KEPT
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.launch.mpi import Mpi
from perwatt.results.fleet import merge
from perwatt.results.fleet.nodesets import expand
from perwatt.results.record import Failed
from perwatt.results.reports.html_links import groups
from perwatt.results.store import load

LEAVES = {"name": "two", "leaves": {"left": "n[0-2]", "right": "n[3-5]"}}


def sound(hosts: tuple[str, ...]) -> float:
    return 1e9 + len(hosts)


def slow_n2(hosts: tuple[str, ...]) -> float:
    return 5e8 if "n2" in hosts else 1e9


def test_leaves_then_all_then_every_pair_once_and_everybody_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 6, sound)
    assert fleet.lead(topology=LEAVES).exit_code(allow_failed=False) == 0
    records = load(fleet.run)
    kinds = [r.case.over.kind for r in records if r.case.over]
    assert kinds[:3] == ["leaf", "leaf", "all"]
    assert Counter(kinds) == {"leaf": 2, "all": 1, "pair": 15}
    assert len({r.case.key for r in records}) == 18
    # the same label is what a leaf and a pair are told apart by
    assert len({r.case.label for r in records}) == 18
    assert fleet.text("passing_nodes.txt") == "n[0-5]\n"
    assert fleet.text("failing_nodes.txt") == ""
    assert json.loads(fleet.text("topology.json"))["levels"] == {
        "leaf": {name: list(expand(hosts)) for name, hosts in LEAVES["leaves"].items()}
    }
    told = fleet.told()
    assert told["schedule"] == "every pair"
    assert (told["verdicts"], told["failed_groups"], len(told["links"])) == ([], [], 15)
    assert set(merge.load(fleet.run).index["scope"]) == {"node", "group"}


def test_nodes_that_were_interrupted_interrupt_the_run_where_nobody_is_left_for_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 3, sound)
    fleet.lost = dict.fromkeys(("n0", "n1"), "it was interrupted")
    assert fleet.lead().exit_code(allow_failed=False) == 130
    fleet.lost = {"n0": "it was interrupted"}
    assert fleet.lead().exit_code(allow_failed=False) == 1
    assert fleet.asked == [("n1", "n2")]
    fleet.lost = {}
    assert fleet.lead().exit_code(allow_failed=False) == 0


def test_a_slow_node_is_tested_again_with_good_partners_and_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 6, slow_n2)
    assert fleet.lead().exit_code(allow_failed=False) == 1
    told = fleet.told()
    assert [v["names"] for v in told["verdicts"] if v["outcome"] == "blamed"] == [["n2"]]
    assert told["suspects"]["nodes"] == ["n2"]
    assert {tuple(one["hosts"]) for one in told["links"] if one["slow"]} == {
        p for p in fleet.asked if "n2" in p and len(p) == 2
    }
    assert fleet.text("passing_nodes.txt") == "n[0-1,3-5]\n"
    assert fleet.text("failing_nodes.txt") == "n2\n"
    assert "nodename=n2 state=drain reason='perwatt: 2 of 2 tests slow" in fleet.text("drain.sh")
    assert sum(r.case.over is not None and r.case.over.kind == "retest" for r in load(fleet.run)) == 2
    page = groups(fleet.run)
    assert "Links between 6 hosts: 15 tested, 5 slow" in page
    assert "<b>blamed</b> node n2: 2 of 2 tests slow" in page


def test_resuming_measures_what_is_missing_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 5, slow_n2)
    fleet.lead()
    whole, environment, told = load(fleet.run), json.loads(fleet.text("environment.json")), fleet.told()
    path = fleet.run / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[4:-1]))
    fleet.asked.clear()
    fleet.lead()
    missing = [r.case.over.hosts for r in [*whole[1:4], whole[-1]] if r.case.over]
    assert sorted(fleet.asked) == sorted(missing)
    assert Counter(r.case.key for r in load(fleet.run)) == Counter(r.case.key for r in whole)
    assert fleet.told()["verdicts"] == told["verdicts"]
    again = json.loads(fleet.text("environment.json"))
    # the clock that it began by; and each coordinator's own
    assert again["clock"]["start"] == environment["clock"]["start"] == again["clock"]["allocations"][0]["start"]
    assert again["clock"]["end"] == again["clock"]["allocations"][1]["end"]
    assert {**again, "clock": None} == {**environment, "clock": None}
    fleet.asked.clear()
    fleet.lead()
    assert fleet.asked == []


def test_what_was_found_in_an_earlier_allocation_holds_for_nodes_that_are_in_another_one_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 5, slow_n2)
    fleet.lead()
    fleet.asked.clear()
    monkeypatch.setattr("perwatt.benchmarks.cluster.fleet.ended", lambda node: True)
    fleet.hosts = ["n0", "n5", "n1"]
    assert fleet.lead().exit_code(allow_failed=False) == 1
    # n0 and n1 have met: all three together, and each with the new one
    assert sorted(map(sorted, fleet.asked)) == [["n0", "n1", "n5"], ["n0", "n5"], ["n1", "n5"]]
    assert fleet.text("failing_nodes.txt") == "n2\n"
    assert fleet.text("passing_nodes.txt") == "n[0-1,3-5]\n"


def test_a_group_that_hangs_is_halved_and_the_loss_is_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(hosts: tuple[str, ...]) -> float | str:
        return "rank 3 hung: no progress for 60 s" if "n3" in hosts else 1e9

    fleet = Fleet(tmp_path, monkeypatch, 8, hangs)
    assert fleet.lead(pairs=False).exit_code(allow_failed=False) == 1
    first, *_ = load(fleet.run)
    assert isinstance(first.outcome, Failed)
    assert first.outcome.error == "rank 3 hung: no progress for 60 s"
    (group,) = fleet.told()["failed_groups"]
    assert (group["kind"], group["findings"]) == ("all", [{"hosts": ["n3"], "how": "alone"}])
    assert fleet.text("failing_nodes.txt") == "n3\n"
    # log2(8) steps and one to confirm, each half at once
    assert len(fleet.asked) <= 2 * 3 + 2


def test_a_node_that_starts_in_no_pair_is_given_up_and_pairs_explain_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 8, lambda hosts: "dead" if "n3" in hosts else 1e9)
    assert fleet.lead().exit_code(allow_failed=False) == 1
    assert fleet.text("failing_nodes.txt") == "n3\n"
    pairs = [hosts for hosts in fleet.asked if len(hosts) == 2 and "n3" in hosts]
    # two of seven, and the test with good partners
    assert len(pairs) == 4
    skipped = [r for r in load(fleet.run) if r.measured is None and not isinstance(r.outcome, Failed)]
    assert len(skipped) == 5
    assert fleet.told()["failed_groups"] == []


def test_power_limits_that_a_killed_node_left_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 3, sound)
    for host in ("n0", "n2"):
        (fleet.run / "nodes" / host).mkdir(parents=True)
        (fleet.run / "nodes" / host / KEPT).write_text("{}")
    fleet.lead()
    assert "WARNING n0, n2: power limits were not put back; perwatt run resume=" in capsys.readouterr().err


def test_nodes_that_fail_alone_are_in_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 4, sound)
    fleet.lost = {"n1": "it never said that it had started"}
    assert fleet.lead().exit_code(allow_failed=False) == 1
    assert not any("n1" in hosts for hosts in fleet.asked)
    assert fleet.text("failing_nodes.txt") == "n1\n"
    assert "n1: {reason" in fleet.text("inventory.yaml").replace('"n1"', "n1")
    fleet = Fleet(tmp_path / "other", monkeypatch, 4, sound)
    fleet.lost = {f"n{i}": "gone" for i in range(1, 4)}
    fleet.lead()
    # nobody to be tested with
    assert fleet.text("passing_nodes.txt") == ""
    assert "it was tested with no other node" in fleet.text("inventory.ini")


def test_what_is_wrong_is_said_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(tmp_path, monkeypatch, 7, sound)
    with pytest.raises(BadRequest, match=r"topology two: host 'n6' is in no leaf; allowed one for each"):
        fleet.lead(topology=LEAVES)
    with pytest.raises(BadRequest, match=r"launcher.ranks: 8 cannot be spread evenly over 7 hosts"):
        fleet.lead(ranks=8)
    with pytest.raises(BadRequest, match=r"groups.effect: found 2; allowed a fraction between 0 and 1"):
        fleet.lead(effect=2)
    assert fleet.asked == []


def test_a_node_that_is_withdrawn_is_missing_and_its_pairs_are_left_to_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = {"n2": "Slurm calls it down"}
    fleet = Fleet(tmp_path, monkeypatch, 4, lambda hosts: "dead" if "n2" in hosts and why else 1e9)
    monkeypatch.setattr(Mpi, "withdrawn", lambda *_: why)
    assert fleet.lead(all=False).exit_code(allow_failed=False) == 1
    assert fleet.text("failing_nodes.txt") == "n2\n"
    assert "it has not come to all of its tests with others: Slurm calls it down" in fleet.text("drain.sh")
    assert not any(isinstance(record.outcome, Failed) for record in load(fleet.run))
    assert fleet.told()["verdicts"] == []
    assert sum(record.measured is not None for record in load(fleet.run)) == 3
    why.clear()  # it is there again
    assert fleet.lead(all=False).exit_code(allow_failed=False) == 0
    assert sum(record.measured is not None for record in load(fleet.run)) == 6
    assert fleet.text("passing_nodes.txt") == "n[0-3]\n"


def test_of_an_allocation_that_has_gone_nobody_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = dict.fromkeys(("n0", "n1", "n2"), "Slurm calls job 7 TIMEOUT")
    fleet = Fleet(tmp_path, monkeypatch, 3, lambda _: "rank 0 died" if why else 1e9)
    monkeypatch.setattr(Mpi, "withdrawn", lambda *_: why)
    tally = fleet.lead()
    assert (tally.exit_code(allow_failed=False), tally.stopped) == (130, "Slurm calls job 7 TIMEOUT")
    assert not (fleet.run / "failing_nodes.txt").exists()
    assert all("interrupted" in record.flags for record in load(fleet.run))
    why.clear()
    assert fleet.lead().exit_code(allow_failed=False) == 0
    assert len([record for record in load(fleet.run) if record.measured]) == 4
