"""Silent data corruption from the command to the verdict: a kernel that goes wrong in the middle of a real run."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest
import yaml
from acceptances import criterion, fleet_of, limit
from conftest import Finished, Perwatt
from whole_runs import SHORT

from perwatt.benchmarks.cli import main
from perwatt.results.recheck import WRONG_OUTPUT, Rechecks
from perwatt.results.record import Record
from perwatt.results.store import load

# What Python imports when it starts: from the second window on, on one rank, one element of what these two give is off.
FAULTS = """
import os
from perwatt.benchmarks.measure import Measurer
from perwatt.kernels import matmul_torch
from perwatt.kernels.collectives.all_reduce import AllReduce

state = {"broken": False}
window, product, bind = Measurer._window, matmul_torch.call, AllReduce.bind

def _window(self, repetition):
    state["broken"] = repetition >= 1 and os.environ["RANK"] == os.environ["BROKEN"]
    return window(self, repetition)

def call(spec, a, b, c):
    right = product(spec, a, b, c)
    def launch():
        result = right()
        if state["broken"]:
            c[3, 5] += 8
        return result
    return launch

def bound(self, buffers, place):
    right = bind(self, buffers, place)
    def launch():
        right()
        if state["broken"]:
            buffers.target[7] += 1
    return launch

Measurer._window, matmul_torch.call, AllReduce.bind = _window, call, bound
"""
PROFILE = (*SHORT, "profile.repetitions=3", "profile.guard_s=0", "profile.recheck=1", "meter=none", "device=cpu")
CASES = ("kernels.matmul_cpu.m=64", "kernels.matmul_cpu.dtype=fp32", "kernels.memory_cpu.array_bytes=1MiB")
SUITE = ("run", "suite=smoke", "only=[matmul_cpu,memory_cpu]", *CASES, *PROFILE)


def broken(folder: Path, rank: str) -> dict[str, str]:
    """The environment of a machine on whose rank the fault is; on none if it is empty."""
    (folder / "faults").mkdir()
    (folder / "faults" / "sitecustomize.py").write_text(FAULTS)
    return {"PYTHONPATH": str(folder / "faults"), "BROKEN": rank, "OMP_NUM_THREADS": "1"}


def rechecks(record: Record) -> Rechecks:
    assert record.measured
    assert record.measured.rechecks
    return record.measured.rechecks


@pytest.mark.slow
def test_a_device_that_computes_wrongly_fails_and_no_other(
    tmp_path: Path, perwatt: Perwatt, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: dict[str, Finished] = {}
    for host, rank in (("sound", ""), ("sick", "0")):
        (where := tmp_path / host).mkdir()
        runs[host] = perwatt(*SUITE, cwd=where, **broken(where, rank))
    sound, sick = (load(tmp_path / host / runs[host].run) for host in ("sound", "sick"))
    assert runs["sound"].code == 0, runs["sound"].err
    assert all((found := rechecks(record)).checks == 3 and not found.wrong for record in sound)

    assert runs["sick"].code == 1, runs["sick"].err
    assert runs["sick"].last["failed"] == 1
    assert [record.case.kernel for record in sick if WRONG_OUTPUT in record.flags] == ["matmul"]
    for record in sick:
        found = rechecks(record)
        assert found.checks == 3
        assert [wrong.after_window for wrong in found.wrong] == ([1, 2] if record.case.kernel == "matmul" else [])
        assert all((wrong.elements, wrong.at) == (1, (0, 3, 5)) for wrong in found.wrong)
        assert record.measured
        assert len(record.measured.repetitions) == 3

    run = tmp_path / "sick" / runs["sick"].run
    capsys.readouterr()
    assert main(["accept", f"run={run}", "criteria=health_nvidia"]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert any("silent data corruption [matmul fp32 64x64x64]" in line for line in failed), failed

    hosts = {"sound": sound, "sick": sick, "well": sound}
    nodes = {host: [msgspec.structs.replace(one, host=host) for one in records] for host, records in hosts.items()}
    fleet = fleet_of(tmp_path / "fleet", nodes)
    mine = tmp_path / "mine.yaml"
    none = criterion(cases="*", metric="sdc", at_most=limit(0, "1"))
    mine.write_text(yaml.safe_dump({"name": "sdc", "criteria": [none]}))
    assert main(["accept", f"run={fleet}", f"criteria={mine}"]) == 1
    verdicts = csv.DictReader((fleet / "accept" / "devices.csv").open())
    told = {row["subject"]: row["verdict"] for row in verdicts if row["scope"] == "device"}
    assert told == {"sound:0": "PASS", "well:0": "PASS", "sick:0": "FAIL"}


@pytest.mark.slow
def test_one_rank_of_a_collective_goes_wrong_and_all_go_on(tmp_path: Path, perwatt: Perwatt) -> None:
    asked = ("run", "suite=smoke", "only=[all_reduce,all_gather]", "kernels.all_reduce.message_bytes=64KiB")
    done = perwatt(*asked, "kernels.all_gather.message_bytes=1MiB", *PROFILE, **broken(tmp_path, "1"))
    assert done.code == 1, done.err
    records = {record.case.kernel: record for record in load(tmp_path / done.run)}
    assert not rechecks(records["all_gather"]).wrong
    assert WRONG_OUTPUT in records["all_reduce"].flags
    found = rechecks(records["all_reduce"])
    assert found.checks == 3
    assert found.max_error == 0.0
    assert [(wrong.after_window, wrong.ranks, wrong.at, wrong.elements) for wrong in found.wrong] == [
        (1, (1,), (7,), 1),
        (2, (1,), (7,), 1),
    ]
    assert all(wrong.what.startswith("rank 1 of 2: 1 of ") for wrong in found.wrong)


@pytest.mark.slow
def test_the_record_says_why_nothing_was_compared(tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt("run", "suite=power", "only=idle", *PROFILE)
    assert done.code == 0, done.err
    for record in load(tmp_path / done.run):
        assert record.measured
        assert record.measured.rechecks is None
        assert "not compared again: to read back what is held would wake the device" in record.measured.note
