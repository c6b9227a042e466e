"""One loop of a cooling plant in one hour: what the ambient carries, what a chiller trims, and the water that it takes.

A loop needs water of ``need_c`` at the plant. The ambient offers a source temperature. Dry coolers or towers and
chillers stand in series: the ambient cools the return, which is warmer by the loop's rise, as far as it can, and a
chiller trims the rest, over ``trim_share`` of that rise (1: in series; towards 0: one or the other):

    dry       source = db + dry_approach          condenser = db + dry_condenser
    adiabatic as dry, its air first cooled by wet pads, by as much as is needed and at most effectiveness * (db - wb)
    tower     source = wb + tower_approach        condenser = source + tower_condenser
    chiller   no free cooling at all              condenser = db + dry_condenser
    trim      x = clip((source - need) / (trim_share * rise), 0, 1)
    COP       min(cop_max, carnot_fraction * T_evaporator / (T_condenser - T_evaporator)),  T_evaporator = need
              (cop_max_dry and carnot_fraction_dry where outside air cools the condenser)

    pumps = pump * heat     compressors = x * (heat + pumps) / COP     fans = fan * (heat + pumps + compressors)

Water leaves as vapour: from the tower for ``latent_share`` of all that is rejected, from wet pads as much as cools
their air. What the ambient carries takes as much air as would warm by the loop's rise with all of the heat (a balanced
cooler, its fans turned down with the part that it carries; at full flow pads would take up to a third more in hot
climates); what a chiller carries warms its air by ``condenser_effectiveness`` of what lies between the air and its
condenser. Blow-down adds C / (C - 1) at C cycles of concentration.

The structure is SiteFootprint's (calibrated on the PUE that large campuses publish), the ranges also Lei and Masanet's.
What is added: chillers in series over the loop's rise (there, over 4 K), pumps that serve every loop, the heat of pumps
and compressors that is rejected too, and wet pads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from perwatt.results.size.parameter import Values
from perwatt.results.size.site import Cooling

LATENT_HEAT_MJ_KG = 2.43  # of water at 30 degrees C
MJ_PER_KWH = 3.6
LEAST_LIFT_K = 1e-3  # only keeps the division finite: the most that a COP may be limits long before

PLANTS = ("dry", "adiabatic", "tower", "chiller", "outside_air", "indirect_air")
# Without water between hall and ambient; coolant has dry coolers beside them.
BY_AIR = ("outside_air", "indirect_air")

# What of Cooling's fields the plant reads, with the least and the most that it may be.
LIMITS: dict[str, tuple[float, float]] = {
    "supply_liquid_c": (2.0, 80.0),
    "supply_air_c": (2.0, 60.0),
    "liquid_rise_k": (1e-6, 80.0),
    "cdu_approach_k": (0.0, 40.0),
    "air_approach_k": (0.0, 40.0),
    "hx_approach_k": (0.0, 40.0),
    "dry_approach_k": (0.0, 40.0),
    "tower_approach_k": (0.0, 40.0),
    "dry_condenser_k": (0.0, 60.0),
    "tower_condenser_k": (0.0, 60.0),
    "trim_share": (1e-6, 1.0),
    "air_rise_k": (1e-6, 80.0),
    "air_water_rise_k": (1e-6, 80.0),
    "adiabatic_effectiveness": (0.0, 1.0),
    "exchanger_effectiveness": (0.05, 1.0),
    "dew_point_min_c": (-60.0, 60.0),
    "dew_point_max_c": (-60.0, 60.0),
    "carnot_fraction": (1e-6, 1.0),
    "carnot_fraction_dry": (1e-6, 1.0),
    "cop_max": (1.0, 100.0),
    "cop_max_dry": (1.0, 100.0),
    "condenser_effectiveness": (0.05, 1.0),
    "dry_fan": (0.0, 1.0),
    "tower_fan": (0.0, 1.0),
    "air_fan": (0.0, 1.0),
    "pump": (0.0, 1.0),
    "cycles": (1.01, 1000.0),
    "latent_share": (0.0, 1.0),
}
assert set(Cooling.__struct_fields__) >= LIMITS.keys()


class Loop(NamedTuple):
    """``trim``: the part of the heat that goes through the chiller. ``source_c``: what the ambient offers at the plant
    (nan: no free cooling). Powers in W per W of the same IT load as the heat; water in L per kWh of it."""

    trim: Values
    source_c: Values
    pump_w: Values
    compressor_w: Values
    fan_w: Values
    rejected_w: Values
    water_l_per_kwh: Values


def loop(
    db_c: Values, wb_c: Values, plant: str, p: Mapping[str, Values], heat_w: Values, need_c: Values, rise_k: Values
) -> Loop:
    """One loop whose heat is ``heat_w`` (W per W of IT), that needs ``need_c`` at the plant and comes back warmer by
    ``rise_k``, at ``db_c`` and ``wb_c``; ``p`` by the names of Cooling's fields. Elementwise; nothing is checked
    here."""
    blow_down = p["cycles"] / (p["cycles"] - 1)
    wetted_k: Values = 0.0
    if plant == "tower":
        source_c = wb_c + p["tower_approach_k"]
        condenser_c = source_c + p["tower_condenser_k"]
        fan, carnot, most = p["tower_fan"], p["carnot_fraction"], p["cop_max"]
    else:
        # wet pads work as hard as is needed: what they cool by grows with the heat outside, and nothing jumps
        short_k = np.maximum(db_c + p["dry_approach_k"] - need_c, 0.0)
        depression_k = np.maximum(db_c - wb_c, 0.0)
        if plant == "adiabatic":
            wetted_k = np.minimum(short_k, p["adiabatic_effectiveness"] * depression_k)
        intake_c = db_c - wetted_k
        source_c = np.nan if plant == "chiller" else intake_c + p["dry_approach_k"]
        condenser_c = intake_c + p["dry_condenser_k"]
        fan, carnot, most = p["dry_fan"], p["carnot_fraction_dry"], p["cop_max_dry"]
    trim = 1.0 if plant == "chiller" else np.clip((source_c - need_c) / (p["trim_share"] * rise_k), 0.0, 1.0)
    lift_k = np.maximum(condenser_c - need_c, LEAST_LIFT_K)
    cop = np.minimum(most, carnot * (need_c + 273.15) / lift_k)
    pump_w = p["pump"] * heat_w
    compressor_w = trim * (heat_w + pump_w) / cop
    rejected_w = heat_w + pump_w + compressor_w
    evaporated_w: Values
    if plant == "tower":
        evaporated_w = p["latent_share"] * rejected_w
    else:
        free_w = (1 - trim) * (heat_w + pump_w)
        warmed_k = p["condenser_effectiveness"] * p["dry_condenser_k"]
        # a condenser as warm as its air rejects nothing
        evaporated_w = wetted_k * (free_w / rise_k + (rejected_w - free_w) / np.maximum(warmed_k, LEAST_LIFT_K))
    water = MJ_PER_KWH / LATENT_HEAT_MJ_KG * evaporated_w * blow_down
    return Loop(trim, source_c, pump_w, compressor_w, fan * rejected_w, rejected_w, water)
