"""A meter of known truth for tests of windows and loops."""

from __future__ import annotations

import time
from collections.abc import Callable

from perwatt.benchmarks.meters.meter import Capabilities, Kind, Meter, Part, Reading, Status


class Known(Meter):
    """A meter whose value is a function of time."""

    scope = "host"
    period_s = 0.0
    quantum: float | None = None

    def __init__(self, kind: Kind, value: Callable[[float], float], status: Callable[[float], Status] = lambda _: "ok"):
        self.kind, self.value, self.status = kind, value, status

    def open(self, part: Part) -> Capabilities:
        self.zero = time.monotonic()
        period_s = self.period_s or (1e-6 if self.kind == "energy" else 0.01)  # the counter is true at every moment
        return Capabilities(f"known_{self.kind}", self.kind, "node_ac", ("p",), period_s, 0.01, self.quantum, "D")

    def read(self) -> Reading:
        now = time.monotonic()
        status = self.status(now - self.zero)
        value = self.value(now - self.zero) if status == "ok" else None
        return Reading(round(now * 1e9), 0, value, status)
