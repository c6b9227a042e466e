"""How long a hall runs on when its cooling is lost: each loop warms what it touches, and the shorter one governs.

    seconds = thermal mass * rise allowed / heat

The machines run on, on their UPS; fans and pumps stir, and nothing leaves the hall. All of a loop's heat goes into the
coolant, or the air, and what warms as fast: how much that is of walls and metal is what nobody knows beforehand, hence
the width of the range.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perwatt.results.size.elementwise import plain, within
from perwatt.results.size.parameter import Values
from perwatt.results.size.sheet import Sheet


def seconds(heat_w: Values, thermal_mass_j_k: Values, rise_k: Values) -> Values:
    """Seconds until ``heat_w`` has warmed ``thermal_mass_j_k`` by ``rise_k``; inf where there is no heat. Raises
    ValueError for heat below 0."""
    heat = np.asarray(within("heat", heat_w, 0), np.float64)
    room, heat = np.broadcast_arrays(np.asarray(thermal_mass_j_k * rise_k, np.float64), heat)
    return plain(np.divide(room, heat, out=np.full(heat.shape, np.inf), where=heat > 0))


def ride_through(
    p: Mapping[str, Values], liquid_w: Values, liquid_racks: int, air_w: Values, racks: int, sheet: Sheet
) -> None:
    """Add the seconds of each loop that carries heat, and of both. ``p`` by the names of Cooling's fields; the coolant
    is that of ``liquid_racks``, the air that of all ``racks``."""
    by_loop = {
        "liquid": ("coolant", liquid_w, "the coolant and what it touches",
                   seconds(liquid_w, p["thermal_mass_j_k"] * liquid_racks, p["ride_through_rise_k"])),
        "air": ("air", air_w, "the air and what warms with it",
                seconds(air_w, p["air_thermal_mass_j_k"] * racks, p["air_ride_through_rise_k"])),
    }  # fmt: skip
    carried = {key: found for key, found in by_loop.items() if float(np.max(found[1])) > 0}
    if not carried:
        return
    shortest = np.minimum.reduce(np.broadcast_arrays(*(hold_s for *_, hold_s in carried.values())))
    which = min(carried.values(), key=lambda found: float(np.mean(found[-1])))[0]
    basis = f"the shorter of both loops: the {which}" if len(carried) > 1 else f"the {which} alone carries heat"
    sheet.add("cooling.ride_through", "cooling", "ride-through on loss of cooling", plain(shortest), "s", basis)
    for key, (title, _, what, hold_s) in carried.items():
        sheet.add(f"cooling.ride_through_{key}", "cooling", f"ride-through of the {title}", hold_s, "s",
                  f"{what}, of its racks, warming by the rise allowed")  # fmt: skip
