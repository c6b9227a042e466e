"""The whole command over ranks that measure together: the slowest of them, and one that dies, hangs or never comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import Perwatt
from processes import descendants, wait_for_ranks, wait_until_gone
from whole_runs import SHORT, the_run

from perwatt.results.record import Failed, Measured, Skipped
from perwatt.results.store import RECORDS, load


def collective(tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    """A run of three collectives that has begun its first, in the background."""
    argv = [
        sys.executable,
        "-m",
        "perwatt.benchmarks.cli",
        "run",
        "suite=collectives",
        "only=[all_reduce]",
        "device=cpu",
    ]
    argv += ["kernels.all_reduce.message_bytes=[64KiB,128KiB,256KiB]", "meter=none", "launcher.ranks=2", *more]
    return subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_a_record(where: Path, timeout_s: float = 180) -> None:
    """Until the first case is over."""
    end = time.monotonic() + timeout_s
    while not any(path.stat().st_size for path in where.glob(f"results/runs/*/{RECORDS}")):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_dies_or_hangs_ends_its_case_and_the_run_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    process = collective(tmp_path, "launcher.timeout_s=10", "profile.window_s=6", "profile.repetitions=1")
    members = wait_for_ranks(process.pid, 2)
    wait_for_a_record(tmp_path)  # the group has formed, and its second case takes six seconds
    time.sleep(1.0)
    os.kill(members[1], how)
    began = time.monotonic()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    first, failed, third = load(the_run(tmp_path))
    assert isinstance(first.outcome, Measured)
    assert isinstance(failed.outcome, Failed)
    assert failed.outcome.rank == 1
    assert ("died" if how == signal.SIGKILL else "hung") in failed.outcome.error
    assert failed.outcome.log
    assert isinstance(third.outcome, Measured)
    assert json.loads(out.strip().splitlines()[-1])["failed"] == 1
    assert time.monotonic() - began < 120
    wait_until_gone(list(members.values()))


@pytest.mark.slow
def test_collectives_time_the_slowest_rank_and_keep_both_averages(tmp_path: Path) -> None:
    process = collective(tmp_path, *SHORT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    for record in load(the_run(tmp_path)):
        m = record.measured
        assert m is not None
        assert m.seconds.rank_mean is not None
        assert m.seconds.rank_mean <= m.seconds.mean * 1.0001  # the maximum is never below the mean
        assert m.work.bus_factor == 1.0  # 2 (n - 1) / n for two ranks
        assert record.busbw == record.rate
        assert record.case.ranks == 2
        # each iteration has a slowest rank, and the medians are of the times that the averages are of
        assert m.pace is not None
        assert sum(m.pace.slowest) >= 0.999
        assert max(m.pace.median_s) <= m.seconds.median * 1.0001
        assert m.pace.apart >= 0
    frame = pd.read_parquet(the_run(tmp_path) / "telemetry.parquet")
    assert set(frame["rank"]) == {0, 1}


@pytest.mark.slow
def test_a_group_whose_leader_is_killed_goes_with_it(tmp_path: Path) -> None:
    process = collective(tmp_path, "profile.window_s=30")
    wait_for_ranks(process.pid, 2)
    time.sleep(2.0)
    family = descendants(process.pid)
    assert len(family) >= 4  # leader, agent and two ranks
    process.kill()
    process.communicate()
    wait_until_gone(family)


@pytest.mark.slow
def test_without_a_group_launcher_collectives_are_skipped(tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt("run", "suite=collectives", "only=broadcast", "launcher=inline", "device=cpu", "meter=none")
    assert done.code == 3
    records = load(tmp_path / done.run)
    assert records
    assert all(isinstance(r.outcome, Skipped) and "two ranks" in r.outcome.reason for r in records)


@pytest.mark.slow
def test_a_group_that_cannot_form_is_not_tried_again_for_each_case(tmp_path: Path, perwatt: Perwatt) -> None:
    # so many ranks are not up within eight seconds
    done = perwatt(
        *("run", "suite=collectives", "device=cpu", "meter=none", "launcher.start_timeout_s=8", "launcher.ranks=48"),
        timeout=240,  # to try it again for each of the 40 cases takes longer
    )
    assert done.code == 1
    records = load(tmp_path / done.run)
    assert len(records) == 40
    errors = {r.outcome.error for r in records if isinstance(r.outcome, Failed)}
    assert len(errors) == 1
    assert "within 8 s" in errors.pop()
