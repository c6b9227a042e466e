"""Does the hardware fit the site: what a sizing can work out, and yet nobody could build or run.

Checked on the likeliest figures: the voltage at the supplies (``U / sqrt(3)`` between line and neutral), temperature
and class of the water, a loop for it at all, units in a rack, paths and supplies, the air's temperature, altitude;
temperatures also in every draw. Thinner air carries less heat: ASHRAE TC 9.9 lowers the warmest air that a machine
stands with height. A fact that is not known is not checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from perwatt.results.size.finding import Finding, in_draws
from perwatt.results.size.liquid import class_limit_c
from perwatt.results.size.parameter import Values
from perwatt.results.size.request import Request
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
    if system.liquid_fraction.mode < 1:
        found.append(_air(system, site, height_m))
    if system.liquid_fraction.mode < 1 and height_m is not None:
        found.append(_altitude(system, site, height_m))
    return [line for line in found if line]


def temperatures(request: Request, values: Mapping[str, Values]) -> tuple[Finding, ...]:
    """What coolant, facility water and air are warmer than, with the share of the draws in which they are."""
    cooling, found = request.site.cooling, []
    liquid_c, air_c = values["site.cooling.supply_liquid_c"], values["site.cooling.supply_air_c"]
    height_m = request.site.above_sea_m(request.climate.altitude_m)
    thinner_k = np.maximum(height_m - values["site.cooling.derating_from_m"], 0) / values["site.cooling.derating_m"]
    water_c, class_c = liquid_c - values["site.cooling.cdu_approach_k"], class_limit_c(cooling.water_class)
    for entry in request.fleet:
        at, system = f"fleet.{entry.name}", entry.system
        liquid = float(np.max(values[f"{at}.liquid_fraction"])) > 0 and cooling.liquid_loop
        in_air = float(np.min(values[f"{at}.liquid_fraction"])) < 1
        coolant_max_c, air_max_c = values.get(f"{at}.supply_max_c"), values[f"{at}.supply_air_max_c"]
        # a figure that is nobody's but the class's is told as that
        in_this_air = f"{system.title} {'is taken to stand' if system.supply_air_max_c.kind == 'assumed' else 'stands'}"
        for key, what, have_c, most_c, stands in (
            ("coolant", "coolant", liquid_c, coolant_max_c if liquid else None, f"{system.title} stands"),
            ("water", "facility water", water_c, class_c if liquid else None,
             f"class {cooling.water_class} allows"),
            ("air", "supply air", air_c, air_max_c - thinner_k if in_air else None, in_this_air),
        ):  # fmt: skip
            over_k = np.atleast_1d(have_c - (math.inf if most_c is None else most_c))
            if share := float(np.mean(over_k > 0)):
                up_to = "up to " if over_k.size > 1 else ""
                text = (
                    f"{entry.name}: {key}: {what} is {up_to}{float(np.max(over_k)):.3g} K warmer than"
                    f" {stands}{in_draws(share)}"
                )
                found.append(Finding(f"{entry.name}.{key}", text, share))
    return tuple(found)


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


def _air(system: System, site: Site, height_m: float | None) -> str:
    """The hall's air against the warmest that the machine stands, less what the altitude takes off."""
    most = system.supply_air_max_c
    above_m = max((height_m or 0.0) - site.cooling.derating_from_m.mode, 0.0)
    supply_c, most_c = site.cooling.supply_air_c.mode, most.mode - above_m / site.cooling.derating_m.mode
    if supply_c <= most_c:
        return ""
    at = f" at {height_m:g} m" if above_m else ""
    return (
        f"air: supplied at {supply_c:g} degrees C, {supply_c - most_c:.3g} K warmer than {system.title} stands{at}"
        f" ({most.mode:g}: {most.source})"
    )


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
