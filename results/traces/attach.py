"""Energies of a finished run's windows from a trace that lies on the run's monotonic clock.

A window that the trace does not cover gets no energy, and its record the flag ``uncovered:NAME``. Each energy carries
the gain of its meter and what the doubt about the two clocks is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from perwatt.results.energy import integrate
from perwatt.results.record import SCHEMA, Energy, Power, Record, Repetition
from perwatt.results.traces.clocks import clock_term
from perwatt.results.traces.trace import Floats, Stamps, Trace
from perwatt.results.uncertainty import gain_term

FEW = 10  # readings in a window below which a meter of samples says little (EE HPC's rule)
SHARED = 0.05  # of a window in which another case ran: the energy is then of both


@dataclass(frozen=True)
class Attached:
    """A record with the new energies, and why windows were left without: ``uncovered``, ``gappy``, ``segmented``."""

    record: Record
    covered: int
    windows: int
    missing: tuple[str, ...]


def attach(
    record: Record, trace: Trace, t_ns: Stamps, *, clock_s: float, instrument: str = "", others: Sequence[Record] = ()
) -> Attached:
    """Add the trace's energy to every window of a measured record that it covers; one of the same name is replaced.

    ``t_ns``: the trace's stamps on the run's monotonic clock; ``clock_s``: they are right to within this; ``others``:
    the run's records, to tell whether another device worked at the same time (flag ``shared``).
    """
    measured = record.measured
    if measured is None:
        return Attached(record, 0, 0, ())
    busy = [_span(r) for o in others if o.case.key != record.case.key and o.measured for r in o.measured.repetitions]
    repetitions, missing = [], set()
    for repetition in measured.repetitions:
        kept = tuple(e for e in repetition.energies if e.meter != trace.name)
        energy, why = _energy(repetition, trace, t_ns, clock_s, instrument)
        if energy is not None:
            if _overlap(_span(repetition), busy) > SHARED * repetition.window_s * 1e9:
                energy = msgspec.structs.replace(energy, flags=tuple(sorted({*energy.flags, "shared"})))
            kept = (*kept, energy)
        missing |= why
        repetitions.append(msgspec.structs.replace(repetition, energies=kept))
    covered = sum(any(e.meter == trace.name for e in r.energies) for r in repetitions)
    # the flag names the meter: an import that is made again takes back its own cautions and nobody else's
    kept_flags = [flag for flag in record.flags if not flag.endswith(f":{trace.name}")]
    flags = (*kept_flags, *(f"{flag}:{trace.name}" for flag in sorted(missing)))
    outcome = msgspec.structs.replace(measured, repetitions=tuple(repetitions), unmetered=_unmetered(record, covered))
    renewed = msgspec.structs.replace(record, schema=SCHEMA, outcome=outcome, flags=flags)
    return Attached(renewed, covered, len(repetitions), tuple(sorted(missing)))


def _unmetered(record: Record, covered: int) -> str:
    """Why nothing encloses the device: no longer true once an outer boundary was metered."""
    assert record.measured is not None
    return "" if covered else record.measured.unmetered


def _span(repetition: Repetition) -> tuple[int, int]:
    return repetition.start_ns, repetition.start_ns + round(repetition.window_s * 1e9)


def _overlap(span: tuple[int, int], busy: Sequence[tuple[int, int]]) -> int:
    return max((min(span[1], b) - max(span[0], a) for a, b in busy), default=0)


def _energy(
    repetition: Repetition, trace: Trace, t_ns: Stamps, clock_s: float, instrument: str
) -> tuple[Energy | None, set[str]]:
    """The energy of one window, or why there is none."""
    if repetition.segments > 1:
        return None, {"segmented"}  # where its parts began is not known any more
    start_ns, end_ns = _span(repetition)
    result = integrate(t_ns, trace.power_w, start_ns, end_ns, trace.period_s or None)
    if result.energy_j is None or result.energy_j <= 0:
        return None, set(result.flags) or {"uncovered"}
    inside = trace.power_w[(t_ns >= start_ns) & (t_ns <= end_ns)]
    gain, _ = gain_term(trace.accuracy_class, trace.accuracy)
    terms = {} if gain is None else {"gain": gain}
    load_w = result.energy_j / repetition.window_s
    outside_w = _outside(trace.power_w, t_ns, (start_ns, end_ns), max(clock_s, trace.period_s), load_w)
    terms["clock"] = clock_term(load_w, outside_w, clock_s, result.energy_j)
    power = None
    if len(inside):
        p50, p95, p99 = (float(v) for v in np.percentile(inside, [50, 95, 99]))
        power = Power(p50, p95, p99, float(inside.max()), trace.period_s)
    energy = Energy(
        meter=trace.name,
        boundary=trace.boundary,
        packages=(trace.name,),
        accuracy_class=trace.accuracy_class,
        source="integrated",
        energy_j=result.energy_j,
        readings=result.readings,
        flags=tuple(sorted({*result.flags, *(("few_readings",) if result.readings < FEW else ())})),
        instrument=instrument,
        terms=terms,
        power=power,
    )
    return energy, set()


def _outside(power_w: Floats, t_ns: Stamps, span: tuple[int, int], reach_s: float, load_w: float) -> float:
    """Power just outside the window, of the two sides the one further from the load; 0 W where a side is unknown."""
    reach_ns = round(reach_s * 1e9)
    before = power_w[(t_ns < span[0]) & (t_ns >= span[0] - reach_ns)]
    after = power_w[(t_ns > span[1]) & (t_ns <= span[1] + reach_ns)]
    sides = [float(side.mean()) if len(side) else 0.0 for side in (before, after)]
    return max(sides, key=lambda side: abs(side - load_w))
