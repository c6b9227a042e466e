"""What is read of a merged fleet's groups and places, for verdicts of leaves and of nodes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from acceptances import criteria, criterion, devices, fleet_of, limit, slower
from records import measured, record

from perwatt.results.accept.evidence import read
from perwatt.results.accept.judge import judge
from perwatt.results.record import Over, Record, Work

BUSBW = criterion("busbw", cases="all_reduce *", scope="node")


def pair(a: str, b: str, median_s: float) -> Record:
    name, work = f"{a}-{b}", Work(0, 1000, "message", 1000, 1.75)
    made = record(name, measured(median=median_s, work=work), kernel="all_reduce", label=f"fp32 1 KiB over {name}")
    case = msgspec.structs.replace(made.case, over=Over("pair", name, (a, b)), ranks=2, collective=True)
    return msgspec.structs.replace(made, case=case, host=a)


def whole_fleet(path: Path, hosts: Sequence[str], slow: set[str], devices_too: bool = False) -> Path:
    """Nodes of one device, every pair measured; those of ``slow`` nodes take a tenth more."""
    nodes = {
        h: devices(1, 1, h, seed=i, change=lambda r: slower(r, 1.1) if devices_too and r.host in slow else r)
        for i, h in enumerate(hosts)
    }
    pairs = [
        pair(a, b, (0.011 if slow & {a, b} else 0.01) * (1 + 0.001 * (n % 7)))
        for n, (a, b) in enumerate(itertools.combinations(hosts, 2))
    ]
    return fleet_of(path, nodes, groups=pairs)


def test_a_node_is_judged_by_its_pairs_and_one_that_met_a_bad_one_is_not(tmp_path: Path) -> None:
    hosts = [f"n{i}" for i in range(8)]
    evidence = read(whole_fleet(tmp_path / "run", hosts, {"n3"}))
    rows, pairs = evidence.rows, {f"pair {a}-{b}" for a, b in itertools.combinations(hosts, 2)}
    assert set(rows.loc[rows["scope"] == "group", "subject"]) == pairs
    found = judge(evidence, criteria(BUSBW), "run")
    (one,) = found.findings
    assert (one.subject, one.case, one.value) == ("n3", "all_reduce fp32 1 KiB in pairs", pytest.approx(-9.1, abs=0.3))
    assert one.cause.startswith("links, switches")
    nodes = {v.subject: v.status for v in found.verdicts if v.scope == "node"}
    assert nodes == dict.fromkeys(hosts, "PASS") | {"n3": "FAIL"}
    least = criterion("busbw", cases="* in pairs", scope="node", at_least=limit(170, "kB/s"))
    (one,) = judge(evidence, criteria(least), "run").findings
    assert (one.subject, one.status, one.value) == ("n3", "FAIL", pytest.approx(159, abs=1))
    of_pairs = judge(evidence, criteria({**BUSBW, "scope": "group"}), "run")
    assert {f.subject for f in of_pairs.findings} == {name for name in pairs if "n3" in name}


def test_a_node_that_only_its_pairs_tell_of_has_no_health_and_is_not_decided(tmp_path: Path) -> None:
    evidence = read(whole_fleet(tmp_path / "run", [f"n{i}" for i in range(4)], set()))
    health = criterion("link_errors", cases="* in pairs", scope="node", at_most=limit(0, "1"))
    found = judge(evidence, criteria(health), "run")
    assert {f.status for f in found.findings} == {"INCONCLUSIVE"}
    assert len(found.findings) == 4


@pytest.mark.slow
@pytest.mark.parametrize(("devices_too", "cause"), [(False, "a slow switch"), (True, "the nodes of leaf l1 more than")])
def test_a_slow_leaf_is_not_blamed_where_its_devices_are_slow(tmp_path: Path, devices_too: bool, cause: str) -> None:
    hosts = [f"n{i:02}" for i in range(24)]
    leaves = {f"l{n}": hosts[8 * n : 8 * n + 8] for n in range(3)}
    run = whole_fleet(tmp_path / "run", hosts, set(leaves["l1"]), devices_too)
    (run / "topology.json").write_text(json.dumps({"name": "mine", "levels": {"leaf": leaves}}))
    found = judge(read(run), criteria(BUSBW, criterion("rate")), "run")
    (one,) = [f for f in found.findings if f.subject == "leaf l1" and f.metric == "busbw"]
    assert one.cause.startswith(cause)
