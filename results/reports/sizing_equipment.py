"""The workbook's cooling equipment at the design hour, by sizes and redundancy, and how long coolant and air carry the
heat alone: as in :mod:`perwatt.results.size.equipment` and :mod:`~perwatt.results.size.ride_through`.
"""

from __future__ import annotations

from collections.abc import Sequence

from perwatt.results.reports.sizing_cells import Draft
from perwatt.results.reports.sizing_demand import Part
from perwatt.results.reports.sizing_formula import Term, choose, counted, down, interpolated, least, most, summed, up
from perwatt.results.size.facts import Facts

Loop = tuple[Term, Term, Term]


def equipment(d: Draft, fleet: Sequence[Part], facts: Facts, loops: tuple[Loop, Loop], it: Term, air_w: Term) -> None:
    """The cells of what is ordered for the ``loops``: of each the heat, the part through the chiller and the
    compressors, in W per W of the IT load ``it``."""
    block = d.book.cooling
    topology = d.topology("plant_topology", "coolers and chillers", facts.plant_topology)
    group = d.term("cooling.plant_group_w")
    chiller, by_air = Term("plant", d.sizing.request["plant"]).says("chiller"), d.cell("by_air") > 0
    for key, title, (heat, trim, work) in zip(("liquid", "air"), ("coolant", "air"), loops, strict=True):
        if heat.number <= 0:
            continue
        moved = heat * (1 + d.cell("design_air_pump" if key == "air" else "design_pump_fraction")) * it
        rejected = d.put(block, f"{key}_rejected_w", f"{title}: heat to reject", moved + work * it, "W",
                         f"cooling.{key}.rejected")  # fmt: skip
        chilled = d.put(block, f"{key}_chiller_w", f"{title}: chillers, capacity", trim * moved, "W",
                        f"cooling.{key}.chilled")  # fmt: skip
        cooled = choose(chiller, 0, rejected)
        if key == "air":
            cooled = choose(by_air, 0, cooled)
        _grouped(d, f"{key}_coolers", f"{title}: coolers", cooled, d.term("cooling.cooler_w"),
                 topology, group, f"redundancy.coolers_{key}.count")  # fmt: skip
        _grouped(d, f"{key}_chillers", f"{title}: chillers", chilled, d.term("cooling.chiller_w"), topology, group,
                 f"redundancy.chillers_{key}.count")  # fmt: skip
    topology = d.topology("crah_topology", "air handlers", facts.crah_topology)
    _grouped(d, "crahs", "air handlers (CRAH)", air_w, d.term("cooling.crah_w"), topology,
             d.term("cooling.crah_group_w"), "redundancy.crahs.count")  # fmt: skip
    _water(d, facts, air_w)
    _ride_through(d, fleet, loops[0][0] * it, air_w)


def _grouped(d: Draft, key: str, title: str, load: Term, unit: Term, topology: Term, group: Term, line: str) -> None:
    """Units of a load that groups share, each group with its own spare; none for no load."""
    block = d.book.cooling
    several = most(up(load / (unit * most(down(group / unit), 1))), 1)
    groups = choose(topology.says("N+1"), several, choose(topology.says("N+2"), several, 1))
    groups = d.put(block, f"{key}_groups", f"{title}: groups with a spare", groups, "")
    units = choose(load > 0, groups * counted(load / groups, unit, topology), 0)
    d.put(block, key, title, units, "", line, title=True)


def air_water(d: Draft) -> tuple[Term, Term]:
    """The water of the air handlers in degrees C: supply, and return, which is no warmer than the air that it cools."""
    air_c = d.term("cooling.supply_air_c")
    supply = air_c - d.term("cooling.air_approach_k")
    back = least(supply + d.term("cooling.air_water_rise_k"), air_c + d.cell("hall_rise_k"))
    return supply, back


def _water(d: Draft, facts: Facts, air_w: Term) -> None:
    block = d.book.cooling
    supply, back = air_water(d)
    supply = d.put(block, "air_water_supply_c", "water of the air handlers, supply", supply, "degC",
                   "cooling.air.water_supply")  # fmt: skip
    back = d.put(block, "air_water_return_c", "water of the air handlers, return", back, "degC",
                 "cooling.air.water_return")  # fmt: skip
    heat = interpolated(supply, "coolant", list(facts.coolant))
    heat = d.put(block, "air_water_j_m3_k", f"{facts.fluid}: heat capacity at this supply", heat, "J/m3/K")
    flow = air_w / (heat * (back - supply)) * 60_000
    d.put(block, "air_water_l_min", "water of the air handlers, flow", flow, "L/min", "cooling.air.water_flow",
          factor=60_000)  # fmt: skip


def _ride_through(d: Draft, fleet: Sequence[Part], liquid_w: Term, air_w: Term) -> None:
    block = d.book.cooling
    all_racks = [(part, up(count / in_rack)) for part in fleet for count, in_rack, _ in [stands(d, part)]]
    of_air = d.term("cooling.air_thermal_mass_j_k") * summed([racks for _, racks in all_racks])
    held = of_air * d.term("cooling.air_ride_through_rise_k") / air_w
    held = d.put(block, "air_ride_through_s", "ride-through of the air", held, "s", "cooling.ride_through_air")
    wet = [racks for part, racks in all_racks if d.inputs[f"fleet.{part.name}.liquid_fraction"] > 0]
    if wet:
        mass = d.term("cooling.thermal_mass_j_k") * summed(wet) * d.term("cooling.ride_through_rise_k")
        of_liquid = d.put(block, "liquid_ride_through_s", "ride-through of the coolant", mass / liquid_w, "s",
                          "cooling.ride_through_liquid")  # fmt: skip
        held = least(of_liquid, held)
    d.put(block, "ride_through_s", "ride-through on loss of cooling", held, "s", "cooling.ride_through", title=True)


def racks_per_row(d: Draft) -> Term:
    """The cell of the racks in a row."""
    value = d.facts.racks_per_row if d.facts else 1
    return d.stated("racks_per_row", "racks in a row", value, "", "the site")


def stands(d: Draft, part: Part) -> tuple[Term, Term, Term]:
    """The units of a part, how many of them are in a rack, and its rows."""
    told = d.sizing.request.get("fleet")
    entries = [e for e in told if isinstance(e, dict)] if isinstance(told, list | tuple) else []
    per_rack = next((e["per_rack"] for e in entries if e.get("name") == part.name), 1)
    in_rack = d.stated(f"per_rack{part.tail}", f"{part.title}: in a rack", per_rack, "", "the request")
    count = Term(f"unit{part.tail}_count", part.count)
    return count, in_rack, up(up(count / in_rack) / racks_per_row(d))
