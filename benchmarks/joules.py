"""From what the meters said to the energies of a window: pure, so that every rule can be tried on recorded readings.

Each energy keeps its boundary and carries the relative standard uncertainties that no repetition removes: the gain of
its sensor, its resolution, when its readings were taken, and for a periodic load how much the phase matters.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from perwatt.benchmarks.meters.meter import Capabilities, Reading
from perwatt.results.energy import counted, integrate, ticks
from perwatt.results.record import Energy, Power, Source
from perwatt.results.uncertainty import gain_term

DISAGREE = 0.03  # a counter and the polled power of the same packages are the same energy
EDGE_BOUND = 0.01  # an energy that the edges of its window may change by more is flagged
LIMIT_FACTOR = 1.5  # no package draws more than its power limit, but for moments
RESONANT = 0.03  # spread of evenly phased segments above which a periodic load beats with the sensor
QUIET = 0.01  # ... and below which it does not
NEAR_PERIODS = 3  # the power round an edge is looked at over this many periods of the counter
START_ERROR_S = 1e-3  # how well the host hits a phase


@dataclass(frozen=True)
class Heard:
    """One meter: what it is, all that it said from before the first span until after the last, how it was corrected."""

    about: Capabilities
    readings: Sequence[Reading]
    correction: tuple[float, float] = (1.0, 0.0)
    calibration: str = ""


Span = tuple[int, int]


@dataclass
class _Part:
    """The energy of one span, before it is judged."""

    energy_j: float | None
    readings: int
    flags: set[str]
    u_time_j: float = 0.0
    bound_j_per_w: float = 0.0


def energies(heard: Sequence[Heard], spans: Sequence[Span], phased: bool = False) -> tuple[Energy, ...]:
    """The energy of the spans (start and end in ns of the host's monotonic clock) by each meter that could say.

    ``phased``: the spans are segments that start at evenly spaced phases of the sensor's period.
    """
    found = [(h, _energy(h, spans, phased, heard)) for h in heard]
    return _cross_checked([(h, e) for h, e in found if e is not None])


def lost(heard: Sequence[Heard], spans: Sequence[Span]) -> set[str]:
    """Why a meter that was opened has no energy: the flags of the parts that could not be used."""
    flags: set[str] = set()
    for h in heard:
        parts = [_part(h, span) for span in spans]
        if any(p.energy_j is None for p in parts):
            flags |= set().union(*(p.flags for p in parts)) - {"ok"} or {"uncovered"}
    return flags


def _usable(heard: Heard) -> list[Reading]:
    """The readings that say something, in time order."""
    longest_ns = heard.about.longest_call_ns
    good = [r for r in heard.readings if r.value is not None and math.isfinite(r.value) and r.call_ns <= longest_ns]
    return sorted(good, key=lambda r: r.mono_ns)


def _troubles(about: Capabilities, readings: Sequence[Reading]) -> set[str]:
    flags = {str(r.status) for r in readings if r.status != "ok"}
    if any(r.call_ns > about.longest_call_ns for r in readings):
        flags.add("slow_meter")
    return flags


def _part(heard: Heard, span: Span) -> _Part:
    about = heard.about
    good = _usable(heard)
    t = np.array([r.mono_ns for r in good], dtype=np.int64)
    value = np.array([r.value for r in good], dtype=np.float64)
    margin_ns = round(max(10 * about.period_s, 10 * about.poll_s, 1.0) * 1e9)
    near = (t >= span[0] - margin_ns) & (t <= span[1] + margin_ns)
    t, value = t[near], value[near]
    around = [r for r in heard.readings if span[0] <= r.mono_ns <= span[1]]
    flags = _troubles(about, around)
    seconds = (span[1] - span[0]) * 1e-9
    gain, offset_w = heard.correction
    if about.kind == "energy":
        count = counted(t, value, *span, about.period_s)
        part = _Part(count.energy_j, count.readings, flags | set(count.flags), count.u_time_j, count.bound_j_per_w)
    else:
        result = integrate(t - about.late_ns, value, *span, max(about.poll_s, about.period_s if about.remote else 0.0))
        part = _Part(result.energy_j, result.readings, flags | set(result.flags))
    if part.energy_j is not None:
        part.energy_j = gain * part.energy_j + offset_w * seconds
        if part.energy_j <= 0 or (about.limit_w and part.energy_j > LIMIT_FACTOR * about.limit_w * seconds):
            part.energy_j = None
            part.flags.add("out_of_range")
    return part


def _energy(heard: Heard, spans: Sequence[Span], phased: bool, others: Sequence[Heard]) -> Energy | None:
    about = heard.about
    parts = [_part(heard, span) for span in spans]
    known = [p.energy_j for p in parts if p.energy_j is not None]
    if len(known) < len(parts):
        return None
    energy_j, seconds = sum(known), sum(b - a for a, b in spans) * 1e-9
    flags = set().union(*(p.flags for p in parts))
    terms: dict[str, float] = {}
    gain, _ = gain_term(about.accuracy_class, about.accuracy)
    if gain is not None and not (about.modelled or about.replayed):
        terms["gain"] = gain
    power_w = energy_j / seconds
    polled = [r.value for r in heard.readings if r.value is not None and _within(r.mono_ns, spans)]
    if about.quantum:
        # a counter is rounded at both ends of each span, a gauge at every reading; equal ones are rounded alike
        steps = math.sqrt(len(spans) / 6) / energy_j
        terms["resolution"] = about.quantum * (
            steps if about.kind == "energy" else 1 / (power_w * math.sqrt(12 * max(len(set(polled)), 1)))
        )
    if about.kind == "energy":
        terms["staleness"] = math.hypot(*(p.u_time_j for p in parts)) / energy_j
        bound = sum(p.bound_j_per_w for p in parts) * _swing_w(heard, spans, others) / energy_j
        terms["edges"] = bound / math.sqrt(3)
        # so does when the renewals came: they are known within bounds, sqrt(3) standard uncertainties to either side
        if bound + math.sqrt(3) * terms["staleness"] > EDGE_BOUND:
            flags.add("short_window")
    if phased and len(spans) > 1:
        means = [e / (b - a) * 1e9 for e, (a, b) in zip(known, spans, strict=True)]
        spread = (max(means) - min(means)) / statistics.fmean(means)
        if spread > QUIET:
            terms["aliasing"] = spread * 2 * START_ERROR_S / about.period_s
        if spread > RESONANT:
            flags.add("aliasing_risk")
    if about.modelled:
        flags.add("modelled")
    source: Source = "modelled" if about.modelled else "replayed" if about.replayed else "integrated"
    return Energy(
        meter=about.name,
        boundary=about.boundary,
        packages=about.packages,
        accuracy_class=about.accuracy_class,
        source="counter" if source == "integrated" and about.kind == "energy" else source,
        energy_j=energy_j,
        readings=sum(p.readings for p in parts),
        flags=tuple(sorted(flags)),
        instrument=about.instrument,
        terms=terms,
        calibration=heard.calibration,
        power=_distribution(about, polled),
    )


def _within(t_ns: int, spans: Sequence[Span]) -> bool:
    return any(a <= t_ns <= b for a, b in spans)


def _distribution(about: Capabilities, polled: Sequence[float]) -> Power | None:
    if about.kind != "power" or not polled:
        return None
    p50, p95, p99 = np.percentile(polled, [50, 95, 99])
    return Power(float(p50), float(p95), float(p99), max(polled), about.averaging_s or about.period_s)


def _swing_w(heard: Heard, spans: Sequence[Span], others: Sequence[Heard]) -> float:
    """By how many watts power varies round the edges: as the counter's own slopes show it, and as the polled power of
    the same packages does, which sees faster than the counter is renewed."""
    about = heard.about
    near_ns = round(NEAR_PERIODS * max(about.period_s, about.poll_s) * 1e9)
    edges = [edge for span in spans for edge in span]
    widest = 0.0
    for edge in edges:
        low, high = edge - near_ns, edge + near_ns
        slopes = _slopes(heard, low, high)
        widest = max(widest, max(slopes) - min(slopes) if slopes else 0.0)
        for other in others:
            if other.about.kind == "power" and other.about.packages == about.packages and not other.about.remote:
                seen = [r.value for r in other.readings if r.value is not None and low <= r.mono_ns <= high]
                widest = max(widest, max(seen) - min(seen) if seen else 0.0)
    return widest


def _slopes(heard: Heard, low_ns: int, high_ns: int) -> list[float]:
    near = [r for r in _usable(heard) if low_ns - 10**9 <= r.mono_ns <= high_ns + 10**9]
    found = ticks([r.mono_ns for r in near], np.array([r.value for r in near], dtype=np.float64), heard.about.period_s)
    keep = np.flatnonzero((found.t_ns >= low_ns) & (found.t_ns <= high_ns))
    t, e = found.t_ns[keep], found.energy_j[keep]
    # the moments of ticks are uncertain: a slope over less than a period would show that, not the power
    return [float(w) for w in np.diff(e) / (np.diff(t) * 1e-9)]


def _cross_checked(found: Sequence[tuple[Heard, Energy]]) -> tuple[Energy, ...]:
    """Counter and polled integral of the same packages, flagged where they differ by more than 3 %."""
    out = []
    for _, energy in found:
        flags = set(energy.flags)
        for _, other in found:
            same = other.boundary == energy.boundary and other.packages == energy.packages
            if same and {energy.source, other.source} == {"counter", "integrated"}:
                counter = energy if energy.source == "counter" else other
                polled = other if counter is energy else energy
                if abs(polled.energy_j / counter.energy_j - 1) > DISAGREE:
                    flags.add("counter_vs_poll")
        out.append(msgspec.structs.replace(energy, flags=tuple(sorted(flags))))
    return tuple(out)
