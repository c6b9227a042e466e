"""When a measured window may end: after a duration, after a count, or when the samples have settled.

Every rule is fed with each sample in time order. A rule knows nothing of meters: the window also stays open until each
meter in use has given its minimum number of readings, whatever the rule says.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque


class StoppingRule(ABC):
    """Fed with samples, says when there are enough of them. ``converged`` tells whether it ended for its own reason."""

    def __init__(self) -> None:
        self.samples = 0
        self.total_s = 0.0

    def add(self, seconds: float, launches: int = 1, flush_s: float = 0.0) -> None:
        """Take one sample: ``seconds`` per launch over ``launches`` launches. ``flush_s``: how long the flush before it
        took, which is time of the window and none of the sample's."""
        self.samples += 1
        self.total_s += seconds * launches + flush_s

    @abstractmethod
    def done(self) -> bool:
        """Whether the window may end."""

    @property
    def converged(self) -> bool:
        """False if the rule gave up (a time-out) rather than being satisfied."""
        return True


def _positive(rule: str, **values: float) -> None:
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(f"stopping.{key}: {value!r} is not a positive number ({rule})")


class Duration(StoppingRule):
    """Stop when the samples and the flushes before them add up to ``seconds``, of ``min_samples`` at least."""

    def __init__(self, seconds: float, min_samples: int = 3) -> None:
        super().__init__()
        _positive("duration", seconds=seconds, min_samples=min_samples)
        self.seconds, self.min_samples = seconds, min_samples

    def done(self) -> bool:
        """Long enough, and more than one sample."""
        return self.total_s >= self.seconds and self.samples >= self.min_samples


class Count(StoppingRule):
    """Stop after ``samples`` samples, however long they take."""

    def __init__(self, samples: int = 100) -> None:
        super().__init__()
        _positive("count", samples=samples)
        self.wanted = samples

    def done(self) -> bool:
        """As many as asked for."""
        return self.samples >= self.wanted


class Stdrel(StoppingRule):
    """nvbench's ``stdrel``: stop when the relative standard deviation of all samples, the noise, is low or settled.

    Satisfied when there are ``min_samples`` samples and ``min_time_s`` of them, and either the noise is below
    ``max_noise``, or the noise itself has converged: over the last ``window`` values of the noise (looked at every
    ``every`` samples once the window is full) its own relative standard deviation is below ``noise_of_noise``.
    Gives up after ``timeout_s``; the record is then flagged ``noisy``. (NVIDIA/nvbench, ``detail/stdrel_criterion``
    and ``docs/cli_help.md``: 0.5 %, 0.5 s, 10 samples, 15 s; window 64 checked every 16, 5 %.)
    """

    def __init__(
        self,
        max_noise: float = 0.005,
        min_time_s: float = 0.5,
        min_samples: int = 10,
        timeout_s: float = 15.0,
        window: int = 64,
        every: int = 16,
        noise_of_noise: float = 0.05,
    ) -> None:
        super().__init__()
        _positive("stdrel", max_noise=max_noise, min_time_s=min_time_s, min_samples=min_samples, timeout_s=timeout_s)
        _positive("stdrel", window=window, every=every, noise_of_noise=noise_of_noise)
        self.max_noise, self.min_time_s, self.min_samples = max_noise, min_time_s, min_samples
        self.timeout_s, self.every, self.noise_of_noise = timeout_s, every, noise_of_noise
        self._noises: deque[float] = deque(maxlen=int(window))
        self._mean = self._m2 = 0.0
        self._settled = False

    def add(self, seconds: float, launches: int = 1, flush_s: float = 0.0) -> None:
        """Update the running mean and variance (Welford) and the window of noises."""
        super().add(seconds, launches, flush_s)
        delta = seconds - self._mean
        self._mean += delta / self.samples
        self._m2 += delta * (seconds - self._mean)
        self._noises.append(self.noise)
        if len(self._noises) == self._noises.maxlen and self.samples % self.every == 0:
            self._settled = self._relative_noise_of_noise() < self.noise_of_noise

    @property
    def noise(self) -> float:
        """Standard deviation over mean of all samples so far; infinite below two samples."""
        if self.samples < 2:
            return math.inf
        return math.sqrt(self._m2 / (self.samples - 1)) / self._mean

    def _relative_noise_of_noise(self) -> float:
        mean = sum(self._noises) / len(self._noises)
        if mean == 0:
            return 0.0
        if not math.isfinite(mean):
            return math.inf
        return math.sqrt(sum((x - mean) ** 2 for x in self._noises) / (len(self._noises) - 1)) / mean

    @property
    def converged(self) -> bool:
        """Enough samples and time, and the noise low or settled."""
        enough = self.samples >= self.min_samples and self.total_s >= self.min_time_s
        return enough and (self.noise < self.max_noise or self._settled)

    def done(self) -> bool:
        """Satisfied, or out of time."""
        return self.converged or (self.total_s >= self.timeout_s and self.samples >= 2)
