"""How long the rounds of a burn-in go on: ``duration=24h`` of measuring, over however many interruptions."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from perwatt.benchmarks.config import BadRequest
from perwatt.results.record import Record, Skipped
from perwatt.results.rounds import spent_s

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: object) -> float:
    """``90s``, ``30m``, ``1.5h`` in seconds. Raises BadRequest for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(duration))
    value = float(found[1]) * UNITS[found[2]] if found else 0.0
    if value <= 0:
        raise BadRequest(f"duration: found {duration!r}; allowed a time above 0 as 90s, 30m or 24h")
    return value


class Soak:
    """The time that a run's rounds have taken, with what ``records`` say of earlier tries, against ``duration_s``.

    ``number``: the round that is measured now, from 1: the last one that was begun.
    """

    def __init__(self, duration_s: float, records: Sequence[Record]) -> None:
        self.duration_s = duration_s
        self.spent_s = spent_s(records)
        self.number = max((r.round.number for r in records if r.round), default=1)
        self._began = time.monotonic()

    def done(self, records: Sequence[Record]) -> set[str]:
        """The cases that this round holds a whole record of, and those that cannot run here, which is told once."""
        whole = [r for r in records if "interrupted" not in r.flags]
        mine = {r.case.key for r in whole if r.round and r.round.number == self.number}
        return mine | {r.case.key for r in whole if isinstance(r.outcome, Skipped)}

    def idle(self, records: Sequence[Record]) -> bool:
        """Whether this round measured nothing, and the next one would not either."""
        return not any(r.measured for r in records if r.round and r.round.number == self.number)

    def begin(self) -> None:
        """A case begins."""
        self._began = time.monotonic()

    def took_s(self) -> float:
        """What the case that began last has taken so far."""
        return time.monotonic() - self._began

    def end(self) -> None:
        """The case, on all its devices, has its records."""
        self.spent_s += self.took_s()
        self._began = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether no other case is to begin."""
        return self.spent_s >= self.duration_s

    def left_s(self) -> float:
        """What is left, the case in progress counted."""
        return max(0.0, self.duration_s - self.spent_s - self.took_s())
