"""`perwatt launch show`: what would be started is shown as it would be started, and nothing is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import Perwatt

from perwatt.benchmarks.cli import main
from perwatt.benchmarks.launch.k8s import K8s

CPU = ("launch", "show", "device=cpu")


def shown(capsys: pytest.CaptureFixture[str], *overrides: str) -> list[list[str]]:
    """The lines of the shell that are no comments, as words."""
    assert main([*CPU, *overrides]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith('{"launcher"')
    return [shlex.split(line) for line in lines[:-1] if not line.startswith("#")]


def test_on_one_machine_the_process_of_a_device_and_the_group(capsys: pytest.CaptureFixture[str]) -> None:
    single, group = shown(capsys, "launcher=torchrun", "launcher.ranks=4")
    assert single[-1] == "perwatt.benchmarks.worker"
    assert "--nproc-per-node=4" in group


def test_over_hosts_each_node_alone_and_then_the_group(capsys: pytest.CaptureFixture[str]) -> None:
    alone, group = shown(capsys, "launcher=mpi", "launcher.hosts=[a,b]", "launcher.ranks=16")
    assert alone[alone.index("--host") + 1] == "a:1,b:1"
    assert "perwatt.benchmarks.cluster.node" in alone
    assert group[group.index("--host", 3) + 1] == "a:8,b:8"
    assert "MASTER_ADDR=a" in group


def test_from_a_login_node_the_job_and_what_it_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    submitted, alone, group = shown(capsys, "launcher=slurm", "launcher.nodes=2", "launcher.partition=gpu")
    assert submitted[0] == "sbatch"
    assert {"--nodes=2", "--partition=gpu"} <= set(submitted)
    assert "--nodelist=NODE1,NODE2" in alone
    assert "MASTER_ADDR=NODE1" in group


@pytest.mark.slow
def test_a_dry_run_shows_the_cases_and_what_would_be_started_and_leaves_nothing(
    perwatt: Perwatt, tmp_path: Path
) -> None:
    arguments = ("suite=smoke", "device=cpu", "only=matmul", "launcher=mpi", "launcher.hosts=[a,b]")
    done = perwatt("run", "--dry-run", *arguments)
    assert done.code == 0, done.err
    assert "matmul" in done.out
    assert "mpirun -np 2 --host a:1,b:1" in done.out
    assert done.last["cases"] > 0
    # of matrix products, none is of a group
    assert (done.last["groups"], done.last["pairs"]) == (0, 0)
    assert not list(tmp_path.iterdir())


def manifest(capsys: pytest.CaptureFixture[str], *overrides: str) -> list[dict[str, Any]]:
    image = ("launcher=k8s", "launcher.nodes=3", "launcher.image=registry.example/perwatt:1")
    assert main([*CPU, *image, *overrides]) == 0
    return list(yaml.safe_load_all(capsys.readouterr().out))


@pytest.mark.parametrize("version", ["1.33", "1.37"])
def test_the_documents_are_what_the_published_schema_takes(capsys: pytest.CaptureFixture[str], version: str) -> None:
    more = ("+launcher.resources={rdma/ib: 1}", "+launcher.node_selector.pool=gpu", "launcher.namespace=bench")
    for document in manifest(capsys, "+launcher.environment.NCCL_DEBUG=INFO", *more):
        kubernetes_validate.validate(document, version, strict=True)  # a key that it does not know is refused


def test_the_job_is_one_pod_a_node_with_its_gpus_and_the_shared_folder(capsys: pytest.CaptureFixture[str]) -> None:
    service, job = manifest(capsys, "launcher.gpu=amd.com/gpu", "launcher.gpus=4", "suite=smoke")
    template = job["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == template["metadata"]["labels"]
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 3
    assert container["resources"]["limits"] == {"amd.com/gpu": 4}
    assert {m["mountPath"] for m in container["volumeMounts"]} == {"/perwatt", "/etc/perwatt-ssh", "/dev/shm"}
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    leads = shlex.split(container["command"][-1].splitlines()[-1])
    assert leads[:5] == ["exec", "perwatt", "run", "device=cpu", "suite=smoke"]
    assert "launcher.hosts=[perwatt-0.perwatt,perwatt-1.perwatt,perwatt-2.perwatt]" in leads


def test_a_pod_that_is_lost_does_not_end_the_job_and_its_leader_does(capsys: pytest.CaptureFixture[str]) -> None:
    spec = manifest(capsys)[1]["spec"]
    assert spec["backoffLimitPerIndex"] == 0
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    codes = spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert codes == sorted(set(codes))  # the API refuses any other order
    assert 255 not in codes  # sshd's own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("launch",), "nothing: no such command; choices: show"),
        (("launch", "list"), "list: no such command; choices: show"),
        (("launch", "show", "launcher=lsf"), "launcher=lsf: no such file in conf/launcher"),
        (("launch", "show", "launcher=k8s"), "launcher.image: found none; allowed an image"),
        (("launch", "show", "launcher=k8s", "launcher.image=a"), "launcher.nodes: found null; allowed the number"),
        (("launch", "show", "launcher=mpi"), "launcher.hosts: found none"),
        (("launch", "show", "--all"), "--all: no such flag"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert main([*arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_kubernetes_is_not_run_from_here(perwatt: Perwatt, tmp_path: Path) -> None:
    done = perwatt("run", "device=cpu", "launcher=k8s", "launcher.nodes=2", "launcher.image=a")
    assert done.code == 2
    assert "perwatt launch show launcher=k8s" in done.err
    assert not list((tmp_path / "results" / "runs").iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [({"nodes": 0}, r"launcher\.nodes: 0 is not a positive"), ({"gpus": -1}, r"launcher\.gpus: found -1; allowed")],
)
def test_a_wrong_number_of_pods_or_gpus_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        K8s(**given)


def test_hosts_are_written_as_operators_write_them(capsys: pytest.CaptureFixture[str]) -> None:
    alone, _ = shown(capsys, "launcher=ssh", "launcher.hosts=n[1-2,7],n9")
    assert alone[alone.index("-w") + 1] == "n1,n2,n7,n9"
