"""Runs against runs: each case of each run over the same case of the reference, which is the first.

Rate needs no meter. Power and energy are compared at one boundary and by meters of one class, the nearest to the device
that both runs have; where they have none in common, that part of the pair is refused and says what differs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from perwatt.results.compare.caps import Limit
from perwatt.results.compare.comparison import Beside, Comparison, Mean, Member, Pair
from perwatt.results.compare.history import LEAST_RUNS, courses, widened
from perwatt.results.compare.inputs import sensitivity
from perwatt.results.compare.pairing import Cases, Refused, unmatched
from perwatt.results.compare.prices import Prices, bought
from perwatt.results.compare.ratio import Ratio, ratio
from perwatt.results.compare.sample import QUANTITIES, Estimate, Meter, Sample, cap_w, common_meters
from perwatt.results.compare.scores import compared
from perwatt.results.flags import ENERGY_INVALID, TIME_INVALID
from perwatt.results.record import Communication
from perwatt.results.uncertainty import UNITS

POWER = "power and per watt"
SPARSE = {"C", "D"}  # classes by which two models are not ranked
Estimates = dict[str, tuple[Estimate, Estimate]]


def compare(
    members: Sequence[Member],
    runs: Sequence[Cases],
    *,
    effect: float,
    effect_source: str = "",
    boundary: str = "",
    across: str = "",
    history: Sequence[Cases] = (),
    limit: Limit | None = None,
    prices: Prices | None = None,
) -> Comparison:
    """Lay every run over the first. ``boundary``: the only one to take energies at; ``across``
    ``boundary``: where boundaries or classes differ, show the figures beside each other; ``history``: stored runs of
    the reference's machine, the oldest first, whose scatter belongs into the intervals; ``limit``: what
    :func:`perwatt.results.compare.caps.under` found, to be shown with it; ``prices``: for work
    per euro."""
    reference, *others = runs
    pairs: list[Pair] = []
    refused: list[Refused] = []
    beside: list[Beside] = []
    drawn: dict[tuple[str, str], Estimates] = {}
    for other in others:
        refused += unmatched(reference, other) + unmatched(other, reference)
        for key, sample in other.measured.items():
            if key not in reference.measured:
                continue
            against = reference.measured[key]
            meter, why = _meter(sample, against, boundary)
            if why:
                refused.append(Refused(sample.first.case.kernel, sample.label, other.name, POWER, why))
                if across == "boundary":
                    beside += [row for one in (against, sample) for row in _beside(one)]
            estimates = {
                name: (one, widened(other, name, key, meter, history))
                for name, (one, other) in _estimates(sample, against, meter).items()
            }
            drawn[other.name, key] = estimates
            pairs.append(_pair(other.name, key, sample, against, meter, estimates, effect))
    means = [mean for other in others for mean in _means(other.name, pairs, refused, drawn, effect)]
    return Comparison(
        members=tuple(members),
        effect=effect,
        effect_source=effect_source,
        pairs=tuple(pairs),
        refused=tuple(dict.fromkeys(refused)),
        means=tuple(means),
        scores=tuple(score for other in others for score in compared(other, reference, effect)),
        inputs=tuple(row for run in runs for row in sensitivity(run)),
        history=tuple(courses([*history, *others], ("rate", "rate_per_watt")) if history else ()),
        limit=limit,
        bought=bought(prices, runs, effect) if prices else None,
        beside=tuple(dict.fromkeys(beside)),
        notes=(*dict.fromkeys(note for pair in pairs for note in pair.notes), _between(len(history))),
    )


def _between(runs: int) -> str:
    if runs >= LEAST_RUNS:
        return f"the scatter between the {runs} stored runs is in the intervals"
    return (
        "repetitions of one run follow each other: what changes from run to run (heat, other load, placement) is in no "
        f"interval; a store of {LEAST_RUNS} runs or more of the machine shows it (store=DIR keep=true, baseline=store)"
    )


def _meter(a: Sample, b: Sample, boundary: str) -> tuple[Meter | None, str]:
    """The boundary and class to compare at, or why there is none."""
    if common := common_meters((a, b), boundary):
        return common[0], ""
    if not a.meters and not b.meters:
        return None, "" if not boundary else "not metered in either"
    if not a.meters or not b.meters:
        bare = a if not a.meters else b
        m = bare.first.measured
        return None, f"not metered in {bare.run}" + (f" ({m.unmetered.rstrip('.')})" if m and m.unmetered else "")
    told = [", ".join(f"{at} class {of}" for at, of in sample.meters) for sample in (a, b)]
    asked = f"; boundary={boundary} was asked for" if boundary else ""
    return None, f"boundary and meter class are {told[0]} in {a.run}, {told[1]} in {b.run}{asked}"


def _estimates(sample: Sample, against: Sample, meter: Meter | None) -> Estimates:
    """Run and reference by quantity, where both are known."""
    same = sample.units == against.units
    shared = meter is not None and sample.instruments(meter) == against.instruments(meter)
    found = {}
    for quantity in QUANTITIES:
        one = sample.estimate(quantity, meter, same, shared)
        other = against.estimate(quantity, meter, same, shared)
        if one is not None and other is not None:
            found[quantity] = (one, other)
    return found


def _pair(
    run: str, key: str, sample: Sample, against: Sample, meter: Meter | None, estimates: Estimates, effect: float
) -> Pair:
    m = sample.first.measured
    assert m is not None
    ratios = {}
    for name, (one, other) in estimates.items():
        ratios[name] = ratio(name, QUANTITIES[name], one, other, effect, _doubts(name, sample, against, meter))
    return Pair(
        run=run,
        key=key,
        kernel=sample.first.case.kernel,
        label=sample.label,
        unit=UNITS[m.work.headline],
        ratios=ratios,
        boundary=meter[0] if meter else "",
        accuracy_class=meter[1] if meter else "",
        devices=(len(sample.records), len(against.records)),
        cap_w=(cap_w(sample.first), cap_w(against.first)),
        notes=tuple(_notes(sample, against, meter)),
    )


def _doubts(quantity: str, sample: Sample, against: Sample, meter: Meter | None) -> str:
    """Flags of windows that are not what they are said to be, and devices that a mean over the others hides."""
    wrong = TIME_INVALID if quantity == "rate" else TIME_INVALID | ENERGY_INVALID
    found = []
    for one in (sample, against):
        if one.lost and sample.units != against.units:  # what measured on both sides is compared with itself
            found.append(f"{one.lost} in {one.run}")
        of_energies = {f for pairs in one.meters.get(meter, []) for _, e in pairs for f in e.flags} if meter else set()
        flags = sorted(wrong & (one.flags | of_energies))
        if flags:
            found.append(f"{', '.join(flags).replace('_', ' ')} in {one.run}")
    return "; ".join(found)


def _notes(sample: Sample, against: Sample, meter: Meter | None) -> list[str]:
    notes = []
    models = {r.device.name for one in (sample, against) for r in one.records}
    different = sample.units != against.units
    if different and len(sample.records) == len(against.records) == 1:
        notes.append("one device on each side: how far boards of one kind differ is in no interval")
    if meter is not None:
        shared = sample.instruments(meter) == against.instruments(meter)
        if len(models) > 1 and not shared and meter[1] in SPARSE:
            notes.append(
                f"two models by sensors of class {meter[1]}: one external meter on both would rank them; these cannot "
                "tell chips apart that differ by less than their gains"
            )
        if "indicative" in sample.flags | against.flags:
            notes.append("indicative: windows too short, or too few, for power and per watt to be quoted")
    caps = {cap_w(sample.first), cap_w(against.first)} - {None}
    if len(caps) > 1:
        notes.append(f"power limits differ: {', '.join(f'{w:g} W' for w in sorted(w for w in caps if w))}")
    if any(r.origin for one in (sample, against) for r in one.records):
        notes.append("imported figures: what their time per launch is, their tool decides")
    ways = {(c.algorithm, c.nvls) for one in (sample, against) if (c := _collective(one))}
    if len(ways) > 1:
        told = " and ".join(
            str(algorithm or "unknown") + (" in the switch" if nvls else "") for algorithm, nvls in ways
        )
        notes.append(f"collectives were done by different algorithms: {told}")
    return notes


def _collective(sample: Sample) -> Communication | None:
    m = sample.first.measured
    return m.collective if m else None


def _beside(sample: Sample) -> list[Beside]:
    rows = []
    m = sample.first.measured
    assert m is not None
    for meter in sample.meters:
        power = sample.estimate("power", meter, True, True)
        per_watt = sample.estimate("rate_per_watt", meter, True, True)
        if power is not None:
            work = per_watt.value if per_watt else None
            unit = UNITS[m.work.headline]
            rows.append(Beside(sample.first.case.kernel, sample.label, sample.run, *meter, power.value, work, unit))
    return rows


def _means(
    run: str,
    pairs: Sequence[Pair],
    refused: Sequence[Refused],
    drawn: Mapping[tuple[str, str], Estimates],
    effect: float,
) -> list[Mean]:
    """A geometric mean for each kernel of several cases, and for all: only where every case is present in all runs."""
    lost: dict[str, int] = {}
    for refusal in {(r.kernel, r.label) for r in refused if r.what == "case"}:
        lost[refusal[0]] = lost.get(refusal[0], 0) + 1
    mine = [pair for pair in pairs if pair.run == run]
    kernels = list(dict.fromkeys(pair.kernel for pair in mine))
    out = []
    for kernel in [*kernels, *([""] if len(kernels) > 1 else [])]:
        of = [pair for pair in mine if kernel in ("", pair.kernel)]
        if len(of) < 2:
            continue
        missing = sum(lost.values()) if not kernel else lost.get(kernel, 0)
        if missing:
            why = f"{missing} of the cases are not in all runs: a mean over the rest would be of a choice"
            out.append(Mean(run, kernel, len(of), {}, why))
            continue
        ratios = {}
        for quantity in QUANTITIES:
            found = [drawn[run, pair.key].get(quantity) for pair in of]
            known = [both for both in found if both is not None]
            if len(known) == len(found):
                ratios[quantity] = _mean(quantity, known, [pair.ratios[quantity] for pair in of], effect)
        out.append(Mean(run, kernel, len(of), ratios))
    return out


def _mean(quantity: str, both: Sequence[tuple[Estimate, Estimate]], of: Sequence[Ratio], effect: float) -> Ratio:
    """The geometric mean; draws are averaged case by case, so that what they share is not averaged out."""
    sides = [_together([pair[side] for pair in both]) for side in (0, 1)]
    doubts = "; ".join(dict.fromkeys(r.reason for r in of if r.reason))
    return ratio(quantity, QUANTITIES[quantity], sides[0], sides[1], effect, doubts)


def _together(estimates: Sequence[Estimate]) -> Estimate:
    value = math.exp(statistics.fmean(math.log(e.value) for e in estimates))
    parts = [e.log_draws for e in estimates if e.log_draws is not None]
    if len(parts) < len(estimates):
        return Estimate(value, None, "a case has no interval")
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return Estimate(value, total / len(parts))
