"""Ranks that answer late: who writes slowly is waited for, who waits for a rank that failed is not."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import records
from clock import stands_still

from perwatt.benchmarks.channel import Line, Message
from perwatt.benchmarks.launch.inline import Inline
from perwatt.benchmarks.task import Answer, Task
from perwatt.benchmarks.watched import Lost, Member, Watched
from perwatt.results.record import Device, Failed, Measured, Outcome

GRACE_S = 0.3


class Ends(Watched):
    """Ranks that are only the other ends of their lines."""

    def __init__(self, ranks: int) -> None:
        super().__init__(Inline(timeout_s=20), ranks, ("a", "b"))  # on other machines: nothing here is signalled
        self.ends: list[Line] = []
        for rank in range(ranks):
            here, there = socket.socketpair()
            self.ends.append(Line(there))
            self._add(Member(rank, 0, "", Line(here)))

    def log(self, rank: int | None) -> str:
        return ""

    def _launched(self, rank: int) -> subprocess.Popen[bytes]:
        raise AssertionError(rank)

    def kill(self) -> None:
        pass

    def close(self, kill: bool = False) -> None:
        for line in (*self.ends, *(member.line for member in self.members.values())):
            line.close()
        self._selector.close()


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.setattr("perwatt.benchmarks.watched.GRACE_S", GRACE_S)
    ranks = Ends(2)
    yield ranks
    ranks.close()


def says(two: Ends, rank: int, outcome: Outcome) -> None:
    answer = msgspec.to_builtins(Answer(rank, Device("cpu", "", 0), outcome))
    two.ends[rank].send({"event": "answer", "answer": answer})


def later(two: Ends, first: Outcome, after_s: float | None = None) -> list[Any]:
    """The outcomes where rank 1 answers so long after rank 0, whose outcome is ``first``; never, if it does not."""
    says(two, 0, first)
    two.ends[1].send({"event": "progress", "phase": "write", "entered": 0})
    thread = threading.Timer(after_s or 0, says, (two, 1, records.measured()))
    if after_s is not None:
        thread.start()
    try:
        return [answer.outcome for answer in two.run(Task("k", {}, "rotate", {}, {}, {}, str(Path())))]
    finally:
        if after_s is not None:
            thread.join()


def test_a_rank_that_writes_its_samples_slowly_is_waited_for(two: Ends) -> None:
    assert all(isinstance(outcome, Measured) for outcome in later(two, records.measured(), 4 * GRACE_S))


def test_of_a_rank_that_failed_the_others_are_not_waited_for(two: Ends) -> None:
    with pytest.raises(Lost, match="rank 0: wrong result; the others waited for it"):
        later(two, Failed("wrong result", rank=0))


def test_a_rank_that_writes_for_longer_than_a_rank_may_go_without_progress_is_lost(two: Ends) -> None:
    two.launcher.timeout_s = GRACE_S
    with pytest.raises(Lost, match="rank 1 hung"):
        later(two, records.measured())


def test_a_lone_rank_that_imports_its_kernel_for_long_is_waited_for() -> None:
    """It has not said a word on its task yet, and beats."""
    one = Ends(1)
    one.launcher.timeout_s = 2

    def imports() -> None:
        for _ in range(25):
            time.sleep(0.1)
            one.ends[0].send({"event": "beat", "entered": 0})
        says(one, 0, records.measured())

    thread = threading.Thread(target=imports)
    thread.start()
    try:
        (answer,) = one.run(Task("k", {}, "rotate", {}, {}, {}, str(Path())))
        assert isinstance(answer.outcome, Measured)
    finally:
        thread.join()
        one.close()


def test_a_leader_that_was_stopped_itself_does_not_take_the_ranks_for_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a machine that stands still for a minute: nobody spoke, and nobody listened."""
    one = Ends(1)
    clock = stands_still(monkeypatch)

    def tell(_: Message) -> None:
        clock.ahead_s += 60
        threading.Timer(0.5, says, (one, 0, records.measured())).start()  # it is the leader who looks first

    one.ends[0].send({"event": "progress", "phase": "window 1/1", "entered": 0})
    try:
        (answer,) = one.run(Task("k", {}, "rotate", {}, {}, {}, str(Path())), tell)
        assert isinstance(answer.outcome, Measured)
    finally:
        one.close()
