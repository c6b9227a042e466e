"""One node of a fleet: an ordinary run of this machine alone, in its own folder, with a sign of life beside it.

Nothing is agreed with anybody: a node that another one waits for cannot be told from one that is slow. What this node
measures it writes itself, and only there.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perwatt.benchmarks.cluster.comparing import comparer
from perwatt.benchmarks.launch.ssh import HOST
from perwatt.results.fleet.layout import ALIVE, NODES
from perwatt.results.store import write_atomically

# Beside the nodes' folder, named anew for each try of the leader: while the file is there, the nodes of that try go on.
# So one is told to stop that is asked to (no launcher carries a signal everywhere), and one that was given up and lives
# again. It is written once: what a network file system remembers of a file may be old.
TRY = ".try-"
VARIABLE = "PERWATT_TRY"  # where it lies
BEAT_S = 2.0
# By which name this machine was asked for, where the launcher says so.
_NAMES = (HOST, "SLURMD_NODENAME")


def this_host(known: Sequence[str]) -> str:
    """The name in ``known`` that this machine goes by. Raises ValueError if there is none."""
    told = [os.environ[name] for name in _NAMES if name in os.environ]
    own = [*told, socket.gethostname(), socket.getfqdn(), socket.gethostname().split(".")[0]]
    for name in own:
        if name in known:
            return name
    raise ValueError(f"this machine goes by {', '.join(dict.fromkeys(own))}: none of them is a node of this run")


class SignOfLife(threading.Thread):
    """Writes to ``path``, every so often, that this node lives; at last, how its run ended. Once the file of its
    ``own`` try has gone, it stops the node as a batch system would."""

    def __init__(self, path: Path, own: Path) -> None:
        super().__init__(name="sign of life", daemon=True)
        self._path, self._own, self._over = path, own, threading.Event()
        self._beat, self._asked = 0, False

    def run(self) -> None:
        """Beat until told that it is over. A file system that is full or gone silences the node: that is seen."""
        told = False
        while not self._over.wait(BEAT_S if self._beat else 0):
            self._write()
            listens = signal.getsignal(signal.SIGTERM) != self.ask
            if not told and listens and (self._asked or not self._goes_on()):
                told = True
                os.kill(os.getpid(), signal.SIGTERM)

    def ask(self, *_: object) -> None:
        """Handles SIGTERM while no run does: one that has yet to begin is told as soon as it does, one that is over has
        its last words."""
        self._asked = True

    def end(self, code: int) -> None:
        """The run has ended with this exit code."""
        self._over.set()
        self.join()
        self._write(exit=code)

    def _goes_on(self) -> bool:
        try:
            self._own.read_bytes()  # not whether it exists, which may be remembered
        except FileNotFoundError:
            return False
        except OSError:  # nothing is known
            pass
        return True

    def _write(self, **more: Any) -> None:
        self._beat += 1
        clock = {"mono_ns": time.monotonic_ns(), "utc_ns": time.time_ns()}
        told = {"beat": self._beat, "pid": os.getpid(), "try": self._own.name, **clock, **more}
        try:
            write_atomically(self._path, json.dumps(told) + "\n")
        except OSError as error:
            print(f"{self._path}: {error}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """``RUN``: measure this node in its folder there; the exit code is that of ``perwatt run``."""
    from perwatt.benchmarks.cli import main as perwatt

    nodes = Path(arguments[0]) / NODES
    here = nodes / this_host([path.name for path in nodes.iterdir()])
    life = SignOfLife(here / ALIVE, Path(os.environ[VARIABLE]))
    signal.signal(signal.SIGTERM, life.ask)
    life.start()
    clock = comparer(here)
    code = 1
    try:
        if clock:
            clock.start()
        code = perwatt(["run", f"resume={here}"])
    finally:
        if clock:
            clock.end()
        life.end(code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
