"""A power that somebody stated, for hardware that nothing meters: a model, class E, and called *modelled* everywhere.

It lets a run without meters carry an assumption through to a report; no uncertainty is stated of it and nothing that
was measured is ever ranked against it.
"""

from __future__ import annotations

import time

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Unavailable
from perwatt.benchmarks.meters.sysfs import number


class Constant(Meter):
    """``power_w`` at every moment, at ``boundary``."""

    scope = "host"

    def __init__(self, power_w: float | None = None, boundary: str = "node_ac", poll_s: float = 0.1) -> None:
        if power_w is not None:
            number("constant", "power_w", power_w, 1e-3, 1e9)
        number("constant", "poll_s", poll_s, 0.001, 60)
        self.power_w, self.boundary, self.poll_s = power_w, boundary, poll_s

    def open(self, part: Part) -> Capabilities:
        """Raises :class:`Unavailable` while no power was stated."""
        if self.power_w is None:
            raise Unavailable("no power was stated", "meter=constant meter.constant.power_w=700")
        return Capabilities(
            name="constant",
            kind="power",
            boundary=self.boundary,
            packages=("constant",),
            period_s=self.poll_s,
            poll_s=self.poll_s,
            quantum=None,
            accuracy_class="E",
            modelled=True,
            detail=f"{self.power_w:g} W, assumed",
        )

    def read(self) -> Reading:
        """What was stated."""
        return Reading(time.monotonic_ns(), 0, self.power_w)
