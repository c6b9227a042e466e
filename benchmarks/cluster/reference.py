"""The leader's clock, told to whoever of its nodes asks; and the moment at which all nodes begin under load.

A thread of the leader, at an address that stands with a secret in a file that only the user may read. Nobody keeps a
line open: a node connects, asks and leaves, so that thousands need no more files than a leader may have open.
"""

from __future__ import annotations

import contextlib
import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from perwatt.benchmarks.channel import Line, Message, knows, listen_on_network
from perwatt.benchmarks.cluster.clocks import Clocks

VARIABLE = "PERWATT_REFERENCE"
PREFIX = ".clock-"
POLL_S = 0.2
A_SECOND = 2000  # nodes that may ask whether to begin: a thread answers several thousand
HELLO_S = 10.0  # for whoever has connected to say the secret


class Reference(threading.Thread):
    """Tells the time, and when to begin, to ``hosts``; ``path`` is where its address stands. The time is UTC as it was
    when this began and goes on evenly: a step of the leader's own clock moves no node's samples."""

    def __init__(self, path: Path, hosts: Sequence[str], settings: Clocks, utc_ns: Callable[[], int] = time.time_ns):
        super().__init__(name="clock", daemon=True)
        self.path, self._settings = path, settings
        self._server, self._secret = listen_on_network(path, hosts[-1])
        self._server.setblocking(False)
        self.utc_ns = utc_clock(utc_ns)
        self._awaited, self._ready = set(hosts), set[str]()
        self._first: float | None = None  # when the first was ready
        self._start_ns: int | None = None
        self._again_s = max(POLL_S, len(hosts) / A_SECOND)
        self._selector = selectors.DefaultSelector()
        self._strangers: dict[Line, float] = {}
        self._over = threading.Event()

    def now_ns(self) -> int:
        """The leader's time."""
        return self.utc_ns(time.monotonic_ns())

    def run(self) -> None:
        """Answer until closed."""
        self._selector.register(self._server, selectors.EVENT_READ)
        while not self._over.is_set():
            for key, _ in self._selector.select(POLL_S):
                if key.fileobj is self._server:
                    self._accept()
                else:
                    self._answer(key.data)
            for line, since in list(self._strangers.items()):
                if time.monotonic() - since > HELLO_S:
                    self._hang_up(line)
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                self._hang_up(key.data)
        self._selector.close()

    def close(self) -> None:
        """Nobody is answered any more."""
        self._over.set()
        if self.is_alive():
            self.join()
        self._server.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:  # it has left already, or there is no room for one more now
            time.sleep(0.001)
            return
        connection.settimeout(1.0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(connection)
        self._strangers[line] = time.monotonic()
        self._selector.register(line, selectors.EVENT_READ, line)

    def _answer(self, line: Line) -> None:
        try:
            messages = line.receive()
            heard_ns = self.now_ns()
            if messages is None:
                self._hang_up(line)
                return
            for message in messages:
                if line in self._strangers:
                    if not knows(message, self._secret):
                        self._hang_up(line)
                        return
                    del self._strangers[line]
                line.send({"heard_ns": heard_ns, **self._reply(message), "said_ns": self.now_ns()})
        except (OSError, ValueError, AttributeError):
            self._hang_up(line)

    def _reply(self, message: Message) -> Message:
        host = str(message.get("host", ""))
        match message.get("ask"):
            case "begin":
                self._ready.add(host)
                return {"start_ns": self._agreed(), "again_s": self._again_s}
            case "left":  # it has nothing to measure any more
                self._awaited.discard(host)
        return {}

    def _agreed(self) -> int | None:
        """When all begin; None while some are waited for."""
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        if self._start_ns is None and (
            self._awaited <= self._ready or now - self._first >= self._settings.start_wait_s
        ):
            self._start_ns = self.now_ns() + round((self._again_s + self._settings.lead_s) * 1e9)
        return self._start_ns

    def _hang_up(self, line: Line) -> None:
        self._strangers.pop(line, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(line)
        line.close()


def _ahead_ns(utc_ns: Callable[[], int], tries: int = 5) -> int:
    """By how much UTC is ahead of the monotonic clock, by the quickest of some looks at both."""
    looks = [(time.monotonic_ns(), utc_ns(), time.monotonic_ns()) for _ in range(tries)]
    before_ns, utc, after_ns = min(looks, key=lambda look: look[2] - look[0])
    return utc - (before_ns + after_ns) // 2


def utc_clock(utc_ns: Callable[[], int] = time.time_ns) -> Callable[[int], int]:
    """From this machine's monotonic clock to its UTC as it is now, which goes on evenly: both in ns."""
    ahead_ns = _ahead_ns(utc_ns)
    return lambda mono_ns: mono_ns + ahead_ns


@contextlib.contextmanager
def reference(
    run: Path, hosts: Sequence[str], settings: Clocks | None, tell: Callable[[str], None]
) -> Iterator[Reference | None]:
    """The leader's clock for as long as the nodes measure; None where it is not asked for, and, which is told, where no
    node could reach it."""
    for left in run.glob(f"{PREFIX}*"):  # of a leader that was killed; there is but one at a time
        shutil.rmtree(left, ignore_errors=True)
    folder: Path | None = None
    try:
        if not hosts or settings is None:
            yield None
            return
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=run)).resolve()
            made = Reference(folder / "s", hosts, settings)
        except OSError as error:
            tell(f"clocks are not compared: {hosts[-1]}: {error.strerror or error}")
            yield None
            return
        made.start()
        try:
            yield made
        finally:
            made.close()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
