"""From UTC, which a remote meter stamps by, to the host's monotonic clock, which the windows of a run are stamped by.

A run takes both clocks at its start and at its end. In between UTC drifts a little, by the host's oscillator and by
what NTP does about it; more than that is a step, and then nobody knows when it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perwatt.results.traces.trace import Stamps

STEP_S, STEP_PPM = 0.01, 500.0  # between its two pairs a clock drifts by no more; what does was stepped


@dataclass(frozen=True)
class ClockPair:
    """The same moment on the host's monotonic clock and in UTC, both in ns."""

    mono_ns: int
    utc_ns: int


@dataclass(frozen=True)
class RunClock:
    """The clocks of a run's host at its start and end; in between UTC is taken to drift evenly."""

    start: ClockPair
    end: ClockPair

    @property
    def change_s(self) -> float:
        """By how much UTC gained on the monotonic clock between the pairs: drift, or a step by NTP."""
        return ((self.end.utc_ns - self.start.utc_ns) - (self.end.mono_ns - self.start.mono_ns)) * 1e-9

    @property
    def drift_s(self) -> float:
        """The most that may be drift."""
        return STEP_S + STEP_PPM * 1e-6 * (self.end.mono_ns - self.start.mono_ns) * 1e-9

    @property
    def stepped(self) -> bool:
        """Whether UTC gained more than drift."""
        return abs(self.change_s) > self.drift_s

    def mono(self, utc_ns: Stamps) -> Stamps:
        """UTC as the host's monotonic clock."""
        late = self._part(utc_ns - self.start.utc_ns, self.end.utc_ns - self.start.utc_ns)
        return np.asarray(utc_ns - (self.start.utc_ns - self.start.mono_ns) - late, dtype=np.int64)

    def utc(self, mono_ns: Stamps) -> Stamps:
        """The host's monotonic clock as UTC."""
        late = self._part(mono_ns - self.start.mono_ns, self.end.mono_ns - self.start.mono_ns)
        return np.asarray(mono_ns + (self.start.utc_ns - self.start.mono_ns) + late, dtype=np.int64)

    def _part(self, since_ns: Stamps, span_ns: int) -> Stamps:
        share = np.clip(since_ns / span_ns, 0.0, 1.0) if span_ns > 0 else np.zeros(len(since_ns))
        return np.asarray(np.round(share * (self.change_s * 1e9)), dtype=np.int64)


def several(clock: Mapping[str, Any]) -> str:
    """Why one pair of clocks does not do for a run that was resumed: a monotonic clock begins anew on another machine,
    and after each boot. Empty where one does. ``clock``: of ``environment.json``."""
    allocations = clock.get("allocations") or []
    hosts = {str(one.get("boot", "")): str(one.get("host", "")) for one in allocations}
    if len(hosts) < 2:
        return ""
    return f"measured under {len(hosts)} monotonic clocks ({', '.join(hosts.values())}), as it was resumed"


def clock_term(load_w: float, outside_w: float, delta_s: float, energy_j: float) -> float:
    """Relative standard uncertainty of an energy whose window may lie up to ``delta_s`` off: a rectangular bound.

    A shift exchanges power of the window for power outside it; with guard bands the two are equal and the term is 0.
    """
    return float(abs(load_w - outside_w) * delta_s / (np.sqrt(3) * energy_j))
