"""The IT that no unit holds: switches between the units, storage, management. Published figures of a unit leave it out.

It is told as a fraction of the units' nameplates, as how much of it is built goes with how many units there are, not
with how hard they work. For the same reason it is steady: no quantile, coincidence or margin for untested work moves
it, and it draws the same while units idle; it grows with the fleet. It stands in racks of its own, cooled by air, on
distribution and UPS as the units are. Nobody measured it: the columns of what units drew have it as it is modelled.
"""

from __future__ import annotations

from collections.abc import Mapping

from perwatt.results.size.parameter import Parameter, Values
from perwatt.results.size.request import Entry, Request
from perwatt.results.size.sheet import Sheet

TITLE = "network, storage, management"
SITES = "site.electrical.support_fraction"
UNMEASURED = "nobody stated or measured it; steady, it is in this column of UPS, transformers and site as recommended"


def path(entry: Entry) -> str:
    """Where the fraction of an entry stands among the inputs: its own, else the site's."""
    return SITES if entry.support_fraction is None else f"fleet.{entry.name}.support_fraction"


def parameter(request: Request, entry: Entry) -> Parameter:
    """The fraction of an entry with its range."""
    return request.site.electrical.support_fraction if entry.support_fraction is None else entry.support_fraction


def stands(request: Request) -> bool:
    """Whether there may be any of it: a fraction of 0 says that there is none."""
    return any(parameter(request, entry).high > 0 for entry in request.fleet)


def steady_w(request: Request, values: Mapping[str, Values]) -> Values:
    """What all of it draws in W, with the inputs as ``values`` say."""
    total: Values = 0.0
    for entry in request.fleet:
        total = total + values[path(entry)] * entry.units * values[f"fleet.{entry.name}.nameplate_w"]
    return total


def installed_w(request: Request) -> float:
    """Nameplates of all units and what stands beside them in W, at the likeliest values: installed IT power demand."""
    return sum(
        entry.units * entry.system.nameplate_w.mode * (1 + parameter(request, entry).mode) for entry in request.fleet
    )


def lines(request: Request, values: Mapping[str, Values], growth: Values, sheet: Sheet) -> None:
    """Its row of power by level: ``growth`` is what the recommended power is multiplied by."""
    own = {entry.name: parameter(request, entry) for entry in request.fleet}
    several = len({(p.low, p.mode, p.high, p.source) for p in own.values()}) > 1
    told = "; ".join(
        f"{f'{name}: ' if several else ''}{p.mode:g} of the units' nameplates, {p.source}"
        for name, p in (own.items() if several else [next(iter(own.items()))])
    )
    steady = steady_w(request, values)
    rows: tuple[tuple[str, str, Values | None, str], ...] = (
        ("nameplate", "nameplate", steady, told),
        ("vendor_max", "vendor's maximum", None, UNMEASURED),
        ("p50", "median", None, UNMEASURED),
        ("p99", "99 %", None, UNMEASURED),
        ("max", "maximum", None, UNMEASURED),
        ("recommended", "recommended", steady * growth, f"{told}; steady, with growth"),
    )
    for column, title, value, basis in rows:
        sheet.add(f"power.support.{column}", "power", f"{TITLE}: {title}", value, "W", basis, level="support",
                  kind="assumed")  # fmt: skip
