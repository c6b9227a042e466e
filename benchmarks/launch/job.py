"""What a launcher is given, and what it is: a pure function from a job to the command lines that start its ranks."""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perwatt.results.fleet.nodesets import fold

WORKER = "perwatt.benchmarks.worker"
LONGEST = 100_000  # characters of an argument: Linux takes 128 KiB


@dataclass(frozen=True)
class Job:
    """Processes to start, each with ``environment`` added to its own, logging into ``log_dir``.

    ``ranks`` of them form one group, spread evenly over ``hosts`` in that order (empty: all on this machine), with rank
    0's store at ``port`` of the first host. Not a ``group``: one a host, each by itself. ``module`` with ``arguments``
    is what they run. On several hosts ``log_dir`` and the working directory must be the same folders everywhere.
    """

    ranks: int
    log_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable
    hosts: tuple[str, ...] = ()
    port: int = 29500
    group: bool = True
    module: str = WORKER
    arguments: tuple[str, ...] = ()

    @property
    def per_host(self) -> int:
        """Ranks on each host. Raises ValueError if they cannot be spread evenly."""
        hosts = max(1, len(self.hosts))
        if self.ranks % hosts:
            raise ValueError(f"launcher.ranks: {self.ranks} cannot be spread evenly over {hosts} hosts")
        return self.ranks // hosts


@dataclass(frozen=True)
class Command:
    """One process to start. ``logs`` are the files where its ranks' output ends up, as glob patterns by rank."""

    argv: list[str]
    environment: dict[str, str]
    logs: dict[int, str]


class Launcher(ABC):
    """Base of every launcher. ``timeout_s``: how long the ranks may be silent before they are given up."""

    name: str
    remote = False  # whether it starts processes on other machines

    def __init__(self, ranks: int | None = None, start_timeout_s: float = 120.0, timeout_s: float = 60.0) -> None:
        if ranks is not None and (not isinstance(ranks, int) or isinstance(ranks, bool) or ranks < 1):
            raise ValueError(f"launcher.ranks: {ranks!r} is not a positive whole number (null: one a device)")
        for key, value in (("start_timeout_s", start_timeout_s), ("timeout_s", timeout_s)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"launcher.{key}: {value!r} is not a positive number of seconds")
        self.ranks, self.start_timeout_s, self.timeout_s = ranks, start_timeout_s, timeout_s

    @abstractmethod
    def command(self, job: Job) -> Command:
        """The command line that starts the job's ranks. Raises ValueError if this launcher cannot start as many."""

    def hosts(self) -> tuple[str, ...]:
        """The machines that it starts processes on, in order; empty: this one. Raises ValueError if none is known."""
        return ()

    def expected(self) -> tuple[str, ...]:
        """Machines that should be there, whether they are or not; empty: those of :meth:`hosts` and no others."""
        return ()

    def absent(self, hosts: Sequence[str]) -> dict[str, str]:
        """Why each of these, which the run is about, is not among :meth:`hosts`."""
        return dict.fromkeys(hosts, "it is not among the launcher's hosts")

    def withdrawn(self, hosts: Sequence[str]) -> dict[str, str]:
        """Those of these, which were given once, that are not any more, with the reason; all of them if the whole
        allocation has gone. Asked when something failed: none of it may be their fault."""
        return {}

    @staticmethod
    def missing() -> str:
        """Why this launcher cannot be used here; empty if it can."""
        return ""


def listed(hosts: Sequence[str]) -> str:
    """The hosts as one argument; folded (``n[001-064]``) where it would be longer than the kernel passes on."""
    text = ",".join(hosts)
    return text if len(text) < LONGEST else fold(hosts)


def which(program: str) -> str:
    """Empty if ``program`` is on the PATH, else a sentence."""
    return "" if shutil.which(program) else f"{program} is not on the PATH"


def threads(ranks: int) -> int:
    """Threads for each of ``ranks`` processes that share this machine's usable cores."""
    return max(1, len(os.sched_getaffinity(0)) // ranks)
