"""The smoke suite over a real Slurm, ssh and mpirun: every node alone first, then those that passed together."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Timer

import pytest
from cluster.conftest import Cluster, over, wait_for

from perwatt.results.fleet.clocks import compared
from perwatt.results.fleet.starts import starts
from perwatt.results.store import load

pytestmark = [pytest.mark.slow, pytest.mark.root]
SHORT = (
    *("suite=smoke", "device=cpu", "only=[matmul,all_reduce]"),
    *("profile.repetitions=2", "profile.window_s=0.1", "profile.warmup_s=0.1"),
    "groups.pairs=false",
)
NODES = ("n0", "n1", "n2", "n3")


def run(
    cluster: Cluster,
    folder: Path,
    *arguments: str,
    launcher: str = "slurm",
    nodes: Sequence[str] = NODES,
    preload: str = "",
) -> tuple[int, str, Path]:
    """``perwatt run`` on the head, over these nodes; its exit code, stderr and folder."""
    before, given = over(cluster, launcher, *nodes)
    before += ("env", f"LD_PRELOAD={preload}") if preload else ()
    done = cluster.on("head", *before, "perwatt", "run", *SHORT, *given, *arguments, cwd=folder)
    found = sorted((folder / "results" / "runs").iterdir())
    assert found, done.err
    return done.code, done.err, found[-1]


# UTC of one host is 7 s ahead, for whoever is started with this
AHEAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *ts) {
  static int (*next)(clockid_t, struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "clock_gettime");
  int code = next(id, ts);
  char host[64] = "";
  if (!code && id == CLOCK_REALTIME && !gethostname(host, sizeof host) && !strcmp(host, "n3")) ts->tv_sec += 7;
  return code;
}
"""


def test_four_nodes_one_with_a_wrong_clock_alone_and_together_under_slurm(cluster: Cluster, tmp_path: Path) -> None:
    shim = tmp_path / "ahead.so"
    gcc = ["gcc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(shim), "-ldl"]
    subprocess.run(gcc, input=AHEAD, text=True, check=True)
    code, err, folder = run(cluster, tmp_path, "clocks.beyond=warn", preload=str(shim))
    assert code == 0, err
    assert [line.split(" s ahead")[0] for line in err.splitlines() if line.startswith("WARNING")] == [
        "WARNING n3: no clock sync: 7"
    ]
    for name, offset_s in {"n0": 0.0, "n1": 0.0, "n2": 0.0, "n3": 7.0}.items():
        before, *_, after = compared(folder / "nodes" / name).comparisons
        for one in (before, after):
            assert abs(one.offset_s - offset_s) <= one.uncertainty_s + 1e-3 < 0.1
    begun = starts(folder)
    assert begun is not None
    assert sorted(begun.late_s) == ["n0", "n1", "n2", "n3"]
    assert begun.skew_s is not None
    print("first windows after the agreed moment, in s:", begun)
    assert 0 <= min(begun.late_s.values()) <= max(begun.late_s.values()) < 60
    screened = json.loads((folder / "screening.json").read_text())
    assert {name: one["status"] for name, one in screened.items()} == dict.fromkeys(("n0", "n1", "n2", "n3"), "passed")
    for name in screened:
        assert {record.host for record in load(folder / "nodes" / name)} == {name}
    together = load(folder)
    assert together
    assert all(record.measured and record.case.ranks == 4 for record in together)


def test_from_a_login_node_the_run_is_a_job_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ("launcher=slurm", "launcher.nodes=2", "launcher.options=['--comment=perwatt']")
    done = cluster.on("head", "perwatt", "run", *SHORT, *arguments, cwd=tmp_path)
    assert done.code == 0, done.err
    folder = tmp_path / done.last["run"]
    deadline = time.monotonic() + 200
    while cluster.on("head", "squeue", "-h", "-j", done.last["job"], cwd=tmp_path).out.strip():
        assert time.monotonic() < deadline, (folder / "slurm.log").read_text()
        time.sleep(1)
    assert json.loads((folder / "slurm.log").read_text().splitlines()[-1])["exit"] == 0
    assert {record.case.ranks for record in load(folder)} == {2}


def test_what_slurm_refuses_is_one_line(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ("launcher=slurm", "launcher.nodes=2", "launcher.partition=none_such")
    done = cluster.on("head", "perwatt", "run", *SHORT, *arguments, cwd=tmp_path)
    assert done.code == 2
    assert "partition" in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err


@pytest.mark.parametrize("launcher", ["ssh", "mpi"])
def test_the_same_suite_over_ssh_and_mpirun(cluster: Cluster, tmp_path: Path, launcher: str) -> None:
    code, err, folder = run(cluster, tmp_path, launcher=launcher, nodes=("n1", "n2"))
    assert code == 0, err
    assert set(json.loads((folder / "screening.json").read_text())) == {"n1", "n2"}
    assert all(record.measured and record.case.ranks == 2 for record in load(folder))


def test_a_node_that_loses_its_power_is_named_and_the_others_go_on(cluster: Cluster, tmp_path: Path) -> None:
    """The last test of this cluster: a machine of it is gone."""

    def cut() -> None:
        nodes = tmp_path / "results" / "runs"
        wait_for(lambda: list(nodes.glob("*/nodes/n2/alive.json")))
        cluster.cut_power("n2")

    timer = Timer(0, cut)
    timer.start()
    code, err, folder = run(cluster, tmp_path, "launcher.timeout_s=20")
    timer.join()
    assert code == 1, err
    assert "MISSING n2: its run never ended" in err
    assert {record.case.ranks for record in load(folder)} == {3}
