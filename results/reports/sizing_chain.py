"""The arithmetic of a sizing as cells of a workbook: each with its formula, its value, and the report's own figure.

The chain runs from the machines up, as in the model: one unit's demand times their number, coincidence, margin and
growth; at each level the load from below and what hangs beside it, over the efficiency at that load, is the load of
the level above. Then circuits (I = P / (sqrt3 U pf)), units by topology, and the key figures from annual energies.
Efficiencies are those at the load of the report: the part-load curves behind them are the model's, and a workbook that
is far from its load says so by the load of a unit, not by the efficiency. Formulas use defined names, so that they can
be read; a value is computed here beside its formula, so that a viewer that does not calculate shows it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from perwatt.results.reports.sizing_cells import Book, Computed, Given, name, named
from perwatt.results.reports.sizing_circuits import circuits, figures
from perwatt.results.reports.sizing_diagram import BESIDE
from perwatt.results.reports.sizing_tables import parts
from perwatt.results.size.sizing import Sizing, Stage

# What is multiplied onto the units' demand, by the end of its input's path, and as what.
FACTORS = {"coincidence": "*{}", "margin": "*(1+{})", "growth": "*(1+{})"}


def build(sizing: Sizing) -> Book:
    """The cells for ``sizing``; a block is empty where it lacks the stages, lines or inputs for it."""
    book = Book()
    inputs = {path: mode for path, _, mode, *_ in sizing.inputs}
    by_level: dict[str, list[Stage]] = {}
    for stage in sizing.stages:
        # inside the machine nothing is built by who reads this
        if stage.level not in (*BESIDE, "gpu"):
            by_level.setdefault(stage.level, []).append(stage)
    levels = list(by_level.values())
    if levels and all(stage.in_w > 0 for stage in sizing.stages):
        _chain(book, sizing, levels, inputs)
    circuits(book, sizing, inputs)
    figures(book, sizing)
    return book


def _chain(book: Book, sizing: Sizing, levels: list[list[Stage]], inputs: dict[str, float]) -> None:
    factor, terms = 1.0, ""
    for end, term in FACTORS.items():
        value = named(book, inputs, f"electrical.{end}")
        if value is not None:
            factor *= value if end == "coincidence" else 1 + value
            terms += term.format(name(end))
    levels[-1] = _counted(sizing, levels[-1])
    it_w = sum(unit.in_w for unit in levels[-1])
    demands = []
    for at, unit in enumerate(levels[-1]):
        tail = f"_{at + 1}" if len(levels[-1]) > 1 else ""
        each = unit.in_w / unit.count / factor
        same = next((i.key for i in sizing.lines if i.unit == "W" and i.value and abs(i.value / each - 1) < 1e-6), "")
        source = f"the report's {same}" if same else "the report's demand over units, coincidence, margin and growth"
        book.given += [
            Given(f"unit{tail}_w", f"{unit.title}: demand of one", each, "W", "modelled", source),
            Given(f"unit{tail}_count", f"{unit.title}: how many", unit.count, "", "given", "the request"),
        ]
        demands.append(f"unit{tail}_w*unit{tail}_count{terms}")
    book.chain.append(Computed("it_w", "IT load", "+".join(demands), it_w, "W", it_w, True))
    below, below_w = "it_w", it_w
    for members in reversed(levels[:-1]):
        # where the fleet has parts, their racks lie side by side: what they lose is the difference at the next level
        if len(members) == 1:
            below, below_w = _level(book, sizing.stages, inputs, members[0], below, below_w, it_w)


def _counted(sizing: Sizing, members: list[Stage]) -> list[Stage]:
    """The lowest boxes of the chain, by units: where they are racks of one kind, the fleet's line says of how many."""
    units = [line for line in parts(sizing, "fleet.units").values() if line.value]
    if members[0].level == "unit" or len(members) > 1 or len(units) != 1:
        return members
    unit = units[0]
    return [msgspec.structs.replace(members[0], title=unit.label.partition(":")[0], count=int(unit.value or 0))]


def _level(
    book: Book,
    stages: Sequence[Stage],
    inputs: dict[str, float],
    stage: Stage,
    below: str,
    below_w: float,
    it_w: float,
) -> tuple[str, float]:
    """The cells of one level; the name and the value of what goes into it."""
    key = name(stage.level)
    beside = _beside(stages, stage)
    terms = [below]
    for at, other in enumerate(beside):
        again = any(before.level == other.level for before in beside[:at])
        part = f"{name(other.level)}_{at + 1}" if again else name(other.level)
        label = f"{part}_per_it"
        ratio = other.in_w / it_w
        book.given.append(Given(label, f"{other.title}: per W of IT load", ratio, "1", "modelled", _source(other)))
        cell = Computed(f"{part}_w", other.title, f"{label}*it_w", other.in_w, "W", other.in_w)
        book.chain.append(cell)
        terms.append(cell.name)
    rest = stage.out_w - below_w - sum(other.in_w for other in beside)
    if abs(rest) > 1e-6 * stage.out_w:
        label = f"{key}_rest_per_it"
        source = "the report: another statistic at this level, or load that has no box"
        book.given.append(
            Given(label, f"{stage.title}: more than below, per W of IT load", rest / it_w, "1", "modelled", source)
        )
        terms.append(f"{label}*it_w")
    loss_w = stage.in_w - stage.out_w
    if abs(loss_w) <= 1e-9 * stage.in_w:
        book.chain.append(
            Computed(f"{key}_in_w", f"{stage.title}: in", "+".join(terms), stage.in_w, "W", stage.in_w, True)
        )
        _units(book, inputs, stage, key, f"{key}_in_w")
        return f"{key}_in_w", stage.in_w
    efficiency = stage.out_w / stage.in_w
    label = f"{key}_at_this_load"
    book.given.append(
        Given(label, f"{stage.title}: efficiency at this load", efficiency, "1", "modelled", _source(stage))
    )
    book.chain += [
        Computed(f"{key}_out_w", f"{stage.title}: out", "+".join(terms), stage.out_w, "W", stage.out_w),
        Computed(f"{key}_in_w", f"{stage.title}: in", f"{key}_out_w/{label}", stage.in_w, "W", stage.in_w, True),
        Computed(f"{key}_loss_w", f"{stage.title}: loss", f"{key}_in_w-{key}_out_w", loss_w, "W", loss_w),
    ]
    _units(book, inputs, stage, key, f"{key}_out_w")
    return f"{key}_in_w", stage.in_w


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


def _units(book: Book, inputs: dict[str, float], stage: Stage, key: str, load: str) -> None:
    """How many UPS modules or transformers the topology asks for, and how full they run."""
    rating, each, load_w = None, "", stage.out_w
    if key == "ups":
        rating, each = named(book, inputs, "electrical.ups_module_w"), "ups_module_w"
    elif key == "transformer":
        rating, each = named(book, inputs, "electrical.transformer_va"), "transformer_va"
        pf = named(book, inputs, "feed.power_factor")
        if pf:
            load, load_w = f"{load}/power_factor", load_w / pf
    if rating is None or not stage.topology:
        return
    book.given.append(
        Given(f"{key}_topology", f"{stage.title}: N, N+1, N+2, 2N, 4N3R", stage.topology, "", "given", "the site")
    )
    t = f"{key}_topology"
    whole = f"ROUNDUP({load}/{each}-1E-9,0)"
    formula = (
        f'IF({t}="4N3R",4*ROUNDUP({load}/(3*{each})-1E-9,0),IF({t}="2N",2*{whole},'
        f'{whole}+IF({t}="N+2",2,IF({t}="N+1",1,0))))'
    )
    needed = _count(load_w, rating, stage.topology)
    book.chain += [
        Computed(f"{key}_units", f"{stage.title}: units", formula, needed, "", stage.count),
        Computed(f"{key}_unit_load", f"{stage.title}: load of each", f"{load}/({each}*{key}_units)",
                 load_w / rating / needed, "1"),
    ]  # fmt: skip


def _count(load: float, each: float, topology: str) -> int:
    if topology == "4N3R":
        return 4 * math.ceil(load / (3 * each) - 1e-9)
    n = math.ceil(load / each - 1e-9)
    return 2 * n if topology == "2N" else n + {"N+1": 1, "N+2": 2}.get(topology, 0)
