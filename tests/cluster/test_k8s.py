"""What the pods of the Kubernetes Job run, run: two machines with the names, folders and variables that an Indexed Job
gives its pods, and the container's own command in each."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.conftest import Cluster, wait_for

from perwatt.benchmarks.launch.k8s import FOLDER, KEYS
from perwatt.results.store import load

pytestmark = [pytest.mark.slow, pytest.mark.root]
SHORT = (
    *("suite=smoke", "device=cpu", "meter=none", "only=['matmul fp32 64*',all_reduce]", "kernels.matmul_cpu.m=64"),
    *("profile.repetitions=1", "profile.window_s=0.1", "profile.warmup_s=0.1", "clocks.lead_s=0.5"),
    "kernels.all_reduce.message_bytes=64KiB",
)
IMAGE = ("launcher=k8s", "launcher.nodes=2", "launcher.image=a", "launcher.gpus=0")
FIRST = 40  # machines beside those of Slurm, on which no sshd listens


@pytest.fixture
def mounted() -> Iterator[None]:
    """Empty folders to mount the pods' volumes on, each in its pod alone."""
    made = [path for path in map(Path, (FOLDER, KEYS)) if not path.exists()]
    for path in made:
        path.mkdir()
    yield
    for path in made:
        path.rmdir()


def pod(cluster: Cluster, tmp_path: Path, index: int, container: dict[str, Any]) -> list[str]:
    """A machine that is pod ``index``, and the line that runs the container's command on it."""
    machine, keys = f"n{FIRST + index}", tmp_path / "keys"
    subprocess.run([str(cluster.path / "boot"), machine], check=True)
    subprocess.run([str(cluster.path / "plug"), str(FIRST + index)], check=True)
    with open(cluster.path / "hosts", "a") as hosts:
        hosts.write(f"10.77.0.{FIRST + index + 11} perwatt-{index}.perwatt perwatt-{index}\n")
    if not keys.exists():
        keys.mkdir()
        for name in ("id", "id.pub"):
            (keys / name).write_bytes((cluster.path / "ssh" / name).read_bytes())
            (keys / name).chmod(0o400)
    inside = [f"hostname perwatt-{index}", f"mount --bind {keys} {KEYS}", f"mount --bind {tmp_path / 'runs'} {FOLDER}"]
    inside += [f"cd {container['workingDir']}", f"exec {shlex.join(container['command'])}"]
    given = {one["name"]: one["value"] for one in container["env"]} | {"JOB_COMPLETION_INDEX": str(index)}
    path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    variables = [f"{key}={value}" for key, value in {**given, "PATH": path, "HOME": "/root"}.items()]
    return [
        str(cluster.path / "on"),
        machine,
        "unshare",
        "--mount",
        "env",
        "-i",
        *variables,
        "sh",
        "-ec",
        "; ".join(inside),
    ]


def test_two_pods_run_the_suite(cluster: Cluster, tmp_path: Path, mounted: None) -> None:
    (tmp_path / "runs").mkdir()
    threads = "+launcher.environment.OMP_NUM_THREADS=1"
    shown = cluster.on("head", "perwatt", "launch", "show", *IMAGE, threads, *SHORT, cwd=tmp_path)
    _, job = yaml.safe_load_all(shown.out)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    first, second = (pod(cluster, tmp_path, index, container) for index in (0, 1))
    with open(tmp_path / "0.log", "wb") as log, open(tmp_path / "1.log", "wb") as other:
        leads = subprocess.Popen(first, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        # it is there first, and waits for the others
        wait_for(lambda: b"perwatt-1.perwatt" in (tmp_path / "0.log").read_bytes() or leads.poll() is not None)
        serves = subprocess.Popen(second, stdout=other, stderr=other, stdin=subprocess.DEVNULL)
        try:
            code = leads.wait(240)
            told = (tmp_path / "0.log").read_text()
            assert code == 0, told + (tmp_path / "1.log").read_text()
            assert serves.poll() is None  # until Kubernetes ends it
        finally:
            for process in (leads, serves):
                process.kill()
                process.wait()
    (run,) = (tmp_path / "runs" / "results" / "runs").iterdir()
    assert (run / "passing_nodes.txt").read_text() == "perwatt-0.perwatt,perwatt-1.perwatt\n"
    (together,) = load(run)
    assert together.measured is not None
    assert together.case.ranks == 2
    for index in (0, 1):
        hosts = {record.host for record in load(run / "nodes" / f"perwatt-{index}.perwatt")}
        assert hosts == {f"perwatt-{index}"}
