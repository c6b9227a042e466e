"""The stored runs of a machine: how each case went from run to run, and how far runs differ by themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from perwatt.results.compare import draws
from perwatt.results.compare.pairing import Cases
from perwatt.results.compare.sample import Estimate, Meter, Sample, common_meters

LEAST_RUNS = 3  # from which on the scatter between runs is known well enough to count


class Course(msgspec.Struct, frozen=True):
    """One case over the runs, the oldest first: ``values`` of ``quantity`` in SI units, with ``runs`` and ``times``."""

    kernel: str
    label: str
    quantity: str
    runs: tuple[str, ...]
    times: tuple[str, ...]
    values: tuple[float, ...]


def widened(estimate: Estimate, quantity: str, key: str, meter: Meter | None, history: Sequence[Cases]) -> Estimate:
    """The reference's figure with the scatter between stored runs, of which it is one and the run another: sqrt(2)
    times their standard deviation, with Student's factor. As it is where fewer than three runs have the case."""
    values = [one.value for one in _estimates(quantity, key, meter, history)]
    if estimate.log_draws is None or len(values) < LEAST_RUNS:
        return estimate
    between = draws.scatter(values, "between runs", quantity, key)
    assert between is not None
    return Estimate(estimate.value, estimate.log_draws + between * math.sqrt(2 * len(values)), estimate.reason)


def courses(runs: Sequence[Cases], quantities: Sequence[str]) -> list[Course]:
    """Of each case that two runs or more have; ``runs`` are in the order of time."""
    keys = dict.fromkeys(key for run in runs for key in run.measured)
    found = []
    for key in keys:
        samples = [run.measured[key] for run in runs if key in run.measured]
        for quantity in quantities:
            meter = next(iter(common_meters(samples)), None)
            points = [(s, e.value) for s in samples if (e := s.estimate(quantity, meter, True, True)) is not None]
            if len(points) > 1:
                found.append(_course(quantity, points))
    return found


def _course(quantity: str, points: Sequence[tuple[Sample, float]]) -> Course:
    case = points[0][0].first.case
    times = tuple(sample.first.time_utc for sample, _ in points)
    return Course(
        case.kernel, case.label, quantity, tuple(s.run for s, _ in points), times, tuple(v for _, v in points)
    )


def _estimates(quantity: str, key: str, meter: Meter | None, history: Sequence[Cases]) -> list[Estimate]:
    found = [run.measured[key].estimate(quantity, meter, True, True) for run in history if key in run.measured]
    return [one for one in found if one is not None]
