"""How a run ends: by itself, or because somebody asked; and what it then has to show."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence

from perwatt.benchmarks.crew import Crew
from perwatt.results.record import Failed, Record


class Interrupted(Exception):
    """Ctrl-C (or a batch system's SIGTERM): stop after the current sample, keep what there is."""


@dataclasses.dataclass
class Tally:
    """How a run ended."""

    measured: int = 0
    skipped: int = 0
    failed: int = 0
    interrupted: bool = False
    lost: str = ""  # why records could no longer be written
    lost_nodes: int = 0  # of a fleet, that failed or are missing

    def count(self, records: Sequence[Record]) -> None:
        """Count the outcomes of a run's records."""
        self.measured = sum(r.measured is not None for r in records)
        self.failed = sum(isinstance(r.outcome, Failed) for r in records)
        self.skipped = len(records) - self.measured - self.failed

    def exit_code(self, allow_failed: bool) -> int:
        """130 interrupted, 1 a case or a node failed or records could not be written, 3 nothing measured, else 0."""
        if self.interrupted:
            return 130
        if self.lost or ((self.failed or self.lost_nodes) and not allow_failed):
            return 1
        return 0 if self.measured else 3


class Stop:
    """The first signal asks the ranks to stop after the current sample, the second one stops everything at once."""

    def __init__(self) -> None:
        self.asked = False
        self.crews: list[Crew] = []

    def __enter__(self) -> Stop:
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _handle(self, number: int, frame: object) -> None:
        if self.asked:
            for crew in self.crews:
                crew.kill()  # or the threads that wait for its answer would wait on
            raise KeyboardInterrupt
        self.asked = True
        for crew in self.crews:
            crew.stop()

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
