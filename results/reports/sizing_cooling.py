"""The workbook's cooling: the plant in the design hour, and the flows, pumps, pipes and CDUs that it asks for.

The same formulas as :mod:`perwatt.results.size.plant`, :mod:`~perwatt.results.size.loop` and
:mod:`~perwatt.results.size.facility`, in W per W of IT load, so that an edited temperature, approach, plant or part of
the heat in liquid moves all that hangs on it. One function writes the loops, for the design hour into named cells and
for the year into the columns of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from perwatt.results.reports import sizing_air, sizing_outside
from perwatt.results.reports.sizing_cells import Computed, Draft
from perwatt.results.reports.sizing_circuits import rack_load
from perwatt.results.reports.sizing_demand import Part
from perwatt.results.reports.sizing_equipment import air_water, equipment, racks_per_row, stands
from perwatt.results.reports.sizing_formula import Term, choose, counted, interpolated, least, most, root, summed
from perwatt.results.size.facts import Facts
from perwatt.results.size.loop import LATENT_HEAT_MJ_KG, LEAST_LIFT_K, MJ_PER_KWH
from perwatt.results.size.reuse import KELVIN

# Writes an intermediate figure: its name, its label, its formula, its unit.
Put = Callable[[str, str, Term, str], Term]


class Drives(NamedTuple):
    """What pumps and the plant's fans take over the heat that they move: of the coolant's loop and of the air's, and of
    what is rejected."""

    pump: Term
    air_pump: Term
    fan: Term


class Plant(NamedTuple):
    """What the plant takes and does, in W per W of IT load: water in L per kWh of it; ``chilled``: the part of the heat
    that goes through compressors."""

    air_fans: Term
    pumps: Term
    compressors: Term
    fans: Term
    rejected: Term
    water: Term
    chilled: Term
    # of the coolant's loop and of the air's: heat, part through the chiller, compressors
    loops: tuple[tuple[Term, Term, Term], tuple[Term, Term, Term]]

    @property
    def cooling(self) -> Term:
        """All electricity for cooling."""
        return summed([self.air_fans, self.pumps, self.compressors, self.fans])


def water_needs(d: Draft) -> tuple[Term, Term]:
    """The cells of the water that the two loops need at the plant, in degrees C."""
    block, hx = d.book.cooling, d.term("cooling.hx_approach_k")
    facility = d.term("cooling.supply_liquid_c") - d.term("cooling.cdu_approach_k")
    facility = d.put(block, "facility_supply_c", "facility water, supply", facility, "degC", "cooling.facility_supply")
    liquid = d.put(block, "need_liquid_c", "coolant's loop: water needed at the plant", facility - hx, "degC")
    air_c = d.term("cooling.supply_air_c") - d.term("cooling.air_approach_k") - hx
    needs = liquid, d.put(block, "need_air_c", "air's loop: water needed at the plant", air_c, "degC")
    sizing_outside.needs(d)
    return needs


def drives(d: Draft, when: str) -> Drives:
    """The cells of them ``when`` (design: in the design hour; year: the mean of a year)."""
    pump = d.term("cooling.pump")
    fan = choose(sizing_outside.kind(d).says("tower"), d.term("cooling.tower_fan"), d.term("cooling.dry_fan"))
    if when == "design":
        pump, fan = pump * d.term("cooling.pump_at_design"), fan * d.term("cooling.fan_at_design")

    def put(key: str, label: str, term: Term) -> Term:
        return d.put(d.book.cooling, f"{when}_{key}", f"{label}, {when}, W/W", term, "1")

    pump = put("pump_fraction", "pumps", pump)
    air_pump = put("air_pump", "pumps of the air's loop", choose(d.cell("by_air") > 0, 0, pump))
    return Drives(pump, air_pump, put("fan", "fans of the plant", fan))


def plant(
    d: Draft, put: Put, db: Term, wb: Term, needs: tuple[Term, Term], liquid: Term, air: Term, driven: Drives
) -> Plant:
    """The plant at a dry and a wet bulb, with ``liquid`` and ``air`` W of heat per W of IT load in its loops; ``air``
    with the heat of the fans that move it."""
    kind = sizing_outside.kind(d)
    tower, by_air = kind.says("tower"), d.cell("by_air") > 0
    loops = []
    outdoor = sizing_outside.loop(d, put, db, wb)
    supply, back = air_water(d)
    rise = d.term("cooling.liquid_rise_k")
    condenser_k = d.term("cooling.dry_condenser_k")
    warmed = most(d.term("cooling.condenser_effectiveness") * condenser_k, LEAST_LIFT_K)
    for key, title, heat, need, warmer, pump in (
        ("liquid", "coolant", liquid, needs[0], rise, driven.pump),
        ("air", "air", air, needs[1], back - supply, driven.air_pump),
    ):
        wetted = most(least(db + d.term("cooling.dry_approach_k") - need,
                            d.term("cooling.adiabatic_effectiveness") * most(db - wb, 0)), 0)  # fmt: skip
        wetted = choose(kind.says("adiabatic"), wetted, 0)
        if key == "air":
            wetted = choose(by_air, outdoor.wetted, wetted)
        wetted = put(f"{key}_wetted_k", f"{title}: wet pads cool by", wetted, "K")
        source = choose(tower, wb + d.term("cooling.tower_approach_k"), db - wetted + d.term("cooling.dry_approach_k"))
        trim = most(least((source - need) / (d.term("cooling.trim_share") * warmer), 1), 0)
        trim = choose(kind.says("chiller"), 1, trim)
        if key == "air":
            trim = choose(by_air, outdoor.trim(wetted), trim)
        trim = put(f"{key}_trim", f"{title}: part through the chiller", trim, "1")
        condenser = choose(tower, wb + d.term("cooling.tower_approach_k") + d.term("cooling.tower_condenser_k"),
                           db - wetted + condenser_k)  # fmt: skip
        if key == "air":
            condenser = choose(by_air, db + condenser_k, condenser)
            coil = choose(by_air, d.cell("need_outdoor_c") - d.term("cooling.air_approach_k"), need)
        else:
            coil = need
        carnot = choose(tower, d.term("cooling.carnot_fraction"), d.term("cooling.carnot_fraction_dry"))
        carnot = carnot * (coil + KELVIN) / most(condenser - coil, LEAST_LIFT_K)
        highest = choose(tower, d.term("cooling.cop_max"), d.term("cooling.cop_max_dry"))
        cop = put(f"{key}_cop", f"{title}: COP of the chiller", least(highest, carnot), "1")
        moved = heat * (1 + pump)
        work = put(f"{key}_compressors", f"{title}: compressors, W/W", trim * moved / cop, "1")
        loops.append((wetted, trim, work, (1 - trim) * moved / warmer + (trim * moved + work) / warmed))
    (liquid_wetted, liquid_trim, liquid_work, wet_liquid), (air_wetted, air_trim, air_work, wet_air) = loops
    moved = summed([liquid * (1 + driven.pump), air * (1 + driven.air_pump)])
    rejected = put("rejected", "heat rejected, W/W", summed([moved, liquid_work, air_work]), "1")
    # air that is let in leaves without a fan of its own
    blown = rejected - choose(kind.says("outside_air"), (1 - air_trim) * air, 0)
    fans = put("fans", "fans of the plant, W/W", blown * driven.fan, "1")
    cycles = d.term("cooling.cycles")
    let_in = put("let_in", "outside air, part of all air moved", outdoor.let_in(air_wetted, air_trim), "1")
    of_air = choose(by_air, let_in * air / d.cell("hall_rise_k"), wet_air)
    padded = liquid_wetted * wet_liquid + air_wetted * of_air
    wet = choose(tower, d.term("cooling.latent_share") * rejected, padded)
    water = put("water", "water, L per kWh of IT", MJ_PER_KWH / LATENT_HEAT_MJ_KG * wet * cycles / (cycles - 1), "1")
    chilled = summed([liquid_trim * liquid, air_trim * air]) / (liquid + air)
    chilled = put("chilled", "part of the heat through chillers", chilled, "1")
    # the heat that the room's fans blow holds their own
    own = d.term("cooling.air_fan")
    pumps = summed([driven.pump * liquid, driven.air_pump * air])
    return Plant(air * own / (1 + own), pumps, liquid_work + air_work, fans, rejected, water,
                 chilled, ((liquid, liquid_trim, liquid_work), (air, air_trim, air_work)))  # fmt: skip


def design(d: Draft, fleet: Sequence[Part], it: Term, ups_in: Term, other: Term, reported_w: float) -> None:
    """The cells of the design hour: heat, plant, its electricity (``cooling_w``), flows, CDUs and pipes. ``other``:
    what else is fed, per W of IT load."""
    facts, block = d.facts, d.book.cooling
    if facts is None:
        return

    def cell(key: str, label: str, term: Term, unit: str) -> Term:
        return d.put(block, f"design_{key}", label, term, unit)

    parts = [p.all * d.term(f"fleet.{p.name}.liquid_fraction", f"liquid_fraction{p.tail}")
             for p in fleet]  # fmt: skip
    record = d.stated("design_record_c", "dry bulb of the design hour, as recorded", facts.design_db_c, "degC",
                      facts.design_db_basis, facts.design_db_kind)  # fmt: skip
    warming = d.term("cooling.warming_k")
    db = d.put(block, "design_db_c", "dry bulb of the design hour", record + warming
               + d.term("cooling.recirculation_k"), "degC", "cooling.design_db")  # fmt: skip
    wet = d.stated("design_record_wb_c", "wet bulb of the design hour, as recorded", facts.design_wb_c, "degC",
                   facts.design_wb_basis, facts.design_wb_kind)  # fmt: skip
    wb = cell("wb_c", "wet bulb of the design hour", least(wet + warming, db), "degC")
    liquid_w = d.put(block, "liquid_w", "heat into the liquid", summed(parts), "W", "cooling.liquid_heat")
    loss = cell("loss", "electrical losses and other consumers, W/W", (ups_in - it) / it + other, "1")
    blown = 1 - liquid_w / it + loss
    liquid = cell("liquid", "heat in the liquid, W/W", liquid_w / it, "1")
    air = cell("air", "heat in the air with its fans, W/W", blown * (1 + d.term("cooling.air_fan")), "1")
    air_w = d.put(block, "air_w", "heat into the air", air * it, "W", "cooling.air_heat")
    sizing_air.hall(d, fleet, facts, air_w)
    needs = water_needs(d)
    driven = drives(d, "design")
    found = plant(d, cell, db, wb, needs, liquid, air, driven)
    d.put(block, "rejected_w", "heat rejected at the design hour", found.rejected * it, "W", "cooling.rejected",
          title=True)  # fmt: skip
    (_, liquid_trim, _), (_, air_trim, _) = found.loops
    chilled = liquid_trim * liquid * (1 + driven.pump) + air_trim * air * (1 + driven.air_pump)
    chilled = chilled * it
    d.put(block, "chilled_w", "of it through compressors: the chillers' load", chilled, "W", "cooling.chilled",
          title=True)  # fmt: skip
    hottest = d.stated("hottest_wb_c", "wet bulb with the hottest air of the year, as recorded", facts.hottest_wb_c,
                       "degC", "the weather's hottest bin")  # fmt: skip
    dry_wb = d.put(block, "dry_wb_c", "hottest air: its own wet bulb", least(hottest + warming, db), "degC")

    def dry(key: str, label: str, term: Term, unit: str) -> Term:
        return d.put(block, f"dry_{key}", f"hottest air with its own wet bulb: {label}", term, unit)

    plant(d, dry, db, dry_wb, needs, liquid, air, driven)
    d.book.curves["coolant"] = f"{facts.fluid}: heat capacity of a cubic metre, J/m3/K", "degC", facts.coolant
    equipment(d, fleet, facts, found.loops, it, air_w)
    block.append(Computed("cooling_w", "electricity for cooling", (found.cooling * it).text,
                          (found.cooling * it).number, "W", reported_w, True))  # fmt: skip
    sizing_air.of_a_rack(d, fleet)
    if liquid_w.number > 0:
        _liquid(d, fleet, facts, liquid_w)


def _liquid(d: Draft, fleet: Sequence[Part], facts: Facts, liquid_w: Term) -> None:
    block = d.book.cooling
    supply, rise = d.term("cooling.supply_liquid_c"), d.term("cooling.liquid_rise_k")
    heat = interpolated(supply, "coolant", list(facts.coolant))
    heat = d.put(block, "coolant_j_m3_k", f"{facts.fluid}: heat capacity at its supply", heat, "J/m3/K")
    per_kw = d.put(block, "liquid_l_min_kw", "coolant flow per kW", 60_000_000 / (heat * rise), "L/min/kW",
                   "cooling.liquid_flow_per_kw")  # fmt: skip
    flow = d.put(block, "liquid_l_min", "coolant flow", liquid_w / 1000 * per_kw, "L/min", "cooling.liquid_flow",
                 factor=60_000, title=True)  # fmt: skip
    d.put(block, "return_c", "coolant, return", supply + rise, "degC", "cooling.return")
    d.put(block, "facility_return_c", "facility water, return", d.cell("facility_supply_c") + rise, "degC",
          "cooling.facility_return")  # fmt: skip
    head, efficiency = d.term("cooling.pump_head_pa"), d.term("cooling.pump_efficiency")
    d.put(block, "pump_w", "coolant pumps", flow / 60_000 * head / efficiency, "W", "cooling.pump")
    topology = d.topology("cdu_topology", "CDUs of a row", facts.cdu_topology)
    row_w, rack_w, cdus = Term("0", 0.0), Term("0", 0.0), []
    for part in (p for p in fleet if d.inputs[f"fleet.{p.name}.liquid_fraction"] > 0):
        tail = part.tail
        count, in_rack, rows = stands(d, part)
        share = d.term(f"fleet.{part.name}.liquid_fraction", f"liquid_fraction{tail}")
        of_rack = d.put(block, f"rack{tail}_liquid_w", f"{part.title}: heat of a rack into the liquid, as its circuit",
                        rack_load(d, part) * share, "W")  # fmt: skip
        of_row = of_rack / least(count, in_rack) * least(count, in_rack * racks_per_row(d))
        of_row = d.put(block, f"row{tail}_liquid_w", f"{part.title}: heat of a row into the liquid", of_row, "W")
        row_w, rack_w = most(row_w, of_row), most(rack_w, of_rack)
        cdus.append(rows * counted(of_row, d.term("cooling.cdu_w"), topology))
    d.put(block, "cdus", "CDUs", summed(cdus), "", "cooling.cdus", title=True)
    d.put(block, "rack_l_min", "coolant flow of a rack", rack_w / 1000 * per_kw, "L/min", "cooling.liquid_flow_rack")
    bore = root(4 / math.pi * row_w / 60_000_000 * per_kw / d.term("cooling.pipe_velocity_m_s"))
    d.put(block, "pipe_mm", "pipe to a row, bore", 1000 * bore, "mm", "cooling.pipe", factor=1000)
