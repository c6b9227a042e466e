"""A fleet that is played: nodes that measured themselves, and groups whose rates and failures are what a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omegaconf import OmegaConf
from records import measured, record

from perwatt.benchmarks.cluster import fleet, groups
from perwatt.benchmarks.cluster.fleet import FleetLeader
from perwatt.benchmarks.config import compose
from perwatt.benchmarks.ending import Tally
from perwatt.benchmarks.folder import create
from perwatt.benchmarks.plan import check
from perwatt.benchmarks.task import Answer, Task
from perwatt.benchmarks.watched import Lost
from perwatt.results.record import Device, Outcome, Work

MESSAGE = 1 << 20
WORK = Work(0, MESSAGE, "message", MESSAGE, 1.0)
UNMETERED = "no meter was asked for"
SUITE = ("suite=smoke", "device=cpu", "meter=none", "only=all_reduce", f"kernels.all_reduce.message_bytes={MESSAGE}")

Behaviour = Callable[[tuple[str, ...]], float | str]  # the rate of a group in B/s, how it fails, or "dead": no start


@cache
def configuration() -> Any:
    """What is composed once: it takes longer than all else here."""
    return OmegaConf.to_container(compose([*SUITE, "launcher=mpi"]), resolve=True)


class Fleet:
    """A run folder over nodes n0, n1, ..., led as often as a test likes; ``asked`` are the groups that measured."""

    def __init__(self, tmp_path: Path, patch: pytest.MonkeyPatch, nodes: int, behaviour: Behaviour) -> None:
        self.hosts = [f"n{i}" for i in range(nodes)]
        self.run, self.behaviour = create(tmp_path, "fleet"), behaviour
        self.asked: list[tuple[str, ...]] = []
        self.lost: dict[str, str] = {}
        self.facts: dict[str, dict[str, Any]] = {}  # of a node that differs
        played = self

        class Crew:
            def __init__(self, launcher: object, size: int, *_: object, hosts: tuple[str, ...], **__: object) -> None:
                self.hosts = hosts

            def start(self) -> None:
                played.asked.append(self.hosts)

            def ready(self) -> None:
                if played.behaviour(self.hosts) == "dead":
                    raise Lost("rank 1 did not start within 300 s", 1, "")

            def run(self, task: Task) -> list[Answer]:
                found = played.behaviour(self.hosts)
                if isinstance(found, str):
                    raise Lost(found, 0, "")
                outcome: Outcome = measured(median=MESSAGE / found, work=WORK, unmetered=UNMETERED)
                return [Answer(rank, Device("cpu", "test CPU"), outcome) for rank in range(len(self.hosts))]

            def close(self, kill: bool = False) -> None:
                pass

            stop = kill = close

        def watch(_: object, run: Path, here: Sequence[str], *__: object) -> dict[str, str]:
            for host in here:
                played._measure(run / "nodes" / host, host)
            return {host: self.lost.get(host, "") for host in here}

        class Joined(Crew):
            def __init__(self, _: object, hosts: tuple[str, ...]) -> None:
                self.hosts = hosts

        patch.setattr(groups, "Crew", Crew)
        patch.setattr(groups, "Joined", Joined)
        patch.setattr(fleet, "watch", watch)

    def _measure(self, node: Path, host: str) -> None:
        facts = {"kind": "cpu", "devices": [{"name": "test CPU"}], "torch": "2", "kernel": "6.1", "packages": {}}
        facts |= self.facts.get(host, {})
        (node / "environment.json").write_text(json.dumps(facts))
        (node / "records.jsonl").write_bytes(
            msgspec.json.encode(msgspec.structs.replace(record("a"), host=host)) + b"\n"
        )

    def lead(self, topology: Mapping[str, Any] | None = None, ranks: int | None = None, **changes: object) -> Tally:
        """Measure what is left, under mpirun, with ``changes`` in how groups are tested."""
        plain = deepcopy(configuration())
        plain["launcher"] |= {"hosts": self.hosts, "ranks": ranks}
        plain["groups"] |= changes
        plain["topology"] |= topology or {}
        return FleetLeader(plain, check(plain), self.run).measure()

    def told(self) -> Any:
        """What ``groups.json`` says."""
        return json.loads((self.run / "groups.json").read_text())

    def text(self, name: str) -> str:
        """A file of the run's folder."""
        return (self.run / name).read_text()
