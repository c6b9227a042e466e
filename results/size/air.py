"""The air side of a hall: how much air carries what the liquid leaves.

    flow = heat / (rho * cp * rise)

with ``rho`` at the intake and the site's altitude: at 1600 m a cubic metre carries 18 % less than at the sea. At
10 K and sea level it is 178 CFM per kW.
"""

from __future__ import annotations

from perwatt.results.size.elementwise import positive
from perwatt.results.size.fluid import M3_S_PER_CFM, air
from perwatt.results.size.parameter import Values


def flow_m3_s(heat_w: Values, rise_k: Values, intake_c: Values, altitude_m: float) -> Values:
    """Volume flow at the intake that carries ``heat_w`` with a rise of ``rise_k``."""
    positive("air rise", rise_k)
    rho, cp = air(intake_c, altitude_m)
    return heat_w / (rho * cp * rise_k)


def cfm(flow_m3_s: Values) -> Values:
    """In cubic feet per minute, as American data sheets state it."""
    return flow_m3_s / M3_S_PER_CFM
