"""MAF and TAF of a run over those of the reference: where both have the score, of one dtype and backend.

A TAF is the work of its ten shapes over the sum of their times, so that its draws are those of all of them together; a
MAF is that of its best shape. Over several devices a score is their mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from perwatt.results.compare.draws import DRAWS
from perwatt.results.compare.pairing import Cases
from perwatt.results.compare.ratio import Ratio, ratio
from perwatt.results.compare.sample import QUANTITIES, Estimate, Meter, Sample, common_meters
from perwatt.results.scores import Score, scores

COMPARED = ("rate", "rate_per_watt")


class ScoreRatio(msgspec.Struct, frozen=True):
    """``name`` MAF or TAF of ``what`` (dtype and backend), over ``devices`` of run and reference; ``shapes`` that each
    of them measured."""

    run: str
    name: str
    what: str
    ratios: dict[str, Ratio]
    devices: tuple[int, int]
    shapes: tuple[int, int]


def compared(other: Cases, reference: Cases, effect: float) -> list[ScoreRatio]:
    """Every score that both runs have whole."""
    mine, theirs = _by_name(other), _by_name(reference)
    found = []
    for (name, what), of in mine.items():
        against = theirs.get((name, what))
        if against is None:
            continue
        meter = _meter([*of, *against], other.name)
        ratios = {}
        for quantity in COMPARED:
            a, b = (_mean(side, run.name, quantity, meter) for side, run in ((of, other), (against, reference)))
            if a is not None and b is not None:
                ratios[quantity] = ratio(quantity, QUANTITIES[quantity], a, b, effect)
        if ratios:
            shapes = (of[0].shapes, against[0].shapes)
            found.append(ScoreRatio(other.name, name, what, ratios, (len(of), len(against)), shapes))
    return found


def _by_name(cases: Cases) -> dict[tuple[str, str], list[Score]]:
    records = [record for sample in cases.measured.values() for record in sample.records]
    by: dict[tuple[str, str], list[Score]] = {}
    for score in scores(records):
        if score.value is not None:
            by.setdefault((score.name, score.what), []).append(score)
    return by


def _samples(score: Score, run: str) -> list[Sample]:
    """The shapes that the score is made of."""
    of = score.members if score.name == "TAF" else [max(score.members, key=lambda r: r.rate or 0.0)]
    return [Sample(run, (record,)) for record in of]


def _meter(found: Sequence[Score], run: str) -> Meter | None:
    """A boundary and class that every shape was metered at; None if there is none."""
    return next(iter(common_meters([sample for score in found for sample in _samples(score, run)])), None)


def _mean(found: Sequence[Score], run: str, quantity: str, meter: Meter | None) -> Estimate | None:
    """The mean of the devices' scores."""
    made = [_estimate(score, run, quantity, meter) for score in found]
    known = [one for one in made if one is not None]
    if len(known) < len(made):
        return None
    parts = [one.log_draws for one in known if one.log_draws is not None]
    value = sum(one.value for one in known) / len(known)
    if len(parts) < len(known):
        return Estimate(value, None, next(one.reason for one in known if one.log_draws is None))
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return Estimate(value, total / len(parts))


def _estimate(score: Score, run: str, quantity: str, meter: Meter | None) -> Estimate | None:
    """Sum of the work over the sum of what it took: seconds, or joules."""
    import numpy as np

    work = took = 0.0
    drawn = np.zeros(DRAWS)
    reason = ""
    for sample in _samples(score, run):
        one = sample.estimate(quantity, meter, True, False)
        if one is None:
            return None
        work += sample.first.amount
        took += sample.first.amount / one.value
        if one.log_draws is None:
            reason = one.reason
        elif not reason:
            drawn += sample.first.amount / one.value * np.exp(-one.log_draws)
    value = work / took
    if reason:
        return Estimate(value, None, reason)
    return Estimate(value, np.log(work / drawn) - math.log(value))
