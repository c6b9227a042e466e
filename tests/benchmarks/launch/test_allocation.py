"""How long an allocation lasts, and a run that knows its end: what it cannot measure is said, and can be resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Perwatt

from perwatt.benchmarks import channel
from perwatt.benchmarks.ending import Interrupted, Stop
from perwatt.benchmarks.launch.allocation import parse, seconds_left, usable
from perwatt.benchmarks.launch.slurm import Slurm
from perwatt.results.record import Skipped
from perwatt.results.store import latest, load

MATMULS = ("run", "suite=matmul", "device=cpu", "launcher=inline", "meter=none", "kernels.matmul.dtype=fp32")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("58", 58), ("3:00", 180), ("1:02:03", 3723), ("2-00:00:01", 172801), ("UNLIMITED", None), ("INVALID", None)],
)
def test_slurms_way_to_write_a_time(text: str, seconds: float | None) -> None:
    assert parse(text) == seconds


def test_the_end_is_known_from_the_leader_from_slurm_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seconds_left({}) is None
    assert seconds_left({"PERWATT_LEFT_S": "90", "SLURM_JOB_END_TIME": "1"}) == 90
    assert seconds_left({"SLURM_JOB_END_TIME": str(time.time() + 50)}) == pytest.approx(50, abs=1)
    script(tmp_path / "squeue", 'test "$2" = --jobs=7 && echo 5:00')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert seconds_left({"SLURM_JOB_ID": "7"}) == 300
    assert seconds_left({"SLURM_JOB_ID": "8"}) is None


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_last_minute_is_kept_for_writing_and_of_a_short_allocation_a_fifth() -> None:
    assert usable(3600) == 3540
    assert usable(100) == 80
    assert usable(-5) == 0


def test_no_case_is_begun_that_would_not_end_in_time() -> None:
    with Stop(10.0) as stop:
        stop.check(1.0)
        with pytest.raises(Interrupted):
            stop.check(9.0)
    assert stop.reason == "the allocation ends 10 s after the run began"


def test_when_the_time_is_over_the_case_in_progress_is_asked_to_stop() -> None:
    asked = threading.Event()

    class Ranks:
        def stop(self) -> None:
            asked.set()

    with Stop(0.1) as stop:
        stop.crews.append(Ranks())  # type: ignore[arg-type]
        assert asked.wait(30)
    assert stop.asked


def test_the_reason_is_that_of_a_batch_system_and_not_the_users_own() -> None:
    for number, reason in ((signal.SIGTERM, "it was stopped by SIGTERM"), (signal.SIGINT, "")):
        with Stop() as stop:
            os.kill(os.getpid(), number)
            assert stop.asked
            assert stop.reason == reason


def test_only_a_person_insists() -> None:
    with Stop(0.0) as stop:  # its own clock asks, the batch system does, and the leader of its fleet
        assert stop.within(30)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "the allocation ends 0 s after the run began"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN  # nor while what it has is written and told


class Line:
    """Of a rank: while something is sent over it, ``then`` happens, once."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.then, self.sent = then, threading.Event()

    def sendall(self, _: bytes) -> None:
        then, self.then = self.then, lambda: None
        then()
        self.sent.set()


class Ranks:
    """A crew of one rank."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.connection = Line(then)
        self._line = channel.Line(self.connection)  # type: ignore[arg-type]

    def stop(self) -> None:
        self._line.send({"do": "stop"})


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_interrupts_what_it_asks_for_waits_for_no_lock_that_is_held() -> None:
    with Stop() as stop:
        ranks = Ranks(terminate)
        stop.crews.append(ranks)  # type: ignore[arg-type]
        ranks.stop()  # as a task is sent, by the thread that has the signals
        for _ in range(3):
            terminate()
        assert ranks.connection.sent.wait(30)
        assert stop.within(30)


def test_ranks_that_are_started_as_somebody_asks_are_told_as_well() -> None:
    with Stop() as stop:
        terminate()
        late = Ranks()
        stop.crews.append(late)  # type: ignore[arg-type]
        assert late.connection.sent.wait(30)


def test_a_run_that_nobody_stopped_leaves_its_process_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stop():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_nodes_that_slurm_does_not_give_have_its_own_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "scontrol", 'test "$3" = "n[1-4]" && echo n1 n2 n3 n4')
    script(tmp_path / "sinfo", 'echo "n2|drained|bad GPU"; echo "n3|allocated|none"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    launcher = Slurm(expect="n[1-4]")
    assert launcher.expected() == ("n1", "n2", "n3", "n4")
    assert launcher.absent(("n2", "n3", "n4")) == {
        "n2": "it is not in this allocation: Slurm calls it drained (bad GPU)",
        "n3": "it is not in this allocation: Slurm calls it allocated",
        "n4": "it is not in this allocation: Slurm knows no such node",
    }
    (tmp_path / "sinfo").unlink()
    script(tmp_path / "sinfo", "exit 1")
    assert "it is not in this allocation; launcher=slurm: sinfo" in launcher.absent(("n2",))["n2"]


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ("JobState=RUNNING Restarts=1 NodeList=n1,n2", {}),
        (
            "JobState=RUNNING Restarts=1 NodeList=n1",
            {"n2": "it is not in this allocation: Slurm calls it down* (gone)"},
        ),
        ("JobState=RUNNING Restarts=2 NodeList=n1,n2", dict.fromkeys(("n1", "n2"), "Slurm begins job 7 anew")),
        ("JobState=PENDING Restarts=1 NodeList=(null)", dict.fromkeys(("n1", "n2"), "Slurm begins job 7 anew")),
        ("JobState=TIMEOUT Restarts=1 NodeList=n1,n2", dict.fromkeys(("n1", "n2"), "Slurm calls job 7 TIMEOUT")),
        ("slurm_load_jobs error: Unable to contact slurm controller", {}),
    ],
)
def test_what_slurm_has_withdrawn_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, told: dict[str, str]
) -> None:
    script(tmp_path / "scontrol", f'test "$2" = hostnames && echo "$3" | tr , "\\n" || echo "{job}"')
    script(tmp_path / "sinfo", 'echo "n2|down*|gone"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert Slurm().withdrawn(("n1", "n2")) == told


@pytest.mark.slow
def test_a_run_stopped_by_a_batch_system_says_what_it_leaves_and_resuming_measures_it_once(
    tmp_path: Path, perwatt: Perwatt
) -> None:
    sizes = ("kernels.matmul.m=[64,128,256]", "profile.window_s=3", "profile.repetitions=1")
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", *MATMULS, *sizes]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 180
    while not [p for p in tmp_path.glob("results/runs/*/records.jsonl") if p.stat().st_size]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    while process.poll() is None:  # whoever else tells it the same, to its very end
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "perwatt run: it was stopped by SIGTERM; finish with: perwatt run resume=" in err
    (run,) = (tmp_path / "results" / "runs").iterdir()
    first, *rest = load(run)
    assert first.measured
    assert len(rest) == 2
    for record in rest:
        assert "interrupted" in record.flags
        assert record.measured or record.outcome == Skipped("not measured: it was stopped by SIGTERM")
    done = perwatt("run", f"resume={run.name}")
    assert done.code == 0, done.err
    records = load(run)
    assert all(r.measured and "interrupted" not in r.flags for r in latest(records))
    assert [r.case.key for r in records].count(first.case.key) == 1
    assert len(records) == 5


@pytest.mark.slow
def test_cases_beyond_the_end_of_the_allocation_are_records_with_the_reason(perwatt: Perwatt, tmp_path: Path) -> None:
    arguments = (*MATMULS, "kernels.matmul.m=64", "profile.window_s=1000", "profile.repetitions=1")
    done = perwatt(*arguments, SLURM_JOB_END_TIME=str(time.time() + 600))
    assert done.code == 130
    (record,) = load(tmp_path / done.run)
    assert isinstance(record.outcome, Skipped)
    assert record.outcome.reason.startswith("not measured: the allocation ends ")
