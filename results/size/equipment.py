"""What is ordered for cooling at the design hour: coolers and chillers of each loop, air handlers, how many of them.

The coolant's loop and the air's want water of different temperatures: each has its own coolers and chillers.

    coolers    reject all heat of the loop: what comes to them as it is, and what the chillers' condensers give off
    chillers   take up the part of the loop's heat (its pumps' included) that the ambient does not carry
    condensers = chillers + compressors        make-up = evaporation + blow-down,  blow-down = make-up / cycles

A cooler is a dry cooler, one with wet pads, or a cell of a tower. The plant ``chiller`` has none: its chillers stand in
the open and reject their heat themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perwatt.results.size import liquid, redundancy
from perwatt.results.size.loop import BY_AIR
from perwatt.results.size.outside import need_c
from perwatt.results.size.parameter import Values
from perwatt.results.size.plant import Hour, air_water_return_c, air_water_supply_c, facility_supply_c
from perwatt.results.size.sheet import Sheet
from perwatt.results.size.site import Cooling, Topology

COOLERS = {"dry": "dry coolers", "adiabatic": "adiabatic coolers", "tower": "towers' cells"}
COOLERS |= dict.fromkeys(BY_AIR, COOLERS["dry"])  # of the coolant


def equipment(cooling: Cooling, p: Mapping[str, Values], design: Hour, it_w: Values, sheet: Sheet) -> None:
    """Add the lines of what the design hour ``design`` asks for at ``it_w`` of IT load; ``p`` by the names of
    Cooling's fields."""
    by_air = cooling.plant in BY_AIR
    for key, title, water_c, heat_w, trim, compressor_w in (
        ("liquid", "coolant's loop", facility_supply_c(p), design.liquid_w, design.trim_liquid,
         design.compressor_liquid_w),
        ("air", "air's loop", air_water_supply_c(p), design.air_w, design.trim_air,
         design.compressor_w - design.compressor_liquid_w),
    ):  # fmt: skip
        if float(np.max(heat_w)) > 0:
            pumped = 0.0 if by_air and key == "air" else p["pump"]
            plant_c = need_c(p) if by_air and key == "air" else water_c - p["hx_approach_k"]
            moved_w = heat_w * (1 + pumped) * it_w
            _loop(cooling, p, key, title, plant_c, moved_w, trim, compressor_w * it_w, sheet)
    _air_handlers(cooling, p, design.air_w * it_w, sheet)


def make_up(cooling: Cooling, p: Mapping[str, Values], l_per_kwh: Values, it_w: Values, sheet: Sheet) -> None:
    """Add the lines of the water that is to be there at ``it_w`` of IT load, ``l_per_kwh`` of it at the most."""
    if cooling.plant in ("adiabatic", "tower", *BY_AIR):
        most = l_per_kwh * it_w / 3.6e9
        sheet.add("cooling.make_up", "cooling", "make-up water, at the most", most, "m3/s",
                  "evaporation and blow-down: the most of the design hour, of its dry bulb with the wet bulb of the "
                  "year's hottest hours, and of any bin of the year")  # fmt: skip
        sheet.add("cooling.blow_down", "cooling", "of it blow-down", most / p["cycles"], "m3/s",
                  "make-up over the cycles of concentration")  # fmt: skip


def _loop(
    cooling: Cooling,
    p: Mapping[str, Values],
    key: str,
    title: str,
    water_c: Values,
    moved_w: Values,
    trim: Values,
    compressor_w: Values,
    sheet: Sheet,
) -> None:
    """The plant of one loop: ``moved_w`` is its heat with that of its pumps, ``trim`` the part of it that goes through
    chillers, ``water_c`` what the plant must give."""
    chilled_w = trim * moved_w

    def add(end: str, label: str, value: Values, unit: str, basis: str) -> None:
        sheet.add(f"cooling.{key}.{end}", "cooling", f"{title}: {label}", value, unit, basis)

    outdoors = key == "air" and cooling.plant in BY_AIR
    if outdoors:
        add("plant_supply", "air to its fans", water_c, "degC", "the air's supply less the heat of the fans")
    else:
        add("plant_supply", "water from the plant", water_c, "degC", "what coolers and chillers must give")
    add("rejected", "heat to reject", moved_w + compressor_w, "W", "heat of the loop, its pumps and its compressors")
    if cooling.plant in COOLERS:
        add("free", "of it without a compressor", (1 - trim) * moved_w, "W", "what the ambient carries alone")
    add("chilled", "chillers, capacity", chilled_w, "W", "heat taken up at the water of this loop")
    add("compressors", "chillers, compressors", compressor_w, "W", "electricity: capacity over COP")
    add("condensers", "chillers, condensers", chilled_w + compressor_w, "W", "capacity and compressors: heat given off")
    if cooling.plant in COOLERS and not outdoors:
        _units(f"coolers_{key}", f"{COOLERS[cooling.plant]}, {title}", moved_w + compressor_w, p["cooler_w"],
               cooling.plant_topology, p["plant_group_w"], sheet)  # fmt: skip
    _units(f"chillers_{key}", f"chillers, {title}", chilled_w, p["chiller_w"], cooling.plant_topology,
           p["plant_group_w"], sheet)  # fmt: skip


def _air_handlers(cooling: Cooling, p: Mapping[str, Values], air_w: Values, sheet: Sheet) -> None:
    if float(np.max(air_w)) <= 0:
        return
    if cooling.plant not in BY_AIR:
        _air_water(cooling, p, air_w, sheet)
    _units("crahs", "air handlers (CRAH)", air_w, p["crah_w"], cooling.crah_topology, p["crah_group_w"], sheet)


def _air_water(cooling: Cooling, p: Mapping[str, Values], air_w: Values, sheet: Sheet) -> None:
    supply_c, return_c = air_water_supply_c(p), air_water_return_c(p)
    flow = liquid.flow_m3_s(air_w, return_c - supply_c, cooling.fluid, supply_c)
    for key, label, value, unit, basis in (
        ("supply", "supply", supply_c, "degC", "the air's supply less an approach"),
        ("return", "return", return_c, "degC", "warmer by the water's rise, no warmer than the air that it cools"),
        ("flow", "flow", flow, "m3/s", f"{cooling.fluid} at its supply and rise"),
    ):
        sheet.add(f"cooling.air.water_{key}", "cooling", f"water of the air handlers, {label}", value, unit, basis)


def _units(
    key: str, title: str, load_w: Values, unit_w: Values, topology: Topology, group_w: Values, sheet: Sheet
) -> None:
    """Lines like those of UPS and transformers."""
    count, normal, fault = redundancy.grouped(load_w, unit_w, topology, group_w)
    spares = f", spares for each {_mean_mw(group_w)}" if topology in redundancy.SPARES else ""
    built = f"{_mean_mw(unit_w)} each{spares}; {topology}: {redundancy.describe(topology)}"
    for end, label, value, unit, basis in (
        ("count", title, count, "", built),
        ("normal", f"{title}: load of each", normal, "1", "all of them running"),
        ("fault", f"{title}: load of each after the fault", fault, "1", f"the fault that {topology} is there for"),
    ):
        sheet.add(f"redundancy.{key}.{end}", "redundancy", label, value, unit, basis)


def _mean_mw(power_w: Values) -> str:
    return f"{float(np.mean(power_w)) / 1e6:.4g} MW"
