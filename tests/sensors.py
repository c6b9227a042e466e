"""Simulated sensors of known truth, as readings: a load's power curve seen by a part-time sensor, and by a counter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from perwatt.benchmarks.meters.meter import Capabilities, Kind, Reading

Floats = npt.NDArray[np.float64]
Curve = Callable[[Floats], Floats]  # watts at each second


def about(kind: Kind, period_s: float = 0.1, **changes: object) -> Capabilities:
    base: dict[str, object] = {
        "name": f"sim_{kind}",
        "kind": kind,
        "boundary": "gpu",
        "packages": ("GPU-0",),
        "period_s": period_s,
        "poll_s": 0.02,
        "quantum": 1e-3,
        "accuracy_class": "D",
    }
    return Capabilities(**{**base, **changes})  # type: ignore[arg-type]


class Truth:
    """A power curve on a fine grid, integrated once."""

    def __init__(self, curve: Curve, seconds: float, step_s: float = 2e-4) -> None:
        self.t = np.arange(0, seconds, step_s)
        self.energy = np.concatenate([[0.0], np.cumsum(curve(self.t[:-1] + step_s / 2)) * step_s])

    def joules(self, at: npt.ArrayLike) -> Floats:
        """True energy since 0 at ``at`` seconds."""
        return np.asarray(np.interp(at, self.t, self.energy))


def gauge(
    truth: Truth, polls: Floats, period_s: float, window_s: float, phase_s: float = 0.0, gain: float = 1.0
) -> list[Reading]:
    """A sensor that looks ``window_s`` at the end of each ``period_s`` and shows the mean until the next."""
    seen = np.floor((polls - phase_s) / period_s) * period_s + phase_s
    watts = gain * (truth.joules(seen) - truth.joules(seen - window_s)) / window_s
    return [Reading(round(t * 1e9), 0, float(w)) for t, w in zip(polls, watts, strict=True)]


def counter(truth: Truth, polls: Floats, period_s: float, phase_s: float = 0.0, gain: float = 1.0) -> list[Reading]:
    """A counter of the true energy renewed every ``period_s``."""
    seen = np.floor((polls - phase_s) / period_s) * period_s + phase_s
    return [Reading(round(t * 1e9), 0, float(gain * e)) for t, e in zip(polls, truth.joules(seen), strict=True)]
