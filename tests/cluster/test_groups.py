"""Groups of real nodes: the pairs find exactly the node behind a slow link; a rank that dies costs its pair alone."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import pytest
from cluster.conftest import Cluster, begun, over, ranks, records, wait_for

from perwatt.results.fleet.nodesets import expand
from perwatt.results.record import Failed
from perwatt.results.store import load

pytestmark = [pytest.mark.slow, pytest.mark.root]
SHORT = (
    *("suite=smoke", "device=cpu", "meter=none", "only=['matmul fp32 64*',all_reduce]", "kernels.matmul_cpu.m=64"),
    *("profile.repetitions=1", "profile.window_s=0.1", "profile.warmup_s=0.1"),
    # nodes that share two cores differ by much, a link of 20 Mbit/s from all of them by more
    *("groups.window_s=0.2", "groups.warmup_s=0", "groups.repetitions=1", "groups.effect=0.9", "groups.deviations=0"),
    *("groups.all=false", "clocks.lead_s=1", "kernels.all_reduce.message_bytes=512KiB"),
)


# under Slurm every pair of four; with three nodes there are two good partners for the suspect as well
@pytest.mark.parametrize(
    ("launcher", "nodes"),
    [("slurm", ("n0", "n1", "n2", "n3")), ("ssh", ("n1", "n2", "n3")), ("mpi", ("n1", "n2", "n3"))],
)
def test_the_node_behind_a_slow_link_is_found_and_no_other(
    cluster: Cluster, tmp_path: Path, launcher: str, nodes: tuple[str, ...]
) -> None:
    tbf = ("root", "tbf", "rate", "20mbit", "burst", "64kb", "latency", "50ms")
    assert cluster.on("n2", "tc", "qdisc", "replace", "dev", "eth0", *tbf, cwd=tmp_path).code == 0
    before, given = over(cluster, launcher, *nodes)
    done = cluster.on("head", *before, "perwatt", "run", *SHORT, *given, cwd=tmp_path)
    assert done.code == 1, done.err
    run = tmp_path / done.last["run"]
    told = json.loads((run / "groups.json").read_text())
    assert [v["names"] for v in told["verdicts"] if v["outcome"] == "blamed"] == [["n2"]], told
    good = {*nodes} - {"n2"}
    assert {*expand((run / "passing_nodes.txt").read_text().strip())} == good
    assert (run / "failing_nodes.txt").read_text() == "n2\n"
    groups = [r for r in load(run) if r.case.over]
    # two ranks, and in each iteration one of them is the slower
    assert all(r.measured and r.measured.pace and sum(r.measured.pace.slowest) >= 0.999 for r in groups)
    tested = [(r.case.over.kind, frozenset(r.case.over.hosts)) for r in groups if r.case.over]
    # every pair once, then the suspect with two partners that are known to be good
    assert sorted(kind for kind, _ in tested) == ["pair"] * math.comb(len(nodes), 2) + ["retest"] * 2
    assert {hosts for kind, hosts in tested if kind == "pair"} == set(map(frozenset, combinations(nodes, 2)))
    assert all("n2" in hosts for kind, hosts in tested if kind == "retest")


def test_a_rank_that_dies_costs_its_pair_and_the_others_stand(cluster: Cluster, tmp_path: Path) -> None:
    arguments = (*SHORT, "groups.window_s=5", "groups.bisect=false", "launcher=slurm")
    before = ("salloc", "--quiet", "--no-kill", "-N4")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(cluster.on, "head", *before, "perwatt", "run", *arguments, cwd=tmp_path)
        run = begun(tmp_path)
        wait_for(lambda: records(run) >= 2)  # of three rounds of two pairs the first is over
        processes = {node: ranks(cluster, node, tmp_path) for node in ("n0", "n1", "n2", "n3")}
        assert all(len(found) == 1 for found in processes.values())
        time.sleep(1)  # in the midst of the second, or while its ranks join: not while they rest
        cluster.on("n1", "kill", "-KILL", *processes["n1"], cwd=tmp_path)
        wait_for(lambda: records(run) >= 5)
        after = {node: ranks(cluster, node, tmp_path) for node in processes}
        done = future.result()
    assert done.code == 1
    pairs = [r for r in load(run) if r.case.over and r.case.over.kind == "pair"]
    failed = [r for r in pairs if isinstance(r.outcome, Failed)]
    assert len(pairs) == 6
    assert len(failed) == 1
    assert failed[0].case.over
    assert "n1" in failed[0].case.over.hosts
    assert "died" in failed[0].outcome.error or "launcher ended" in failed[0].outcome.error  # type: ignore[union-attr]
    others = set(processes) - set(failed[0].case.over.hosts)
    assert {node: after[node] for node in others} == {node: processes[node] for node in others}
    assert after["n1"] != processes["n1"]
