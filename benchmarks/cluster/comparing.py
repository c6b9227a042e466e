"""A node lays its clocks beside its leader's, and keeps what it finds: :mod:`perwatt.results.fleet.clocks` reads it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from perwatt.benchmarks.channel import Message, connect
from perwatt.benchmarks.cluster.clocks import Clocks, from_config
from perwatt.benchmarks.cluster.reference import VARIABLE
from perwatt.results.fleet.clocks import Compared, Comparison, compared
from perwatt.results.fleet.layout import CLOCK
from perwatt.results.run import CONFIG
from perwatt.results.store import write_atomically

Clock = Callable[[], int]
Ask = Callable[..., Message]


@contextlib.contextmanager
def asking(path: Path, timeout_s: float) -> Iterator[Ask]:
    """``ask(what, ...)`` of the leader whose address stands at ``path``. Raises OSError where it does not answer."""
    line = connect(str(path), timeout_s)
    messages = line.messages()

    def ask(what: str, **more: Any) -> Message:
        line.send({"ask": what, "secret": line.secret, **more})
        if (found := next(messages, None)) is None:
            raise ConnectionResetError(None, "the leader hung up")
        return found

    try:
        yield ask
    finally:
        line.close()


def compare(ask: Ask, messages: int, mono_ns: Clock = time.monotonic_ns, utc_ns: Clock = time.time_ns) -> Comparison:
    """The quickest of so many exchanges: the leader's time at the middle, wrong by half the round trip at most. What
    the leader took between hearing and answering is not part of it (RFC 5905, section 8)."""
    found: list[Comparison] = []
    for _ in range(messages):
        asked_ns, own_ns = mono_ns(), utc_ns()
        told = ask("time")
        answered_ns = mono_ns()
        middle_ns = (asked_ns + answered_ns) // 2
        trip_ns = (answered_ns - asked_ns) - (told["said_ns"] - told["heard_ns"])
        leader_ns = (told["heard_ns"] + told["said_ns"]) // 2
        found.append(Comparison(middle_ns, own_ns + middle_ns - asked_ns, leader_ns, max(trip_ns, 0)))
    return min(found, key=lambda one: one.round_trip_ns)


class Comparer(threading.Thread):
    """Compares at once, every so often, and at last; each time it writes all that was found to the folder ``node``,
    so that a kill loses none of it. What an earlier try found stays."""

    def __init__(
        self,
        node: Path,
        path: Path,
        settings: Clocks,
        mono_ns: Clock = time.monotonic_ns,
        utc_ns: Clock = time.time_ns,
    ) -> None:
        super().__init__(name="clock", daemon=True)
        self._node, self._path, self._settings, self._clocks = node, path, settings, (mono_ns, utc_ns)
        self._over = threading.Event()
        try:
            self._found = compared(node).comparisons
        except ValueError:
            self._found = ()

    def run(self) -> None:
        """Compare until it is over."""
        while True:
            self._once(ended=False)
            if self._over.wait(self._settings.every_s):
                return

    def end(self) -> None:
        """The node's run has ended: compare a last time, and leave."""
        self._over.set()
        self.join()
        self._once(ended=True)

    def _once(self, ended: bool) -> None:
        error = ""
        try:
            with asking(self._path, self._settings.timeout_s) as ask:
                self._found = (*self._found, compare(ask, self._settings.messages, *self._clocks))
                if ended:
                    ask("left", host=self._node.name)
        except (OSError, ValueError, KeyError) as failed:
            error = str(failed) or type(failed).__name__
        since_s = (self._clocks[0]() - self._found[-1].mono_ns) * 1e-9 if self._found else 0.0
        unseen_s = max(0.0, since_s) + (0.0 if ended else self._settings.every_s)
        with contextlib.suppress(OSError):  # a full file system: the sign of life says so
            write_atomically(self._node / CLOCK, Compared(self._found, unseen_s, error).text())


def comparer(node: Path) -> Comparer | None:
    """That of a node whose leader tells the time; None where it does not."""
    from omegaconf import OmegaConf

    if not (path := os.environ.get(VARIABLE)):
        return None
    config: Any = OmegaConf.to_container(OmegaConf.load(node / CONFIG), resolve=True)
    return Comparer(node, Path(path), from_config(config["clocks"]))
