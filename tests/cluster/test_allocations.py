"""Allocations that end before the run in them does, on a real Slurm: a node's slurmd dies, a time limit is reached. The
run goes on in another allocation, and what was measured is neither lost nor doubled."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cluster.conftest import Cluster, begun, in_background, records, wait_for

from perwatt.results.record import Skipped
from perwatt.results.store import RECORDS, latest, load

pytestmark = [pytest.mark.slow, pytest.mark.root]
SHORT = (
    *("suite=smoke", "device=cpu", "meter=none", "only=[matmul,all_reduce]", "kernels.matmul_cpu.dtype=fp32"),
    *("profile.repetitions=1", "profile.warmup_s=0.1", "clocks.lead_s=0.5", "clocks.start_wait_s=5"),
    *("groups.pairs=false", "groups.bisect=false", "kernels.all_reduce.message_bytes=[64KiB,128KiB]"),
)


def kept(run: Path) -> list[str]:
    """Keys of the cases that have a whole record, each as often as it has one."""
    return [r.case.key for r in load(run) if "interrupted" not in r.flags]


def lines(run: Path) -> list[str]:
    return (run / RECORDS).read_text().splitlines()


def ended(cluster: Cluster, job: str, folder: Path) -> bool:
    return not cluster.on("head", "squeue", "-h", "-j", job, cwd=folder).out.strip()


def test_a_slurmd_is_killed_and_slurm_begins_the_job_anew_on_other_nodes(cluster: Cluster, tmp_path: Path) -> None:
    # what runs on the node lives on, its leader among it: only Slurm has lost it
    arguments = ("profile.window_s=2", "kernels.matmul_cpu.m=[64,96,128,160,192,224,256,288]", "launcher=slurm")
    job = ("launcher.nodes=2", "launcher.options=['--no-kill=off','--exclude=n2']")
    done = cluster.on("head", "perwatt", "run", *SHORT, *arguments, *job, cwd=tmp_path)
    assert done.code == 0, done.err
    run = begun(tmp_path)
    wait_for(lambda: all(records(run / "nodes" / name) for name in ("n0", "n1")))
    for number in cluster.on("n0", "pgrep", "-x", "slurmd", cwd=tmp_path).out.split():
        cluster.on("n0", "kill", "-KILL", number, cwd=tmp_path)
    before = {name: lines(run / "nodes" / name) for name in ("n0", "n1")}
    wait_for(lambda: ended(cluster, done.last["job"], tmp_path))
    cluster.on("n0", "slurmd", cwd=tmp_path)
    told = (run / "slurm.log").read_text()
    assert "MISSING n0: it is not in this allocation: Slurm calls it down" in told, told
    assert "Traceback" not in told
    for name, had in before.items():
        assert lines(run / "nodes" / name)[: len(had)] == had
    for name in ("n1", "n3"):
        whole = kept(run / "nodes" / name)
        assert len(set(whole)) == len(whole) == 8 + 2  # a node alone skips the collectives
    together = latest(load(run))
    assert [r.measured is not None for r in together] == [True, True], told
    assert {r.case.over.hosts for r in together if r.case.over} == {("n1", "n3")}
    screened = json.loads((run / "screening.json").read_text())
    assert [screened[name]["status"] for name in ("n0", "n1", "n3")] == ["missing", "passed", "passed"]
    wait_for(lambda: cluster.on("head", "sinfo", "-h", "-n", "n0", "-o", "%T", cwd=tmp_path).out.strip() == "idle")


def test_a_time_limit_that_comes_earlier_than_was_known(cluster: Cluster, tmp_path: Path) -> None:
    # Slurm looks for jobs over their limit every half minute: the nodes measure for longer
    cases = f"kernels.matmul_cpu.m={list(range(64, 320, 16))}".replace(" ", "")
    run_it = ("perwatt", "run", *SHORT, cases, "profile.window_s=2.5", "launcher=slurm")
    future = in_background(cluster, tmp_path, "salloc", "--quiet", "--no-kill", "-N2", "--time=60", *run_it)
    run = begun(tmp_path)
    wait_for(lambda: all(records(run / "nodes" / name) for name in ("n0", "n1")))
    (job,) = cluster.on("head", "squeue", "-h", "-o", "%i", cwd=tmp_path).out.split()
    before = {name: lines(run / "nodes" / name) for name in ("n0", "n1")}
    cluster.on("head", "scontrol", "update", f"jobid={job}", "EndTime=now+2seconds", cwd=tmp_path)
    done = future.result()
    assert done.code == 130, done.err
    assert "Traceback" not in done.err
    for name, had in before.items():
        assert lines(run / "nodes" / name)[: len(had)] == had
        unmeasured = [r for r in latest(load(run / "nodes" / name)) if "interrupted" in r.flags]
        assert unmeasured
        assert all(r.measured or isinstance(r.outcome, Skipped) for r in unmeasured)
    same = ("salloc", "--quiet", "--no-kill", "--nodelist=n0,n1")  # they may be ending the job before
    again = cluster.on("head", *same, "perwatt", "run", f"resume={run}", cwd=tmp_path)
    assert again.code == 0, again.err
    for name in before:
        whole = kept(run / "nodes" / name)
        assert len(set(whole)) == len(whole) == 16 + 2
    assert len(kept(run)) == 2


def test_a_run_stops_ahead_of_its_time_limit_and_the_rest_is_measured_in_another_allocation(
    cluster: Cluster, tmp_path: Path
) -> None:
    # longer than the minute, of which a fifth is kept for writing things down
    cases = f"kernels.matmul_cpu.m={list(range(64, 320, 16))}".replace(" ", "")
    arguments = (cases, "profile.window_s=3", "launcher=slurm")
    one = "kernels.all_reduce.message_bytes=64KiB"
    before = ("salloc", "--no-kill", "--nodelist=n0,n1")
    done = cluster.on("head", *before, "--time=1", "perwatt", "run", *SHORT, *arguments, one, cwd=tmp_path)
    assert done.code == 130, done.err
    (job,) = re.findall(r"Granted job allocation (\d+)", done.err)
    told = cluster.on("head", "scontrol", "show", "job", job, cwd=tmp_path).out
    assert "TimeLimit=00:01:00" in told
    assert "MISSING n0: it was interrupted" in done.err
    assert "MISSING n1: it was interrupted" in done.err
    assert "JobState=TIMEOUT" not in told
    (took_s,) = re.findall(r"RunTime=00:00:(\d\d)", told)  # of a minute
    print("of the minute", took_s, "s were used")
    run = begun(tmp_path)
    first = {name: (lines(run / "nodes" / name), kept(run / "nodes" / name)) for name in ("n0", "n1")}
    for name, (_, whole) in first.items():
        left = [r for r in latest(load(run / "nodes" / name)) if r.case.key not in whole]
        assert len({*whole}) == len(whole) >= 3
        assert len(whole) + len(left) == 16 + 1  # a node alone skips the collective
        never = [r.outcome for r in left if not r.measured]
        assert never
        # the node by itself, or its leader, which counts from a little earlier
        why = ("not measured: the allocation ends ", "not measured: it was stopped by SIGTERM")
        assert all(isinstance(outcome, Skipped) and outcome.reason.startswith(why) for outcome in never)
    again = cluster.on("head", *before, "perwatt", "run", f"resume={run}", cwd=tmp_path)
    assert again.code == 0, again.err
    for name, (had, whole) in first.items():
        assert lines(run / "nodes" / name)[: len(had)] == had
        assert kept(run / "nodes" / name)[: len(whole)] == whole
        assert len({*kept(run / "nodes" / name)}) == len(kept(run / "nodes" / name)) == 16 + 1
    assert len(kept(run)) == 1
