"""Heat for others: which loop carries it at which temperature, what lifts it to a network, and what counts as reused.

Facility water, and the water of the air handlers, return warmer than their supply by their rise; the exchanger that
takes their heat, or a heat pump's evaporator, stays a few kelvin below. The coolant's heat is handed over first, as it
is warmer; the air's fills up the rest. If the network wants more, a heat pump lifts it. Its evaporator cools the water
all the way back to its supply, so it evaporates below that; it condenses above the network:

    COP = f T_condenser / (T_condenser - T_evaporator),  T_evaporator = source - drop,  T_condenser = network + approach

in K, with ``source`` less the first approach and the loop's rise as ``drop``. Of a source heat Q it delivers
Q COP / (COP - 1), and the difference is its electricity. From 45 to 60, 70 and 80 degrees C, 10 K of drop, 2 and 3 K
of approach and f = 0.5 come to 5.6, 4.3 and 3.6; simulated machines have 5.5, 4.3 and 3.5 (Zangeneh and Oi,
ecp.ep.liu.se/sims/747, abstract). It does not state its drop: 10 K is the one that agrees, no proof of it.

EREUSE (Delegated Regulation (EU) 2024/1364, Annex II 1(j); EN 50600-4-6) is measured where the heat is handed over at
the centre's boundary, and what comes back to cool the centre (an absorption chiller, say) is subtracted. With the
heat pump outside, as district heating companies like to own it, Q is handed over. With the pump inside, its delivery
is, and its electricity is part of EDC. Everything works element by element; the balance closes to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from perwatt.results.size.elementwise import plain, within
from perwatt.results.size.parameter import Values

KELVIN = 273.15  # 0 C in K


class HeatPump(NamedTuple):
    """``fraction`` of Carnot's coefficient; ``drop_k``: by how much the evaporator cools the source;
    ``condenser_approach_k``: how far above the network it condenses."""

    fraction: Values
    drop_k: Values
    condenser_approach_k: Values


@dataclass(frozen=True)
class Reused:
    """Energies of one period in J. ``source_j`` leaves the loop for reuse; ``rejected_j`` is what the plant still has
    to reject; ``pump_j`` the electricity of the heat pump and ``delivered_j`` = ``source_j`` + ``pump_j`` what reaches
    the network. ``ereuse_j`` counts at the boundary; ``edc_extra_j``: the heat pump's electricity where it is inside,
    else 0. ``cop`` of the heat pump, nan where the network takes the heat as it is."""

    source_j: Values
    rejected_j: Values
    pump_j: Values
    delivered_j: Values
    own_cooling_j: Values
    ereuse_j: Values
    edc_extra_j: Values
    cop: Values


def return_c(supply_c: Values, rise_k: Values) -> Values:
    """Temperature in C at which the water comes back and enters the exchanger that takes its heat: averaged
    over the year this is TWH of Annex II 1(k). Raises ValueError for a negative rise."""
    within("rise_k", rise_k, 0)
    return supply_c + rise_k


def heat_pump_cop(source_c: Values, network_c: Values, pump: HeatPump) -> Values:
    """The coefficient for heating from ``source_c`` (less the evaporator's approach) to ``network_c``, both in C; nan
    where no lift is needed. Raises ValueError for a fraction outside 0 to 1, a negative drop or approach, and for a
    lift so high that the pump would deliver no more than its own electricity."""
    within("fraction", pump.fraction, 0, 1)
    within("drop_k", pump.drop_k, 0)
    within("condenser_approach_k", pump.condenser_approach_k, 0)
    condenser_k = np.asarray(network_c, np.float64) + pump.condenser_approach_k + KELVIN
    lift = condenser_k - (np.asarray(source_c, np.float64) - pump.drop_k + KELVIN)
    needed = np.asarray(network_c, np.float64) > source_c
    cop = np.asarray(pump.fraction) * condenser_k / np.where(needed, lift, np.nan)
    if np.any(cop <= 1):
        low = float(np.nanmin(cop))
        raise ValueError(f"heat_pump_fraction: found a coefficient of {low:.3g}; allowed above 1 (lower the network_c)")
    return plain(cop)


def liquid_first(fraction: Values, liquid_j: Values, air_j: Values, *, from_air: bool = True) -> tuple[Values, Values]:
    """What part of the liquid's heat and of the air's hands over ``fraction`` of both together, the liquid's first: the
    air gives only what all of the liquid does not, and nothing unless ``from_air``. Raises ValueError for negative heat
    and a fraction outside 0 to 1."""
    within("reuse.fraction", fraction, 0, 1)
    liquid = np.asarray(within("liquid_j", liquid_j, 0), np.float64)
    air = np.asarray(within("air_j", air_j, 0), np.float64)
    wanted = fraction * (liquid + air)
    of_liquid = np.minimum(wanted, liquid)
    # a sum that rounding makes larger than its parts hands over no more than there is
    of_air = np.minimum(wanted - of_liquid, air) if from_air else np.zeros_like(air)
    return _over(of_liquid, liquid), _over(of_air, air)


def _over(part: Values, whole: Values) -> Values:
    """Their ratio, 0 where there is nothing."""
    some = np.asarray(whole) > 0
    return plain(np.divide(part, whole, out=np.zeros(np.broadcast_shapes(np.shape(part), some.shape)), where=some))


def reuse(
    heat_j: Values,
    source_c: Values,
    fraction: Values,
    network_c: Values,
    pump: HeatPump,
    *,
    pump_inside: bool,
    own_cooling: Values,
) -> Reused:
    """Hand over ``fraction`` of ``heat_j``, a loop's heat in a period, available at ``source_c`` (the return less
    an approach), to a network of ``network_c``. ``own_cooling``: the part of what is handed over that
    cools the centre again (0 without an absorption chiller). By month or by bin of the weather: give arrays.

    Raises ValueError for negative heat, for fractions outside 0 to 1 and as :func:`heat_pump_cop` does.
    """
    within("heat_j", heat_j, 0)
    within("reuse.fraction", fraction, 0, 1)
    within("own_cooling", own_cooling, 0, 1)
    cop = np.asarray(heat_pump_cop(source_c, network_c, pump))
    source = np.asarray(heat_j, np.float64) * fraction
    # without a lift there is no pump, and nan stands for its coefficient
    work = source * np.where(np.isnan(cop), 0.0, 1 / (np.where(np.isnan(cop), 2.0, cop) - 1))
    delivered = source + work
    handed = delivered if pump_inside else source
    own = handed * own_cooling
    return Reused(
        source_j=plain(source),
        rejected_j=plain(heat_j - source),
        pump_j=plain(work),
        delivered_j=plain(delivered),
        own_cooling_j=plain(own),
        ereuse_j=plain(handed - own),
        edc_extra_j=plain(work if pump_inside else np.zeros_like(work)),
        cop=plain(cop),
    )


def summed(parts: Reused) -> Reused:
    """A year from its months or bins, or a site from its loops, which are the last axis: energies add up, ``cop`` is
    that of all heat lifted (nan if none was; heat taken as it is has no part in it)."""
    shape = np.broadcast_shapes(*(np.shape(getattr(parts, name)) for name in parts.__dataclass_fields__))
    if not shape:
        return parts
    spread = {name: np.broadcast_to(getattr(parts, name), shape) for name in parts.__dataclass_fields__}
    totals = {name: plain(value.sum(axis=-1)) for name, value in spread.items() if name != "cop"}
    lifted = np.where(np.isnan(spread["cop"]), 0.0, spread["delivered_j"]).sum(axis=-1)
    pump = np.asarray(totals["pump_j"])
    cop = np.divide(lifted, pump, out=np.full(np.shape(pump), np.nan), where=pump > 0)
    return Reused(cop=plain(cop), **totals)
