"""What a measurement is made of: the chunks that ranks agree on, and everything that was taken."""

from __future__ import annotations

import math
import statistics
from array import array
from dataclasses import dataclass, field
from typing import Protocol

from perwatt.benchmarks.timers import Sample
from perwatt.results.health import Health
from perwatt.results.record import Repetition, SamplerCost


@dataclass(frozen=True)
class Agreed:
    """A chunk as all ranks see it: per sample the slowest rank's seconds, and the mean over ranks of all of them;
    of several ranks also the middle (the median over ranks) and the fastest one's of each sample."""

    slowest: list[float]
    mean: float
    stop: bool
    ready: bool
    middle: list[float] = field(default_factory=list)
    fastest: list[float] = field(default_factory=list)


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
    middle: array[float] = field(default_factory=lambda: array("d"))
    fastest: array[float] = field(default_factory=lambda: array("d"))
    rank_means: list[tuple[float, int]] = field(default_factory=list)
    windows: list[Repetition] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    clock_error: float | None = None
    steady: bool | None = None
    sampler_cost: SamplerCost | None = None
    health: tuple[Health, ...] = ()

    def add(self, samples: list[Sample], repetition: int, agreed: Agreed) -> None:
        """Keep a chunk."""
        for sample in samples:
            self.end_ns.append(sample.end_ns)
            self.seconds.append(sample.seconds)
            self.launches.append(sample.launches)
            self.repetition.append(repetition)
        self.slowest.extend(agreed.slowest)
        self.middle.extend(agreed.middle)
        self.fastest.extend(agreed.fastest)

    @property
    def samples(self) -> list[Sample]:
        """The samples as tuples, in time order."""
        return [Sample(*columns) for columns in zip(self.end_ns, self.seconds, self.launches, strict=True)]
