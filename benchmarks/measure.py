"""Measure one prepared workload: warm up, then windows in which time and energy are taken together.

The loop works in chunks of samples. After each chunk the samples go to the stopping rule, the progress line is told,
and a request to stop is looked at. Over several ranks the chunk's times are first exchanged, so that every rank feeds
its rule the same numbers (the maximum over ranks of the same launch) and all of them stop after the same launch.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from perwatt.benchmarks.stopping import StoppingRule
from perwatt.benchmarks.timers import Launch, Sample, Timer
from perwatt.benchmarks.window import Sampler, Window
from perwatt.results.record import Energy, Repetition

# One sample is at least this long, so that the clock's resolution and the loop's own cost stay below 0.1 %.
MIN_SAMPLE_S = 100e-6
MOST_SAMPLES = 20_000  # of one window; one that is long enough for more is timed in longer samples
# Between two looks at the rule and at a request to stop; long enough that the looking costs nothing.
CHUNK_S = 0.1
MAX_SAMPLES_A_CHUNK = 1000
HARD_LIMIT = 10.0  # a window longer than this many times its wish (and 60 s) ends and is flagged


@dataclass(frozen=True)
class Profile:
    """How thoroughly to measure. ``indicative`` marks per-watt figures of windows too short for a meter's class."""

    name: str
    warmup_s: float
    repetitions: int
    window_s: float
    min_readings: int
    indicative: bool

    def __post_init__(self) -> None:
        for key in ("warmup_s", "window_s", "repetitions", "min_readings"):
            value = getattr(self, key)
            whole = key in ("repetitions", "min_readings")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or value < 0:
                raise ValueError(f"profile.{key}: {value!r} is not a {'whole ' if whole else ''}number, 0 or more")
        if self.repetitions < 1 or self.window_s <= 0:
            raise ValueError("profile: needs at least one repetition and a window_s above 0")


@dataclass(frozen=True)
class Agreed:
    """A chunk as all ranks see it: per sample the slowest rank's seconds, and the mean over ranks of all of them."""

    slowest: list[float]
    mean: float
    stop: bool
    ready: bool


class Exchange(Protocol):
    """Lets the ranks agree on a chunk; on one rank it returns what it is given."""

    def __call__(self, seconds: list[float], stop: bool, ready: bool) -> Agreed:
        """Same length on every rank."""


def alone(seconds: list[float], stop: bool, ready: bool) -> Agreed:
    """The exchange of a single rank."""
    return Agreed(seconds, statistics.fmean(seconds) if seconds else math.nan, stop, ready)


@dataclass
class Progress:
    """Where a measurement stands, for the line that a person watches."""

    phase: str
    seconds: float | None = None
    watts: float | None = None
    elapsed_s: float = 0.0


@dataclass
class Measurement:
    """Everything that was taken: samples with their repetition (-1: warm-up), windows, cautions.

    Samples are kept as plain arrays: there can be millions, and objects would wake the garbage collector in a window.
    """

    end_ns: array[int] = field(default_factory=lambda: array("q"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    launches: array[int] = field(default_factory=lambda: array("q"))
    repetition: array[int] = field(default_factory=lambda: array("i"))
    slowest: array[float] = field(default_factory=lambda: array("d"))
    rank_means: list[tuple[float, int]] = field(default_factory=list)
    windows: list[Repetition] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    clock_error: float | None = None

    def add(self, samples: list[Sample], repetition: int, slowest: list[float]) -> None:
        """Keep a chunk."""
        for sample in samples:
            self.end_ns.append(sample.end_ns)
            self.seconds.append(sample.seconds)
            self.launches.append(sample.launches)
            self.repetition.append(repetition)
        self.slowest.extend(slowest)

    @property
    def samples(self) -> list[Sample]:
        """The samples as tuples, in time order."""
        return [Sample(*columns) for columns in zip(self.end_ns, self.seconds, self.launches, strict=True)]


class Measurer:
    """Runs the windows of one case on one rank. ``stop`` is polled; ``tell`` hears of progress.

    ``one_by_one`` keeps a sample to a single launch, as a collective needs it, whose slowest rank is asked for launch
    by launch; otherwise short launches are timed several at a time.
    """

    def __init__(
        self,
        launch: Launch,
        timer: Timer,
        sampler: Sampler,
        profile: Profile,
        rule: Callable[[], StoppingRule],
        exchange: Exchange = alone,
        stop: Callable[[], bool] = lambda: False,
        tell: Callable[[Progress], None] = lambda _: None,
        synchronize: Callable[[], object] = lambda: None,
        one_by_one: bool = False,
    ) -> None:
        self.launch, self.timer, self.sampler, self.profile, self.rule = launch, timer, sampler, profile, rule
        self.exchange, self.stop, self.tell, self.synchronize = exchange, stop, tell, synchronize
        self.one_by_one = one_by_one
        self.out = Measurement()
        self.per_sample = 1
        self.per_chunk = 1
        self._began = time.monotonic()

    def run(self) -> Measurement:
        """Warm up, measure the repetitions, return what was taken; fewer of them when asked to stop."""
        gc.disable()  # a collection is not the kernel's time
        try:
            with self.sampler:
                self._run()
        finally:
            gc.enable()
        return self.out

    def _run(self) -> None:
        stopped = self._warm_up()
        for repetition in range(self.profile.repetitions):
            if stopped:
                break
            stopped = self._window(repetition)
        if stopped:
            self.out.flags.add("interrupted")
        if self.timer.launch_bound:
            self.out.flags.add("launch_bound")

    def _keep(self, samples: list[Sample], repetition: int, ready: bool = True) -> Agreed:
        agreed = self.exchange([s.seconds for s in samples], self.stop(), ready)
        self.out.add(samples, repetition, agreed.slowest)
        if samples and repetition >= 0:
            self.out.rank_means.append((agreed.mean, len(samples)))
        self.tell(
            Progress(
                "warm-up" if repetition < 0 else f"window {repetition + 1}/{self.profile.repetitions}",
                statistics.median(agreed.slowest) if agreed.slowest else None,
                self.sampler.watts(),
                time.monotonic() - self._began,
            )
        )
        return agreed

    def _plan_chunks(self, seconds: float) -> None:
        """Launches a sample and samples a chunk, from the seconds that one launch takes on the slowest rank."""
        least_s = max(MIN_SAMPLE_S, self.profile.window_s / MOST_SAMPLES)
        self.per_sample = 1 if self.one_by_one else max(1, math.ceil(least_s / max(seconds, 1e-9)))
        sample_s = seconds * self.per_sample
        chunk_s = min(CHUNK_S, self.profile.window_s / 4)
        most = MAX_SAMPLES_A_CHUNK
        if self.timer.most_launches is not None:
            self.per_sample = min(self.per_sample, self.timer.most_launches)
            most = self.timer.most_launches // self.per_sample
        self.per_chunk = max(1, min(most, int(chunk_s / sample_s)))

    def _warm_up(self) -> bool:
        """Launch until the warm-up time is over; learn how long a launch takes. True when asked to stop."""
        self.synchronize()
        self.timer.start()
        spent, seconds = 0.0, math.inf
        while True:
            samples = self.timer.chunk(self.launch, self.per_chunk, self.per_sample) or self.timer.finish()
            agreed = self._keep(samples, -1)
            if agreed.slowest:
                # the fastest so far: a first launch that loads a library must not size the samples
                seconds = min(seconds, *agreed.slowest)
                spent += sum(agreed.slowest) * self.per_sample
                self._plan_chunks(seconds)
            if agreed.stop or spent >= self.profile.warmup_s:
                break
        self._keep(self.timer.finish(), -1)
        return agreed.stop

    def _window(self, repetition: int) -> bool:
        """One measured window. True when asked to stop before it was complete."""
        rule, window = self.rule(), Window(self.sampler)
        first = len(self.out.launches)
        limit_s = max(60.0, HARD_LIMIT * self.profile.window_s)
        self.synchronize()
        window.open()
        self.timer.start()
        taken, stopped = 0.0, False
        while True:
            samples = self.timer.chunk(self.launch, self.per_chunk, self.per_sample)
            readings = self.sampler.fewest_readings(window.start_ns)
            ready = readings is None or readings >= self.profile.min_readings
            agreed = self._keep(samples, repetition, ready)
            for seconds in agreed.slowest:
                rule.add(seconds, self.per_sample)
                taken += seconds * self.per_sample
            if rule.done() and agreed.ready:
                break
            if agreed.stop or taken > limit_s:
                stopped = agreed.stop
                if not stopped:
                    self.out.flags.add("time_limit" if rule.done() else "not_settled")
                break
        rest = self.timer.finish()
        window.close()
        for seconds in self._keep(rest, repetition).slowest:
            rule.add(seconds, self.per_sample)
        if not rule.converged:
            self.out.flags.add("noisy")
        self._close(window, first)
        return stopped

    def _close(self, window: Window, first: int) -> None:
        launches = self.out.launches[first:]
        energies = window.energies()
        self.out.windows.append(
            Repetition(
                start_ns=window.start_ns,
                window_s=(window.end_ns - window.start_ns) * 1e-9,
                iterations=sum(launches),
                samples=len(launches),
                energies=energies,
            )
        )
        self._check_readings(energies)
        self._check_clock(window)

    def _check_readings(self, energies: tuple[Energy, ...]) -> None:
        if any(e.readings < self.profile.min_readings for e in energies):
            self.out.flags.add("few_readings")
        if any("gappy" in e.flags for e in energies):
            self.out.flags.add("gappy")

    def _check_clock(self, window: Window) -> None:
        error = self.timer.clock_error()
        if error is None:
            return
        worst = self.out.clock_error
        self.out.clock_error = error if worst is None or abs(error) > abs(worst) else worst
        # more than 1 ms and more than 0.1 % of the window apart: one of the two clocks is not telling the time
        window_s = (window.end_ns - window.start_ns) * 1e-9
        if abs(error) * window_s > max(1e-3, 1e-3 * window_s):
            self.out.flags.add("clock_mismatch")
