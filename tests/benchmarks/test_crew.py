"""Crews of real processes: they start, answer, are refused what is wrong, die, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from processes import alive, wait_until_gone

from perwatt.benchmarks.channel import Message
from perwatt.benchmarks.crew import Crew, prefix
from perwatt.benchmarks.launch.inline import Inline
from perwatt.benchmarks.launch.job import Command, Job
from perwatt.benchmarks.launch.torchrun import Torchrun
from perwatt.benchmarks.task import Task
from perwatt.benchmarks.watched import Lost
from perwatt.results.record import Failed, Measured, Skipped


@pytest.fixture
def crew() -> Iterator[Crew]:
    with Crew(Inline(timeout_s=20), 1, "cpu", want_environment=True) as crew:
        crew.start()
        crew.ready()
        yield crew


def task(run: Path, window_s: float = 0.1, **spec: object) -> Task:
    return Task(
        key="k",
        spec={"_target_": "perwatt.kernels.matmul.Matmul", "m": 64, "dtype": "fp32", **spec},
        cache="rotate",
        profile={
            "name": "t",
            "warmup_s": 0.02,
            "repetitions": 1,
            "window_s": window_s,
            "min_readings": 0,
            "indicative": True,
        },
        stopping={"_target_": "perwatt.benchmarks.stopping.Duration", "seconds": window_s},
        meters={},
        run=str(run),
    )


@pytest.mark.slow
def test_it_describes_its_machine_and_answers_task_after_task(crew: Crew, tmp_path: Path) -> None:
    assert crew.environment["kind"] == "cpu"
    assert crew.environment["devices"][0]["type"] == "cpu"
    (first,), (second,) = crew.run(task(tmp_path)), crew.run(task(tmp_path, m=96))
    assert isinstance(first.outcome, Measured)
    assert isinstance(second.outcome, Measured)
    assert second.outcome.work.flops == 2 * 96**3


def test_what_a_rank_cannot_do_is_an_outcome(crew: Crew, tmp_path: Path) -> None:
    assert isinstance(crew.run(task(tmp_path, dtype="tf32"))[0].outcome, Skipped)
    huge = crew.run(task(tmp_path, m=10_000_000))[0].outcome
    assert isinstance(huge, Skipped)
    assert "GiB" in huge.reason
    wrong = crew.run(structs.replace(task(tmp_path), stopping={"_target_": "nowhere"}))[0].outcome
    assert isinstance(wrong, Failed)
    assert "Traceback" in wrong.log


def test_samples_that_cannot_be_written_are_flagged_and_the_result_is_kept(crew: Crew, tmp_path: Path) -> None:
    (answer,) = crew.run(task(tmp_path / "not there"))
    assert isinstance(answer.outcome, Measured)
    assert answer.flags == ("telemetry_lost",)


def test_a_killed_rank_is_lost_by_name_and_signal(crew: Crew, tmp_path: Path) -> None:
    pid = crew.members[0].pid
    threading.Timer(1.0, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(Lost, match=r"rank 0 died \(SIGKILL\)"):
        crew.run(task(tmp_path, window_s=30))


@pytest.mark.slow
@pytest.mark.alone  # 2 s without progress count as hung
def test_a_stuck_rank_is_lost_and_says_where_it_was(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rank lives and beats, but its measuring thread waits for ever: as for a collective that nobody joins."""
    crew.launcher.timeout_s = 2
    # it is the launch that is to be found stuck, however long this machine takes to prepare it
    monkeypatch.setattr("perwatt.benchmarks.watched.PREPARE_PATIENCE", 100)
    pid = crew.members[0].pid
    # one launch takes longer than a rank may go without progress
    with pytest.raises(Lost, match="rank 0 hung: no progress for 2 s") as lost:
        crew.run(task(tmp_path, m=8500))
    assert "timers.py" in lost.value.log  # the launch is inside the library; this is who called it
    crew.close(kill=True)
    assert not alive(pid)


SLOW = """
import time
from perwatt.kernels.matmul import Matmul

prepare = Matmul.prepare

def slowly(self, place):
    prepared = prepare(self, place)
    return prepared._replace(verify=lambda: (time.sleep(4), prepared.verify())[1])

Matmul.prepare = slowly
"""


@pytest.mark.slow
@pytest.mark.alone  # 2 s without progress count as hung
def test_a_rank_that_compares_for_long_has_not_hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    asked = task(tmp_path)
    asked.profile["recheck"] = 1
    with Crew(Inline(timeout_s=20), 1, "cpu") as crew:
        crew.start()
        crew.ready()
        crew.launcher.timeout_s = 2
        (answer,) = crew.run(asked)
    assert isinstance(answer.outcome, Measured)
    assert answer.outcome.rechecks is not None
    assert answer.outcome.rechecks.longest_s > 4


def test_asked_to_stop_it_keeps_what_it_has(crew: Crew, tmp_path: Path) -> None:
    began = time.monotonic()

    def tell(message: Message) -> None:
        if message["phase"].startswith("window"):
            crew.stop()

    (answer,) = crew.run(task(tmp_path, window_s=60), tell)
    assert time.monotonic() - began < 30
    assert "interrupted" in answer.flags
    assert isinstance(answer.outcome, Measured)


@pytest.mark.slow
def test_a_wrong_device_is_the_users_mistake() -> None:
    with Crew(Inline(), 1, "xpu") as crew:
        crew.start()
        with pytest.raises(ValueError, match="device: 'xpu' was asked for"):
            crew.ready()


class Broken(Inline):
    """A launcher whose program ends at once."""

    def command(self, job: Job) -> Command:
        return Command(["sh", "-c", "echo no such partition; exit 3"], {}, {0: str(job.log_dir / "0.log")})


def test_a_launcher_that_fails_is_told_with_its_last_words() -> None:
    with Crew(Broken(), 1, "cpu") as crew:
        crew.start()
        with pytest.raises(Lost, match="exit status 3") as lost:
            crew.ready()
    assert lost.value.log == "no such partition"


@pytest.mark.slow
def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Crew(Inline(), 1, "cpu") as crew:
        crew.start()
        crew.ready()
        pids = [m.pid for m in crew.members.values()]
    wait_until_gone(pids)
    assert list(tmp_path.iterdir()) == []


def test_command_lines_are_pure_functions_of_the_job(tmp_path: Path) -> None:
    job = Job(4, tmp_path, {"A": "b"}, python="python3")
    command = Torchrun().command(job)
    assert command == Torchrun().command(job)
    assert command.argv[:3] == ["python3", "-m", "torch.distributed.run"]
    assert "--nproc-per-node=4" in command.argv
    assert command.environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] == "1"
    assert command.environment["A"] == "b"
    assert sorted(command.logs) == [0, 1, 2, 3]
    lone = Job(1, tmp_path, python="python3")
    assert Torchrun().command(lone) == Inline().command(lone)
    with pytest.raises(ValueError, match="launcher inline starts one process, not 4"):
        Inline().command(job)


def test_what_a_killed_leader_left_is_tidied_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    machine = prefix().split("-")[1]
    gone, here = tmp_path / f"perwatt-{machine}-4194399-x", tmp_path / f"perwatt-{machine}-{os.getppid()}-x"
    elsewhere = tmp_path / "perwatt-00000000-4194399-x"  # no pid is above 2**22: this one may live on another machine
    for path in (gone, here, elsewhere):
        path.mkdir()
    with Crew(Inline(), 1, "cpu"):
        assert not gone.exists()
        assert elsewhere.exists()
        assert here.exists()


class OverTheNetwork(Inline):
    """One rank as on another machine: it finds its leader by an address and a secret."""

    remote = True

    def command(self, job: Job) -> Command:
        channel = job.log_dir / "s"
        found = json.loads(channel.read_text())
        assert channel.stat().st_mode & 0o077 == 0
        self.stranger = socket.create_connection(tuple(found["address"]))
        self.stranger.sendall(b'{"event": "hello", "rank": 0, "pid": 1, "host": "x", "secret": "guessed"}\n')
        return super().command(job)


@pytest.mark.slow
def test_ranks_elsewhere_find_the_leader_and_strangers_are_hung_up_on(tmp_path: Path) -> None:
    launcher = OverTheNetwork()
    with Crew(launcher, 1, "cpu", run=str(tmp_path), hosts=("localhost",)) as crew:
        crew.start()
        crew.ready()
        assert launcher.stranger.recv(1) == b""
        (answer,) = crew.run(task(tmp_path))
        assert isinstance(answer.outcome, Measured)
        assert crew.members[0].host == socket.gethostname()
    launcher.stranger.close()
    assert not list(tmp_path.glob(".crew-*"))
