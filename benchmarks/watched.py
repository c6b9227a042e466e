"""Ranks that are told what to measure, and watched: each answers, or the first one that dies or falls silent is named.

How they came to be, and who ends them, is a subclass's to know: :class:`perwatt.benchmarks.crew.Crew` launches its own,
:class:`perwatt.benchmarks.cluster.standing.Joined` makes a group of ranks that stand already.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from perwatt.benchmarks.channel import Line, Message
from perwatt.benchmarks.launch.job import Launcher
from perwatt.benchmarks.task import Answer, Task
from perwatt.results.record import Measured

PREPARE_PATIENCE = 10
# phases in which a kernel may be imported from a slow disk, a large result checked, or written to one; "" is before a
# rank's first word on a task
LONG = ("", "prepare", "compare", "write")
GRACE_S = 5.0  # for the other ranks to answer once one has failed, before the group is given up
GONE_S = 5.0  # for a lone rank that has hung up to be gone: how it died is known then
LOOK_S = 0.2  # between two looks at what the ranks have said
AWAY_S = 1.0  # who comes to look so much later was stopped itself: a machine that stood still, a terminal that blocked


class Lost(Exception):
    """Ranks died or hung. ``rank`` is the first culprit, ``log`` the last lines that it wrote; ``host``: the machine
    that is known to be at fault, if it is one alone; ``died``: it had begun, and ended without a word."""

    def __init__(self, error: str, rank: int | None = None, log: str = "", host: str = "", died: bool = False) -> None:
        super().__init__(error)
        self.rank, self.log, self.host, self.died = rank, log, host, died


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


class Watched(ABC):
    """``ranks`` ranks, ``members`` by number once they have connected. ``hosts``: the machines that they are spread
    over, empty: this one alone. ``environment``: what the first of them found, if it was asked to look."""

    def __init__(self, launcher: Launcher, ranks: int, hosts: tuple[str, ...] = ()) -> None:
        self.launcher, self.ranks, self.hosts = launcher, ranks, hosts
        self.members: dict[int, Member] = {}
        self.environment: dict[str, Any] = {}
        self._abandoned = False
        self._selector = selectors.DefaultSelector()
        self._patience_s, self._deadline = launcher.start_timeout_s, math.inf  # for all of them to be ready

    @abstractmethod
    def log(self, rank: int | None) -> str:
        """The last lines that a rank wrote, or its launcher's if there is none."""

    @abstractmethod
    def _launched(self, rank: int) -> subprocess.Popen[bytes]:
        """The launcher that started a rank."""

    @abstractmethod
    def kill(self) -> None:
        """End every process at once."""

    @abstractmethod
    def close(self, kill: bool = False) -> None:
        """Let the ranks go, or end them."""

    def _add(self, member: Member) -> None:
        self.members[member.rank] = member
        self._selector.register(member.line, selectors.EVENT_READ, member)

    def _wait(self, patience_s: float) -> None:
        """From now on the ranks have so many seconds to be ready."""
        self._patience_s, self._deadline = patience_s, time.monotonic() + patience_s

    def _formed(self) -> None:
        """Wait until every rank has its device and the group is formed. Raises :class:`Lost` or ValueError."""
        waiting = set(self.members)
        while waiting:
            self._still_starting("did not form a group", waiting)
            for member, message in self._heard(0.2):
                if message["event"] == "refused":
                    raise ValueError(message["error"])
                if message["event"] == "ready":
                    waiting.discard(member.rank)
                    self.environment.update(message["environment"] or {})

    def _still_starting(self, what: str, waiting: set[int]) -> None:
        if self._abandoned:
            raise Lost("stopped while starting")
        missing = sorted(waiting)
        for rank in missing:
            if (code := self._launched(rank).poll()) is not None:
                raise Lost(f"the ranks {what}: the launcher ended with {status(code)}", rank, self.log(rank))
        if time.monotonic() > self._deadline:
            names = ", ".join(map(str, missing))
            raise Lost(f"rank {names} {what} within {self._patience_s:g} s", missing[0], self.log(missing[0]))

    # -- work ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask every rank to stop after the current sample; a crew that is still starting gives up."""
        self._abandoned = True
        for member in list(self.members.values()):  # more may be connecting
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
        looked = now
        while len(answers) < self.ranks:
            for member, message in self._heard(LOOK_S, answers):
                if message["event"] == "progress":
                    tell(message)
                elif message["event"] == "answer":
                    answers[member.rank] = msgspec.convert(message["answer"], Answer)
                    # not every rank need notice: the others may be waiting for this one for ever. One that has
                    # measured keeps nobody waiting: who is not done yet writes its samples, however slowly
                    if not isinstance(answers[member.rank].outcome, Measured):
                        failed_at = failed_at or time.monotonic()
            away_s, looked = away(looked, LOOK_S), time.monotonic()
            self._forgive(away_s)
            failed_at = failed_at and failed_at + away_s
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
        rank = min(gone, key=lambda m: (m.rank in answers, m.rank)).rank
        launched = self._launched(rank)
        with contextlib.suppress(subprocess.TimeoutExpired):
            launched.wait(GONE_S if self.ranks == 1 else 3.0)
        how = f" ({status(launched.returncode)})" if self.ranks == 1 and launched.returncode else ""
        raise Lost(f"rank {rank} died{how}", rank, self.log(rank), died=True)

    def _forgive(self, seconds: float) -> None:
        """Nobody was listened to for so long: that counts as no rank's silence."""
        now = time.monotonic()
        for member in self.members.values():
            member.heard, member.moved = (min(now, since + seconds) for since in (member.heard, member.moved))

    def _check(self, answers: dict[int, Answer], failed_at: float | None) -> None:
        """Lost if a rank has been silent or stuck for too long."""
        waiting = [m for m in self.members.values() if m.rank not in answers]
        if not waiting:
            return
        now, limit = time.monotonic(), self.launcher.timeout_s
        if failed_at is not None and now - failed_at > GRACE_S:
            first = next(a for a in answers.values() if not isinstance(a.outcome, Measured))
            error = getattr(first.outcome, "error", None) or getattr(first.outcome, "reason", "")
            raise Lost(f"rank {first.rank}: {error}; the others waited for it", first.rank, self.log(first.rank))
        if silent := [m for m in waiting if now - m.heard > limit]:
            rank = silent[0].rank
            raise Lost(f"rank {rank} hung: silent for {limit:g} s", rank, self._trace(silent[0]))
        # a lone rank may take long for it; in a group the others wait for it
        patience = limit * (PREPARE_PATIENCE if self.ranks == 1 and waiting[0].state[0] in LONG else 1)
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


def away(looked: float, every_s: float) -> float:
    """For how long somebody who looks every so often was kept from it since ``looked``; 0 for a common delay."""
    late_s = time.monotonic() - looked - every_s
    return late_s if late_s > AWAY_S else 0.0


def status(code: int) -> str:
    """An exit status in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit status {code}"
