"""The ranks as the leader sees them: started, told what to measure, watched, and replaced when they die or hang.

A crew is one launched group (several ranks under torchrun) or one process. Its ranks answer each task; a rank that
dies or falls silent ends the task with a :class:`Lost`, which names the rank, and with it the crew: the leader starts
a new one and goes on with the next case.
"""

from __future__ import annotations

import contextlib
import glob
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from perwatt.benchmarks.channel import VARIABLE, Line, Message, knows, listen, listen_on_network
from perwatt.benchmarks.launch.job import Job, Launcher
from perwatt.benchmarks.launch.start import start
from perwatt.benchmarks.task import Answer, Task

LOG_LINES = 15
PREPARE_PATIENCE = 10
HELLO_S = 10.0  # for a rank that has connected to say who it is
ELSEWHERE_S = 60.0  # for a launcher to end its processes on other machines; Slurm's KillWait is 30 s
PORTS = (20000, 29999)  # for the store of rank 0, on its own machine; below those that are handed out by the system
GRACE_S = 5.0  # for the other ranks to answer once one has failed, before the group is given up


class Lost(Exception):
    """Ranks died or hung. ``rank`` is the first culprit, ``log`` the last lines that it wrote."""

    def __init__(self, error: str, rank: int | None = None, log: str = "") -> None:
        super().__init__(error)
        self.rank, self.log = rank, log


@dataclass
class Member:
    """One connected rank. ``heard`` is when it last said anything, ``entered`` how many launches it had begun."""

    rank: int
    pid: int
    host: str
    line: Line
    heard: float = field(default_factory=time.monotonic)
    entered: int = 0
    moved: float = field(default_factory=time.monotonic)
    state: tuple[str, int] = ("", -1)

    def note(self, message: Message) -> None:
        """Remember that it lives, and whether it gets on."""
        self.heard = time.monotonic()
        self.entered = message.get("entered", self.entered)
        if message["event"] != "beat" or (self.state[0], self.entered) != self.state:
            self.state = (message.get("phase", self.state[0]), self.entered)
            self.moved = self.heard


class Crew:
    """Starts ``ranks`` ranks with ``launcher`` on devices from ``index`` on; ``run`` is the folder for what libraries
    log of themselves. ``hosts``: the machines that the ranks are spread over, all of which see ``run``; empty: this one
    alone. Use as a context manager."""

    def __init__(
        self,
        launcher: Launcher,
        ranks: int,
        device: str,
        index: int = 0,
        meters: dict[str, dict[str, Any]] | None = None,
        want_environment: bool = False,
        run: str = "",
        hosts: tuple[str, ...] = (),
    ) -> None:
        self.launcher, self.ranks, self.hosts = launcher, ranks, hosts
        self._setup = {
            "do": "setup",
            "device": device,
            "index": index,
            "timeout_s": launcher.timeout_s,
            "meters": meters or {},
            "environment": want_environment,
            "run": run,
        }
        self.members: dict[int, Member] = {}
        self.environment: dict[str, Any] = {}
        self._abandoned = False
        self._selector = selectors.DefaultSelector()
        self._process: subprocess.Popen[bytes] | None = None
        _tidy()
        # private to the user, and short: a socket's path may not exceed 107 characters
        scratch = tempfile.mkdtemp(prefix=".crew-", dir=run) if hosts else tempfile.mkdtemp(prefix=prefix())
        self._scratch = Path(scratch)

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Launch the ranks without waiting for them; :meth:`ready` waits."""
        path = self._scratch / "s"
        self._server, self._secret = listen_on_network(path, self.hosts[-1]) if self.hosts else (listen(path), "")
        job = Job(self.ranks, self._scratch, {VARIABLE: str(path)}, hosts=self.hosts, port=random.randint(*PORTS))
        self._command = self.launcher.command(job)
        with open(self._scratch / "0.log", "wb") as log:
            self._process = start(self._command, log)
        self._deadline = time.monotonic() + self.launcher.start_timeout_s

    def ready(self) -> None:
        """Wait until every rank has its device and the group is formed. Raises :class:`Lost` or ValueError."""
        self._server.settimeout(0.2)
        while len(self.members) < self.ranks:
            self._still_starting("did not start")
            with contextlib.suppress(TimeoutError):
                connection, _ = self._server.accept()
                if (hello := self._hello(line := Line(connection))) is None:
                    line.close()
                    continue
                member = Member(hello["rank"], hello["pid"], hello["host"], line)
                self.members[member.rank] = member
                self._selector.register(line, selectors.EVENT_READ, member)
                line.send(self._setup)
        waiting = set(self.members)
        while waiting:
            self._still_starting("did not form a group", waiting)
            for member, message in self._heard(0.2):
                if message["event"] == "refused":
                    raise ValueError(message["error"])
                if message["event"] == "ready":
                    waiting.discard(member.rank)
                    self.environment.update(message["environment"] or {})

    def _hello(self, line: Line) -> Message | None:
        """The first words of a rank of ours; None from anybody else, or if nothing comes."""
        line.connection.settimeout(HELLO_S)
        try:
            hello = next(line.messages(), None)
        except (OSError, ValueError):
            return None
        line.connection.settimeout(None)
        return hello if hello is not None and knows(hello, self._secret) else None

    def _still_starting(self, what: str, waiting: set[int] | None = None) -> None:
        assert self._process is not None
        if self._abandoned:
            raise Lost("stopped while starting")
        missing = sorted(waiting if waiting is not None else set(range(self.ranks)) - set(self.members))
        if self._process.poll() is not None:
            rank = missing[0] if missing else None
            raise Lost(
                f"the ranks {what}: the launcher ended with {_status(self._process.returncode)}", rank, self.log(rank)
            )
        if time.monotonic() > self._deadline:
            names = ", ".join(map(str, missing))
            raise Lost(
                f"rank {names} {what} within {self.launcher.start_timeout_s:g} s", missing[0], self.log(missing[0])
            )

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, kill: bool = False) -> None:
        """Let the ranks leave, or end them; remove the scratch folder."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                for member in self.members.values():
                    if not kill:
                        member.line.send({"do": "leave"})
            if kill and self.hosts:
                self._end_elsewhere()
            try:
                self._process.wait(0 if kill else 10)
            except subprocess.TimeoutExpired:
                self.kill()
                self._process.wait()
            self._process = None
        for member in self.members.values():
            member.line.close()
        self._selector.close()
        with contextlib.suppress(AttributeError):
            self._server.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _end_elsewhere(self) -> None:
        """Have the launcher end what it has started on other machines: srun and mpirun end stopped ranks as well."""
        assert self._process is not None
        for member in self.members.values():
            member.line.close()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ELSEWHERE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what a launcher leaves behind here

    def kill(self) -> None:
        """End every process of the crew, stopped ones as well: nothing may go on drawing power beside the next case."""
        for member in self.members.values():
            if self.hosts:
                member.line.close()  # on another machine: a rank whose leader has gone ends itself
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    # -- work ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask every rank to stop after the current sample; a crew that is still starting gives up."""
        self._abandoned = True
        for member in self.members.values():
            with contextlib.suppress(OSError):
                member.line.send({"do": "stop"})

    def run(self, task: Task, tell: Callable[[Message], None] = lambda _: None) -> list[Answer]:
        """Give every rank the task and return their answers by rank. Raises :class:`Lost`."""
        now = time.monotonic()
        for member in self.members.values():
            member.state, member.entered, member.heard, member.moved = ("", -1), 0, now, now
            with contextlib.suppress(OSError):  # a dead rank is found by reading from it
                member.line.send({"do": "task", "task": msgspec.to_builtins(task)})
        answers: dict[int, Answer] = {}
        failed_at: float | None = None
        while len(answers) < self.ranks:
            for member, message in self._heard(0.2, answers):
                if message["event"] == "progress":
                    tell(message)
                elif message["event"] == "answer":
                    answers[member.rank] = msgspec.convert(message["answer"], Answer)
                    # not every rank need notice: the others may be waiting for this one for ever
                    failed_at = failed_at or time.monotonic()
            self._check(answers, failed_at)
        return [answers[rank] for rank in sorted(answers)]

    def _heard(self, timeout_s: float, answers: dict[int, Answer] | None = None) -> list[tuple[Member, Message]]:
        """What the ranks have said; Lost if one of them has gone."""
        out = []
        gone: list[Member] = []
        for key, _ in self._selector.select(timeout_s):
            member: Member = key.data
            messages = member.line.receive()
            if messages is None:
                gone.append(member)
                continue
            for message in messages:
                member.note(message)
                out.append((member, message))
        if gone:
            self._gone(gone, answers or {})
        return out

    def _gone(self, gone: list[Member], answers: dict[int, Answer]) -> None:
        """Name the rank that died first; how it died is told by the launcher, which reaps it."""
        assert self._process is not None
        rank = min(gone, key=lambda m: (m.rank in answers, m.rank)).rank
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0 if self.ranks == 1 else 3.0)
        how = f" ({_status(self._process.returncode)})" if self.ranks == 1 and self._process.returncode else ""
        raise Lost(f"rank {rank} died{how}", rank, self.log(rank))

    def _check(self, answers: dict[int, Answer], failed_at: float | None) -> None:
        """Lost if a rank has been silent or stuck for too long."""
        waiting = [m for m in self.members.values() if m.rank not in answers]
        if not waiting:
            return
        now, limit = time.monotonic(), self.launcher.timeout_s
        if failed_at is not None and now - failed_at > GRACE_S:
            first = next(iter(answers.values()))
            error = getattr(first.outcome, "error", None) or getattr(first.outcome, "reason", "it had finished")
            raise Lost(f"rank {first.rank}: {error}; the others waited for it", first.rank, self.log(first.rank))
        if silent := [m for m in waiting if now - m.heard > limit]:
            rank = silent[0].rank
            raise Lost(f"rank {rank} hung: silent for {limit:g} s", rank, self._trace(silent[0]))
        # a lone rank may check a large result for long; in a group the others wait for it
        patience = limit * (PREPARE_PATIENCE if self.ranks == 1 and waiting[0].state[0] == "prepare" else 1)
        if all(now - m.moved > patience for m in waiting):
            # all wait; the one that entered the fewest launches is the one that they wait for
            last = min(waiting, key=lambda m: m.entered)
            counts = ", ".join(f"rank {m.rank}: {m.entered}" for m in waiting)
            raise Lost(
                f"rank {last.rank} hung: no progress for {patience:g} s (launches entered: {counts})",
                last.rank,
                self._trace(last),
            )

    def _trace(self, member: Member) -> str:
        """Have a hung rank write where it is (faulthandler), and return its last lines."""
        with contextlib.suppress(OSError):
            if self.hosts:
                member.line.send({"do": "trace"})
            else:  # also one whose threads have all stopped
                os.kill(member.pid, signal.SIGUSR1)
            time.sleep(0.3)
        return self.log(member.rank)

    def log(self, rank: int | None) -> str:
        """The last lines that a rank wrote, or the launcher's if there is none."""
        paths = glob.glob(self._command.logs.get(rank, "")) if rank is not None else []
        text = "".join(Path(p).read_text(errors="replace") for p in sorted(paths))
        if not text.strip():
            text = (self._scratch / "0.log").read_text(errors="replace")
        return "\n".join(text.strip().splitlines()[-LOG_LINES:]) or "(nothing was written)"


def prefix() -> str:
    """Of the scratch folders of this machine: a process number means nothing to another, or in another container, that
    shares the folder for temporary files."""
    machine = f"{socket.gethostname()} {os.stat('/proc/self/ns/pid').st_ino}"
    return f"perwatt-{zlib.crc32(machine.encode()):08x}-{os.getpid()}-"


def _tidy() -> None:
    """Remove the scratch folders of leaders on this machine that were killed before they could."""
    for path in Path(tempfile.gettempdir()).glob(prefix().rsplit("-", 2)[0] + "-*-*"):
        pid = path.name.split("-")[2]
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
                shutil.rmtree(path, ignore_errors=True)


def _status(code: int) -> str:
    """An exit status in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit status {code}"
