"""How long a launch takes: the host's clock for what runs on the host, device events for what a device queues.

A timer works in chunks: ``chunk`` starts ``samples`` samples of ``per_sample`` launches each and returns the samples
that have finished since, ``finish`` waits for the rest. Samples follow each other without a gap, so a window full of
them is a window full of work, and its energy is the energy of that work.

On a device, the next chunk is queued before the last one is waited for: the queue never runs empty and no launch gap
enters a sample. The first chunk is queued behind a spin for the same reason. A kernel so short that the host cannot
keep up is *launch bound*: each of its chunks is then held behind a spin of its own until it is queued whole, and the
window, whose energy includes the spinning, says so.
"""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

Launch = Callable[[], object]


class Sample(NamedTuple):
    """``seconds`` per launch over ``launches`` launches that ended at ``end_ns`` on the host's monotonic clock."""

    end_ns: int
    seconds: float
    launches: int


class Timer(ABC):
    """Times launches on one device. ``name`` goes into the record."""

    name: str
    most_launches: int | None = None  # of one chunk; a device's queue is finite
    _flush: Launch | None = None

    def start(self) -> None:  # noqa: B027 - the host's clock needs no preparation
        """Called at the start of a window, the device idle."""

    @abstractmethod
    def chunk(self, launch: Launch, samples: int, per_sample: int) -> list[Sample]:
        """Launch ``samples * per_sample`` times; return the samples that are known by now."""

    def finish(self) -> list[Sample]:
        """Wait for everything that was launched; return the remaining samples."""
        return []

    @abstractmethod
    def flush_between(self, flush: Launch) -> Timer:
        """A timer that runs ``flush`` before each launch, outside the timed interval."""

    @property
    def flushes(self) -> bool:
        """Whether a flush, which is not timed, goes before each launch."""
        return self._flush is not None

    @property
    def launch_bound(self) -> bool:
        """Whether the host could not keep the device busy."""
        return False

    def clock_error(self) -> float | None:
        """Host time over device time of the last window, minus one; None where there is one clock only."""
        return None


class HostTimer(Timer):
    """``perf_counter_ns`` round work that is finished when the call returns. On Linux this is CLOCK_MONOTONIC, the
    clock that meters are stamped with."""

    name = "perf_counter_ns"

    def __init__(self, flush: Launch | None = None) -> None:
        self._flush = flush

    def chunk(self, launch: Launch, samples: int, per_sample: int) -> list[Sample]:
        """Time each sample from the end of the one before: what the loop itself costs is inside."""
        if self._flush is not None:
            return self._cold(launch, samples)
        clock = time.perf_counter_ns
        stamps = [clock()]
        if per_sample == 1:
            for _ in range(samples):
                launch()
                stamps.append(clock())
        else:
            inner = range(per_sample)
            for _ in range(samples):
                for _ in inner:
                    launch()
                stamps.append(clock())
        scale = 1e-9 / per_sample
        return [Sample(b, (b - a) * scale, per_sample) for a, b in itertools.pairwise(stamps)]

    def _cold(self, launch: Launch, samples: int) -> list[Sample]:
        clock, flush = time.perf_counter_ns, self._flush
        assert flush is not None
        out = []
        for _ in range(samples):
            flush()
            start = clock()
            launch()
            end = clock()
            out.append(Sample(end, (end - start) * 1e-9, 1))
        return out

    def flush_between(self, flush: Launch) -> Timer:
        """The same clock with a flush before each launch."""
        return HostTimer(flush)


class EventTimer(Timer):
    """Device events on the current stream of ``module``: ``torch.get_device_module(device)`` or a stand-in for it.

    ``module`` gives ``Event(enable_timing=True)`` with ``record``, ``synchronize`` and ``elapsed_time`` (ms),
    ``synchronize()``, and where the platform has it ``_sleep(cycles)``, a kernel that spins.
    """

    name = "device events"
    most_launches = 200  # two chunks are queued at a time, with their events; a queue holds about a thousand
    SPIN_S = 1e-3
    SPIN_HZ = 2.5e9  # no clock is faster, so a spin is at least as long as it is meant to be

    def __init__(self, module: Any, flush: Launch | None = None, may_hold: bool = True) -> None:
        self._module = module
        self._may_hold = may_hold  # ranks that run a collective must all queue alike: none decides for itself
        self._sleep = getattr(module, "_sleep", None)
        self._flush = flush
        if self._sleep is None:
            self.name = "device events, no spin"
        self._pending: list[tuple[list[Any], int, float]] = []
        self._starved = self._chunks = 0
        self._held = False
        self._queueing_s = self.SPIN_S  # how long the host takes to queue a chunk
        self._last: Any = None
        self._first: Any = None
        self._start_ns = self._end_ns = 0
        self._device_s = 0.0

    def _spin(self, seconds: float) -> None:
        if self._sleep is not None:
            self._sleep(int(seconds * self.SPIN_HZ))

    def _event(self) -> Any:
        event = self._module.Event(enable_timing=True)
        event.record()
        return event

    def start(self) -> None:
        """Synchronise, and start the two clocks together."""
        self._module.synchronize()
        # decided by what the last window met, and then kept for the whole of this one
        self._held = self._may_hold and self.launch_bound
        self._starved = self._chunks = 0
        self._pending, self._last, self._device_s = [], None, 0.0
        self._start_ns = time.monotonic_ns()
        self._first = self._event()

    def chunk(self, launch: Launch, samples: int, per_sample: int) -> list[Sample]:
        """Queue a chunk, then collect the one before it."""
        if self._flush is not None:
            return self._cold(launch, samples)
        if self._last is None or self._held:
            self._spin(max(self.SPIN_S, 1.5 * self._queueing_s))
            self._last = None
        events = [self._last if self._last is not None else self._event()]
        inner = range(per_sample)
        began_ns = time.monotonic_ns()
        for _ in range(samples):
            for _ in inner:
                launch()
            events.append(self._event())
        self._queueing_s = (time.monotonic_ns() - began_ns) * 1e-9
        self._last = events[-1]
        self._pending.append((events, per_sample, self._queueing_s))
        return self._collect(keep=0 if self._held else 1)

    def _cold(self, launch: Launch, samples: int) -> list[Sample]:
        assert self._flush is not None
        for _ in range(samples):
            self._flush()
            self._spin(self.SPIN_S / 20)
            before = self._event()
            launch()
            self._pending.append(([before, self._event()], 1, 0.0))
        return self._collect(keep=0)

    def _collect(self, keep: int) -> list[Sample]:
        out = []
        while len(self._pending) > keep:
            events, per_sample, queueing_s = self._pending.pop(0)
            events[-1].synchronize()
            self._chunks += 1
            # a device that is done as soon as the last launch arrives has been waiting for them all along
            self._starved += queueing_s > 0.9e-3 * events[0].elapsed_time(events[-1])
            for before, after in itertools.pairwise(events):
                # stamped on the host's clock through the event at the window's start; milliseconds from the driver
                end_ns = self._start_ns + int(self._first.elapsed_time(after) * 1e6)
                out.append(Sample(end_ns, before.elapsed_time(after) * 1e-3 / per_sample, per_sample))
        return out

    def finish(self) -> list[Sample]:
        """Wait for all, and note both clocks."""
        last = self._event()
        self._module.synchronize()
        self._end_ns = time.monotonic_ns()
        self._device_s = self._first.elapsed_time(last) * 1e-3
        self._last = None  # what is launched next does not follow this without a gap
        return self._collect(keep=0)

    def flush_between(self, flush: Launch) -> Timer:
        """The same device with a flush before each launch, outside its events."""
        return EventTimer(self._module, flush)

    @property
    def launch_bound(self) -> bool:
        """True when half of the chunks took the device no longer than the host took to queue them."""
        return self._held or (self._chunks >= 2 and self._starved * 2 >= self._chunks)

    def clock_error(self) -> float | None:
        """Host seconds over device seconds of the last window, minus one."""
        host_s = (self._end_ns - self._start_ns) * 1e-9
        return host_s / self._device_s - 1 if self._device_s > 0 else None
