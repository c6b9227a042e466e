"""From the answers of several ranks to the one outcome of a collective."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perwatt.benchmarks.task import Answer
from perwatt.results.record import Energy, Failed, Measured, Outcome, Repetition, Skipped

PER_DEVICE = ("gpu", "module")


def reduce(answers: Sequence[Answer]) -> tuple[Outcome, tuple[str, ...]]:
    """One outcome and the union of the flags. A rank that failed decides, then one that skipped.

    Times need no reduction (every rank already holds the maximum over ranks of each launch); energies are summed over
    distinct physical packages of the same meter, so that two ranks on one package do not double it.
    """
    flags = tuple(sorted({flag for a in answers for flag in a.flags}))
    outcomes = [a.outcome for a in answers]
    for kind in (Failed, Skipped):
        for outcome in outcomes:
            if isinstance(outcome, kind):
                return outcome, flags
    measured = [o for o in outcomes if isinstance(o, Measured)]
    first = measured[0]
    repetitions = tuple(_merge(same) for same in zip(*(m.repetitions for m in measured), strict=False))
    reasons = [m.unmetered for m in measured]
    if not all(reasons) and not any(r.energies for r in repetitions):
        unmetered = f"not every rank's device was metered ({next(filter(None, reasons))})"
    else:
        unmetered = "" if not all(reasons) else first.unmetered
    return msgspec.structs.replace(first, repetitions=repetitions, unmetered=unmetered), flags


def _merge(same: Sequence[Repetition]) -> Repetition:
    """One window of all ranks: the longest time, the energies of all packages."""
    merged: dict[tuple[str, str], Energy] = {}
    for energy in (e for r in same for e in r.energies):
        key = (energy.meter, energy.boundary)
        if key not in merged:
            merged[key] = energy
        elif not set(energy.packages) & set(merged[key].packages):
            before = merged[key]
            merged[key] = msgspec.structs.replace(
                before,
                packages=before.packages + energy.packages,
                energy_j=before.energy_j + energy.energy_j,
                readings=min(before.readings, energy.readings),
                flags=tuple(sorted({*before.flags, *energy.flags})),
            )
    # the energy of some of the devices is not the energy of the work: a board's meter must speak on every rank
    complete = [
        energy
        for energy in merged.values()
        if energy.boundary not in PER_DEVICE or all(any(e.meter == energy.meter for e in r.energies) for r in same)
    ]
    return msgspec.structs.replace(same[0], window_s=max(r.window_s for r in same), energies=tuple(complete))
