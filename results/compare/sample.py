"""One case in one run: its rate, power, and work per joule, each with draws of what it may truly be.

A case that several devices of a run measured is one sample. Where the other run is of the very same devices, their mean
is known as well as the repetitions tell; where it is of others, devices are what was drawn, and scatter among them
counts. Of one device on either side, how far such boards differ is not known, and said.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from perwatt.results.calibration import UUID
from perwatt.results.compare import draws
from perwatt.results.derived import BOUNDARIES, SOURCES
from perwatt.results.record import Energy, Record, Repetition
from perwatt.results.uncertainty import known_terms, unstated

if TYPE_CHECKING:
    from perwatt.results.compare.draws import Floats

# What is compared, and whether more of it is better; of power alone neither is.
QUANTITIES: dict[str, int] = {"rate": 1, "power": 0, "rate_per_watt": 1, "energy_per_work": -1}
ON_BOARD = {b for order in BOUNDARIES.values() for b in order if not b.startswith("node")}
NEAREST = (*sorted(ON_BOARD), "node_dc", "node_ac")
SAME_CAP_W = 0.5

Pairs = tuple[tuple[Repetition, Energy], ...]
Meter = tuple[str, str]  # boundary and accuracy class


@dataclass(frozen=True, eq=False)
class Estimate:
    """A figure in SI units. ``log_draws``: ln(true / value), shape (DRAWS,), None where ``reason`` says why."""

    value: float
    log_draws: Floats | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Sample:
    """The records of one case in one run, one a device (or group of ranks), all measured. ``lost``: how many more were
    to measure it, and why they did not; empty where all did."""

    run: str
    records: tuple[Record, ...]
    lost: str = ""

    @property
    def first(self) -> Record:
        """The record that speaks for what all have in common."""
        return self.records[0]

    @property
    def label(self) -> str:
        """What the case is called."""
        return self.first.case.label

    @cached_property
    def units(self) -> tuple[str, ...]:
        """The devices, or groups of hosts, by what tells them apart."""
        return tuple(sorted(map(unit, self.records)))

    @cached_property
    def meters(self) -> dict[Meter, list[Pairs]]:
        """For each boundary and class that every record has energies of, these energies with their windows."""
        found = [_by_meter(record) for record in self.records]
        return {meter: [by[meter] for by in found] for meter in found[0] if all(meter in by for by in found)}

    @property
    def flags(self) -> set[str]:
        """The cautions of all records."""
        return {flag for record in self.records for flag in record.flags}

    def estimate(
        self, quantity: str, meter: Meter | None, same_units: bool, shared_gain: bool = False
    ) -> Estimate | None:
        """One of :data:`QUANTITIES` at ``meter``; None where it is not known. ``same_units``: the other run is of the
        same devices; ``shared_gain``: of the same instruments, whose gain need not be known."""
        if quantity == "rate":
            return self._pooled("rate", [(_rate(r), _rates(r)) for r in self.records], same_units)
        if meter is None or meter not in self.meters:
            return None
        of_each = self.meters[meter]
        figures: list[tuple[float | None, list[float]]]
        if quantity == "power":
            figures = [_powers(pairs) for pairs in of_each]
        else:
            figures = [_per_joule(r, pairs) for r, pairs in zip(self.records, of_each, strict=True)]
        made = self._pooled("power" if quantity == "power" else "rate_per_watt", figures, same_units)
        if made is None:
            return None
        made = self._with_meter(made, of_each, 1 if quantity == "power" else -1, shared_gain)
        if quantity == "energy_per_work":
            return Estimate(1 / made.value, None if made.log_draws is None else -made.log_draws, made.reason)
        return made

    def _pooled(
        self, name: str, figures: Sequence[tuple[float | None, Sequence[float]]], same_units: bool
    ) -> Estimate | None:
        """The mean over devices: ``figures`` are the value of each, and what its repetitions say."""
        values = [value for value, _ in figures]
        known = [v for v in values if v]
        if not known or len(known) < len(values):
            return None
        mean = statistics.fmean(known)
        cause = (
            name,
            self.run,
            self.first.case.kernel,
            json.dumps(self.first.case.params, sort_keys=True, default=str),
        )
        if len(known) > 1 and not same_units:
            return Estimate(mean, draws.scatter(known, *cause, *self.units))
        each = [draws.scatter(of, *cause, u) for (_, of), u in zip(figures, map(unit, self.records), strict=True)]
        parts = [part for part in each if part is not None]
        if len(parts) < len(each):
            return Estimate(mean, None, "one repetition: how well it repeats is not known")
        total: Floats = sum(v * part for v, part in zip(known, parts, strict=True)) / sum(known)  # type: ignore[assignment]
        return Estimate(mean, total)

    def instruments(self, meter: Meter) -> list[str]:
        """What the gain of the energies at ``meter`` belongs to."""
        return _instruments(self.run, self.records, self.meters[meter])

    def _with_meter(self, made: Estimate, of_each: Sequence[Pairs], sign: int, shared_gain: bool) -> Estimate:
        """With what no repetition removes; the gain of an instrument is drawn once, whatever it measured."""
        energies = [e for pairs in of_each for _, e in pairs]
        reason = made.reason
        for record, pairs in zip(self.records, of_each, strict=True):
            reason = reason or unstated(record, [e for _, e in pairs], gain_needed=not shared_gain)
        if reason or made.log_draws is None:
            return Estimate(made.value, None, reason)
        terms: dict[str, list[float]] = {}
        for record, pairs in zip(self.records, of_each, strict=True):
            for name, u in known_terms(record, pairs, 1.0)[0].items():
                terms.setdefault(name, []).append(u)
        total = made.log_draws
        for name, us in terms.items():
            u = math.sqrt(statistics.fmean(x * x for x in us))
            if name == "gain":
                drawn = draws.normal if any(e.calibration for e in energies) else draws.rectangular
                total = total + sign * drawn(u, "gain", *_instruments(self.run, self.records, of_each))
            elif name != "repeatability":
                total = total + sign * draws.normal(u, name, self.run, self.first.case.key, *self.units)
        return Estimate(made.value, total, "")


def unit(record: Record) -> str:
    """Which device, or which machines, measured: a UUID is the same in any host, an index is its host's."""
    if record.case.collective:
        return "+".join(record.case.over.hosts) if record.case.over else record.host
    return record.device.uuid or f"{record.host}:{record.device.type}:{record.case.device_index}"


def common_meters(samples: Sequence[Sample], boundary: str = "") -> list[Meter]:
    """The boundaries and classes that all were metered at, the nearest to the device first and of these the best class;
    of ``boundary`` alone if one is given. Empty where they have none in common."""
    if not samples:
        return []
    order = [*dict.fromkeys((*BOUNDARIES.get(samples[0].first.device.type, ()), *NEAREST))]
    common = [m for m in samples[0].meters if all(m in s.meters for s in samples) and boundary in ("", m[0])]
    return sorted(common, key=lambda m: (order.index(m[0]) if m[0] in order else len(order), m[1]))


def _instruments(run: str, records: Sequence[Record], of_each: Sequence[Pairs]) -> list[str]:
    """What the gain belongs to: the sensors by name, or the run's own where nobody named them. Sensors on a board are
    told by their place only, unless by a UUID, and then belong to their host."""
    found = set()
    for record, pairs in zip(records, of_each, strict=True):
        for _, e in pairs:
            named = e.instrument or f"{run} {e.meter}"
            place = record.host if e.boundary in ON_BOARD and not UUID.search(named) else ""
            found.add(f"{place}/{named}/{e.calibration}/{len(e.packages)}")
    return sorted(found)


def cap_w(record: Record) -> float | None:
    """The power limit that was enforced in every window of a record, in W; None where none is known, or it moved."""
    m = record.measured
    limits = [r.conditions.limit_w.get("enforced") if r.conditions else None for r in m.repetitions] if m else []
    known = [limit for limit in limits if limit is not None]
    if not known or len(known) < len(limits) or max(known) - min(known) > SAME_CAP_W:
        return None
    return max(known)


def _rate(record: Record) -> float | None:
    return record.busbw if record.busbw is not None else record.rate


def _rates(record: Record) -> list[float]:
    """Launches per second of each window, whose scatter is that of the rate."""
    assert record.measured is not None
    return [r.iterations / r.window_s for r in record.measured.repetitions if r.window_s > 0 and r.iterations > 0]


def _powers(pairs: Pairs) -> tuple[float | None, list[float]]:
    seconds, joules = sum(r.window_s for r, _ in pairs), sum(e.energy_j for _, e in pairs)
    return joules / seconds, [e.energy_j / r.window_s for r, e in pairs]


def _per_joule(record: Record, pairs: Pairs) -> tuple[float | None, list[float]]:
    each = [r.iterations * record.bus_amount / e.energy_j for r, e in pairs]
    return (statistics.fmean(each) if record.amount else None), each


def _by_meter(record: Record) -> dict[Meter, Pairs]:
    """The energies of each boundary and class, of its best meter: a counter before polled power. Only what has energy
    in a window counts."""
    assert record.measured is not None
    meters: dict[Meter, dict[str, list[tuple[Repetition, Energy]]]] = {}
    for repetition in record.measured.repetitions:
        for energy in repetition.energies:
            if energy.energy_j > 0 and repetition.window_s > 0:
                of = meters.setdefault((energy.boundary, energy.accuracy_class), {})
                of.setdefault(energy.meter, []).append((repetition, energy))
    best = {}
    for meter, by_name in meters.items():
        ranked = sorted(by_name.values(), key=lambda pairs: (-len(pairs), SOURCES.index(pairs[0][1].source)))
        best[meter] = tuple(ranked[0])
    return best
