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

from perwatt.benchmarks.measurement import Agreed, Exchange, Measurement, Progress, alone
from perwatt.benchmarks.phases import resonant, wait_for_phase
from perwatt.benchmarks.profile import Profile
from perwatt.benchmarks.rechecking import Rechecker
from perwatt.benchmarks.sampler import Sampler
from perwatt.benchmarks.steady import Block, steady
from perwatt.benchmarks.stopping import StoppingRule
from perwatt.benchmarks.timers import Launch, Sample, Timer
from perwatt.benchmarks.vitals import between
from perwatt.benchmarks.window import Window
from perwatt.results.record import Conditions, Energy, Repetition, SamplerCost

# One sample is at least this long, so that the clock's resolution and the loop's own cost stay below 0.1 %.
MIN_SAMPLE_S = 100e-6
MOST_SAMPLES = 20_000  # of one window; one that is long enough for more is timed in longer samples
# Between two looks at the rule and at a request to stop; long enough that the looking costs nothing.
CHUNK_S = 0.1
MAX_SAMPLES_A_CHUNK = 1000
MOST_COST = 0.005  # of the rate that reading the meters may take
COST_PAIRS = 4
# Flags of an energy that are cautions on the whole case.
CAUTIONS = {"gappy", "counter_vs_poll", "aliasing_risk", "short_window", "slow_meter"}
LOST = {"lost", "unsupported", "no_permission", "stale", "uncovered"}  # what leaves a window without an energy
FAULTS = {"hw_thermal", "sw_thermal", "hw_power_brake"}  # throttle reasons that a sound machine does not show
HARD_LIMIT = 10.0  # a window longer than this many times its wish (and 60 s) ends and is flagged
# Of a cold cache a flush may take a thousand times as long as the launch: a window is as long as others with it, or for
# so many samples longer, up to so many times.
LEAST_COLD, MOST_COLD = 30, 10.0


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
        rechecker: Rechecker | None = None,
    ) -> None:
        self.launch, self.timer, self.sampler, self.profile, self.rule = launch, timer, sampler, profile, rule
        self.exchange, self.stop, self.tell, self.synchronize = exchange, stop, tell, synchronize
        self.one_by_one, self.rechecker = one_by_one, rechecker
        self.out = Measurement()
        self.per_sample = 1
        self.per_chunk = 1
        self._began = self._since = time.monotonic()

    def run(self) -> Measurement:
        """Warm up, measure the repetitions, return what was taken; fewer of them when asked to stop."""
        gc.disable()  # a collection is not the kernel's time
        try:
            with self.sampler:
                before = self.sampler.vitals()
                self._run()
                self.out.health = between(before, self.sampler.vitals())
        finally:
            gc.enable()
        return self.out

    def _run(self) -> None:
        stopped = self._warm_up() or self._settle() or self._cost()
        for repetition in range(self.profile.repetitions):
            if stopped:
                break
            stopped = self._window(repetition)
            if self.rechecker is not None and not stopped:
                self._recheck(self.rechecker, repetition)
        if stopped:
            self.out.flags.add("interrupted")
        if self.timer.launch_bound:
            self.out.flags.add("launch_bound")

    def _keep(self, samples: list[Sample], repetition: int, ready: bool = True) -> Agreed:
        agreed = self.exchange([s.seconds for s in samples], self.stop(), ready)
        self.out.add(samples, repetition, agreed)
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

    def _start(self) -> None:
        """Begin to time, the device idle."""
        self.timer.start()
        self._since = time.monotonic()

    def _took(self, agreed: Agreed) -> float:
        """How long the samples since the last look took, with the flushes before them where the cache is cold."""
        if not self.timer.flushes:
            return sum(agreed.slowest) * self.per_sample
        since, self._since = self._since, time.monotonic()
        return self._most(self._since - since)

    def _flush_s(self, agreed: Agreed, took_s: float) -> float:
        """Of each sample what the flush before it took; 0 where nothing is flushed."""
        if not self.timer.flushes or not agreed.slowest:
            return 0.0
        return max(took_s - sum(agreed.slowest), 0.0) / len(agreed.slowest)

    def _plan_chunks(self, seconds: float, flush_s: float) -> None:
        """Launches a sample and samples a chunk, from the seconds that one launch takes on the slowest rank, and the
        flush before it."""
        least_s = max(MIN_SAMPLE_S, self.profile.window_s / MOST_SAMPLES)
        single = self.one_by_one or self.timer.flushes
        self.per_sample = 1 if single else max(1, math.ceil(least_s / max(seconds, 1e-9)))
        sample_s = seconds * self.per_sample + flush_s
        chunk_s = min(CHUNK_S, self.profile.window_s / 4)
        most = MAX_SAMPLES_A_CHUNK
        if self.timer.most_launches is not None:
            self.per_sample = min(self.per_sample, self.timer.most_launches)
            most = self.timer.most_launches // self.per_sample
        self.per_chunk = max(1, min(most, int(chunk_s / sample_s)))

    def _warm_up(self) -> bool:
        """Launch until the warm-up time is over; learn how long a launch takes. True when asked to stop."""
        self.synchronize()
        self._start()
        spent, seconds = 0.0, math.inf
        while True:
            samples = self.timer.chunk(self.launch, self.per_chunk, self.per_sample) or self.timer.finish()
            agreed = self._keep(samples, -1)
            if agreed.slowest:
                # the fastest so far: a first launch that loads a library must not size the samples
                seconds = min(seconds, *agreed.slowest)
                took_s = self._took(agreed)
                spent += took_s
                self._plan_chunks(seconds, self._flush_s(agreed, took_s))
            if agreed.stop or spent >= self.profile.warmup_s:
                break
        self._keep(self.timer.finish(), -1)
        return agreed.stop

    def _load(self, least_s: float, most_s: float = 0.0, ready: Callable[[], bool] = lambda: True) -> Agreed:
        """Keep the device working outside a window: ``least_s``, and until ``ready``, but not beyond ``most_s``."""
        self.synchronize()
        self._start()
        spent = 0.0
        while True:
            samples = self.timer.chunk(self.launch, self.per_chunk, self.per_sample) or self.timer.finish()
            agreed = self._keep(samples, -1, ready())
            spent += self._took(agreed)
            if agreed.stop or (spent >= least_s and (agreed.ready or spent >= most_s)):
                break
        self._keep(self.timer.finish(), -1)
        return agreed

    def _most(self, mine: float) -> float:
        """The largest of all ranks' values: a host's meter is read by one rank, and its load is the work of all."""
        return max(self.exchange([mine], False, True).slowest)

    def _settle(self) -> bool:
        """Go on warming up until the device has settled, if the profile asks for it. True when asked to stop."""
        if not self.profile.warmup_max_s or not self._most(len(self.sampler.channels)):
            return False
        blocks: list[Block] = []
        began = time.monotonic()
        agreed = Agreed([], math.nan, False, False)
        while not agreed.stop:
            start_ns, first = time.monotonic_ns(), len(self.out.launches)
            before = self.sampler.snapshots()
            self._load(self.profile.block_s)
            end_ns = time.monotonic_ns()
            rate = sum(self.out.launches[first:]) / ((end_ns - start_ns) * 1e-9)
            after = self.sampler.snapshots()
            degrees = [max(s.temperature_c.values()) for s in after if s.temperature_c]
            reasons = {
                k
                for a, b in zip(before, after, strict=False)
                for k, v in b.throttle_ns.items()
                if v > a.throttle_ns.get(k, v)
            }
            power_w = self.sampler.mean_w(start_ns, end_ns)
            blocks.append(Block(end_ns * 1e-9, rate, power_w, max(degrees, default=None), frozenset(reasons)))
            # every rank settles, or all go on
            agreed = self.exchange([], self.stop(), steady(blocks, self.profile.window_s))
            if agreed.ready or time.monotonic() - began >= self.profile.warmup_max_s - self.profile.warmup_s:
                break
        self.out.steady = agreed.ready
        if not agreed.ready and not agreed.stop:
            self.out.flags.add("not_steady")
        return agreed.stop

    def _cost(self) -> bool:
        """Compare the rate with the meters read and not read, in turns. True when asked to stop."""
        if not self.profile.sampler_cost_s or not self._most(len(self.sampler.channels)):
            return False
        part_s = self.profile.sampler_cost_s / (2 * COST_PAIRS)
        losses = []
        for _ in range(COST_PAIRS):
            times = []
            for turn in (self.sampler.pause, self.sampler.resume):
                turn()
                first = len(self.out.seconds)
                if self._load(part_s).stop:
                    self.sampler.resume()
                    return True
                times.append(statistics.fmean(self.out.slowest[first:]))
            losses.append(times[1] / times[0] - 1)
        error = statistics.stdev(losses) / math.sqrt(COST_PAIRS)
        self.out.sampler_cost = SamplerCost(statistics.fmean(losses), error)
        if self.out.sampler_cost.relative - 2 * error > MOST_COST:
            self.out.flags.add("sampler_cost")
        return False

    def _recheck(self, rechecker: Rechecker, repetition: int) -> None:
        """Compare the output again, then have the device work as before: the next window must not find it rested."""
        # every rank works as long as the one whose comparison took longest: they go on in step
        took_s = self._most(rechecker.after(repetition, sum(self.out.launches)))
        if took_s and repetition + 1 < self.profile.repetitions:
            self._load(min(took_s, self.profile.warmup_s))

    def _window(self, repetition: int) -> bool:
        """One measured window. True when asked to stop before it was complete."""
        rule, window = self.rule(), Window(self.sampler)
        first = len(self.out.launches)
        period_s = statistics.median(self.out.slowest[-100:] or [0.0])
        risky = [c for c in self.sampler.channels if resonant(period_s, c.capabilities)]
        segments = self.profile.segments if risky and not self.one_by_one else 1
        guard_s = self._most(min(self.profile.guard_s, self.sampler.settle_s))
        if guard_s:
            self.sampler.hurry(True)
            self._load(guard_s)
            first = len(self.out.launches)
        stopped = False
        for segment in range(max(segments, 1)):
            if segments > 1:
                self.synchronize()
                wait_for_phase(risky[0], segment / segments)
            stopped = self._span(repetition, window, rule, 1 / max(segments, 1)) or stopped
            if stopped:
                break
        if not rule.converged:
            self.out.flags.add("noisy")
        launches = self.out.launches[first:]
        self._check_clock(window)
        window.look()
        if guard_s and not stopped:
            # the load goes on until each meter has been renewed, so that its last word lies beyond the window
            self.sampler.hurry(True)
            self._load(0.0, guard_s, lambda: self.sampler.ticked_since(window.end_ns))
        self.sampler.hurry(False)
        if risky and segments <= 1:
            self.out.flags.add("aliasing_risk")
        self._close(window, launches, len(window.spans))
        return stopped

    def _span(self, repetition: int, window: Window, rule: StoppingRule, share: float) -> bool:
        """One uninterrupted part of a window: ``share`` of its length. True when asked to stop."""
        limit_s = max(60.0, HARD_LIMIT * self.profile.window_s) * share
        near_s = 3 * self.sampler.period_s
        self.synchronize()
        window.open()
        self._start()
        taken, stopped = 0.0, False
        while True:
            samples = self.timer.chunk(self.launch, self.per_chunk, self.per_sample)
            agreed = self._keep(samples, repetition, self._metered(window, share))
            took_s = self._took(agreed)
            flush_s = self._flush_s(agreed, took_s)
            for seconds in agreed.slowest:
                rule.add(seconds, self.per_sample, flush_s)
            taken += took_s
            few = self.timer.flushes and rule.samples < LEAST_COLD and taken < MOST_COLD * self.profile.window_s
            # counters are read closely while an edge is near
            self.sampler.hurry(taken < near_s or taken > self.profile.window_s * share - near_s)
            if (rule.done() if share == 1 else taken >= self.profile.window_s * share) and agreed.ready and not few:
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
        return stopped

    def _metered(self, window: Window, share: float) -> bool:
        """Whether the meters have been read often enough, and counters have counted far enough, for the profile."""
        readings = self.sampler.fewest_readings(window.start_ns)
        if readings is not None and readings < self.profile.min_readings * share:
            return False
        most = self.profile.meter_error / share
        return not most or self.sampler.counting_error(window.start_ns) <= most

    def _close(self, window: Window, launches: array[int], segments: int) -> None:
        energies = window.energies(phased=segments > 1)
        conditions = window.conditions()
        self.out.windows.append(
            Repetition(
                start_ns=window.start_ns,
                window_s=window.seconds,
                iterations=sum(launches),
                samples=len(launches),
                energies=energies,
                conditions=conditions,
                segments=segments,
            )
        )
        self._check_readings(energies)
        self._check_conditions(conditions)
        if len(energies) < len(self.sampler.channels):
            self.out.flags |= {"meter_lost" if f in LOST else f for f in window.lost()}

    def _check_readings(self, energies: tuple[Energy, ...]) -> None:
        if any(e.readings < self.profile.min_readings for e in energies):
            self.out.flags.add("few_readings")
        for energy in energies:
            self.out.flags |= {f for f in energy.flags if f in CAUTIONS}

    def _check_conditions(self, conditions: Conditions | None) -> None:
        if conditions is None:
            return
        if conditions.others:
            self.out.flags.add("other_process")
        # a power cap is how the hardware is meant to run; heat and a power brake are not
        if any(v > 0 for k, v in conditions.throttled.items() if k in FAULTS):
            self.out.flags.add("throttled_thermal")

    def _check_clock(self, window: Window) -> None:
        error = self.timer.clock_error()
        if error is None:
            return
        worst = self.out.clock_error
        self.out.clock_error = error if worst is None or abs(error) > abs(worst) else worst
        # more than 1 ms and more than 0.1 % of the window apart: one of the two clocks is not telling the time
        if abs(error) * window.seconds > max(1e-3, 1e-3 * window.seconds):
            self.out.flags.add("clock_mismatch")
