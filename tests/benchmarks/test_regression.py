"""``perwatt compare run= baseline= store=``: what a CI asks, and the baselines that it keeps."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from compared_runs import MI300, made, written

from perwatt.benchmarks.cli import main
from perwatt.results.record import Failed, Record


def environment(torch: str = "2.12") -> str:
    return json.dumps({"packages": {"torch": torch}, "cpu": {"model": "EPYC", "cores": 64}, "python": "3.11"})


def one(folder: Path, name: str, *, rate: float = 5e14, torch: str = "2.12", n: int = 8, **about: Any) -> Path:
    seed = sum(map(ord, name))
    records = [made(name, m=m, rate=rate, seed=seed + m, repetitions=n, scatter=0.001, **about) for m in (1024, 2048)]
    day = "".join(c for c in name if c.isdigit()) or "1"
    records = [msgspec.structs.replace(r, time_utc=f"2026-01-{int(day):02d}T00:00:00Z") for r in records]
    return written(folder, name, records, environment(torch))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results" / "runs"


class Said:
    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str, out: str = "none") -> None:
        capsys.readouterr()
        self.code = main(["compare", f"out={out}", *arguments])
        captured = capsys.readouterr()
        self.out, self.err = captured.out, captured.err


@pytest.mark.parametrize(("times", "code", "why"), [(1.0, 0, "none of 4"), (0.9, 1, "2 of 4 figures are WORSE")])
def test_a_gate(runs: Path, capsys: pytest.CaptureFixture[str], times: float, code: int, why: str) -> None:
    one(runs, "day1")
    one(runs, "day2", rate=times * 5e14, power_w=600 * times, torch="2.13")
    said = Said(capsys, "run=day2", "baseline=day1", "fail_on=worse")
    assert said.code == code
    assert f"fail_on=worse: {why}" in said.out
    assert "software since the baseline: torch 2.12, now 2.13" in said.out
    assert json.loads(said.out.splitlines()[-1])["exit"] == code


def test_what_is_not_decided_is_no_pass(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one(runs, "day1")
    one(runs, "day2", n=1)
    assert Said(capsys, "run=day2", "baseline=day1", "fail_on=worse").code == 4
    assert Said(capsys, "runs=[day1,day2]", "fail_on=worse").code == 4
    one(runs, "day3", metered=False)
    assert "not compared in full" in (said := Said(capsys, "run=day3", "baseline=day1", "fail_on=worse")).out
    assert said.code == 4
    good: list[Record] = [made("day4", m=m, repetitions=8, seed=m) for m in (1024, 2048)]
    good[1] = msgspec.structs.replace(good[1], outcome=Failed("lost"))
    written(runs, "day4", good, environment())
    assert "failed (lost)" in (said := Said(capsys, "run=day4", "baseline=day1", "fail_on=worse", "effect=5")).out
    assert said.code == 4


def test_baselines_are_found_by_what_they_ran_on(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one(runs, "day1")
    refused = Said(capsys, "run=day1", "baseline=store", "store=kept")
    assert refused.code == 2
    assert "baseline=store: kept holds no other run of 1-x-nvidia-h100" in refused.err
    kept = Said(capsys, "run=day1", "store=kept", "keep=true")
    assert (kept.code, kept.out.splitlines()[0][:35]) == (0, "kept for machine 1-x-nvidia-h100-nv")
    assert Said(capsys, "run=day1", "store=kept", "keep=true").code == 0  # again: as it was
    shutil.rmtree(runs / "day1")  # what is kept stands alone
    one(runs, "day2")
    same = Said(capsys, "run=day2", "baseline=store", "store=kept", "keep=true", "fail_on=worse")
    assert same.code == 0
    assert json.loads(same.out.splitlines()[-1])["reference"] == "day1"
    one(runs, "day3")
    assert (
        json.loads(Said(capsys, "run=day3", "baseline=store", "store=kept").out.splitlines()[-1])["reference"] == "day2"
    )
    one(runs, "other", device=MI300)
    refused = Said(capsys, "run=other", "baseline=store", "store=kept")
    assert "holds no other run of 1-x-amd-mi300x" in refused.err
    refused = Said(capsys, "run=other", "baseline=day2", "fail_on=worse")
    assert refused.code == 2
    assert "is of another machine: devices 1 x NVIDIA H100 NVIDIA, now 1 x AMD MI300X AMD" in refused.err


def test_the_scatter_between_stored_runs_belongs_into_the_interval(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs that differ by 3 % by themselves: the next one that is 3 % slower is no finding."""
    for day, times in enumerate((1.0, 1.03, 0.98, 1.01), 1):
        one(runs, f"day{day}", rate=times * 5e14)
        assert Said(capsys, f"run=day{day}", "store=kept", "keep=true").code == 0
    one(runs, "day9", rate=0.97 * 5e14)
    alone = Said(capsys, "run=day9", "baseline=day4", "fail_on=worse")
    assert alone.code == 1
    assert "what changes from run to run" in alone.out
    together = Said(capsys, "run=day9", "baseline=store", "store=kept", "fail_on=worse")
    assert together.code == 4
    assert "the scatter between the 4 stored runs is in the intervals" in together.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run=day1", "runs=[day1,day2]"), "runs= and run=: found both"),
        (("run=day1",), "run=: needs baseline=RUN, baseline=store with store=DIR, or keep=true"),
        (("run=day1", "baseline=store"), "baseline=store: needs store=DIR"),
        (("run=day1", "baseline=day1"), "baseline=day1: found day1, the run itself; allowed another run"),
        (("run=day1", "baseline=day2", "keep=true"), "keep=true: needs store=DIR"),
        (("run=day1", "baseline=day2", "fail_on=slower"), "fail_on=slower: allowed: worse"),
        (("run=day1", "store=kept", "keep=true", "fail_on=worse"), "fail_on=worse: needs a baseline"),
        (("keep=true",), "keep=true: needs the run and the store: run=RUN store=DIR"),
        (("runs=[day1,day2]", "export=pytest-benchmark"), "export=pytest-benchmark: needs a folder: out=DIR"),
        (("runs=[day1,day2]", "export=csv"), "export=csv: allowed: pytest-benchmark"),
    ],
)
def test_one_line_for_what_is_wrong(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    one(runs, "day1")
    one(runs, "day2")
    found = Said(capsys, *arguments)
    assert found.code == 2
    assert found.err.startswith(f"perwatt compare: {said}")
    assert len(found.err.splitlines()) == 1


def test_a_store_that_was_damaged_is_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one(runs, "day1")
    Said(capsys, "run=day1", "store=kept", "keep=true")
    (identity,) = Path("kept").glob("*/day1/identity.json")
    identity.write_text("{")
    one(runs, "day2")
    found = Said(capsys, "run=day2", "baseline=store", "store=kept", "fail_on=worse")
    assert found.code == 2
    assert "identity.json: cannot be read" in found.err


@pytest.mark.slow
def test_pytest_benchmark_reads_what_is_exported(
    runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one(runs, "day1")
    one(runs, "day2", rate=6e14)
    said = Said(capsys, "runs=[day1,day2]", "export=pytest-benchmark", out="left")
    assert said.code == 0
    files = sorted(Path("left").glob("*/*.pytest-benchmark.json"))
    assert len(files) == 2
    stats = json.loads(files[0].read_text())["benchmarks"][0]["stats"]
    assert stats["rounds"] == 8
    assert stats["mean"] == pytest.approx(1e12 / 5e14, rel=0.01)
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, files)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "matmul bf16 1024x4096x4096" in done.stdout
    assert "Rounds" in done.stdout
