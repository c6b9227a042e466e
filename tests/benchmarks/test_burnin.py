"""A burn-in: rounds until the time is over, over however many interruptions; nothing that was measured is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from omegaconf import OmegaConf
from processes import descendants
from records import measured
from whole_runs import the_run

from perwatt.benchmarks import devices, soak, targets
from perwatt.benchmarks.config import BadRequest, compose
from perwatt.benchmarks.ending import Tally
from perwatt.benchmarks.folder import create
from perwatt.benchmarks.plan import check
from perwatt.benchmarks.run import Leader
from perwatt.results.record import Failed, Outcome, Record, Skipped
from perwatt.results.rounds import spent_s
from perwatt.results.store import load

CASE_S = 10.0


@pytest.mark.parametrize(("text", "wanted"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("1.5h", 5400)])
def test_a_duration_in_seconds(text: str, wanted: float) -> None:
    assert soak.seconds(text) == wanted


@pytest.mark.parametrize("text", ["24", "5x", "0s", "-1h", "", "1h30m", "inf h", 24])
def test_a_bad_duration_is_named(text: object) -> None:
    with pytest.raises(BadRequest, match=r"duration: found .*; allowed a time above 0 as 90s, 30m or 24h"):
        soak.seconds(text)


class Played(Leader):
    """A leader whose cases take ten seconds of a clock of its own; ``outcomes``: what the next ones come to."""

    def __init__(self, run: Path, duration: str, devices_: int = 1) -> None:
        keys = ["suite=burnin", f"duration={duration}", "device=cpu", "meter=none", "only=[matmul,memory]"]
        keys += ["launcher=inline"]
        plain: Any = OmegaConf.to_container(compose(keys), resolve=True)
        super().__init__(plain, check(plain), run)
        self.now, self.outcomes, self.count = 0.0, list[Outcome](), devices_
        self._target_files = targets.load_targets()
        self.told: list[tuple[str, int]] = []

    def _crew(self, *_: Any, **__: Any) -> Any:
        return None

    def _environment(self, first: object) -> dict[str, Any]:
        one = msgspec.to_builtins(devices.cpu())
        return {"kind": "cpu", "devices": [{**one, "index": n} for n in range(self.count)]}

    def _single(self, planned: Any, tell: bool) -> Any:
        self.now += CASE_S if planned.case.device_index == 0 else 0.0
        outcome = self.outcomes.pop(0) if self.outcomes else measured()
        if outcome == STOP:
            self.stop.ask("")
            return self._device(), outcome, ("interrupted",), True
        return self._device(planned.case.device_index), outcome, (), True


STOP = Skipped("stop")


def burn(run: Path, monkeypatch: pytest.MonkeyPatch, leader: Played) -> Tally:
    monkeypatch.setattr(soak, "time", SimpleNamespace(monotonic=lambda: leader.now))
    return leader.measure()


def rounds(run: Path) -> list[tuple[int, str]]:
    return [(r.round.number, r.case.kernel) for r in load(run) if r.round]


def test_the_cases_are_repeated_until_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path, "burnin")
    tally = burn(run, monkeypatch, Played(run, "50s"))
    assert rounds(run) == [(1, "matmul"), (1, "memory"), (2, "matmul"), (2, "memory"), (3, "matmul")]
    assert (tally.measured, tally.exit_code(False)) == (5, 0)
    assert spent_s(load(run)) == 50


def test_devices_side_by_side_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path, "burnin")
    burn(run, monkeypatch, Played(run, "20s", devices_=3))
    assert rounds(run) == [(1, "matmul")] * 3 + [(1, "memory")] * 3
    assert spent_s(load(run)) == 20


def test_an_interrupted_round_is_finished_and_the_time_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path, "burnin")
    first = Played(run, "60s")
    first.outcomes = [measured(), measured(), measured(), STOP]
    assert burn(run, monkeypatch, first).exit_code(False) == 130
    assert len(load(run)) == 4
    again = burn(run, monkeypatch, Played(run, "60s"))
    assert again.exit_code(False) == 0
    found = rounds(run)
    assert found[3:5] == [(2, "memory"), (2, "memory")]  # the one that was stopped, and its repetition
    assert found[-1] == (3, "matmul")
    assert spent_s(load(run)) == 60
    # what has reached its time measures nothing more
    burn(run, monkeypatch, Played(run, "60s"))
    assert rounds(run) == found


def test_a_failure_of_an_early_round_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path, "burnin")
    leader = Played(run, "60s")
    leader.outcomes = [Failed("wrong result")]
    assert burn(run, monkeypatch, leader).exit_code(False) == 1


def test_rounds_that_measure_nothing_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path, "burnin")
    leader = Played(run, "1h")
    leader.outcomes = [Failed("no"), Failed("no")]
    assert burn(run, monkeypatch, leader).exit_code(False) == 1
    assert len(load(run)) == 2


def test_what_cannot_run_here_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path, "burnin")
    leader = Played(run, "50s")
    leader.outcomes = [Skipped("no memory")]
    burn(run, monkeypatch, leader)
    assert rounds(run) == [(1, "matmul"), (1, "memory"), (2, "memory"), (3, "memory"), (4, "memory")]


@pytest.mark.slow
def test_a_killed_burn_in_goes_on_until_its_time(tmp_path: Path) -> None:
    """SIGKILL of the leader, then ``resume=``; the real command on this CPU."""
    command = [sys.executable, "-m", "perwatt.benchmarks.cli", "run"]
    small = ["kernels.memory_cpu.array_bytes=4MiB", "kernels.matmul_cpu.m=64", "only=[matmul,memory]"]
    short = ["profile.window_s=0.2", "profile.warmup_s=0.05", "profile.guard_s=0", "device=cpu", "meter=none"]
    # the first case takes 10 s on a loaded machine, 20 on a slow one
    argv = [*command, "suite=burnin", "duration=40s", *small, *short]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 180
        while not (kept := lines_of(tmp_path)):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        for pid in descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):  # a rank whose leader has gone ends by itself
                os.kill(pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run([*command, "resume=latest"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["measured"] >= 2
    records: list[Record] = load(the_run(tmp_path))
    assert spent_s(records) >= 8
    assert len(records) > kept
    assert [r.round.number for r in records if r.round] == sorted(r.round.number for r in records if r.round)
    assert all(m.rechecks and not m.rechecks.wrong for r in records if (m := r.measured))
    assert "no health event" in done.stdout


def lines_of(folder: Path) -> int:
    found = list(folder.glob("results/runs/*/records.jsonl"))
    return len(found[0].read_bytes().splitlines()) if found else 0
