"""The measured interval: which meters run beneath it, and the energy of exactly the time that was worked.

A :class:`Sampler` reads every meter in threads of its own from the first warm-up launch to the last, so that power can
be drawn beneath the samples. A :class:`Window` reads each meter once more at both of its edges, after the device is
idle-synchronised, and turns the readings between into energy: counters by difference, power by integration.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Unavailable
from perwatt.results.energy import integrate
from perwatt.results.record import Energy, Source


@dataclass
class Channel:
    """One opened meter with everything that it has said, in time order."""

    meter: Meter
    capabilities: Capabilities
    readings: list[Reading] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> Reading:
        """Read now and keep the reading."""
        with self.lock:
            reading = self.meter.read()
            self.readings.append(reading)
        return reading

    @property
    def series(self) -> str:
        """Its name in the telemetry."""
        unit = "energy_j" if self.capabilities.kind == "energy" else "power_w"
        return f"{unit}:{self.capabilities.name}"

    def since(self, start_ns: int) -> list[Reading]:
        """The readings from ``start_ns`` on."""
        with self.lock:
            low = len(self.readings)
            while low and self.readings[low - 1].mono_ns >= start_ns:
                low -= 1
            return self.readings[low:]


def open_meters(meters: dict[str, Meter], part: Part, host: bool) -> tuple[list[Channel], dict[str, Unavailable]]:
    """Open what can be opened for this device; ``host`` says whether this rank owns the node's meters.

    Returns the opened meters and, by name, why the others are missing.
    """
    channels, missing = [], {}
    for name, meter in meters.items():
        if meter.scope == "host" and not host:
            continue
        try:
            channels.append(Channel(meter, meter.open(part)))
        except Unavailable as reason:
            missing[name] = reason
    return channels, missing


class Sampler:
    """Polls each meter at its own pace, in a thread a meter: a slow one does not hold up the others."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.channels = channels
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Sampler:
        self._stop.clear()
        for channel in self.channels:
            channel.readings.clear()
            channel.poll()
            name = f"meter {channel.capabilities.name}"
            self._threads.append(threading.Thread(target=self._loop, args=(channel,), name=name, daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def _loop(self, channel: Channel) -> None:
        due = time.monotonic()
        while True:
            # a fixed grid, not a fixed pause: the time of a call does not add up to drift
            due = max(due + channel.capabilities.poll_s, time.monotonic())
            if self._stop.wait(due - time.monotonic()):
                return
            channel.poll()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._threads.clear()

    def fewest_readings(self, start_ns: int) -> int | None:
        """How often the least asked meter has answered since ``start_ns``; None without meters."""
        return min((len(c.since(start_ns)) for c in self.channels), default=None)

    def watts(self) -> float | None:
        """Power now, for the progress line: the last reading of a power meter, else the slope of a counter."""
        for channel in self.channels:
            last = [r for r in channel.readings[-2:] if r.value is not None]
            if not last:
                continue
            if channel.capabilities.kind == "power":
                return last[-1].value
            if len(last) == 2 and (span := last[1].mono_ns - last[0].mono_ns) > 0:
                return (last[1].value - last[0].value) / span * 1e9  # type: ignore[operator]
        return None


class Window:
    """One measured window over a running sampler: ``open`` and ``close`` at the edges, then ``energies``."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self.start_ns = self.end_ns = 0
        self._edges: dict[str, tuple[Reading, Reading]] = {}

    def open(self) -> None:
        """The device is idle and synchronised: read every meter, then start the clock."""
        self._first = {c.capabilities.name: c.poll() for c in self.sampler.channels}
        self.start_ns = time.monotonic_ns()

    def close(self) -> None:
        """The device has finished and is synchronised: stop the clock, then read every meter."""
        self.end_ns = time.monotonic_ns()
        for channel in self.sampler.channels:
            name = channel.capabilities.name
            self._edges[name] = (self._first[name], channel.poll())

    def energies(self) -> tuple[Energy, ...]:
        """The energy of the window by each meter that could say; call after ``close``."""
        found = (self._energy(channel) for channel in self.sampler.channels)
        return tuple(energy for energy in found if energy is not None)

    def _energy(self, channel: Channel) -> Energy | None:
        about = channel.capabilities
        before, after = self._edges[about.name]
        readings = [r for r in channel.since(before.mono_ns) if r.mono_ns <= after.mono_ns]
        good = [r for r in readings if r.value is not None]
        flags = {r.status for r in readings if r.status != "ok"}
        inside = sum(self.start_ns <= r.mono_ns <= self.end_ns for r in good)
        energy_j: float | None
        source: Source
        if about.kind == "energy":
            source = "counter"
            # the readings lie just outside the window: the difference is scaled to the window's own length
            energy_j = None
            if before.value is not None and after.value is not None:
                span_ns = after.mono_ns - before.mono_ns
                energy_j = (after.value - before.value) * (self.end_ns - self.start_ns) / span_ns
                if energy_j <= 0:
                    energy_j = None  # the counter did not move or was reset: it says nothing of this window
        else:
            source = "integrated"
            t = np.array([r.mono_ns for r in good], dtype=np.int64)
            p = np.array([r.value for r in good], dtype=np.float64)
            result = integrate(t, p, self.start_ns, self.end_ns, about.poll_s)
            energy_j = result.energy_j
            flags.update(result.flags)  # type: ignore[arg-type]
        if energy_j is None:
            return None
        return Energy(
            meter=about.name,
            boundary=about.boundary,
            packages=about.packages,
            accuracy_class=about.accuracy_class,
            source="replayed" if about.replayed else source,
            energy_j=energy_j,
            readings=inside,
            flags=tuple(sorted(flags)),
        )
