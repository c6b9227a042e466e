"""A real Slurm cluster on this machine, its nodes in namespaces of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Finished, require

from perwatt.results.store import load

TOOLS = ("slurmctld", "slurmd", "munged", "sshd", "mpirun", "ip", "unshare")


class Cluster:
    """``on`` runs a command on one of its machines (``head``, ``n0``, ...) as if typed there."""

    def __init__(self, nodes: int, *more: str) -> None:
        # short, and not pytest's: a munge socket's path is limited, and munge must be able to enter
        self.path = Path(tempfile.mkdtemp(prefix="perwatt-cluster-"))
        self.small = self.path / "small"  # a file system that all machines share, and that is soon full
        self.small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(self.small)], check=True)
        up = [str(Path(__file__).parent / "up.sh"), "-n", str(nodes), "-d", str(self.path), *more]
        done = subprocess.run(up, capture_output=True, text=True, check=False, timeout=300)
        assert done.stdout.split()[-2:] == [str(nodes), "idle"], done.stdout + done.stderr

    def on(self, machine: str, *command: str, cwd: Path, timeout_s: float = 300) -> Finished:
        """What ``command`` did on ``machine``, in the folder ``cwd``."""
        here = Path(sys.executable).parent
        environment = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        argv = [str(self.path / "on"), machine, *command]
        return Finished(
            subprocess.run(
                argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        )

    def cut_power(self, node: str) -> None:
        """The machine and all that runs on it are gone at once."""
        os.kill(int((self.path / "pids" / f"{node}.unshare").read_text()), signal.SIGKILL)

    def down(self) -> None:
        """End every machine and munge."""
        subprocess.run(["umount", "--lazy", str(self.small)], check=False)
        for file in [*(self.path / "pids").glob("*.unshare"), self.path / "pids" / "munged"]:
            try:
                os.kill(int(file.read_text()), signal.SIGKILL)
            except (OSError, ValueError):
                continue
        shutil.rmtree(self.path, ignore_errors=True)


def over(cluster: Cluster, launcher: str, *nodes: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """To measure these nodes with a launcher: what stands before ``perwatt run``, and what it is given."""
    names, config = ",".join(nodes), cluster.path / "ssh" / "config"
    if launcher == "slurm":
        return ("salloc", "--quiet", "--no-kill", f"--nodelist={names}"), ("launcher=slurm",)
    options = f"-F,{config}" if launcher == "ssh" else f"--mca,plm_rsh_args,'-F {config}'"
    return (), (f"launcher={launcher}", f"launcher.hosts=[{names}]", f"launcher.options=[{options}]")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    require("root", os.geteuid() == 0)
    require("slurm", all(map(shutil.which, TOOLS)))
    made = Cluster(4, "-x")
    try:
        yield made
    finally:
        made.down()


def wait_for(what: Callable[[], object], seconds: float = 240) -> None:
    """Wait until ``what`` is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def begun(folder: Path) -> Path:
    """The run's folder, as soon as there is one."""
    runs = folder / "results" / "runs"
    wait_for(lambda: list(runs.glob("*/config.yaml")))
    return next(runs.iterdir())


def records(path: Path) -> int:
    """How many records a run or a node has."""
    return len(load(path)) if (path / "records.jsonl").exists() else 0


def processes(cluster: Cluster, machine: str, pattern: str, folder: Path) -> list[str]:
    """The processes of a machine whose command lines match, by their numbers there."""
    return cluster.on(machine, "pgrep", "-f", pattern, cwd=folder).out.split()


def ranks(cluster: Cluster, node: str, folder: Path) -> list[str]:
    """The processes of the ranks on a node."""
    return processes(cluster, node, "perwatt.benchmarks.worker", folder)


def in_background(cluster: Cluster, folder: Path, *command: str) -> Future[Finished]:
    """``command`` on the head; its result once it has ended."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(cluster.on, "head", *command, cwd=folder)
    pool.shutdown(wait=False)
    return future
