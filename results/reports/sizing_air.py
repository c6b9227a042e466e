"""The workbook's air: how much a hall and a rack move and by how much it warms, as in
:mod:`perwatt.results.size.hall`."""

from __future__ import annotations

from collections.abc import Sequence

from perwatt.results.reports.sizing_cells import Draft
from perwatt.results.reports.sizing_circuits import rack_load
from perwatt.results.reports.sizing_demand import Part
from perwatt.results.reports.sizing_equipment import stands
from perwatt.results.reports.sizing_formula import Term, least, most, summed
from perwatt.results.size.facts import Facts
from perwatt.results.size.fluid import AIR_CP_J_KG_K, M3_S_PER_CFM
from perwatt.results.size.reuse import KELVIN

AIR_J_KG_K = 287.042  # gas constant of dry air, ASHRAE Fundamentals 2017, chapter 1


def hall(d: Draft, fleet: Sequence[Part], facts: Facts, air_w: Term) -> None:
    """The cells of the air that carries ``air_w``: its density, its flow, its rise (``hall_rise_k``), and those of the
    rack that moves the most."""
    block = d.book.cooling
    pressure = d.stated("pressure_pa", "air pressure", facts.pressure_pa, "Pa",
                        f"standard atmosphere at {facts.altitude_m:g} m", "modelled")  # fmt: skip
    density = pressure / (AIR_J_KG_K * (d.term("cooling.supply_air_c") + KELVIN))
    per_k = d.put(block, "air_kg_m3", "density of the supply air", density, "kg/m3") * AIR_CP_J_KG_K
    beside = [Term(cell.name, cell.value) for cell in d.book.chain if cell.name == "support_w"]
    all_w = summed([*(p.all * (1 - _wet(d, p)) for p in fleet), *beside])
    flows = [_hall_flow(d, part, per_k, air_w, all_w) for part in fleet]
    flows += [air_w * (one / all_w) / (per_k * d.term("site.cooling.air_rise_k")) for one in beside]
    flow = d.put(
        block, "air_m3_h", "air flow", summed(flows) * 3600, "m3/h", "cooling.air_flow", factor=3600, title=True
    )
    d.put(block, "air_cfm", "air flow", flow / 3600 / M3_S_PER_CFM, "CFM", "cooling.air_flow_cfm")
    d.put(block, "hall_rise_k", "air of the hall warms by", air_w / (per_k * flow / 3600), "K", "cooling.air_rise")


def of_a_rack(d: Draft, fleet: Sequence[Part]) -> None:
    """The flow of the rack that moves the most."""
    per_k = d.cell("air_kg_m3") * AIR_CP_J_KG_K
    racks = Term("0", 0.0)
    for part in fleet:
        count, in_rack, _ = stands(d, part)
        if (stated := _stated(d, part)) is not None:
            flow = least(count, in_rack) * stated
        else:
            flow = rack_load(d, part) * (1 - _wet(d, part)) / (per_k * _rise(d, part))
        racks = most(racks, flow)
    d.put(d.book.cooling, "rack_cfm", "air flow of a rack", racks / M3_S_PER_CFM, "CFM", "cooling.air_flow_rack")


def _hall_flow(d: Draft, part: Part, per_k: Term, air_w: Term, all_w: Term) -> Term:
    """Of all units of a part, in m3/s."""
    past = 1 + d.term("cooling.air_bypass")
    if (stated := _stated(d, part)) is not None:
        return (
            Term(f"unit{part.tail}_count", part.count)
            * (1 + d.term("electrical.growth", "growth_share"))
            * stated
            * past
        )
    share = part.all * (1 - _wet(d, part)) / all_w
    own = f"fleet.{part.name}.air_rise_k" in d.inputs
    rise = _rise(d, part) / past if own else _rise(d, part)
    return air_w * share / (per_k * rise)


def _wet(d: Draft, part: Part) -> Term:
    return d.term(f"fleet.{part.name}.liquid_fraction", f"liquid_fraction{part.tail}")


def _stated(d: Draft, part: Part) -> Term | None:
    end = f"fleet.{part.name}.airflow_m3_s"
    return d.term(end, f"airflow_m3_s{part.tail}") if end in d.inputs else None


def _rise(d: Draft, part: Part) -> Term:
    own = f"fleet.{part.name}.air_rise_k"
    if own in d.inputs:
        return d.term(own, f"own_air_rise_k{part.tail}")
    return d.term("site.cooling.air_rise_k")
