"""The workbook's circuits: I = P / (sqrt3 U pf), with one path left, and whether the breaker carries it.

The load of a rack's path is the larger of its units' nameplates and their demand; of a row's busway the demand. Where
the report sizes on something else (a proven power cap, another statistic), a ratio says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from perwatt.results.reports.sizing_cells import Computed, Draft, name, near
from perwatt.results.reports.sizing_demand import SAME, Part, step
from perwatt.results.reports.sizing_equipment import racks_per_row, stands
from perwatt.results.reports.sizing_formula import Term, least
from perwatt.results.reports.sizing_tables import parts

FACTORS = ("feed.voltage_v", "feed.power_factor", "feed.continuous_factor", "feed.temperature_factor")
MOST_PATHS = 4


def circuits(d: Draft, fleet: Sequence[Part]) -> None:
    """The circuits to racks and rows of each part of the fleet."""
    values = [d.named(end) for end in FACTORS]
    if None in values:
        return
    volts, pf, continuous, warm = (value or 0.0 for value in values)
    for level in ("rack", "row"):
        # of three paths and more each carries a share: the load of a path, where the report has it
        loads = parts(d.sizing, f"feeds.{level}.load") | parts(d.sizing, f"feeds.{level}.path")
        for part, line in loads.items():
            title, tail = (f"{level} {part}", f"_{name(part)}") if len(loads) > 1 else (level, "")
            split_line, rating, failover = (
                parts(d.sizing, f"feeds.{level}.{key}").get(part) for key in ("circuits", "rating", "failover")
            )
            many = (split_line.value if split_line else None) or 1
            load_w = line.value or 0.0
            if not load_w:
                continue
            load, split, breaker = f"{level}_circuit_w{tail}", f"{level}_circuits{tail}", f"{level}_breaker_a{tail}"
            _load(d, fleet, level, part, load_w, title, line.basis, load)
            d.given(split, f"{title}: circuits a path", many, "", "the report")
            current = load_w / (math.sqrt(3) * volts * pf * many)
            least, formula = current / (continuous * warm), f"{load}/(SQRT(3)*voltage_v*power_factor*{split})"
            d.book.circuits += [
                Computed(f"{level}_a{tail}", f"{title}: current of a circuit, one path lost", formula, current, "A",
                         failover.value if failover else None, True),
                Computed(f"{level}_breaker_least_a{tail}", f"{title}: least rating of the breaker",
                         f"{level}_a{tail}/(continuous_factor*temperature_factor)", least, "A"),
            ]  # fmt: skip
            if rating is not None and rating.value is not None:
                d.given(breaker, f"{title}: breaker", rating.value, "A", "the report's choice")
                verdict = "carries it" if rating.value >= least * (1 - 1e-9) else "too small"
                test = f'IF({breaker}>={level}_breaker_least_a{tail}*(1-1E-9),"carries it","too small")'
                d.book.circuits.append(
                    Computed(f"{level}_breaker_verdict{tail}", f"{title}: the breaker", test, verdict, "")
                )


def rack_load(d: Draft, part: Part) -> Term:
    """What the paths that are left of a part's rack carry together, in W: its pipes are sized on that too."""
    loads = parts(d.sizing, "feeds.rack.load")
    of = part.name if part.name in loads else ""
    line, path = loads[of], parts(d.sizing, "feeds.rack.path")[of]
    tail = f"_{name(of)}" if len(loads) > 1 else ""
    carried = Term(f"rack_circuit_w{tail}", path.value or 0.0)
    left = round((line.value or 0.0) / carried.number)
    if left == 1:
        return carried
    return carried * _paths_left(d, part.tail, f"rack {of}".strip(), left, path.basis)


def _paths_left(d: Draft, tail: str, title: str, left: int, basis: str) -> Term:
    return d.stated(f"paths_left{tail}", f"{title}: paths that share it, one lost", left, "", basis)


def _load(
    d: Draft, fleet: Sequence[Part], level: str, part: str, load_w: float, title: str, basis: str, key: str
) -> None:
    """The cell of a path's load: a formula of the units in it where they are known, else the report's figure."""
    of = next((one for one in fleet if one.name == part or (not part and len(fleet) == 1)), None)
    plates = parts(d.sizing, f"power.{level}.nameplate")
    plate = plates.get(part)
    each = d.named(f"fleet.{of.name}.nameplate_w", f"nameplate_w{of.tail}") if of else None
    if of is None or plate is None or not plate.value or not each:
        d.given(key, f"{title}: load of a path", load_w, "W", basis)
        return
    inside = plate.value / each
    units = f"units_in_{level}{of.tail}"
    if d.facts:
        count, in_rack, _ = stands(d, of)
        most = least(count, in_rack * racks_per_row(d) if level == "row" else in_rack)
        d.put(d.book.circuits, units, f"{title}: units", most, "")
    else:
        d.given(units, f"{title}: units", round(inside, 9), "", "the report")
    factor, term = step(d)
    demand_w = of.peak_w * inside * factor
    most_w = max(plate.value, demand_w)
    formula = f"unit{of.tail}_w*{units}{term}"
    shares = next((n for n in range(1, MOST_PATHS) if near(most_w / n, load_w)), None) if level == "rack" else None
    if shares is not None:
        formula = f"MAX(nameplate_w{of.tail}*{units},{formula})"
        if shares > 1:
            formula += f"/{_paths_left(d, of.tail, title, shares, basis).text}"
    else:
        label = f"{title}: load of a path over this demand"
        formula += d.times(f"{level}_rest{of.tail}", label, load_w / demand_w, SAME)
    d.book.circuits.append(Computed(key, f"{title}: load of a path", formula, load_w, "W", load_w))
