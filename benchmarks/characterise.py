"""Find out what the sensors of a board really do: a load is switched in known ways, and the readings are looked at.

A steady load polled fast shows the period; steps show delay, rise and averaging; square waves a little off the period
show how much of it the sensor looks at. On all of them, and on a sweep of other waves, counter and polled power are
laid side by side: agreement on one load alone proves nothing. A meter behind a network is slower than any of that and
has a clock of its own: uneven pulses of some ten seconds show how late it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from perwatt.benchmarks.joules import Heard, energies
from perwatt.benchmarks.loads import Load
from perwatt.benchmarks.sampler import Channel, Sampler
from perwatt.results.energy import ticks
from perwatt.results.sensor import ATTENTION_U, Step, attention, period, renewals, step_response
from perwatt.results.traces.align import align
from perwatt.results.traces.calibrate import Calibration, fit, levels
from perwatt.results.traces.trace import Trace

OFF_PERIOD = (0.98, 1.02)  # of the sensor's period: the beat takes fifty of them
SWEEP = (*OFF_PERIOD, 1.0, 0.5, 1.5)  # counter against poll on these
TRIES = 3  # of a wave that a pause of this machine spoiled
SHORTEST_S = 0.01  # of a sensor's period that the load can be switched with
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the time that the load works, for a calibration
PULSES = (0.8, 1.2, 1.4, 0.6, 1.0, 1.0)  # on, off, on, ...: uneven, so that they fit at one shift only
GRID_S = 0.05  # of the load's own course, for laying a slow meter over it


@dataclass(frozen=True)
class Durations:
    """Seconds of each part. The defaults take two and a half minutes, with remote meters more than one longer. Steps
    shorter than a sensor's averaging and delay together tell nothing of it."""

    steady_s: float = 20.0
    step_s: float = 6.0
    steps: int = 5
    wave_s: float = 12.0
    pulse_s: float = 10.0
    poll_s: float = 0.004


QUICK = Durations(steady_s=4.0, step_s=2.0, steps=2, wave_s=6.0, pulse_s=5.0)


@dataclass
class Found:
    """What was found of one channel; None where it could not be told. ``lag_s``: how late a remote meter is; ``u``:
    standard uncertainties, by the name of the value."""

    period_s: float | None = None
    step: Step | None = None
    attention: float | None = None
    lag_s: float | None = None
    counter_vs_poll: dict[str, float] = field(default_factory=dict)
    u: dict[str, float] = field(default_factory=dict)


class Characteriser:
    """Drives the load and reads the channels itself, each at the pace that the parts need; remote ones have threads."""

    def __init__(
        self,
        channels: Sequence[Channel],
        load: Load,
        durations: Durations,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.remote = [c for c in channels if c.capabilities.remote]
        self.channels = [c for c in channels if not c.capabilities.remote]
        self.load, self.durations, self.tell = load, durations, tell

    @property
    def total_s(self) -> float:
        """About how long :meth:`run` takes."""
        d = self.durations
        near = d.steady_s + (2 * d.steps + 1) * d.step_s + len(SWEEP) * d.wave_s
        far = (sum(PULSES) + PULSES[-1]) * d.pulse_s
        return near * bool(self.channels) + far * bool(self.remote)

    def run(self) -> dict[str, Found]:
        """All parts, one after the other; by the channel's name what was found. The load is off in the end."""
        found = {c.capabilities.name: Found() for c in (*self.channels, *self.remote)}
        try:
            if self.channels:
                self._steady(found)
                self._steps(found)
                self._waves(found)
            if self.remote:
                self._pulses(found)
        finally:
            self.load.off()
        return found

    def against(self, reference: Channel, found: dict[str, Found]) -> dict[str, Calibration]:
        """Calibrate the sensors at hand against a better meter that was opened beside them: steady levels from idle to
        full load, and a straight line through them. Raises ValueError where no line can be told."""
        edges: list[int] = []
        sensors = [c for c in self.channels if c is not reference]
        settle_s = max(s.step.delay_s + s.step.rise_s if s.step else s.lag_s or 0.0 for s in found.values())
        settle_s = max(settle_s, 2 * reference.capabilities.averaging_s + 2 * reference.capabilities.period_s, 0.5)
        level_s = settle_s + max(self.durations.step_s, 6 * reference.capabilities.period_s)
        start_ns = time.monotonic_ns()
        try:
            with Sampler([c for c in self.remote if c is reference]):
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
        for channel in sensors:
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
            if (told := period(t, v)) is not None:
                mine = found[channel.capabilities.name]
                mine.period_s, mine.u["period_s"] = told
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
        self._listen(0.5)
        self._compare(found, (start_ns, edges[-1][0]), "steps")
        for channel in self.channels:
            mine = found[channel.capabilities.name]
            if channel.capabilities.kind == "power":
                t, v = _arrays(channel, start_ns, edges[-1][0])
                mine.step = step_response(t, v, edges, mine.period_s or channel.capabilities.period_s)
                if mine.step is not None:
                    mine.u |= {"delay_s": mine.step.u_delay_s, "averaging_s": mine.step.u_averaging_s}

    def _waves(self, found: dict[str, Found]) -> None:
        gauges = [c for c in self.channels if c.capabilities.kind == "power"]
        periods = [p for c in gauges if (p := found[c.capabilities.name].period_s) is not None]
        if not periods or min(periods) < SHORTEST_S:
            return  # nothing to beat with, or faster than the load can be switched
        shares: dict[str, list[float]] = {}
        for factor in SWEEP:
            span = self._wave(found, factor * periods[0])
            for channel in gauges if factor in OFF_PERIOD else ():
                mine = found[channel.capabilities.name]
                if mine.step is not None and mine.step.averaging_s == 0 and mine.period_s is not None:
                    t, v = _arrays(channel, *span)
                    share = attention(renewals(t, v, mine.period_s), mine.step.swing_w)
                    shares.setdefault(channel.capabilities.name, []).extend([share] if share is not None else [])
        for name, seen in shares.items():
            if seen:
                found[name].attention = float(np.mean(seen))
                found[name].u["attention"] = max(ATTENTION_U, float(np.ptp(seen)) / 2)

    def _wave(self, found: dict[str, Found], period_s: float) -> tuple[int, int]:
        """Counter against poll on a wave, again if a pause of this machine spoiled it. When the last one was."""
        load = f"wave of {1e3 * period_s:.0f} ms"
        for _ in range(TRIES):
            self.tell(f"{load}, {self.durations.wave_s:.0f} s")
            start_ns = time.monotonic_ns()
            self._switch(period_s)
            span = (start_ns, time.monotonic_ns())
            self._listen(0.3)
            self._compare(found, span, load)
            if all(load in f.counter_vs_poll for f in found.values() if f.counter_vs_poll):
                break  # who could be compared before can be now
        return span

    def _switch(self, period_s: float) -> None:
        """The load on and off in turns."""
        begin_ns = time.monotonic_ns()
        halves = round(2 * self.durations.wave_s / period_s)
        for half in range(halves):
            (self.load.on if half % 2 == 0 else self.load.off)()
            self._listen(0, begin_ns + round((half + 1) * period_s / 2 * 1e9))

    def _pulses(self, found: dict[str, Found]) -> None:
        lengths = [share * self.durations.pulse_s for share in (PULSES[-1], *PULSES)]
        self.tell(f"{len(PULSES) // 2} pulses for what lies behind a network, {sum(lengths):.0f} s")
        self.load.off()
        t: list[int] = []
        on: list[bool] = []
        with Sampler(self.remote):
            for number, seconds in enumerate(lengths):
                working = number % 2 == 1
                (self.load.on if working else self.load.off)()
                end_ns = time.monotonic_ns() + round(seconds * 1e9)
                while (now_ns := time.monotonic_ns()) < end_ns:
                    t.append(now_ns)
                    on.append(working)
                    time.sleep(GRID_S)
        for channel in self.remote:
            about, mine = channel.capabilities, found[channel.capabilities.name]
            if about.kind != "power":
                continue  # a counter is read by its renewals, late or not
            try:
                told = align(
                    _trace(channel, (t[0], time.monotonic_ns())),
                    np.array(t, dtype=np.int64),
                    np.array(on, dtype=np.float64),
                    search_s=sum(lengths) / 2,
                )
            except ValueError as why:
                self.tell(f"{about.name}: how late it is could not be told: {why}")
                continue
            mine.lag_s = max(0.0, -told.offset_s - about.averaging_s / 2)
            mine.u["delay_s"] = told.bound_s / np.sqrt(3)

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
