"""One hour of a cooling plant: from the weather to PUE and water, per watt of IT load.

Two loops leave the hall: the coolant's with ``liquid_fraction`` of the IT heat, the air's with the rest, the
electrical losses inside the hall and the heat of its own fans. Each needs water of a certain temperature at the plant:
its supply, less the approaches of what lies between (the CDU or the air coil) and of the plant's exchanger. How the
ambient and a chiller provide it is :mod:`perwatt.results.size.loop`'s. The air may also leave without water between,
as in :mod:`perwatt.results.size.outside`.

    need = supply - approach - hx_approach
    PUE  = 1 + electrical + room fans + pumps + compressors + fans of the plant

Every watt that enters the hall, a pump or a compressor is rejected by the plant; only its own fans and the losses
outside the hall are not. IT load is constant over the year. Pumps and the plant's fans take their mean all year, and
what they take then in the design hour (:func:`at_design`). Heat handed over to a district network is not taken off the
plant: that must work when the network does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from perwatt.results.size.elementwise import within
from perwatt.results.size.loop import BY_AIR, LIMITS, PLANTS, loop
from perwatt.results.size.outside import air_loop
from perwatt.results.size.parameter import Values


class Hour(NamedTuple):
    """Powers and heats in W per W of IT load. ``electrical_w``: losses and other consumers, as given. ``liquid_w``,
    ``air_w``: heat that leaves with each loop; ``chilled_w``: what of both goes through compressors, pump heat
    included; ``rejected_w``: all that the plant puts into the ambient. ``fan_w``: of the plant; ``air_fan_w``: of the
    room. ``free_fraction``: of the heat, without a compressor. ``reachable``: 1 where the ambient alone holds the
    coolant's supply, else 0; ``source_liquid_c``: the supply of the coolant that it alone would hold, at full heat
    (nan: no free cooling). ``trim_liquid``, ``trim_air``: the part of each loop's heat that goes through its chillers;
    ``compressor_liquid_w``: the coolant's part of ``compressor_w``."""

    pue: Values
    liquid_w: Values
    air_w: Values
    electrical_w: Values
    air_fan_w: Values
    pump_w: Values
    compressor_w: Values
    fan_w: Values
    chilled_w: Values
    rejected_w: Values
    water_l_per_kwh: Values
    free_fraction: Values
    reachable: Values
    source_liquid_c: Values
    trim_liquid: Values
    trim_air: Values
    compressor_liquid_w: Values


def facility_supply_c(p: Mapping[str, Values]) -> Values:
    """Facility water that the CDUs need: the coolant's supply less their approach."""
    return p["supply_liquid_c"] - p["cdu_approach_k"]


def air_water_supply_c(p: Mapping[str, Values]) -> Values:
    """Water that the air handlers need: the air's supply less their approach."""
    return p["supply_air_c"] - p["air_approach_k"]


def air_water_return_c(p: Mapping[str, Values]) -> Values:
    """Water that comes back from the air handlers: warmer by its rise, but no warmer than the air that it cools."""
    warmest: Values = np.minimum(air_water_supply_c(p) + p["air_water_rise_k"], p["supply_air_c"] + p["air_rise_k"])
    return warmest


def at_design(p: Mapping[str, Values]) -> dict[str, Values]:
    """``p`` with fans of the plant and pumps at what they take in the design hour."""
    fans = {name: p[name] * p["fan_at_design"] for name in ("dry_fan", "tower_fan")}
    return {**p, **fans, "pump": p["pump"] * p["pump_at_design"]}


def hour(
    db_c: Values,
    wb_c: Values,
    plant: str,
    p: Mapping[str, Values],
    liquid_fraction: Values,
    electrical_fraction: Values,
    hall_fraction: Values | None = None,
) -> Hour:
    """The plant at ``db_c`` and ``wb_c``, elementwise on everything that broadcasts.

    ``p``: values by the names of :class:`Cooling`'s fields. ``electrical_fraction``: losses and other consumers per W
    of IT; ``hall_fraction``: those of them that become heat in the hall's air, all of them if None. Raises ValueError
    for an unknown plant, a missing key, fractions that cannot be, and a wet bulb above the dry bulb.
    """
    _check(db_c, wb_c, plant, p, liquid_fraction, electrical_fraction, hall_fraction)
    hall_w = electrical_fraction if hall_fraction is None else hall_fraction
    liquid_w = liquid_fraction
    blown_w = (1 - liquid_fraction) + hall_w
    air_fan_w = p["air_fan"] * blown_w
    air_w = blown_w + air_fan_w
    need_liquid_c = facility_supply_c(p) - p["hx_approach_k"]
    need_air_c = air_water_supply_c(p) - p["hx_approach_k"]
    outdoors = plant in BY_AIR
    liquid = loop(db_c, wb_c, "dry" if outdoors else plant, p, liquid_w, need_liquid_c, p["liquid_rise_k"])
    if outdoors:
        air = air_loop(db_c, wb_c, plant, p, air_w)
    else:
        air = loop(db_c, wb_c, plant, p, air_w, need_air_c, air_water_return_c(p) - air_water_supply_c(p))
    pump_w = liquid.pump_w + air.pump_w
    compressor_w = liquid.compressor_w + air.compressor_w
    fan_w = liquid.fan_w + air.fan_w
    trimmed_w = liquid.trim * liquid_w + air.trim * air_w
    return Hour(
        pue=1 + electrical_fraction + air_fan_w + pump_w + compressor_w + fan_w,
        liquid_w=liquid_w,
        air_w=air_w,
        electrical_w=electrical_fraction,
        air_fan_w=air_fan_w,
        pump_w=pump_w,
        compressor_w=compressor_w,
        fan_w=fan_w,
        chilled_w=liquid.trim * (liquid_w + liquid.pump_w) + air.trim * (air_w + air.pump_w),
        rejected_w=liquid.rejected_w + air.rejected_w,
        water_l_per_kwh=liquid.water_l_per_kwh + air.water_l_per_kwh,
        free_fraction=1 - trimmed_w / (liquid_w + air_w),
        reachable=np.where(np.asarray(liquid.trim) <= 0, 1.0, 0.0),
        source_liquid_c=liquid.source_c + p["hx_approach_k"] + p["cdu_approach_k"],
        trim_liquid=liquid.trim,
        trim_air=air.trim,
        compressor_liquid_w=liquid.compressor_w,
    )


def _check(
    db_c: Values,
    wb_c: Values,
    plant: str,
    p: Mapping[str, Values],
    liquid_fraction: Values,
    electrical_fraction: Values,
    hall_fraction: Values | None,
) -> None:
    if plant not in PLANTS:
        raise ValueError(f"plant: found {plant!r}; allowed {', '.join(PLANTS)}")
    missing = sorted(LIMITS.keys() - p.keys())
    if missing:
        raise ValueError(f"cooling: found no {', '.join(missing)}")
    for name, (low, high) in LIMITS.items():
        within(f"cooling.{name}", p[name], low, high)
    within("liquid_fraction", liquid_fraction, 0.0, 1.0)
    within("electrical losses", electrical_fraction, 0.0)
    within("losses in the hall", 0.0 if hall_fraction is None else hall_fraction, 0.0)
    # stated wet bulbs are rounded: in fog they may exceed the dry bulb by that
    within("dry bulb over wet bulb in K", np.asarray(db_c) - wb_c, -0.1)
