"""Reading the meters while the device works: a thread a meter, at that meter's own pace.

A thread lives as long as its rank. A meter that hangs keeps only its own thread; the case goes on, and when the meter
answers again its thread goes on too. Near the edges of a window a counter is read more often (``hurry``), so that the
moments at which it was renewed are known to a few milliseconds.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Snapshot, Unavailable, Vitals
from perwatt.results.energy import ticks
from perwatt.results.uncertainty import resolution_term, staleness_term

# Near an edge a counter is read this often in one of its periods: no whole number, so that the polls of one period fall
# between those of the next, and together they bound the renewals closely.
TICK_PARTS = 20.6
LEAST_POLL_S = 0.004
PATIENCE_S = 0.05  # how long an edge waits for a meter that is being read already
SILENT_POLLS, SILENT_S = 10, 1.0  # a meter that has said nothing usable for longer than both is not waited for
FROZEN_PERIODS = 10  # nor is a counter that has not moved for so many


def _stamp(reading: Reading) -> int:
    return reading.mono_ns


@dataclass
class Channel:
    """One opened meter with everything that it has said, in time order."""

    meter: Meter
    capabilities: Capabilities
    readings: list[Reading] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    correction: tuple[float, float] = (1.0, 0.0)  # gain and offset in W of a calibration
    calibration: str = ""
    _active: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _hurry: bool = False
    _since_ns: int = 0  # polled since

    def poll(self, patience_s: float = -1) -> Reading | None:
        """Read now and keep the reading; None if the meter is still busy after ``patience_s`` (forever if negative)."""
        if not self.lock.acquire(timeout=patience_s):
            return None
        try:
            reading = self._read()
            self.readings.append(reading)
            return reading
        finally:
            self.lock.release()

    def _read(self) -> Reading:
        start = time.monotonic_ns()
        try:
            return self.meter.read()
        except Exception:  # a library's surprise must not end the measurement of everything else
            now = time.monotonic_ns()
            return Reading((start + now) // 2, now - start, None, "lost")

    @property
    def series(self) -> str:
        """Its name in the telemetry."""
        unit = "energy_j" if self.capabilities.kind == "energy" else "power_w"
        return f"{unit}:{self.capabilities.name}"

    def between(self, start_ns: int, end_ns: int) -> list[Reading]:
        """The readings from ``start_ns`` to ``end_ns``; never waits for the meter."""
        low = bisect.bisect_left(self.readings, start_ns, key=_stamp)
        return self.readings[low : bisect.bisect_right(self.readings, end_ns, key=_stamp)]

    def ticked_since(self, start_ns: int) -> bool:
        """Whether a counter was renewed after ``start_ns``, or a gauge has spoken of the time after it."""
        about = self.capabilities
        from_ns = start_ns + (about.late_ns if about.kind == "power" else 0)
        later = [r.value for r in self.between(from_ns, time.monotonic_ns()) if r.value is not None]
        return len(set(later)) > 1 if self._ticks else bool(later)

    @property
    def _ticks(self) -> bool:
        """Whether this is a counter whose renewals can be seen one by one; a faster one is true when it is read."""
        about = self.capabilities
        return about.kind == "energy" and about.period_s >= 2 * LEAST_POLL_S

    def silent(self) -> bool:
        """Whether it has said nothing that could be used for so long that nobody should wait for it: it hangs, is lost
        or answers too slowly."""
        about, now_ns = self.capabilities, time.monotonic_ns()
        longest_s = max(SILENT_S, SILENT_POLLS * max(about.poll_s, about.period_s))
        from_ns = now_ns - round(longest_s * 1e9)
        if self._since_ns > from_ns:
            return False
        lately = self.between(from_ns, now_ns)
        return not any(r.value is not None and r.call_ns <= about.longest_call_ns for r in lately)

    def counted(self, start_ns: int) -> tuple[float, float]:
        """Seconds and joules between the first and the last word of a counter since ``start_ns``; 0 of a few words."""
        inside = self.between(start_ns, time.monotonic_ns())
        first = next((r for r in inside if r.value is not None), None)
        last = next((r for r in reversed(inside) if r.value is not None), None)
        if first is None or last is None or first.value is None or last.value is None:
            return 0.0, 0.0
        return (last.mono_ns - first.mono_ns) * 1e-9, last.value - first.value

    # -- the thread ----------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Poll from now on."""
        if not self._active.is_set():
            self._since_ns = time.monotonic_ns()
        self._active.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name=f"meter {self.capabilities.name}", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Poll no more, until resumed."""
        self._active.clear()
        self._wake.set()

    def hurry(self, on: bool) -> None:
        """Read at the pace that shows each renewal of a counter."""
        if on != self._hurry and self._ticks and not self.capabilities.remote:
            self._hurry = on
            self._wake.set()

    def _loop(self) -> None:
        about = self.capabilities
        quick_s = max(LEAST_POLL_S, about.period_s / TICK_PARTS)
        due = time.monotonic()
        while self._active.wait():
            # a fixed grid, not a fixed pause: the time of a call does not add up to drift
            due = max(due + (min(quick_s, about.poll_s) if self._hurry else about.poll_s), time.monotonic())
            if self._wake.wait(max(0.0, due - time.monotonic())):
                self._wake.clear()
                due = time.monotonic()
            if self._active.is_set():
                self.poll()


def open_meters(meters: dict[str, Meter], part: Part, host: bool) -> tuple[list[Channel], dict[str, Unavailable]]:
    """Open what can be opened for this device; ``host`` says whether this rank owns the node's meters.

    A meter goes by its name in the configuration, so that there can be several of a kind. Returns the opened meters
    and, by name, why the others are missing.
    """
    channels: list[Channel] = []
    missing = {}
    for name, meter in meters.items():
        if meter.scope == "host" and not host:
            continue
        try:
            channels.append(Channel(meter, replace(meter.open(part), name=name)))
        except Unavailable as reason:
            missing[name] = reason
    return channels, missing


class Sampler:
    """All meters of a case; polls them from entry to exit."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.channels = channels

    def __enter__(self) -> Sampler:
        for channel in self.channels:
            channel.readings.clear()
        self.edge()
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def resume(self) -> None:
        """Poll from now on."""
        for channel in self.channels:
            channel.resume()

    def pause(self) -> None:
        """Poll no more, until resumed."""
        for channel in self.channels:
            channel.pause()

    def hurry(self, on: bool) -> None:
        """Read counters at the pace that shows their renewals, near the edges of a window."""
        for channel in self.channels:
            channel.hurry(on)

    def edge(self) -> None:
        """Read every meter at hand once; one behind a network or a slow bus is not waited for."""
        for channel in self.channels:
            if not channel.capabilities.remote:
                channel.poll(PATIENCE_S)

    def snapshots(self) -> list[Snapshot]:
        """What the meters know of the device beside its power."""
        found = []
        for channel in self.channels:
            if not channel.capabilities.remote and channel.lock.acquire(timeout=PATIENCE_S):
                try:
                    found.append(channel.meter.snapshot())
                except Exception:  # as for a reading
                    found.append(None)
                finally:
                    channel.lock.release()
        return [s for s in found if s is not None]

    def vitals(self) -> dict[str, tuple[Vitals, float]]:
        """The health of each metered part by its package, and the seconds that telling it took: one meter of several
        is asked. Not for a window: it may take milliseconds."""
        found: dict[str, tuple[Vitals, float]] = {}
        for channel in self.channels:
            about, package = channel.capabilities, "+".join(channel.capabilities.packages)
            if about.remote or package in found or channel.silent():
                continue
            if not channel.lock.acquire(timeout=PATIENCE_S):
                continue
            try:
                began = time.perf_counter()
                if (told := channel.meter.vitals()) is not None:
                    found[package] = told, time.perf_counter() - began
            except Exception:  # as for a reading
                continue
            finally:
                channel.lock.release()
        return found

    @property
    def period_s(self) -> float:
        """The slowest renewal of a counter at hand; 0 without one."""
        near = (c.capabilities for c in self.channels if not c.capabilities.remote)
        return max((a.period_s for a in near if a.kind == "energy"), default=0.0)

    @property
    def settle_s(self) -> float:
        """How long the load must have run before every reading speaks of it: delay, averaging, a counter's renewals."""
        return max(
            (a.delay_s + 2 * a.averaging_s + 2.5 * a.period_s for a in (c.capabilities for c in self.channels)),
            default=0.0,
        )

    def ticked_since(self, start_ns: int) -> bool:
        """Whether each meter that speaks has been renewed after ``start_ns``."""
        return all(c.silent() or c.ticked_since(start_ns) for c in self.channels)

    def fewest_readings(self, start_ns: int) -> int | None:
        """How often the least asked meter that speaks has answered since ``start_ns``; None without one."""
        now = time.monotonic_ns()
        return min((len(c.between(start_ns, now)) for c in self.channels if not c.silent()), default=None)

    def counting_error(self, start_ns: int) -> float:
        """The largest relative standard uncertainty that the renewals and the steps of a counter leave in its energy
        since ``start_ns``, were it read whenever it suits; 0 without a counter that speaks and moves."""
        worst = 0.0
        for channel in self.channels:
            about = channel.capabilities
            if about.kind != "energy" or channel.silent():
                continue
            seconds, joules = channel.counted(start_ns)
            if joules > 0:
                steps = resolution_term(about.quantum or 0.0, joules, "energy", 1.0, 1)
                worst = max(worst, math.hypot(staleness_term(about.period_s, seconds), steps))
            elif seconds <= FROZEN_PERIODS * about.period_s:
                worst = math.inf
        return worst

    def mean_w(self, start_ns: int, end_ns: int) -> float | None:
        """Mean power of a stretch under load by the first meter that can say, for judging whether it is steady."""
        for channel in self.channels:
            said = [(r.mono_ns, r.value) for r in channel.between(start_ns, end_ns) if r.value is not None]
            if len(said) < 2:
                continue
            if channel.capabilities.kind == "power":
                return sum(v for _, v in said) / len(said)
            found = ticks([t for t, _ in said], [v for _, v in said], channel.capabilities.period_s)
            if len(found.t_ns) > 1:
                return float((found.energy_j[-1] - found.energy_j[0]) / ((found.t_ns[-1] - found.t_ns[0]) * 1e-9))
        return None

    def watts(self) -> float | None:
        """Power now, for the progress line: the last reading of a power meter, else the slope of a counter."""
        for channel in self.channels:
            last = [r for r in channel.readings[-50:] if r.value is not None]
            if not last:
                continue
            if channel.capabilities.kind == "power":
                return last[-1].value
            if (span := last[-1].mono_ns - last[0].mono_ns) > 0:
                return (last[-1].value - last[0].value) / span * 1e9  # type: ignore[operator]
        return None
