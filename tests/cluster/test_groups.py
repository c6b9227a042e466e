"""Groups of real nodes: one link is shaped slow, and the pairs find exactly that node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cluster.conftest import Cluster

from perwatt.results.store import load

pytestmark = [pytest.mark.slow, pytest.mark.root]
SHORT = (
    *("suite=smoke", "device=cpu", "meter=none", "only=['matmul fp32 64*',all_reduce]", "kernels.matmul_cpu.m=64"),
    *("profile.repetitions=1", "profile.window_s=0.1", "profile.warmup_s=0.1"),
    # nodes that share two cores differ by much, a link of 20 Mbit/s from all of them by more
    *("groups.window_s=0.2", "groups.warmup_s=0", "groups.repetitions=1", "groups.effect=0.9", "groups.deviations=0"),
    *("groups.all=false", "clocks.lead_s=1", "kernels.all_reduce.message_bytes=512KiB"),
)


def test_the_node_behind_a_slow_link_is_found_and_no_other(cluster: Cluster, tmp_path: Path) -> None:
    shaped = ("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "20mbit", "burst", "64kb", "latency", "50ms")
    assert cluster.on("n2", *shaped, cwd=tmp_path).code == 0
    before = ("salloc", "--quiet", "--no-kill", "-N4")
    done = cluster.on("head", *before, "perwatt", "run", *SHORT, "launcher=slurm", cwd=tmp_path)
    assert done.code == 1, done.err
    run = tmp_path / done.last["run"]
    told = json.loads((run / "groups.json").read_text())
    assert [v["names"] for v in told["verdicts"] if v["outcome"] == "blamed"] == [["n2"]], told
    assert (run / "passing_nodes.txt").read_text() == "n[0-1,3]\n"
    assert (run / "failing_nodes.txt").read_text() == "n2\n"
    groups = [r for r in load(run) if r.case.over]
    # two ranks, and in each iteration one of them is the slower
    assert all(r.measured and r.measured.pace and sum(r.measured.pace.slowest) >= 0.999 for r in groups)
    kinds = [r.case.over.kind for r in groups if r.case.over]
    # every pair once, then the suspect with two partners that are known to be good
    assert sorted(kinds) == ["pair"] * 6 + ["retest"] * 2
