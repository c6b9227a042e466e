"""How far a sensor is off: gain and offset against a reference that measured the same power at the same time.

Two ways, for two questions. Over a whole step, from rest to load and back to rest, the integrals of sensor and
reference differ by the gain alone: how late the sensor is and how long it averages fall out. The steady parts of
steps at several levels give a straight line, P_true = gain * P_sensor + offset. Its standard uncertainties come from
the scatter about the line, or from the noise of the levels where that is larger, and from the reference's own gain,
which no fit sees. A line through a wall meter contains the power supply's loss: it is then true of power at the wall.
Sources: JCGM 100 (GUM); Yang, Adamek and Armour, "Accurate and Convenient Energy Measurements for GPUs", SC24.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from perwatt.results.energy import integrate
from perwatt.results.traces.trace import Floats, Stamps, Trace

LEAST_READINGS = 4  # of each side in a steady part


@dataclass(frozen=True)
class Level:
    """One steady part of a step: mean power by sensor and reference and the standard uncertainties of both, in W."""

    sensor_w: float
    reference_w: float
    u_sensor_w: float
    u_reference_w: float


@dataclass(frozen=True)
class Calibration:
    """P_true = ``gain`` * P_sensor + ``offset_w``, between ``low_w`` and ``high_w`` of the sensor; plain values only.

    ``u_gain``, ``u_offset_w``: standard uncertainties; ``covariance`` of the two in W; ``u_reference``: the part of
    ``u_gain`` / ``gain`` that is the reference's; ``worst_w``: the largest distance of a level from the line.
    """

    gain: float
    offset_w: float
    u_gain: float
    u_offset_w: float
    covariance: float
    u_reference: float
    worst_w: float
    low_w: float
    high_w: float
    levels: tuple[Level, ...]
    reference: str = ""

    def true_w(self, sensor_w: float) -> float:
        """What the reference would have read, in W."""
        return self.gain * sensor_w + self.offset_w

    def u_relative(self, sensor_w: float) -> float:
        """Relative standard uncertainty of :meth:`true_w`: the gain term that stands for the sensor's own."""
        variance = (self.u_gain * sensor_w) ** 2 + self.u_offset_w**2 + 2 * sensor_w * self.covariance
        return math.sqrt(max(variance, 0.0)) / abs(self.true_w(sensor_w))


def step_gain(sensor: Trace, reference: Trace, start_ns: int, end_ns: int) -> float:
    """Relative gain error of the sensor over a whole step: its energy over the reference's, less 1 (-0.05: 5 % low).

    The window has to begin and end at rest, settled, or the sensor's delay does not fall out. Raises ValueError where
    either trace does not cover it.
    """
    found = []
    for trace in (sensor, reference):
        integral = trace.integral(start_ns, end_ns)
        if integral.energy_j is None:
            raise ValueError(
                f"{trace.source}: found the step {', '.join(integral.flags)}; allowed a trace that covers it"
            )
        found.append(integral.energy_j)
    return found[0] / found[1] - 1


def levels(
    sensor: Trace, reference: Trace, edges_ns: Sequence[int], *, settle_s: float, averaging_s: float = 0.0
) -> tuple[Level, ...]:
    """The steady parts between the edges at which the load was changed, the first ``settle_s`` of each left out.

    ``averaging_s``: a reading of the sensor is the mean of that long before it, so it is compared with the reference
    that much earlier on average. What lies before the first edge counts as settled. Parts too short to have
    :data:`LEAST_READINGS` readings of each are passed over.
    """
    first = max(int(sensor.t_ns[0]), int(reference.t_ns[0]))
    last = min(int(sensor.t_ns[-1]), int(reference.t_ns[-1]))
    edges = [first - round(settle_s * 1e9), *sorted(e for e in edges_ns if first < e < last), last]
    late_ns = round(averaging_s / 2 * 1e9)
    found = []
    for start, end in pairwise(edges):
        begin = start + round(settle_s * 1e9)
        mine = _mean(sensor.t_ns, sensor.power_w, begin, end)
        theirs = _mean(reference.t_ns, reference.power_w, begin - late_ns, end - late_ns)
        if mine and theirs:
            found.append(Level(mine[0], theirs[0], mine[1], theirs[1]))
    return tuple(found)


def _mean(t_ns: Stamps, power_w: Floats, start_ns: int, end_ns: int) -> tuple[float, float] | None:
    """Mean over time and its standard uncertainty. Repeated readings are one reading: they tell nothing new."""
    inside = (t_ns >= start_ns) & (t_ns < end_ns)
    p = power_w[inside]
    if len(p) < LEAST_READINGS or end_ns <= start_ns:
        return None
    first, last = int(t_ns[inside][0]), int(t_ns[inside][-1])
    integral = integrate(t_ns[inside], p, first, last) if last > first else None
    if integral is None or integral.energy_j is None:
        return None
    news = int(np.count_nonzero(np.diff(p))) + 1
    return integral.energy_j / ((last - first) * 1e-9), float(np.std(p)) / math.sqrt(news)


def fit(found: Sequence[Level], *, accuracy: float | None = None, reference: str = "") -> Calibration:
    """The straight line through the levels, each counted by its uncertainty. ``accuracy``: the reference's half-width.

    Two levels give a line whose uncertainty is that of their noise; five or more are advised. Raises ValueError for
    fewer than two, or for levels so close together that no line can be told (within a tenth of the highest).
    """
    x = np.array([level.sensor_w for level in found])
    y = np.array([level.reference_w for level in found])
    if len(found) < 2 or float(np.ptp(x)) < 0.1 * float(np.max(np.abs(x))):
        raise ValueError(f"calibrate: found {len(found)} steady levels; allowed 2 or more that differ by 10 % or more")
    u = np.array([math.hypot(level.u_sensor_w, level.u_reference_w) for level in found])
    # a level of no noise at all must not outweigh the others without end
    u = np.maximum(u, max(1e-3 * float(np.max(np.abs(y))), 1e-9))
    design = np.column_stack([x, np.ones(len(x))])
    weighted = design / u[:, None]
    inverse = np.linalg.inv(weighted.T @ weighted)
    gain, offset_w = (float(v) for v in inverse @ (weighted.T @ (y / u)))
    away = y - (gain * x + offset_w)
    free = len(x) - 2
    # Birge: levels that scatter more than their noise explains widen it, they never narrow it
    birge = max(1.0, float(np.sum((away / u) ** 2)) / free) if free else 1.0
    covariance = inverse * birge
    u_reference = (accuracy or 0.0) / math.sqrt(3)
    return Calibration(
        gain,
        offset_w,
        math.hypot(math.sqrt(float(covariance[0, 0])), u_reference * gain),
        math.hypot(math.sqrt(float(covariance[1, 1])), u_reference * offset_w),
        float(covariance[0, 1]) + u_reference**2 * gain * offset_w,
        u_reference,
        float(np.max(np.abs(away))),
        float(x.min()),
        float(x.max()),
        tuple(found),
        reference,
    )
