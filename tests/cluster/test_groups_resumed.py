"""Pairs of nodes that are interrupted, and killed, in the middle of their rounds: the rest is measured by whoever goes
on, and what comes out is as if nobody had disturbed it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cluster.conftest import Cluster, begun, in_background, processes, records, wait_for

from perwatt.results.record import Record
from perwatt.results.store import RECORDS, latest, load

pytestmark = [pytest.mark.slow, pytest.mark.root]
SHORT = (
    *("suite=smoke", "device=cpu", "meter=none", "only=['matmul fp32 64*',all_reduce]", "kernels.matmul_cpu.m=64"),
    *("profile.repetitions=1", "profile.window_s=0.1", "profile.warmup_s=0.1", "clocks.lead_s=0.5"),
    # a window long enough to be interrupted in; nodes that share two cores differ by much, and are no suspects for it
    *("groups.window_s=2", "groups.warmup_s=0", "groups.repetitions=1", "groups.effect=0.999", "groups.deviations=0"),
    *("groups.all=false", "kernels.all_reduce.message_bytes=64KiB"),
)


def rate(record: Record) -> float:
    assert record.measured is not None
    assert record.rate is not None
    return record.rate


def test_rounds_of_pairs_go_on_after_an_interrupt_and_after_a_kill(cluster: Cluster, tmp_path: Path) -> None:
    allocation = ("salloc", "--quiet", "--no-kill", "--nodelist=n0,n1,n3")
    started = in_background(cluster, tmp_path, *allocation, "perwatt", "run", *SHORT, "launcher=slurm")
    run = begun(tmp_path)
    (leader,) = processes(cluster, "head", "^[^ ]*python[^ ]* [^ ]*perwatt run", tmp_path)
    wait_for(lambda: records(run) >= 1)
    cluster.on("head", "kill", "-INT", leader, cwd=tmp_path)
    done = started.result()
    assert done.code == 130, done.err
    assert not (run / "groups.json").exists()
    first = [r for r in load(run) if "interrupted" not in r.flags]
    assert 1 <= len(first) < 3

    resumed = in_background(cluster, tmp_path, *allocation, "perwatt", "run", f"resume={run}")
    wait_for(lambda: sum("interrupted" not in r.flags for r in load(run)) > len(first) or resumed.done())
    numbers = processes(cluster, "head", "^[^ ]*python[^ ]* [^ ]*perwatt run", tmp_path)
    for number in numbers:
        cluster.on("head", "kill", "-KILL", number, cwd=tmp_path)
    assert numbers, resumed.result().err
    resumed.result()
    before = (run / RECORDS).read_text()
    assert not (run / "groups.json").exists()

    last = cluster.on("head", *allocation, "perwatt", "run", f"resume={run}", cwd=tmp_path)
    assert last.code == 0, last.err
    assert (run / RECORDS).read_text().startswith(before[: before.rfind("\n") + 1])
    found = load(run)
    whole = [r.case.key for r in found if "interrupted" not in r.flags]
    assert len(set(whole)) == len(whole) == 3
    links = {tuple(link["hosts"]): link["rate"] for link in json.loads((run / "groups.json").read_text())["links"]}
    assert links == {r.case.over.hosts: rate(r) for r in latest(found) if r.case.over}
    assert sorted(links) == [("n0", "n1"), ("n0", "n3"), ("n1", "n3")]
    assert [*run.glob(".c*")] == []  # nor is anything left of the leader that was killed
    assert last.last["measured"] == 3
