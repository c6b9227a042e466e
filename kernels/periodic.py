"""A load with a period: work for a part of it, rest for what is left, again and again on the host's clock.

For sensors, power supplies and sites that have to bear steps of power (how training at scale loads a grid: arXiv
2508.14318). One launch is one period: ``n`` slices of work, a wait until the device has done them, and rest until the
period is over. Deadlines follow each other without drift: what a launch is late is taken from its rest, unless it was
late by more than a tenth of a period (others were doing something in between); then the count begins anew. A period
ends as exactly as the system wakes a sleeper, a fraction of a millisecond, and nothing spins meanwhile: rest is rest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from perwatt.kernels.workload import Unsupported

SHORTEST_S, LONGEST_S = 0.01, 60.0
_LATE = 0.1  # of a period
_ROUNDS = 5
_ROUND_S = 0.02  # slices are timed over at least this long: below it, the wait for a device shows
_MOST_OFF = 1.25  # of the wanted working time that the least possible, one slice, may take


def check(kernel: str, duty: object, period_s: object) -> None:
    """Raise ValueError unless 0 < ``duty`` <= 1, with a period where it is below 1, and without one where it is 1."""
    if not isinstance(duty, int | float) or isinstance(duty, bool) or not 0 < duty <= 1:
        raise ValueError(f"{kernel}.duty: {duty!r} is not a number above 0 and up to 1")
    if duty == 1:
        if period_s is not None:
            raise ValueError(f"{kernel}.period_s: {period_s!r} seconds: there is a period only with a duty below 1")
    elif not isinstance(period_s, int | float) or isinstance(period_s, bool):
        raise ValueError(f"{kernel}.period_s: {period_s!r} is not a number of seconds, which a duty below 1 needs")
    elif not SHORTEST_S <= period_s <= LONGEST_S:
        raise ValueError(f"{kernel}.period_s: {period_s!r} is not between {SHORTEST_S:g} and {LONGEST_S:g} seconds")


class Periodic:
    """``work`` queues one slice, ``synchronize`` waits until what was queued is done; ``launch`` is one period.

    ``n`` is the number of slices and ``slice_s`` what one was found to take, by timing it when this is made. Raises
    Unsupported where a single slice takes longer than the work of a period should.
    """

    def __init__(
        self,
        work: Callable[[], object],
        synchronize: Callable[[], object],
        duty: float,
        period_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._work, self._synchronize, self._clock, self._sleep = work, synchronize, clock, sleep
        self.period_s = period_s
        self.slice_s = self._time()
        self.n = max(1, round(duty * period_s / self.slice_s))
        if self.n * self.slice_s > _MOST_OFF * duty * period_s:
            raise Unsupported(
                f"one slice of work takes {self.slice_s:.3g} s, longer than {duty:g} of {period_s:g} s: "
                "give it less work or more time"
            )
        self._due_s: float | None = None

    @property
    def duty(self) -> float:
        """The part of the period in which the device works, by the time that a slice takes."""
        return self.n * self.slice_s / self.period_s

    @property
    def note(self) -> str:
        """What was found, for the record."""
        each = f"{self.n} slice{'s' * (self.n > 1)} of {1e3 * self.slice_s:.3g} ms"
        return f"{each} in every {self.period_s:g} s: duty {self.duty:.3g}"

    def launch(self) -> None:
        """Work, then rest until the period is over."""
        now_s = self._clock()
        begin_s = now_s if self._due_s is None or now_s - self._due_s > _LATE * self.period_s else self._due_s
        self._run(self.n)
        self._due_s = begin_s + self.period_s
        if (left_s := self._due_s - self._clock()) > 0:
            self._sleep(left_s)

    def _run(self, slices: int) -> None:
        for _ in range(slices):
            self._work()
        self._synchronize()

    def _time(self) -> float:
        """Seconds of one slice: the median of some rounds, each long enough for the clock and for the wait."""
        self._run(1)  # whatever the first one loads
        took_s, count = self._timed(1), 1
        while took_s < _ROUND_S and count < 1 << 20:
            count *= max(2, min(16, round(_ROUND_S / max(took_s, 1e-6))))
            took_s = self._timed(count)
        return max(statistics.median(self._timed(count) for _ in range(_ROUNDS)) / count, 1e-9)

    def _timed(self, slices: int) -> float:
        start_s = self._clock()
        self._run(slices)
        return self._clock() - start_s
