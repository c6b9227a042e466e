"""The workbook's demand: of each part of the fleet what one unit takes in the mean, at its peak, and all of them.

mean = vendor's maximum x mean fraction (or what was measured), peak = mean x peak over mean, and the fleet's demand is
units x peak x coincidence x (1 + margin), never below the peak, x (1 + growth): as in the model, at its likeliest
values. Where a statistic of the report is another than this product, a ratio beside it says by how much; it stays as it
is when inputs are edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perwatt.results.reports.sizing_cells import Computed, Draft, name
from perwatt.results.reports.sizing_formula import Term, summed
from perwatt.results.reports.sizing_tables import parts
from perwatt.results.size.sizing import Stage

SAME = "the report: the same ratio at its likeliest values"


@dataclass(frozen=True)
class Part:
    """A part of the fleet: its name, the end of its cells' names, its title, its units, and of one of them the mean
    and idle power (None: not known) and the demand before coincidence, margin and growth; and the demand of them all
    with these, in the cell ``cell``; all in W."""

    name: str
    tail: str
    title: str
    count: int
    mean_w: float | None
    idle_w: float | None
    peak_w: float
    all_w: float
    cell: str

    @property
    def all(self) -> Term:
        """The cell of the demand of them all."""
        return Term(self.cell, self.all_w)


def step(d: Draft) -> tuple[float, str]:
    """What a unit's peak is multiplied by in the demand of many, and the formula's term."""
    coincidence, margin = d.named("electrical.coincidence"), d.named("electrical.margin")
    terms = ["coincidence"] * (coincidence is not None) + ["(1+margin)"] * (margin is not None)
    if not terms:
        return 1.0, ""
    value = (1.0 if coincidence is None else coincidence) * (1 + (margin or 0.0))
    return max(value, 1.0), f"*MAX({'*'.join(terms)},1)"


def demand(d: Draft, lowest: Sequence[Stage], beside: Stage | None = None) -> tuple[list[Part], Term, Term]:
    """The cells down to the IT load; the parts of the fleet (none where the inputs do not name them), the cell of what
    they take together, and that of the IT load. ``lowest``: the last boxes of the chain; ``beside``: that of network,
    storage and management."""
    units_w = sum(stage.in_w for stage in lowest)
    factor, term = step(d)
    growth = d.named("electrical.growth", "growth_share")
    if growth is not None:
        term += "*(1+growth_share)"
    own = "it_units_w" if beside else "it_w"
    known = _parts(d, units_w, factor, 1 + (growth or 0.0), own)
    terms = []
    if known:
        for part in known:
            _unit(d, part)
            d.given(f"unit{part.tail}_count", f"{part.title}: how many", part.count, "", "the request", "given")
            formula = f"unit{part.tail}_w*unit{part.tail}_count{term}"
            if part.tail:
                label = f"{part.title}: all of them"
                d.book.chain.append(Computed(f"it{part.tail}_w", label, formula, part.all_w, "W"))
                formula = part.cell
            terms.append(formula)
    else:
        for at, stage in enumerate(lowest):
            tail = f"_{at + 1}" if len(lowest) > 1 else ""
            each = stage.in_w / stage.count / factor / (1 + (growth or 0.0))
            source = "the report's demand over units, coincidence, margin and growth"
            d.given(f"unit{tail}_w", f"{stage.title}: demand of one", each, "W", source)
            d.given(f"unit{tail}_count", f"{stage.title}: how many", stage.count, "", "the request", "given")
            terms.append(f"unit{tail}_w*unit{tail}_count{term}")
    label = "units together" if beside else "IT load"
    d.book.chain.append(Computed(own, label, "+".join(terms), units_w, "W", units_w, not beside))
    units = Term(own, units_w)
    if beside is None:
        return known, units, units
    _support(d, known, beside, growth)
    it = units + Term("support_w", beside.out_w)
    d.book.chain.append(Computed("it_w", "IT load", it.text, it.number, "W", it.number, True))
    return known, units, Term("it_w", it.number)


def _support(d: Draft, fleet: Sequence[Part], stage: Stage, growth: float | None) -> None:
    """The cell of network, storage and management: fractions of the nameplates, with growth."""
    if not fleet:
        d.given("support_w", stage.title, stage.out_w, "W", "the report")
        return
    steady = summed([support(d, part) for part in fleet])
    steady = d.put(d.book.chain, "support_steady_w", f"{stage.title}: steady", steady, "W", "power.support.nameplate")
    grown = steady if growth is None else steady * (1 + Term("growth_share", growth))
    d.put(d.book.chain, "support_w", stage.title, grown, "W", "power.support.recommended")


def support(d: Draft, part: Part) -> Term:
    """Network, storage and management of one part of the fleet."""
    own = f"fleet.{part.name}.support_fraction"
    if own in d.inputs:
        share = d.term(own, f"support_fraction{part.tail}")
    else:
        share = d.term("electrical.support_fraction", "support_fraction")
    plate = d.term(f"fleet.{part.name}.nameplate_w", f"nameplate_w{part.tail}")
    return share * Term(f"unit{part.tail}_count", part.count) * plate


def _parts(d: Draft, units_w: float, factor: float, growth: float, own: str) -> list[Part]:
    """The parts with what one unit of each takes; the demand of a part is its nameplates less what it saves of them.
    ``own``: the cell of it where there is one part."""
    names = [path.split(".")[1] for path in d.inputs if path.startswith("fleet.") and path.endswith(".utilisation")]
    units, saved = parts(d.sizing, "fleet.units"), parts(d.sizing, "savings.fleet.power")

    def of(found: dict[str, float], one: str) -> float | None:
        return found.get(one, found.get("") if len(names) == 1 else None)

    counts = {one: of({part: line.value or 0.0 for part, line in units.items()}, one) for one in names}
    if not names or not all(counts.values()):
        return []
    total_w = {}
    for one in names:
        less = of({part: line.value or 0.0 for part, line in saved.items()}, one)
        each = d.inputs.get(f"fleet.{one}.nameplate_w", 1.0)
        total_w[one] = (counts[one] or 0.0) * each - (less or 0.0)
    scale = units_w / growth / sum(total_w.values())
    means = _means(d, names, counts)
    titles = {part: line.label.partition(":")[0] for part, line in units.items()}
    made = []
    for one in names:
        count = int(counts[one] or 0)
        tail = f"_{name(one)}" if len(names) > 1 else ""
        title = titles.get(one, titles.get("", one))
        peak_w = total_w[one] * scale / count / factor
        all_w = total_w[one] * scale * growth
        cell = f"it{tail}_w" if tail else own
        made.append(Part(one, tail, title, count, means.get(one), _idle_w(d, one), peak_w, all_w, cell))
    return made


def _idle_w(d: Draft, one: str) -> float | None:
    """What one unit of a part draws at rest; None where the inputs do not tell it."""
    at = f"fleet.{one}"
    if f"{at}.idle_w" in d.inputs:
        return d.inputs[f"{at}.idle_w"]
    if f"{at}.idle_fraction" in d.inputs:
        return d.inputs[f"{at}.idle_fraction"] * d.inputs[f"{at}.vendor_max_w"]
    return None


def _means(d: Draft, names: Sequence[str], counts: dict[str, float | None]) -> dict[str, float]:
    """Mean power of one unit while it works, in W: published, or what the year's IT power leaves for a part that was
    measured (of several in the ratio of their medians)."""
    published, left, weights = {}, d.found.get("year.it_power"), {}
    if left is not None:
        left -= d.found.get("power.support.nameplate", 0.0)
    medians = parts(d.sizing, "power.unit.p50")
    for one in names:
        at = f"fleet.{one}"
        count, busy = counts[one] or 0.0, d.inputs[f"{at}.utilisation"]
        if f"{at}.mean_fraction" in d.inputs:
            published[one] = d.inputs[f"{at}.vendor_max_w"] * d.inputs[f"{at}.mean_fraction"]
        median = medians.get(one, medians.get("") if len(names) == 1 else None)
        mean = published.get(one, 0.0)
        if left is not None:
            left -= count * (busy * mean + (1 - busy) * (_idle_w(d, one) or 0.0))
        if one not in published and median is not None:
            weights[one] = count * busy * (median.value or 0.0)
    if weights and left is not None and left > 0:
        scale = left / sum(weights.values())
        for one in weights:
            median = medians.get(one, medians.get(""))
            published[one] = scale * ((median.value if median else None) or 0.0)
    return published


def _unit(d: Draft, part: Part) -> None:
    """The cells of one unit: its mean and its demand."""
    at, tail = f"fleet.{part.name}", part.tail
    if part.mean_w is None:
        source = "the report's demand over units, coincidence, margin and growth"
        d.given(f"unit{tail}_w", f"{part.title}: demand of one", part.peak_w, "W", source)
        return
    if f"{at}.mean_fraction" in d.inputs:
        for key in ("vendor_max_w", "mean_fraction"):
            d.named(f"{at}.{key}", f"{key}{tail}")
        formula = f"vendor_max_w{tail}*mean_fraction{tail}"
    else:
        gain = d.named(f"{at}.load", f"load_gain{tail}")
        d.given(f"measured_mean_w{tail}", f"{part.title}: mean of one while it works", part.mean_w / (gain or 1.0), "W",
                "the report's load")  # fmt: skip
        formula = f"measured_mean_w{tail}" + f"*load_gain{tail}" * (gain is not None)
    d.book.chain.append(Computed(f"mean{tail}_w", f"{part.title}: mean of one", formula, part.mean_w, "W"))
    ratio = part.peak_w / part.mean_w
    peak = d.named(f"{at}.peak_over_mean", f"peak_over_mean{tail}")
    formula = f"mean{tail}_w"
    if peak is None:
        label = f"{part.title}: demand over mean"
        d.given(f"peak_over_mean{tail}", label, ratio, "1", "the report's statistic of the site over the mean")
        formula += f"*peak_over_mean{tail}"
    else:
        formula += f"*peak_over_mean{tail}"
        formula += d.times(f"peak_rest{tail}", f"{part.title}: demand over this peak", ratio / peak, SAME)
    d.book.chain.append(Computed(f"unit{tail}_w", f"{part.title}: demand of one", formula, part.peak_w, "W"))


def year_mean(d: Draft, part: Part) -> Term:
    """The mean power of one unit over the year: at work as much as it is used, else at rest."""
    at, tail = f"fleet.{part.name}", part.tail
    busy = d.term(f"{at}.utilisation", f"utilisation{tail}")
    if f"{at}.idle_w" in d.inputs:
        idle = d.term(f"{at}.idle_w", f"idle_w{tail}")
    else:
        idle = d.term(f"{at}.idle_fraction", f"idle_fraction{tail}")
        idle = idle * d.term(f"{at}.vendor_max_w", f"vendor_max_w{tail}")
    return busy * Term(f"mean{tail}_w", part.mean_w or 0.0) + (1 - busy) * idle
