"""Under a limit of the facility's power: which hardware at which power cap does the most work.

A record holds its cap as ``conditions.limit_w["enforced"]`` of every window, the same throughout; a run that was
measured at several caps has a record of the same case at each, and runs at one cap each serve as well. Between two caps
nothing is interpolated. A setting takes ``floor(limit / (power * pue + rest))`` units, and does their work: power is
what was metered, ``pue`` what the facility adds, ``rest`` what each unit needs beside what was metered (the host of a
GPU, say). The draws of all settings are shared where their cause is, so that the gain of one sensor moves all caps
alike and does not blur the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from perwatt.results.compare.draws import DRAWS, interval
from perwatt.results.compare.pairing import Cases
from perwatt.results.compare.sample import Estimate, Meter, Sample, cap_w, common_meters
from perwatt.results.stats import CONFIDENCE
from perwatt.results.uncertainty import UNITS

if TYPE_CHECKING:
    from perwatt.results.compare.draws import Floats


class Setting(msgspec.Struct, frozen=True):
    """One hardware at one cap (None: none is known): what one unit does, how many fit, their work per second with its
    95 % interval, and in which part of the draws this cap is the best of its run, and the best of all."""

    run: str
    device: str
    cap_w: float | None
    rate: float
    power_w: float
    work_per_joule: float
    per_joule_low: float | None
    per_joule_high: float | None
    units: int
    work: float
    low: float | None
    high: float | None
    best_of_run: float | None
    best_of_all: float | None


class CapCase(msgspec.Struct, frozen=True):
    """One case at all settings; powers at ``boundary``."""

    kernel: str
    label: str
    unit: str
    boundary: str
    accuracy_class: str
    settings: tuple[Setting, ...]


class Limit(msgspec.Struct, frozen=True):
    """The question, and its answer for each case; ``left_out`` says which cases have none and why."""

    limit_w: float
    pue: float
    rest_w: float
    cases: tuple[CapCase, ...]
    left_out: tuple[str, ...] = ()


def optimum(settings: Sequence[Setting]) -> tuple[Setting, list[Setting]]:
    """The setting with the most work, and those that the draws do not tell apart from the best of all."""
    best = max(settings, key=lambda s: s.work)
    near = [s for s in settings if s is best or (s.best_of_all or 0.0) >= (1 - CONFIDENCE) / 2]
    return best, near


def under(limit_w: float, runs: Sequence[Cases], *, pue: float, rest_w: float, boundary: str = "") -> Limit:
    """Every case that all runs have, at every cap. Raises ValueError for figures that cannot be."""
    if not (math.isfinite(limit_w) and limit_w > 0):
        raise ValueError(f"limit_kw: found {limit_w / 1e3:g}; allowed above 0")
    if not 1 <= pue < 10:
        raise ValueError(f"pue: found {pue:g}; allowed 1 up to 10")
    if not 0 <= rest_w < math.inf:
        raise ValueError(f"rest_w: found {rest_w:g}; allowed 0 W or more")
    found, left = [], []
    for key in dict.fromkeys(key for run in runs for key in run.measured):
        kernel, label = next(run.labels[key] for run in runs if key in run.measured)
        lacking = [run.name for run in runs if key not in run.measured]
        if lacking:
            left.append(f"{kernel} {label}: not measured in {', '.join(lacking)}")
            continue
        samples = [s for run in runs for s in (run.capped.get(key) or {0.0: run.measured[key]}).values()]
        meter = outermost(samples, boundary)
        if meter is None or not samples[0].first.amount:
            why = "no boundary and meter class that all were metered at" if meter is None else "no work is counted"
            left.append(f"{kernel} {label}: {why}")
            continue
        found.append(_case(kernel, label, samples, meter, limit_w, pue, rest_w))
    return Limit(limit_w, pue, rest_w, tuple(found), tuple(left))


def outermost(samples: Sequence[Sample], boundary: str) -> Meter | None:
    """The outermost boundary that all have: the nearest to what the facility is billed for."""
    common = common_meters(samples, boundary)
    return next((m for m in common if m[0] == common[-1][0]), None)


def _case(
    kernel: str, label: str, samples: Sequence[Sample], meter: Meter, limit_w: float, pue: float, rest_w: float
) -> CapCase:
    import numpy as np

    figures = [
        tuple(s.estimate(name, meter, True, False) for name in ("rate", "power", "rate_per_watt")) for s in samples
    ]
    worked: list[Floats | None] = []
    for rate, power, _ in figures:
        assert rate is not None
        assert power is not None
        known = rate.log_draws is not None and power.log_draws is not None
        worked.append(_work(rate, power, limit_w, pue, rest_w) if known else None)
    all_known = [w for w in worked if w is not None]
    winners = np.argmax(np.stack(all_known), axis=0) if len(all_known) == len(samples) else None
    settings = []
    for at, (sample, (rate, power, per_joule)) in enumerate(zip(samples, figures, strict=True)):
        assert rate is not None
        assert power is not None
        assert per_joule is not None
        drawn = worked[at]
        units = math.floor(limit_w / (power.value * pue + rest_w))
        low, high = (None, None) if drawn is None else map(float, np.quantile(drawn, _ENDS))
        eta = (None, None) if per_joule.log_draws is None else interval(per_joule.log_draws, CONFIDENCE)
        siblings = [i for i, s in enumerate(samples) if s.run == sample.run]
        mine = None
        if winners is not None:
            within = np.argmax(np.stack([all_known[i] for i in siblings]), axis=0)
            mine = float((within == siblings.index(at)).mean())
        settings.append(
            Setting(
                run=sample.run,
                device=sample.first.device.name,
                cap_w=cap_w(sample.first),
                rate=rate.value,
                power_w=power.value,
                work_per_joule=per_joule.value,
                per_joule_low=None if eta[0] is None else per_joule.value * eta[0],
                per_joule_high=None if eta[1] is None else per_joule.value * eta[1],
                units=units,
                work=units * rate.value,
                low=low,
                high=high,
                best_of_run=mine,
                best_of_all=None if winners is None else float((winners == at).mean()),
            )
        )
    m = samples[0].first.measured
    assert m is not None
    ordered = sorted(settings, key=lambda s: (s.run, s.cap_w or 0.0))
    return CapCase(kernel, label, UNITS[m.work.headline], meter[0], meter[1], tuple(ordered))


_ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


def _work(rate: Estimate, power: Estimate, limit_w: float, pue: float, rest_w: float) -> Floats:
    """Work per second under the limit, shape (DRAWS,)."""
    import numpy as np

    assert rate.log_draws is not None
    assert power.log_draws is not None
    units = np.floor(limit_w / (power.value * np.exp(power.log_draws) * pue + rest_w))
    work: Floats = units * rate.value * np.exp(rate.log_draws)
    assert work.shape == (DRAWS,)
    return work
