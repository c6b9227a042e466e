"""How much of a communication a computation hides, and what that costs in energy: three records of one overlap.

With the computation alone taking t_c, the communication alone t_m and both at once t_b, the hidden share is

    h = (t_c + t_m - t_b) / min(t_c, t_m):

1 where the shorter one costs no time, 0 where the two might as well have been done one after the other, below 0 where
they hinder one another by more than that. Its interval of 95 % comes from those of the three medians, which are
independent: each end of each is put in by itself, and the deviations are added in quadrature.

The energy of both at once stands against the sum of the two: s = 1 - E_b / (E_c + E_m), each the mean of its windows
per launch, at one boundary and by one meter. What is drawn at rest is drawn for as long as a case takes, so less time
saves energy even if the power rises. U (k = 2) is made of the terms of the three budgets; the gain of one and the same
instrument cancels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from perwatt.results.record import Record, Seconds
from perwatt.results.uncertainty import K, budget

KERNEL, PART = "overlap", "part"
PARTS = ("compute", "communication", "both")


@dataclass(frozen=True)
class Overlap:
    """The three parts of one overlap, with what follows from them.

    ``hidden`` with ``hidden_low`` and ``hidden_high`` (95 %; None for a single sample); ``energy_j`` of one launch by
    part, ``saved`` = 1 - E_both / (E_compute + E_communication) with ``saved_expanded`` (U, k = 2). Energies are None
    where the three were not metered alike, U where it cannot be stated.
    """

    compute: Record
    communication: Record
    both: Record
    hidden: float
    hidden_low: float | None = None
    hidden_high: float | None = None
    energy_j: tuple[float, float, float] | None = None
    saved: float | None = None
    saved_expanded: float | None = None

    @property
    def saved_j(self) -> float | None:
        """Joules that a launch of both at once takes less than one of each; negative if it takes more."""
        return None if self.energy_j is None else self.energy_j[0] + self.energy_j[1] - self.energy_j[2]


def hidden(seconds: Sequence[float]) -> float:
    """h, from the seconds of computation, communication and both."""
    compute, communication, both = seconds
    return (compute + communication - both) / min(compute, communication)


def overlaps(records: Iterable[Record]) -> list[Overlap]:
    """The overlaps of which all three parts were measured, in the order of their ``both``; of a part that was measured
    twice the later record counts."""
    found: dict[bytes, dict[str, Record]] = {}
    for record in records:
        if record.case.kernel == KERNEL and record.measured is not None:
            part = str(record.case.params.get(PART))
            parts = found.setdefault(_same(record), {})
            parts.pop(part, None)
            parts[part] = record
    return [_overlap(*(parts[name] for name in PARTS)) for parts in found.values() if set(PARTS) <= parts.keys()]


def _same(record: Record) -> bytes:
    """What the parts of one overlap have in common."""
    case, device = record.case, record.device
    params = {key: value for key, value in case.params.items() if key != PART}
    place = [record.run, record.host, device.type, device.name, case.ranks, *case.held]
    return msgspec.json.encode([place, params], order="sorted")


def _overlap(compute: Record, communication: Record, both: Record) -> Overlap:
    records = (compute, communication, both)
    seconds = [m.seconds for r in records if (m := r.measured) is not None]
    low, high = _interval(seconds)
    energies = _energies(records)
    saved = None if energies is None else 1 - energies[2] / (energies[0] + energies[1])
    return Overlap(
        compute,
        communication,
        both,
        hidden([s.median for s in seconds]),
        low,
        high,
        energies,
        saved,
        None if energies is None else _expanded(records, energies),
    )


def _interval(seconds: Sequence[Seconds]) -> tuple[float | None, float | None]:
    """The ends of the 95 % interval of h."""
    if any(s.samples < 2 for s in seconds):
        return None, None
    middle = [s.median for s in seconds]
    value, down, up = hidden(middle), 0.0, 0.0
    for index, one in enumerate(seconds):
        moved = [hidden([*middle[:index], end, *middle[index + 1 :]]) - value for end in (one.ci_low, one.ci_high)]
        down, up = math.hypot(down, min(0.0, *moved)), math.hypot(up, max(0.0, *moved))
    return value - down, value + up


def _energies(records: Sequence[Record]) -> tuple[float, float, float] | None:
    """Joules a launch of each part; None unless all three have energies of one meter at one boundary."""
    pairs = [[(r, e) for r, e in record.energies if e.energy_j > 0] for record in records]
    if not all(pairs) or len({(e.meter, e.boundary) for part in pairs for _, e in part}) != 1:
        return None
    compute, communication, both = (sum(e.energy_j for _, e in p) / sum(r.iterations for r, _ in p) for p in pairs)
    return compute, communication, both


def _expanded(records: Sequence[Record], energies: tuple[float, float, float]) -> float | None:
    """U of the saved share; None where one of the budgets states none."""
    budgets = [budget(record) for record in records]
    if any(b is None or b.expanded is None for b in budgets):
        return None
    sensors = {(e.instrument, e.calibration, len(e.packages)) for record in records for _, e in record.energies}
    shared = len(sensors) == 1 and next(iter(sensors))[0] != ""
    u = [math.hypot(*(v for k, v in b.terms.items() if not (shared and k == "gain"))) for b in budgets if b is not None]
    apart = energies[0] + energies[1]
    of_sum = math.hypot(u[0] * energies[0], u[1] * energies[1]) / apart
    return K * energies[2] / apart * math.hypot(u[2], of_sum)
