"""How a run ends: by itself, or because somebody asked; and what it then has to show."""

from __future__ import annotations

import dataclasses
import queue
import signal
import threading
import time
from collections.abc import Sequence

from perwatt.benchmarks.launch.allocation import usable
from perwatt.benchmarks.watched import Watched
from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.record import Failed, Record

LEAVE_S = 5.0  # for who passes on what was asked to come to an end


class Interrupted(Exception):
    """Ctrl-C (or a batch system's SIGTERM): stop after the current sample, keep what there is."""


@dataclasses.dataclass
class Tally:
    """How a run ended."""

    measured: int = 0
    skipped: int = 0
    failed: int = 0
    interrupted: bool = False
    stopped: str = ""  # why, if not by the user at the terminal
    lost: str = ""  # why records could no longer be written
    lost_nodes: int = 0  # of a fleet: nodes that failed or are missing, leaves and links that are to blame
    undecided: int = 0  # of a fleet: what is neither good nor bad

    def count(self, records: Sequence[Record]) -> None:
        """Count the outcomes of a run's records."""
        self.measured = sum(r.measured is not None for r in records)
        failed = sum(isinstance(r.outcome, Failed) for r in records)
        self.skipped = len(records) - self.measured - failed
        # its times and energies are kept, but they are not of the work that they should be of
        self.failed = failed + sum(WRONG_OUTPUT in r.flags for r in records)

    def exit_code(self, allow_failed: bool) -> int:
        """130 interrupted, 1 a case or a node failed or records could not be written, 3 nothing measured, 4 a node
        is not decided, else 0."""
        if self.interrupted:
            return 130
        if self.lost or ((self.failed or self.lost_nodes) and not allow_failed):
            return 1
        if not self.measured:
            return 3
        return 4 if self.undecided and not allow_failed else 0


class Stop:
    """Ctrl-C or SIGTERM asks the ranks to stop after the current sample; a further Ctrl-C stops everything at once.
    SIGTERM never does: of one end a node may be told by its own clock, by the batch system and by its leader. Once the
    run is over that was asked to stop, its process is about to end and ignores SIGTERM until it has.

    The end of the allocation, ``left_s`` seconds from now, asks as a signal does, in time for what there is to be kept.
    ``reason``: why somebody other than the user at the terminal asked.

    A signal interrupts whatever the main thread does, be it that it sends to a rank or is told of a signal before: its
    handler takes no lock, which may be held already, and leaves the telling to a thread.
    """

    def __init__(self, left_s: float | None = None) -> None:
        self.asked, self._event = False, threading.Event()
        self.reason = self._over = ""
        self.crews: list[Watched] = _Crews(self)
        self._until: float | None = None
        usable_s: float | None = None
        if left_s is not None:
            usable_s = usable(left_s)
            self._until = time.monotonic() + usable_s
            self._over = f"the allocation ends {left_s:.0f} s after the run began"
        # its put may interrupt another one
        self._heard: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._teller = threading.Thread(target=self._tell, args=(usable_s,), name="stop", daemon=True)

    def __enter__(self) -> Stop:
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        self._teller.start()
        return self

    def ask(self, reason: str) -> None:
        """Have the ranks stop after the current sample."""
        self.asked, self.reason = True, self.reason or reason
        self._event.set()
        for crew in list(self.crews):
            crew.stop()

    def within(self, seconds: float) -> bool:
        """Whether somebody has asked to stop, or does so within so many seconds."""
        return self.asked or self._event.wait(seconds)

    def check(self, seconds: float) -> None:
        """Raises Interrupted if somebody has asked to stop, or if the allocation ends within so many seconds."""
        if self._until is not None and time.monotonic() + seconds > self._until:
            self.ask(self._over)
        if self.asked:
            raise Interrupted

    def _handle(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT:
            for crew in list(self.crews):
                crew.kill()  # or the threads that wait for its answer would wait on
            raise KeyboardInterrupt
        reason = "" if number == signal.SIGINT else f"it was stopped by {signal.Signals(number).name}"
        self.asked, self.reason = True, self.reason or reason
        self._heard.put(True)

    def _tell(self, usable_s: float | None) -> None:
        """Pass on what the signals ask, and what the clock does, until the run is over."""
        while True:
            try:
                most_s = None if usable_s is None else min(usable_s, threading.TIMEOUT_MAX)
                if not self._heard.get(timeout=most_s):
                    return
                self.ask(self.reason)
            except queue.Empty:
                self.ask(self._over)
            usable_s = None  # once is enough

    def __exit__(self, *_: object) -> None:
        if self.asked:
            # said again while the last is written and told, it would kill; a handler goes before Python does
            self._before[signal.SIGTERM] = signal.SIG_IGN
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._heard.put(False)
        self._teller.join(LEAVE_S)


class _Crews(list[Watched]):
    """Those that are to be stopped; one that comes only after somebody has asked is told at once."""

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self._stop = stop

    def append(self, crew: Watched) -> None:
        """One more."""
        super().append(crew)
        if self._stop.asked:
            crew.stop()
