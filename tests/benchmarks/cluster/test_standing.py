"""Ranks that stand between groups: started once, joined with new partners round after round; whatever goes wrong in one
group costs that group alone, and its nodes are started anew for the next."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import alive, wait_until_gone

from perwatt.benchmarks.cluster.standing import Joined, Standing
from perwatt.benchmarks.launch.inline import Inline
from perwatt.benchmarks.launch.job import Command, Job
from perwatt.benchmarks.task import Task
from perwatt.benchmarks.watched import Lost, Watched
from perwatt.results.record import Measured

pytestmark = pytest.mark.slow
A, B, C, D, GONE = (f"127.0.0.{n}" for n in range(1, 6))
PROFILE = {"name": "t", "warmup_s": 0.0, "repetitions": 1, "min_readings": 0, "indicative": True}


class Here(Inline):
    """Addresses of this machine as nodes of one rank each; one of them starts nothing."""

    remote = True

    def command(self, job: Job) -> Command:
        if job.hosts == (GONE,):
            return Command(["sh", "-c", "echo no route; exit 3"], {}, {})
        return super().command(job)


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    crews: list[Watched] = []
    made = Standing(Here(timeout_s=40), "cpu", 1, str(tmp_path), crews)
    try:
        yield made
    finally:
        made.close()
        assert crews == []
        assert not list(tmp_path.glob(".crew-*"))


def task(run: Path, window_s: float = 0.05) -> Task:
    return Task(
        key="k",
        spec={"_target_": "perwatt.kernels.collectives.all_reduce.AllReduce", "message_bytes": 4096, "dtype": "fp32"},
        cache="rotate",
        profile={**PROFILE, "window_s": window_s},
        stopping={"_target_": "perwatt.benchmarks.stopping.Duration", "seconds": window_s},
        meters={},
        run=str(run),
    )


def measure(standing: Standing, hosts: tuple[str, ...], asked: Task, kill: str = "") -> list[int] | Lost:
    """The processes of a group that measured, or how it was lost. ``kill``: a node whose rank dies meanwhile."""
    group = Joined(standing, hosts)
    try:
        group.start()
        group.ready()
        pids = [group.members[rank].pid for rank in range(len(hosts))]
        if kill:
            threading.Timer(0.5, os.kill, (pids[hosts.index(kill)], signal.SIGKILL)).start()
        outcomes = [answer.outcome for answer in group.run(asked)]
    except Lost as lost:
        group.close(kill=True)
        return lost
    group.close(kill=not all(isinstance(outcome, Measured) for outcome in outcomes))
    assert all(isinstance(outcome, Measured) and outcome.work.message_bytes == 4096 for outcome in outcomes)
    return pids


def test_a_dead_rank_costs_its_pair_and_neither_the_others_nor_the_rounds_that_follow(
    standing: Standing, tmp_path: Path
) -> None:
    short = task(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda pair: measure(standing, pair, short), ((A, B), (C, D)))
        assert isinstance(first, list)
        assert isinstance(second, list)
        a, b, c, d = *first, *second
        # other partners, another order
        assert measure(standing, (D, B, A), short) == [d, b, a]
        lost = pool.submit(measure, standing, (A, C), task(tmp_path, 60), C)
        assert measure(standing, (B, D), short) == [b, d]
    found = lost.result()
    assert isinstance(found, Lost)
    assert "rank 1" in str(found)
    wait_until_gone([a, c])
    crew, _ = standing.node(D)
    os.kill(d, signal.SIGKILL)  # while nobody listens
    crew.launched().wait(60)
    again = measure(standing, (A, B, C, D), short)
    assert isinstance(again, list)
    assert again[1] == b
    assert not {a, c, d} & set(again)
    standing.close()
    wait_until_gone(again)


def test_a_node_that_does_not_start_is_named_and_its_partner_goes_on_standing(
    standing: Standing, tmp_path: Path
) -> None:
    found = measure(standing, (A, GONE), task(tmp_path))
    assert isinstance(found, Lost)
    assert (found.host, found.rank) == (GONE, 1)
    assert str(found) == f"{GONE}: the ranks did not start: the launcher ended with exit status 3"
    crew, stood = standing.node(A)
    assert stood
    assert all(alive(member.pid) for member in crew.members.values())
