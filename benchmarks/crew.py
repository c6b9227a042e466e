"""The ranks as the leader sees them: started, told what to measure, watched, and replaced when they die or hang.

A crew is one launched group (several ranks under torchrun) or one process. Its ranks answer each task; a rank that
dies or falls silent ends the task with a :class:`Lost`, which names the rank, and with it the crew: the leader starts
a new one and goes on with the next case. A crew may also only stand: connected, and in no group yet.
"""

from __future__ import annotations

import contextlib
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import Any

from perwatt.benchmarks.channel import VARIABLE, Line, Message, knows, listen, listen_on_network
from perwatt.benchmarks.launch.job import Job, Launcher
from perwatt.benchmarks.launch.start import start
from perwatt.benchmarks.watched import Lost, Member, Watched

LOG_LINES = 15
SCRATCH = ".crew-"  # in the run's folder, of a crew on other machines
HELLO_S = 10.0  # for a rank that has connected to say who it is
ELSEWHERE_S = 60.0  # for a launcher to end its processes on other machines; Slurm's KillWait is 30 s
PORTS = (20000, 29999)  # for the store of rank 0, on its own machine; below those that are handed out by the system


class Crew(Watched):
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
        super().__init__(launcher, ranks, hosts)
        self.setup = {
            "do": "setup",
            "device": device,
            "index": index,
            "timeout_s": launcher.timeout_s,
            "meters": meters or {},
            "environment": want_environment,
            "run": run,
        }
        self._process: subprocess.Popen[bytes] | None = None
        _tidy()
        # private to the user, and short: a socket's path may not exceed 107 characters
        scratch = tempfile.mkdtemp(prefix=SCRATCH, dir=run) if hosts else tempfile.mkdtemp(prefix=prefix())
        self._scratch = Path(scratch)

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Launch the ranks without waiting for them; :meth:`ready` waits, or :meth:`stand`."""
        path = self._scratch / "s"
        self._server, self._secret = listen_on_network(path, self.hosts[-1]) if self.hosts else (listen(path), "")
        job = Job(self.ranks, self._scratch, {VARIABLE: str(path)}, hosts=self.hosts, port=random.randint(*PORTS))
        self._command = self.launcher.command(job)
        with open(self._scratch / "0.log", "wb") as log:
            self._process = start(self._command, log)
        self._wait(self.launcher.start_timeout_s)

    def ready(self) -> None:
        """Wait until every rank has its device and the group is formed. Raises :class:`Lost` or ValueError."""
        self.stand()
        for member in self.members.values():
            with contextlib.suppress(OSError):  # a dead rank is found by reading from it
                member.line.send(self.setup)
        self._formed()

    def stand(self) -> None:
        """Wait until every rank has connected, if they have not; they are told nothing yet. Raises :class:`Lost`."""
        while not self.connected:
            self._server.settimeout(0.2)
            self._still_starting("did not start", set(range(self.ranks)) - set(self.members))
            with contextlib.suppress(TimeoutError):
                connection, _ = self._server.accept()
                if (hello := self._hello(line := Line(connection))) is None:
                    line.close()
                    continue
                self._add(Member(hello["rank"], hello["pid"], hello["host"], line))
        self._server.close()

    @property
    def connected(self) -> bool:
        """Whether every rank has come."""
        return len(self.members) == self.ranks

    def stands(self) -> bool:
        """Whether every rank is connected still. What they said while nobody listened is forgotten."""
        try:
            while self._heard(0):
                pass
        except Lost:
            return False
        return self.connected and self.launched().poll() is None

    def _hello(self, line: Line) -> Message | None:
        """The first words of a rank of ours; None from anybody else, or if nothing comes."""
        line.connection.settimeout(HELLO_S)
        try:
            hello = next(line.messages(), None)
        except (OSError, ValueError):
            return None
        line.connection.settimeout(None)
        return hello if hello is not None and knows(hello, self._secret) else None

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

    def launched(self) -> subprocess.Popen[bytes]:
        """The launcher, which runs as long as one of its ranks does."""
        assert self._process is not None
        return self._process

    def _launched(self, rank: int) -> subprocess.Popen[bytes]:
        return self.launched()

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
