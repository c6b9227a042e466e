"""The air of a hall and its machines: how much they move, and how much warmer it comes back.

    rise = heat / (rho * cp * flow)

A machine that states its airflow moves that, and its rise follows. One that states its rise, or nothing (then it is the
site's ``air_rise_k``), moves what carries its heat. What goes past the machines is ``air_bypass``, a fraction of what
they move; the site's own rise has it in it. Over the year fans follow the load, and the rise stays.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perwatt.results.size import air
from perwatt.results.size.demand import Demand
from perwatt.results.size.fluid import air as properties
from perwatt.results.size.parameter import Values
from perwatt.results.size.request import Entry, Request
from perwatt.results.size.sheet import Sheet


def rise_k(request: Request, values: Mapping[str, Values], demand: Demand, air_w: Values) -> Values:
    """By how much all air of the hall warms at ``air_w``, the heat that it carries in W: its fans' and the losses' go
    with the machines' own."""
    per_k = _heat_per_k(request, values)
    growth, past = 1 + values["site.electrical.growth"], 1 + values["site.cooling.air_bypass"]
    own_w = {entry.name: demand.entry_w[entry.name] - demand.liquid_w[entry.name] for entry in request.fleet}
    total_w: Values = sum(own_w.values()) + demand.support_w
    if float(np.min(total_w)) <= 0:
        return values["site.cooling.air_rise_k"]
    # what stands beside the units states no flow
    flow: Values = air_w * demand.support_w / total_w / (per_k * values["site.cooling.air_rise_k"])
    for entry in request.fleet:
        stated = values.get(f"fleet.{entry.name}.airflow_m3_s")
        if stated is not None:
            flow = flow + entry.units * growth * stated * past
        else:
            flow = flow + air_w * own_w[entry.name] / total_w / (per_k * _own_rise_k(entry, values, past))
    return air_w / (per_k * flow)


def racks(request: Request, values: Mapping[str, Values], demand: Demand, sheet: Sheet) -> None:
    """Add the lines of the rack that moves the most air: its flow, and the rise at what its circuit carries."""
    per_k = _heat_per_k(request, values)
    found: list[tuple[float, Values, Values, str]] = []
    for entry in request.fleet:
        circuit, in_rack = demand.circuits[entry.name], min(entry.units, entry.per_rack)
        heat_w = circuit.load_w * (1 - values[f"fleet.{entry.name}.liquid_fraction"])
        if float(np.min(heat_w)) <= 0:
            continue
        stated = values.get(f"fleet.{entry.name}.airflow_m3_s")
        if stated is not None and entry.system.airflow_m3_s is not None:
            flow: Values = in_rack * stated
            basis = f"units in it: {in_rack}; {entry.system.airflow_m3_s.source}"
        else:
            flow = heat_w / (per_k * _own_rise_k(entry, values, 1.0))
            basis = f"the rise of its air, which states no flow; as its circuit, on {circuit.floor}"
        found.append((float(np.mean(flow)), flow, heat_w / (per_k * flow), basis))
    if not found:
        return
    _, flow, rise, basis = max(found, key=lambda one: one[0])
    sheet.add("cooling.air_flow_rack", "cooling", "air flow of a rack", air.cfm(flow), "CFM",
              f"the rack with the most air; {basis}")  # fmt: skip
    sheet.add("cooling.air_rise_rack", "cooling", "air of that rack warms by", rise, "K",
              "what its circuit carries and no liquid does, over its flow")  # fmt: skip


def _own_rise_k(entry: Entry, values: Mapping[str, Values], past: Values) -> Values:
    own = values.get(f"fleet.{entry.name}.air_rise_k")
    return values["site.cooling.air_rise_k"] if own is None else own / past


def _heat_per_k(request: Request, values: Mapping[str, Values]) -> Values:
    """Heat that a cubic metre of supply air carries, in J/K."""
    rho, cp = properties(values["site.cooling.supply_air_c"], request.site.above_sea_m(request.climate.altitude_m))
    return rho * cp
