"""Find out what the sensors of a board really do: a load is switched in known ways, and the readings are looked at.

Four parts: a steady load polled fast (the period), steps (delay, rise, averaging), square waves a little off the
period (how much of it the sensor looks at), and counter against polled power on the steady load and on the wave.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from perwatt.benchmarks.joules import Heard, energies
from perwatt.benchmarks.loads import Load
from perwatt.benchmarks.sampler import Channel
from perwatt.results.energy import ticks
from perwatt.results.sensor import Step, attention, renewals, step_response, update_period
from perwatt.results.traces.calibrate import Calibration, fit, levels
from perwatt.results.traces.trace import Trace

OFF_PERIOD = (0.98, 1.02)  # of the sensor's period: the beat takes fifty of them
SHORTEST_S = 0.01  # of a sensor's period that the load can be switched with
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the time that the load works, for a calibration


@dataclass(frozen=True)
class Durations:
    """Seconds of each part. The defaults take about three minutes; steps shorter than a sensor's averaging and delay
    together tell nothing of it."""

    steady_s: float = 20.0
    step_s: float = 6.0
    steps: int = 5
    wave_s: float = 12.0
    poll_s: float = 0.004

    @property
    def total_s(self) -> float:
        """About how long it all takes."""
        return self.steady_s + 2 * self.step_s * self.steps + 2 * self.wave_s


QUICK = Durations(steady_s=4.0, step_s=2.0, steps=2, wave_s=6.0)


@dataclass
class Found:
    """What was found of one channel; None where it could not be told."""

    period_s: float | None = None
    step: Step | None = None
    attention: float | None = None
    counter_vs_poll: dict[str, float] = field(default_factory=dict)


class Characteriser:
    """Drives the load and reads the channels itself, each at the pace that the parts need."""

    def __init__(
        self,
        channels: Sequence[Channel],
        load: Load,
        durations: Durations,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.channels, self.load, self.durations, self.tell = list(channels), load, durations, tell

    def run(self) -> dict[str, Found]:
        """All parts, one after the other; by the channel's name what was found. The load is off in the end."""
        found = {c.capabilities.name: Found() for c in self.channels}
        try:
            self._steady(found)
            self._steps(found)
            self._waves(found)
        finally:
            self.load.off()
        return found

    def against(self, reference: Channel, found: dict[str, Found]) -> dict[str, Calibration]:
        """Calibrate the gauges against a better meter that was opened beside them: steady levels from idle to full
        load, and a straight line through them. Raises ValueError where no line can be told."""
        edges: list[int] = []
        gauges = [c for c in self.channels if c.capabilities.kind == "power" and c is not reference]
        settle_s = max(s.step.delay_s + s.step.rise_s if s.step else 0.0 for s in found.values())
        settle_s = max(settle_s, 2 * reference.capabilities.averaging_s + 2 * reference.capabilities.period_s, 0.5)
        level_s = settle_s + max(self.durations.step_s, 6 * reference.capabilities.period_s)
        start_ns = time.monotonic_ns()
        try:
            for share in LEVELS:
                self.tell(f"level {share:.0%} beside {reference.capabilities.name}, {level_s:.0f} s")
                edges.append(time.monotonic_ns())
                self.load.on(share) if share else self.load.off()
                self._listen(level_s)
        finally:
            self.load.off()
        span = (start_ns, time.monotonic_ns())
        theirs = _trace(reference, span)
        out = {}
        for channel in gauges:
            step = found[channel.capabilities.name].step
            seen = levels(
                _trace(channel, span), theirs, edges, settle_s=settle_s, averaging_s=step.averaging_s if step else 0.0
            )
            out[channel.capabilities.name] = fit(
                seen, accuracy=reference.capabilities.accuracy, reference=reference.capabilities.name
            )
        return out

    def _listen(self, seconds: float, until_ns: int | None = None) -> None:
        """Read all channels for so long, or until a moment."""
        end_ns = until_ns if until_ns is not None else time.monotonic_ns() + round(seconds * 1e9)
        due_s = time.monotonic()
        while time.monotonic_ns() < end_ns:
            for channel in self.channels:
                channel.poll()
            due_s = max(due_s + self.durations.poll_s, time.monotonic())
            rest_s = min(due_s - time.monotonic(), (end_ns - time.monotonic_ns()) * 1e-9)
            if rest_s > 0:
                time.sleep(rest_s)

    def _steady(self, found: dict[str, Found]) -> None:
        self.tell(f"steady load, {self.durations.steady_s:.0f} s")
        self.load.on()
        self._listen(1.0)
        start_ns = time.monotonic_ns()
        self._listen(self.durations.steady_s)
        span = (start_ns, time.monotonic_ns())
        self._listen(0.5)
        for channel in self.channels:
            t, v = _arrays(channel, *span)
            found[channel.capabilities.name].period_s = update_period(t, v)
        self._compare(found, span, "steady")

    def _steps(self, found: dict[str, Found]) -> None:
        self.tell(f"{self.durations.steps} steps of {self.durations.step_s:.0f} s")
        edges: list[tuple[int, bool]] = []
        self.load.off()
        start_ns = time.monotonic_ns()
        edges.append((start_ns, False))
        self._listen(self.durations.step_s)
        for _ in range(self.durations.steps):
            for on in (True, False):
                (self.load.on if on else self.load.off)()
                edges.append((time.monotonic_ns(), on))
                self._listen(self.durations.step_s)
        edges.append((time.monotonic_ns(), True))
        for channel in self.channels:
            mine = found[channel.capabilities.name]
            if channel.capabilities.kind == "power":
                t, v = _arrays(channel, start_ns, edges[-1][0])
                mine.step = step_response(t, v, edges, mine.period_s or channel.capabilities.period_s)

    def _waves(self, found: dict[str, Found]) -> None:
        gauges = [c for c in self.channels if c.capabilities.kind == "power"]
        periods = [p for c in gauges if (p := found[c.capabilities.name].period_s) is not None]
        if not periods or min(periods) < SHORTEST_S:
            return  # nothing to beat with, or faster than the load can be switched
        shares: dict[str, list[float]] = {}
        for factor in OFF_PERIOD:
            self.tell(f"wave of {1e3 * factor * periods[0]:.1f} ms, {self.durations.wave_s:.0f} s")
            start_ns = time.monotonic_ns()
            self._wave(periods[0] * factor)
            span = (start_ns, time.monotonic_ns())
            for channel in gauges:
                mine = found[channel.capabilities.name]
                if mine.step is not None and mine.step.averaging_s == 0 and mine.period_s is not None:
                    t, v = _arrays(channel, *span)
                    share = attention(renewals(t, v, mine.period_s), mine.step.swing_w)
                    shares.setdefault(channel.capabilities.name, []).extend([share] if share is not None else [])
        for name, seen in shares.items():
            found[name].attention = float(np.mean(seen)) if seen else None
        start_ns = time.monotonic_ns()
        self._wave(periods[0])
        span = (start_ns, time.monotonic_ns())
        self._listen(0.3)
        self._compare(found, span, "wave")

    def _wave(self, period_s: float) -> None:
        begin_ns = time.monotonic_ns()
        halves = round(2 * self.durations.wave_s / period_s)
        for half in range(halves):
            (self.load.on if half % 2 == 0 else self.load.off)()
            self._listen(0, begin_ns + round((half + 1) * period_s / 2 * 1e9))

    def _compare(self, found: dict[str, Found], span: tuple[int, int], load: str) -> None:
        heard = [Heard(c.capabilities, c.readings) for c in self.channels]
        known = energies(heard, [span])
        for counter in (e for e in known if e.source == "counter"):
            for polled in (e for e in known if e.source == "integrated"):
                if (counter.boundary, counter.packages) == (polled.boundary, polled.packages):
                    found[polled.meter].counter_vs_poll[load] = counter.energy_j / polled.energy_j - 1


def _trace(channel: Channel, span: tuple[int, int]) -> Trace:
    """What a channel said, as a trace on the host's monotonic clock."""
    about = channel.capabilities
    t, v = _arrays(channel, *span)
    if about.kind == "energy":
        found = ticks(t, v, about.period_s)
        t, v = found.t_ns[1:], np.diff(found.energy_j) / (np.diff(found.t_ns) * 1e-9)
    return Trace(about.name, t, v, about.boundary, about.accuracy_class, about.accuracy, about.name)


def _arrays(channel: Channel, start_ns: int, end_ns: int) -> tuple[np.ndarray, np.ndarray]:
    said = [(r.mono_ns, r.value) for r in channel.between(start_ns, end_ns) if r.value is not None]
    return np.array([t for t, _ in said], dtype=np.int64), np.array([v for _, v in said], dtype=np.float64)
