"""Growth: the same site in each phase, with the units that stand by then, at the likeliest values.

What is built in a phase is what that phase needs, of the ratings that the whole has: modules and transformers are
added, not replaced. The last is the whole. A chain that is laid out for the end runs at
part load in the beginning, which the figures of the whole do not show.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np

from perwatt.results.size.model import evaluate, parameters
from perwatt.results.size.montecarlo import modes
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.request import Request
from perwatt.results.size.sheet import Sheet
from perwatt.results.size.sizing import Line
from perwatt.results.size.weather import Weather

KEYS = ("power.site.recommended", "power.site.p50", "redundancy.ups.count", "redundancy.transformer.count", "kpi.pue",
        "year.edc", "year.water")  # fmt: skip


def lines(request: Request, weather: Weather) -> tuple[Line, ...]:
    """The figures of each phase by key ``phase.NAME.KEY``; none without phases.

    Raises ValueError for a phase that names no entry of the fleet, has a count below that of the phase before or above
    the fleet's, or has no unit at all, for a last phase that is not the whole fleet, and for two of one name.
    """
    made: list[Line] = []
    names = [name for name, _ in request.phases]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"phases: found {twice[0]!r} twice; allowed names of their own")
    if request.phases:
        request = _rated(request, weather)
    for name, units in request.phases:
        asked = _phase(request, name, units)
        found: Sheet = evaluate(asked, weather, modes(parameters(asked))).sheet
        told = ", ".join(f"{entry.units} {entry.system.title}" for entry in asked.fleet)
        made += [
            msgspec.structs.replace(
                line,
                key=f"phase.{name}.{line.key}",
                section="fleet",
                label=f"phase {name}: {line.label}",
                basis=f"{told}; {line.basis}",
            )
            for line in found.lines({})
            if line.key in KEYS
        ]
    for (earlier, fewer), (name, units) in pairwise(request.phases):
        for key, count in fewer.items():
            if units.get(key, 0) < count:
                raise ValueError(
                    f"phases.{name}.{key}: found {units.get(key, 0)}; allowed {count} or more, as in phase {earlier}"
                )
    for name, units in request.phases[-1:]:
        for entry in request.fleet:
            if (found_units := units.get(entry.name, 0)) != entry.units:
                allowed = f"{entry.units}, as the last phase is the whole"
                raise ValueError(f"phases.{name}.{entry.name}: found {found_units}; allowed {allowed}")
    return tuple(made)


def _rated(request: Request, weather: Weather) -> Request:
    """The request with the ratings of UPS modules and transformers that the whole fleet is given."""
    built = evaluate(request, weather, modes(parameters(request))).facility.built
    electrical = request.site.electrical
    ratings = {
        name: Parameter(float(np.asarray(value)), unit, "as the whole fleet is given", kind="modelled")
        for name, value, unit in (
            ("ups_module_w", built.ups_module_w, "W"),
            ("transformer_va", built.transformer_va, "VA"),
        )
        if getattr(electrical, name) is None
    }
    site = msgspec.structs.replace(request.site, electrical=msgspec.structs.replace(electrical, **ratings))
    return msgspec.structs.replace(request, site=site)


def _phase(request: Request, name: str, units: dict[str, int]) -> Request:
    known = {entry.name for entry in request.fleet}
    if unknown := sorted(units.keys() - known):
        raise ValueError(f"phases.{name}: found {unknown[0]!r}; allowed {', '.join(sorted(known))}")
    if bad := [key for key, count in units.items() if count < 0]:
        raise ValueError(f"phases.{name}.{bad[0]}: found {units[bad[0]]}; allowed 0 or more")
    for entry in request.fleet:
        if units.get(entry.name, 0) > entry.units:
            allowed = f"0 to {entry.units}, the units of the fleet"
            raise ValueError(f"phases.{name}.{entry.name}: found {units[entry.name]}; allowed {allowed}")
    fleet = tuple(
        msgspec.structs.replace(entry, units=units[entry.name]) for entry in request.fleet if units.get(entry.name)
    )
    if not fleet:
        raise ValueError(f"phases.{name}: found no unit; allowed one or more")
    return msgspec.structs.replace(request, fleet=fleet)
