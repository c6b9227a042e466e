"""Does the hardware fit the site: what a sizing can work out, and yet nobody could build or run.

Checked on the likeliest figures: the voltage at the supplies (``U / sqrt(3)`` between line and neutral), temperature
and class of the water, a loop for it at all, units in a rack, paths and supplies, altitude. Thinner air carries less
heat: ASHRAE TC 9.9 lowers the warmest air that a machine stands with height. A fact that is not known is not checked.
"""

from __future__ import annotations

import math

from perwatt.results.size.liquid import class_limit_c
from perwatt.results.size.site import Feed, Site
from perwatt.results.size.system import System

NOMINAL = 1e-2  # part of a voltage by which names of the same system differ: 400 / sqrt(3) is called 230


def warnings(system: System, site: Site, *, per_rack: int | None = None, altitude_m: float | None = None) -> list[str]:
    """One line for each thing that does not fit; none if all does.

    ``per_rack``: units that the request puts into a rack, None for as many as the system says. ``altitude_m``: of the
    climate's station, for a site that states none. Raises ValueError for a water class that is not known.
    """
    asked = system.per_rack if per_rack is None else per_rack
    height_m = altitude_m if site.altitude_m is None else site.altitude_m
    found = [_voltage(system, site), _paths(system, asked, site), _rack(system, asked)]
    if system.liquid_fraction.mode > 0:
        found += [_loop(system, site)]
        if site.cooling.liquid_loop:
            found += [_coolant(system, site), _water(system, site)]
    if system.liquid_fraction.mode < 1 and height_m is not None:
        found.append(_altitude(system, site, height_m))
    return [line for line in found if line]


def voltages(feed: Feed, phases: int) -> dict[str, float]:
    """The nominal voltages in V at which a supply may be put on ``feed``, by how it is connected."""
    line_v = feed.voltage_v.mode
    if phases == 3:
        return {"between lines": line_v}
    return {"line to neutral": line_v / math.sqrt(3), "between two lines": line_v}


def _voltage(system: System, site: Site) -> str:
    """Whether some way of connecting the supplies gives them what their label allows."""
    label = system.supply_v
    if label is None:
        return ""
    at = voltages(site.electrical.feed, label.phases)
    if any(label.low_v * (1 - NOMINAL) <= volts <= label.high_v * (1 + NOMINAL) for volts in at.values()):
        return ""
    is_v = " and ".join(f"{volts:.0f} V {how}" for how, volts in at.items())
    to_lines = math.sqrt(3) if label.phases == 1 else 1.0
    low_v, high_v = label.low_v * to_lines, label.high_v * to_lines
    return (
        f"voltage: a feed of {site.electrical.feed.voltage_v.mode:g} V gives {is_v}, the supplies of"
        f" {system.title} take {label.low_v:g} to {label.high_v:g} V ({label.source}):"
        f" site.electrical.feed.voltage_v from {low_v:.0f} to {high_v:.0f} fits"
    )


def _paths(system: System, per_rack: int, site: Site) -> str:
    """Whether the supplies divide over the paths: else one of them carries more than its share."""
    paths = site.electrical.feed.paths
    if system.psu is None or system.psu.count % paths == 0:
        return ""
    count = system.psu.count
    if per_rack * count % paths == 0:
        return (
            f"supplies: {count} in a unit do not divide over {paths} paths: they must be put on them in turn over the"
            f" {per_rack} units of a rack, or one path carries more than it is sized on"
        )
    return f"supplies: {count} in a unit do not divide over {paths} paths: one carries more than it is sized on"


def _rack(system: System, per_rack: int) -> str:
    if per_rack <= system.per_rack:
        return ""
    if system.form == "rack":
        return f"rack: found {per_rack} units a rack; {system.title} is a rack of its own"
    how = "cooled by air" if system.liquid_fraction.mode == 0 else "as it is described"
    return f"rack: found {per_rack} units a rack; {system.title}, {how}, is allowed {system.per_rack}"


def _loop(system: System, site: Site) -> str:
    if site.cooling.liquid_loop:
        return ""
    share = 100 * system.liquid_fraction.mode
    return f"liquid: {system.title} gives {share:.0f} % of its heat to a liquid, and the site has no loop for it"


def _coolant(system: System, site: Site) -> str:
    """The coolant at the machine against the warmest that it stands."""
    if system.supply_max_c is None:
        return ""
    supply_c, most = site.cooling.supply_liquid_c.mode, system.supply_max_c
    if supply_c > most.mode:
        return (
            f"coolant: supplied at {supply_c:g} degrees C, {supply_c - most.mode:.3g} K warmer than {system.title}"
            f" stands ({most.mode:g}: {most.source})"
        )
    if supply_c > most.low:
        return (
            f"coolant: supplied at {supply_c:g} degrees C, {system.title} stands {most.low:g} to {most.high:g}"
            f" ({most.source}): to be settled with the vendor"
        )
    return ""


def _water(system: System, site: Site) -> str:
    """The facility's water: its class must allow what the coolant needs, and the machine what its class allows."""
    cooling = site.cooling
    limit_c, approach_k = class_limit_c(cooling.water_class), cooling.cdu_approach_k.mode
    wanted_c = cooling.supply_liquid_c.mode - approach_k
    if wanted_c > limit_c:
        return (
            f"water: coolant of {cooling.supply_liquid_c.mode:g} degrees C means facility water of {wanted_c:g} behind"
            f" a CDU of {approach_k:g} K, class {cooling.water_class} ends at {limit_c:g}"
        )
    most_c = None if system.supply_max_c is None else system.supply_max_c.mode
    if most_c is not None and limit_c + approach_k > most_c >= cooling.supply_liquid_c.mode:
        allows = "allows any water" if math.isinf(limit_c) else f"allows water of {limit_c:g} degrees C"
        return (
            f"water: class {cooling.water_class} {allows}, {system.title} stands {most_c - approach_k:g} behind a CDU"
            f" of {approach_k:g} K: hold it there, or choose a cooler class"
        )
    return ""


def _altitude(system: System, site: Site, height_m: float) -> str:
    """What the air's thinness takes off the warmest air that is allowed."""
    above_m = height_m - site.cooling.derating_from_m.mode
    if above_m <= 0:
        return ""
    less_k = above_m / site.cooling.derating_m.mode
    return (
        f"altitude: {height_m:g} m is {above_m:.4g} m above what servers are rated for: the warmest air that"
        f" {system.title} stands falls by {less_k:.2g} K, the hall is supplied at {site.cooling.supply_air_c.mode:g}"
        " degrees C"
    )
