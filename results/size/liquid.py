"""The liquid side of a hall: flow, pump, pipe.

    flow = heat / (rho * cp * rise)        pump = flow * head / efficiency        bore = sqrt(4 flow / (pi velocity))

``rho`` and ``cp`` are taken at the supply: flow meters stand there, and as glycol's heat capacity grows with its
temperature the flow errs by 0.3 % to the safe side. At 40 degrees C and 10 K that is 1.50 L/min per kW for PG25, the
figure of the OCP guidelines for cold plates. The flow comes from the rise; nobody may give both.
"""

from __future__ import annotations

import math

import numpy as np

from perwatt.results.size.elementwise import plain, positive, within
from perwatt.results.size.fluid import Fluid, coolant
from perwatt.results.size.parameter import Values

# Nominal sizes of ISO 6708, in mm. A pipe's bore is taken as its nominal size: steel pipes of EN 10220 lie within 3 %.
NOMINAL_SIZES = (
    *(15, 20, 25, 32, 40, 50, 65, 80, 100, 125, 150, 200, 250, 300, 350, 400, 450, 500),
    *(600, 700, 800, 900, 1000, 1100, 1200, 1400, 1500, 1600, 1800, 2000),
)

LITRE_PER_MINUTE = 60_000.0  # in one m3/s


def flow_m3_s(heat_w: Values, rise_k: Values, fluid: Fluid, supply_c: Values) -> Values:
    """Volume flow at the supply that carries ``heat_w`` with a rise of ``rise_k`` from ``supply_c``."""
    positive("liquid rise", rise_k)
    rho, cp = coolant(fluid, supply_c)
    return heat_w / (rho * cp * rise_k)


def l_min_per_kw(rise_k: Values, fluid: Fluid, supply_c: Values) -> Values:
    """Specific flow in L/min per kW of heat, as vendors state it."""
    return flow_m3_s(1000.0, rise_k, fluid, supply_c) * LITRE_PER_MINUTE


def pump_w(flow_m3_s: Values, head_pa: Values, efficiency: Values) -> Values:
    """Electrical power of a pump; ``efficiency`` from the wire to the water."""
    return flow_m3_s * head_pa / within("pump efficiency", positive("pump efficiency", efficiency), 0.0, 1.0)


def pipe_diameter_m(flow_m3_s: Values, velocity_m_s: Values) -> Values:
    """The bore through which ``flow_m3_s`` goes at ``velocity_m_s``."""
    positive("pipe velocity", velocity_m_s)
    return (4 / math.pi * flow_m3_s / velocity_m_s) ** 0.5


def nominal_size(diameter_m: Values) -> Values:
    """The smallest nominal size (DN, in mm) that is at least ``diameter_m``; nan above the largest, where several
    pipes have to share the flow."""
    sizes = np.array([*NOMINAL_SIZES, math.nan])
    # a bore that is its size but for rounding takes that size
    found = sizes[np.searchsorted(sizes[:-1], np.asarray(diameter_m) * 1000 * (1 - 1e-9))]
    return plain(found)


def class_limit_c(water_class: str) -> float:
    """The warmest facility water of an ASHRAE class: its number in degrees C (W17 to W45, W+ has no limit)."""
    if water_class == "W+":
        return math.inf
    if water_class in ("W17", "W27", "W32", "W40", "W45"):
        return float(water_class[1:])
    raise ValueError(f"water_class: found {water_class!r}; allowed W17, W27, W32, W40, W45, W+")
