"""What goes wrong while a fleet is measured, on a real cluster: the rest is measured, each loss is named, and what was
measured is neither lost nor doubled."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from cluster.conftest import Cluster, begun, in_background, over, ranks, records, wait_for

from perwatt.results.record import Failed
from perwatt.results.store import load

pytestmark = [pytest.mark.slow, pytest.mark.root]
SHORT = (
    *("suite=smoke", "device=cpu", "profile.warmup_s=0.1", "groups.pairs=false", "groups.bisect=false"),
    *("kernels.matmul.m=256", "kernels.matmul.dtype=fp32"),
)
SIZES = "kernels.all_reduce.message_bytes=[64KiB,128KiB,256KiB,512KiB]"


def test_a_stopped_rank_a_lost_network_and_nodes_that_slurm_does_not_give(cluster: Cluster, tmp_path: Path) -> None:
    cluster.on("head", "scontrol", "update", "nodename=n2", "state=drain", "reason=bad link", cwd=tmp_path)
    arguments = ("only=[matmul,all_reduce]", SIZES, "profile.repetitions=1", "profile.window_s=6")
    run = ("perwatt", "run", *SHORT, *arguments, "launcher=slurm", "launcher.timeout_s=12", "launcher.expect=n[0-4]")
    future = in_background(cluster, tmp_path, "salloc", "--quiet", "--no-kill", "--nodelist=n0,n1,n3", *run)
    folder = begun(tmp_path)

    wait_for(lambda: records(folder) == 1)  # the same ranks go on with the second case
    stopped = ranks(cluster, "n1", tmp_path)
    cluster.on("n1", "kill", "-STOP", *stopped, cwd=tmp_path)
    second = cluster.on("n0", "perwatt", "run", f"resume={folder}", cwd=tmp_path)
    assert second.code == 2
    assert second.err.strip().endswith("is being written by another perwatt run")
    assert len(second.err.strip().splitlines()) == 1
    wait_for(lambda: records(folder) == 2)
    wait_for(lambda: set(ranks(cluster, "n1", tmp_path)) - set(stopped))  # the next case's
    assert not set(ranks(cluster, "n1", tmp_path)) & set(stopped)  # not even a stopped one is left
    wait_for(lambda: records(folder) == 3)
    cluster.on("n3", "ip", "link", "set", "eth0", "down", cwd=tmp_path)
    done = future.result()
    cluster.on("n3", "ip", "link", "set", "eth0", "up", cwd=tmp_path)
    cluster.on("head", "scontrol", "update", "nodename=n2", "state=resume", cwd=tmp_path)

    first, hung, measured, silent = load(folder)
    assert first.measured
    assert isinstance(hung.outcome, Failed)
    assert "rank 1" in hung.outcome.error
    assert measured.measured
    assert isinstance(silent.outcome, Failed)
    assert "rank 2" in silent.outcome.error
    assert done.code == 1
    missing = [line for line in done.err.splitlines() if line.startswith("MISSING")]
    assert missing[0] == "MISSING n2: it is not in this allocation: Slurm calls it drained (bad link)"
    assert missing[1].startswith("MISSING n4: it is not in this allocation: Slurm calls it ")
    assert "gres/gpu count reported lower than configured (7 < 8)" in missing[1]


def test_a_full_file_system_is_named_and_what_was_measured_is_kept(cluster: Cluster, tmp_path: Path) -> None:
    where = f"runs_dir={cluster.small}/runs"
    arguments = (
        "only=[matmul,all_reduce]",
        "profile.repetitions=1",
        "profile.window_s=0.5",
        "kernels.matmul.m=[64,128,256]",
    )
    _, ssh = over(cluster, "ssh", "n0", "n2")
    future = in_background(cluster, tmp_path, "perwatt", "run", *SHORT, *arguments, SIZES, *ssh, where)
    wait_for(lambda: list(cluster.small.glob("runs/*/config.yaml")))
    folder = next((cluster.small / "runs").iterdir())
    wait_for(lambda: records(folder / "nodes" / "n0"))
    filler = cluster.small / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    done = future.result()
    before = {name: records(folder / "nodes" / name) for name in ("n0", "n2")}
    filler.unlink()
    again = cluster.on("head", "perwatt", "run", f"resume={folder}", cwd=tmp_path)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err
    assert again.code == 0
    for name in ("n0", "n2"):
        found = load(folder / "nodes" / name)
        assert len({r.case.key for r in found}) == len(found) > before[name]
