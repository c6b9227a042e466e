"""From the answers of several ranks to the one outcome of a collective."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from perwatt.benchmarks.pace import together
from perwatt.benchmarks.task import Answer
from perwatt.results.recheck import Rechecks
from perwatt.results.record import Conditions, Energy, Failed, Measured, Outcome, Repetition, Skipped

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
    in_order = sorted(answers, key=lambda a: a.rank)
    pace = together([a.pace for a in in_order], [a.flags for a in in_order])
    # each device once: ranks that share one have read the same
    health = tuple({h.package: h for m in measured for h in m.health}.values())
    whole = msgspec.structs.replace(
        first,
        repetitions=repetitions,
        unmetered=unmetered,
        pace=pace,
        health=health,
        rechecks=_rechecked([m.rechecks for m in measured if m.rechecks is not None]),
    )
    return whole, flags


def _rechecked(found: Sequence[Rechecks]) -> Rechecks | None:
    """The comparisons that the ranks made together: each has the same verdicts, errors and times of its own."""
    if not found:
        return None
    errors = [one.max_error for one in found if one.max_error is not None]
    longest_s = max(one.longest_s for one in found)
    return msgspec.structs.replace(found[0], max_error=max(errors, default=None), longest_s=longest_s)


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
                instrument="+".join(filter(None, (before.instrument, energy.instrument))),
                terms=_terms(before, energy),
                calibration=before.calibration if before.calibration == energy.calibration else "",
                power=None,  # the sum's distribution is not the distributions' sum
            )
    # the energy of some of the devices is not the energy of the work: a board's meter must speak on every rank
    complete = [
        energy
        for energy in merged.values()
        if energy.boundary not in PER_DEVICE or all(any(e.meter == energy.meter for e in r.energies) for r in same)
    ]
    return msgspec.structs.replace(
        same[0],
        window_s=max(r.window_s for r in same),
        energies=tuple(complete),
        conditions=_worst([r.conditions for r in same if r.conditions is not None]),
    )


def _terms(a: Energy, b: Energy) -> dict[str, float]:
    """Relative standard uncertainties of the sum of two energies.

    Gains of boards of one kind lean the same way, unless each was calibrated by itself: they are added, not squared.
    A term that one of them lacks cannot be stated of the sum.
    """
    whole_j = a.energy_j + b.energy_j
    out = {}
    for name in a.terms.keys() & b.terms.keys():
        parts = (a.terms[name] * a.energy_j, b.terms[name] * b.energy_j)
        together = name == "gain" and not (a.calibration and b.calibration)
        out[name] = (sum(parts) if together else math.hypot(*parts)) / whole_j
    return out


def _worst(found: Sequence[Conditions]) -> Conditions | None:
    """What the ranks' devices went through: of each figure the one that matters most."""
    if not found:
        return None
    others = [c.others for c in found if c.others is not None]
    return Conditions(
        throttled={k: max(c.throttled.get(k, 0.0) for c in found) for c in found for k in c.throttled},
        temperature_c={
            k: max(c.temperature_c[k] for c in found if k in c.temperature_c) for c in found for k in c.temperature_c
        },
        clock_hz={k: min(c.clock_hz[k] for c in found if k in c.clock_hz) for c in found for k in c.clock_hz},
        limit_w={k: min(c.limit_w[k] for c in found if k in c.limit_w) for c in found for k in c.limit_w},
        ecc={k: sum(c.ecc.get(k, 0) for c in found) for c in found for k in c.ecc},
        others=max(others) if others else None,
    )
