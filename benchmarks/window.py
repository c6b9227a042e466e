"""The measured interval: the energy of exactly the time that was worked, and the state of the device over it.

A window is open while the device works, between two moments at which it was idle-synchronised. A window of a periodic
load may be made of several spans. The meters go on being read before and after, and what they said is turned into
energies once the readings after the last edge are in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from perwatt.benchmarks.joules import Heard, Span, energies, lost
from perwatt.benchmarks.meters.meter import Snapshot
from perwatt.benchmarks.sampler import Sampler
from perwatt.results.record import Conditions, Energy

MARGIN_S = 2.0  # of readings kept on either side, and ten polls of a slow meter


class Window:
    """One measured window over a running sampler: ``open`` and ``close`` each span, then ask for its energies."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self.spans: list[Span] = []
        self._start_ns = 0
        self._before: list[Snapshot] = []
        self._after: list[Snapshot] = []
        self._before_ns = self._after_ns = 0

    @property
    def start_ns(self) -> int:
        """Start of the first span."""
        return self.spans[0][0] if self.spans else self._start_ns

    @property
    def end_ns(self) -> int:
        """End of the last span."""
        return self.spans[-1][1]

    @property
    def seconds(self) -> float:
        """Length of all spans."""
        return sum(b - a for a, b in self.spans) * 1e-9

    def open(self) -> None:
        """The device is idle and synchronised: read every meter at hand, then start the clock."""
        if not self.spans:
            self._before = self.sampler.snapshots()
            self._before_ns = time.monotonic_ns()
        self.sampler.edge()
        self._start_ns = time.monotonic_ns()

    def close(self) -> None:
        """The device has finished and is synchronised: stop the clock, then read every meter at hand."""
        self.spans.append((self._start_ns, time.monotonic_ns()))
        self.sampler.edge()

    def look(self) -> None:
        """After the last span: the state of the device once more."""
        self._after_ns = time.monotonic_ns()
        self._after = self.sampler.snapshots()

    def _heard(self) -> list[Heard]:
        found = []
        for channel in self.sampler.channels:
            about = channel.capabilities
            margin_ns = round(max(MARGIN_S, 12 * about.poll_s, 12 * about.period_s) * 1e9)
            readings = channel.between(self.start_ns - margin_ns, self.end_ns + margin_ns)
            found.append(Heard(about, readings, channel.correction, channel.calibration))
        return found

    def energies(self, phased: bool = False) -> tuple[Energy, ...]:
        """The energy of the window by each meter that could say; call when the readings after it are in."""
        return energies(self._heard(), self.spans, phased)

    def lost(self) -> set[str]:
        """Why an opened meter has no energy of this window."""
        return lost(self._heard(), self.spans)

    def conditions(self) -> Conditions | None:
        """The state of the device over the window, as far as its meters tell."""
        return _conditions(self._before, self._after, self._after_ns - self._before_ns)


def _conditions(before: Sequence[Snapshot], after: Sequence[Snapshot], length_ns: int) -> Conditions | None:
    if not before or not after or length_ns <= 0:
        return None
    first, last = _merged(before), _merged(after)
    throttled = {k: last.throttle_ns[k] - v for k, v in first.throttle_ns.items() if k in last.throttle_ns}
    return Conditions(
        # counters are kept by the driver in steps of its own: a little over the whole window is the whole window
        throttled={k: min(v / length_ns, 1.0) for k, v in throttled.items() if v >= 0},
        temperature_c={
            k: (v, last.temperature_c[k]) for k, v in first.temperature_c.items() if k in last.temperature_c
        },
        clock_hz={k: (v, last.clock_hz[k]) for k, v in first.clock_hz.items() if k in last.clock_hz},
        limit_w=last.limit_w,
        ecc={k: last.ecc[k] - v for k, v in first.ecc.items() if k in last.ecc},
        others=_others(first, last),
    )


def _merged(snapshots: Sequence[Snapshot]) -> Snapshot:
    """What several meters of one device tell, the first word on each counting."""
    processes = [s.processes for s in snapshots if s.processes is not None]
    return Snapshot(
        throttle_ns={k: v for s in reversed(snapshots) for k, v in s.throttle_ns.items()},
        temperature_c={k: v for s in reversed(snapshots) for k, v in s.temperature_c.items()},
        clock_hz={k: v for s in reversed(snapshots) for k, v in s.clock_hz.items()},
        limit_w={k: v for s in reversed(snapshots) for k, v in s.limit_w.items()},
        ecc={k: v for s in reversed(snapshots) for k, v in s.ecc.items()},
        processes=tuple(sorted({p for each in processes for p in each})) if processes else None,
    )


def _others(first: Snapshot, last: Snapshot) -> int | None:
    """Processes on the device besides this one. In a container of its own process ids nothing can be told."""
    if first.processes is None or last.processes is None:
        return None
    seen = {*first.processes, *last.processes}
    return len(seen - {os.getpid()}) if os.getpid() in seen else None
