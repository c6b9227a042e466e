"""The arithmetic of a sizing as cells of a workbook: each with its formula, its value, and the report's own figure.

The chain runs from the machines up, as in the model: the demand of all units (:mod:`sizing_demand`); at each level the
load from below and what hangs beside it, over the efficiency at that load, is the load of the level above. Then
circuits, units by topology, the energies of a year and the key figures.

Losses and efficiencies are inputs, and so are the UPS's part-load curve, the weather and the plant: what cools is
worked out in :mod:`sizing_cooling`. A sizing that does not tell these facts has ratios of the report in their place.
Formulas use defined names, so that they can be read; a value is computed here beside its formula, so that a viewer that
does not calculate shows it too.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from perwatt.results.reports.sizing_annual import annual, figures
from perwatt.results.reports.sizing_cells import Book, Computed, Draft, draft, name, near
from perwatt.results.reports.sizing_circuits import circuits
from perwatt.results.reports.sizing_cooling import design
from perwatt.results.reports.sizing_demand import Part, demand
from perwatt.results.reports.sizing_diagram import BESIDE
from perwatt.results.reports.sizing_formula import TIMES, Term, counted, interpolated, smallest
from perwatt.results.reports.sizing_tables import parts
from perwatt.results.size.chain import never_better
from perwatt.results.size.site import Sizes
from perwatt.results.size.sizing import Sizing, Stage


def build(sizing: Sizing) -> Book:
    """The cells for ``sizing``; a block is empty where it lacks the stages, lines or inputs for it."""
    d = draft(sizing)
    by_level: dict[str, list[Stage]] = {}
    for stage in sizing.stages:
        # inside the machine nothing is built by who reads this
        if stage.level not in (*BESIDE, "gpu"):
            by_level.setdefault(stage.level, []).append(stage)
    levels = list(by_level.values())
    known: list[Part] = []
    if levels and all(stage.in_w > 0 for stage in sizing.stages):
        levels[-1] = _counted(sizing, levels[-1])
        known, units, it = demand(d, levels[-1], next((s for s in sizing.stages if s.level == "support"), None))
        below, below_w, it_w = units.text, units.number, it.number
        for members in reversed(levels[:-1]):
            # where the fleet has parts, their racks lie side by side: what they lose is the difference a level up
            if len(members) == 1:
                below, below_w = _level(d, members[0], below, below_w, it_w, known)
    cells = {cell.name: cell.value for cell in d.book.chain}
    if {"site_in_w", "ups_out_w"} <= cells.keys() and d.book.cooling:
        peak = Term("site_in_w", cells["site_in_w"]) / Term("ups_out_w", cells["ups_out_w"])
        d.put(d.book.figures, "pue_peak", "PUE of the design hour", peak, "1", "cooling.pue_peak")
    circuits(d, known)
    figures(d, annual(d, known))
    return d.book


def _counted(sizing: Sizing, members: list[Stage]) -> list[Stage]:
    """The lowest boxes of the chain, by units: where they are racks of one kind, the fleet's line says of how many."""
    units = [line for line in parts(sizing, "fleet.units").values() if line.value]
    if members[0].level == "unit" or len(members) > 1 or len(units) != 1:
        return members
    unit = units[0]
    return [msgspec.structs.replace(members[0], title=unit.label.partition(":")[0], count=int(unit.value or 0))]


def _level(d: Draft, stage: Stage, below: str, below_w: float, it_w: float, fleet: Sequence[Part]) -> tuple[str, float]:
    """The cells of one level; the name and the value of what goes into it."""
    key, stages = name(stage.level), d.sizing.stages
    beside = _beside(stages, stage)
    terms = [below]
    for at, other in enumerate(beside):
        again = any(before.level == other.level for before in beside[:at])
        part = f"{name(other.level)}_{at + 1}" if again else name(other.level)
        formula = _other(d, other.in_w / it_w) if other.level == "other" else ""
        if other.level == "cooling" and d.facts and fleet:
            design(d, fleet, Term("it_w", it_w), Term(below, below_w), d.term("electrical.other"), other.in_w)
            terms.append(f"{part}_w")
            continue
        if other.level == "support":
            terms.append(_support(d, other))
            continue
        if not formula:
            # losses below are heat too, and so is what light and controls take
            lit = d.named("electrical.other") or 0.0
            label = f"{other.title}: per W of IT load, its losses, light and controls"
            d.given(f"{part}_per_w", label, other.in_w / (below_w + lit * it_w), "1", _source(other))
            formula = f"{part}_per_w*({below}+other*it_w)" if lit else f"{part}_per_w*{below}"
        d.book.chain.append(Computed(f"{part}_w", other.title, formula, other.in_w, "W", other.in_w))
        terms.append(f"{part}_w")
    rest = stage.out_w - below_w - sum(other.in_w for other in beside)
    if abs(rest) > 1e-6 * stage.out_w:
        formula = _other(d, rest / it_w) if key == "transformer" else ""
        if not formula:
            source = "the report: another statistic at this level, or load that has no box"
            label = f"{stage.title}: more than below, per W of IT load"
            d.given(f"{key}_rest_per_it", label, rest / it_w, "1", source)
            formula = f"{key}_rest_per_it*it_w"
        terms.append(formula)
    loss_w = stage.in_w - stage.out_w
    if abs(loss_w) <= 1e-9 * stage.in_w:
        total = Computed(f"{key}_in_w", f"{stage.title}: in", "+".join(terms), stage.in_w, "W", stage.in_w, True)
        d.book.chain.append(total)
        _units(d, stage, key, total.name)
        return total.name, stage.in_w
    _units(d, stage, key, f"{key}_out_w")
    d.book.chain += [
        Computed(f"{key}_out_w", f"{stage.title}: out", "+".join(terms), stage.out_w, "W", stage.out_w),
        Computed(f"{key}_in_w", f"{stage.title}: in", _input(d, stage, key), stage.in_w, "W", stage.in_w, True),
        Computed(f"{key}_loss_w", f"{stage.title}: loss", f"{key}_in_w-{key}_out_w", loss_w, "W", loss_w),
    ]
    return f"{key}_in_w", stage.in_w


def _support(d: Draft, stage: Stage) -> str:
    """The cell of what goes into network, storage and management, through the distribution."""
    loss = 1 - stage.out_w / stage.in_w
    if near(d.inputs.get("site.electrical.distribution_loss", 0.0), loss, 1e-5):
        efficiency = 1 - d.term("electrical.distribution_loss")
    else:
        efficiency = d.stated("support_at_this_load", f"{stage.title}: efficiency", 1 - loss, "1", _source(stage))
    into = Term("support_w", stage.out_w) / efficiency
    return d.put(d.book.chain, "support_in_w", f"{stage.title}: in", into, "W").text


def _other(d: Draft, per_it: float) -> str:
    """Light, offices and controls by their input, if that is what it is."""
    value = d.named("electrical.other") if near(d.inputs.get("site.electrical.other", 0.0), per_it) else None
    return "other*it_w" if value else ""


def _input(d: Draft, stage: Stage, key: str) -> str:
    """The formula of what goes into a stage that loses something: by its input where the report follows from it."""
    efficiency = stage.out_w / stage.in_w
    if key == "row" and near(d.inputs.get("site.electrical.distribution_loss", 0.0), 1 - efficiency, 1e-5):
        d.named("electrical.distribution_loss")
        return "row_out_w/(1-distribution_loss)"
    if key == "transformer" and (formula := _transformers(d, stage)):
        return formula
    if key == "ups" and (formula := _ups(d, stage)):
        return formula
    if key in ("ups", "transformer") and (best := d.named(f"electrical.{key}_efficiency")):
        label = f"{stage.title}: efficiency at this load over its best"
        return f"{key}_out_w/({key}_efficiency{d.times(f'{key}_relative', label, efficiency / best, _source(stage))})"
    d.given(f"{key}_at_this_load", f"{stage.title}: efficiency at this load", efficiency, "1", _source(stage))
    return f"{key}_out_w/{key}_at_this_load"


def _ups(d: Draft, stage: Stage) -> str:
    """Through the UPS at the worst efficiency that its modules have at their load or above; nothing where the sizing
    does not tell its curve, or the report's losses are others."""
    facts, module = d.facts, d.rating("ups_module_w")
    best = d.named("electrical.ups_efficiency")
    if facts is None or module is None or not best or not stage.topology:
        return ""
    d.book.curves["ups"] = "UPS: efficiency over its best", "load of a module", facts.ups_curve
    load = Term("ups_out_w", stage.out_w) / (Term("ups_units", stage.count) * module)
    relative = interpolated(load, "ups_worst", list(never_better(facts.ups_curve)))
    if not near(stage.out_w / (best * relative.number), stage.in_w, 1e-4):
        return ""
    label = f"{stage.title}: efficiency over its best, worst from this load up"
    d.put(d.book.chain, "ups_relative", label, relative, "1")
    return "ups_out_w/(ups_efficiency*ups_relative)"


def _transformers(d: Draft, stage: Stage) -> str:
    """No-load losses of all that are built, load losses of as many as the load would fill; nothing where the report's
    are others."""
    ends = ("transformer_efficiency", "transformer_no_load_share")
    values = [d.inputs.get(f"site.electrical.{end}") for end in ends]
    pf = d.inputs.get("site.electrical.feed.power_factor")
    rated = d.rating("transformer_va")
    if None in values or rated is None or not pf or not stage.topology:
        return ""
    rated_va, (efficiency, share) = rated.number, (value or 0.0 for value in values)
    loss_w = rated_va * (1 / efficiency - 1) * (share * stage.count + (1 - share) * stage.out_w / (pf * rated_va))
    if not near(loss_w, stage.in_w - stage.out_w, 1e-4):
        return ""
    for end in ends:
        d.named(f"electrical.{end}")
    return (
        "transformer_out_w+transformer_va*(1/transformer_efficiency-1)*(transformer_no_load_share*transformer_units"
        "+(1-transformer_no_load_share)*transformer_out_w/(power_factor*transformer_va))"
    )


def _source(stage: Stage) -> str:
    return f"the report: {stage.detail}" if stage.detail else "the report"


def _beside(stages: Sequence[Stage], stage: Stage) -> list[Stage]:
    """What hangs on ``stage``: the stages beside the chain that follow it before the next of the chain."""
    found: list[Stage] = []
    for other in stages[stages.index(stage) + 1 :]:
        if other.level not in BESIDE:
            break
        found.append(other)
    return found


def _units(d: Draft, stage: Stage, key: str, load: str) -> None:
    """How many UPS modules or transformers the topology asks for, and how full they run."""
    if key not in ("ups", "transformer") or not stage.topology:
        return
    each, sizes = ("ups_module_w", "ups_sizes") if key == "ups" else ("transformer_va", "transformer_sizes")
    stated, told, load_w = d.rating(each), getattr(d.facts, sizes, None), stage.out_w
    line = "redundancy.ups.module" if key == "ups" else "redundancy.transformer.rating"
    rating = stated.number if stated else d.found.get(line) if told else None
    if rating is None:
        return
    pf, own, full = d.named("feed.power_factor"), None, None
    if key == "ups":
        own = d.named("electrical.ups_power_factor")
        if pf and own:
            # below its own power factor a module is full by its apparent power
            full = Term("MIN(1,power_factor/ups_power_factor)", min(1.0, pf / own))
        normal = d.found.get("redundancy.ups.normal")
        if normal:
            highest = normal * stage.count * rating * (full.number if full else 1.0) / load_w
            load += d.times("ups_highest", "UPS: highest load over the site's", highest, _source(stage))
            load_w *= highest
    elif pf:
        load, load_w = f"{load}/power_factor", load_w / pf
    topology = d.topology(f"{key}_topology", stage.title, stage.topology)
    if stated is None and told:
        _chosen(d, stage, Term(load, load_w, TIMES) / (full or 1), told, topology, (each, sizes, line))
    if full:
        each, rating = f"({each}*{full.text})", rating * full.number
    units = counted(Term(load, load_w, TIMES), Term(each, rating), topology)
    needed = units.number
    d.book.chain += [
        Computed(f"{key}_units", f"{stage.title}: units", units.text, needed, "", stage.count),
        Computed(f"{key}_unit_load", f"{stage.title}: load of each", f"{load}/({each}*{key}_units)",
                 load_w / rating / needed, "1", d.found.get(f"redundancy.{key}.normal")),
    ]  # fmt: skip


def _chosen(d: Draft, stage: Stage, load: Term, sizes: Sizes, topology: Term, keys: tuple[str, str, str]) -> None:
    """The cell of the rating that fits the load; ``keys``: its name, that of the ratings, and the report's line."""
    key, name, line = keys
    unit = key.rpartition("_")[2].upper()
    d.book.curves[name] = f"{stage.title}: ratings to choose from", unit, tuple((one, one) for one in sizes.ratings)
    most = d.stated(f"{name}_most", f"{stage.title}: units that share the load at most", sizes.most, "", sizes.source)
    fits = smallest(load, name, sizes.ratings, most, topology)
    d.put(d.book.chain, key, f"{stage.title}: rating of each", fits, unit, line)
