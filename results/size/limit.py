"""The other way round: under a limit of the site, how many units of which hardware do the most work.

For each choice (a system as measured, or as published, at its cap if one was enforced) the largest number of units is
sought whose site still takes no more than the limit from the grid at the design hour, and no more water in a year, in
95 of 100 draws of what is not known (with every input at its likeliest, where no draws are asked for). The
demand never falls with one more unit, so bisection finds it. Choices are then ranked by the work that they do in a
year; only like work is compared, and published peaks are not work that was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from perwatt.results.size.levels import inputs
from perwatt.results.size.model import evaluate, parameters
from perwatt.results.size.montecarlo import HIGH, drawn, modes
from perwatt.results.size.parameter import Kind, Values
from perwatt.results.size.request import Entry, Request
from perwatt.results.size.sizing import Line
from perwatt.results.size.weather import Weather

MOST_UNITS = 10_000_000
DRAWS = 400  # of all inputs, for each count that is tried
S_PER_YEAR = 8760 * 3600.0


@dataclass(frozen=True)
class Choice:
    """One kind of hardware under the limit: ``units`` of it (0: not one fits), what the site then takes in W and m3,
    the work of a year, of ``work_unit`` and ``kind`` (None: nothing to count), and which limit binds."""

    entry: Entry
    units: int
    site_w: float
    water_m3: float
    work: float | None
    work_unit: str
    kind: Kind
    binding: str


def choices(request: Request, weather: Weather, limit_w: float) -> tuple[Choice, ...]:
    """Every entry of the fleet alone under ``limit_w`` and the site's water limit, the most work first.

    Raises ValueError for a limit that is not above 0, and for entries whose work cannot be compared.
    """
    if not limit_w > 0:
        raise ValueError(f"limit_mw: found {limit_w / 1e6:g}; allowed above 0")
    found = [_most(msgspec.structs.replace(request, fleet=(entry,)), weather, limit_w) for entry in request.fleet]
    units = {choice.work_unit or "nothing that is counted" for choice in found}
    if len(units) > 1:
        raise ValueError(f"systems: found work in {' and '.join(sorted(units))}; allowed one unit, to be comparable")
    return tuple(sorted(found, key=lambda c: -(c.work or 0.0)))


def _most(request: Request, weather: Weather, limit_w: float) -> Choice:
    entry = request.fleet[0]
    water_limit = request.site.cooling.water_limit_m3

    def at(units: int) -> tuple[float, float]:
        asked = sized(request, entry.name, units)
        known = parameters(asked)
        values = drawn(known, DRAWS, request.seed) if request.draws else modes(known)
        lines = evaluate(asked, weather, values).sheet.values()
        return _high(lines["power.site.recommended"]), _high(lines["year.water"])

    def fits(units: int) -> bool:
        site_w, water_m3 = at(units)
        return site_w <= limit_w and (water_limit is None or water_m3 <= water_limit)

    low, high = 0, 1
    while high < MOST_UNITS and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    site_w, water_m3 = at(low) if low else (0.0, 0.0)
    next_w, _ = at(low + 1)
    rate, unit, kind = work_rate(entry)
    busy = inputs((entry,))[f"fleet.{entry.name}.utilisation"].mode
    work = None if rate is None else rate * low * busy * S_PER_YEAR
    return Choice(entry, low, site_w, water_m3, work, unit, kind, "power" if next_w > limit_w else "water")


def _high(value: Values | None) -> float:
    """What 95 of 100 draws stay below."""
    return 0.0 if value is None else float(np.quantile(np.atleast_1d(value), HIGH))


def work_rate(entry: Entry) -> tuple[float | None, str, Kind]:
    """Work per second of one unit: measured where it was, else the published dense peak."""
    if entry.load.work_per_s is not None:
        return entry.load.work_per_s, entry.load.work_unit, entry.load.kind
    if entry.system.peak_flops is not None:
        return entry.system.peak_flops.mode, "FLOP at the dense peak", "published"
    return None, "", "assumed"


def sized(request: Request, name: str, units: int) -> Request:
    """``request`` with so many units of one entry."""
    fleet = tuple(
        msgspec.structs.replace(entry, units=units) if entry.name == name else entry for entry in request.fleet
    )
    return msgspec.structs.replace(request, fleet=fleet)


def lines(found: Sequence[Choice], limit_w: float, draws: bool) -> tuple[Line, ...]:
    """The choices side by side; ``draws``: whether they hold in 95 of 100 draws."""
    made = []
    held = "in 95 of 100 draws" if draws else "with every input at its likeliest"
    for choice in found:
        name, title = choice.entry.name, choice.entry.system.title
        cap = choice.entry.load.cap_w
        basis = f"under {limit_w / 1e6:g} MW from the grid at the design hour, {held}; {choice.binding} binds"
        if cap is not None:
            basis += f"; each at {cap / 1e3:.4g} kW, {choice.entry.load.cap_proof}"
        rows: tuple[tuple[str, str, float | None, str, Kind], ...] = (
            ("units", "units", choice.units, "", "modelled"),
            ("gpus", "GPUs", choice.units * choice.entry.system.gpus, "", "modelled"),
            ("site", "power from the grid", choice.site_w, "W", "modelled"),
            ("water", "water a year", choice.water_m3, "m3", "modelled"),
            ("work", f"{choice.work_unit or 'work'} a year", choice.work, choice.work_unit, choice.kind),
        )
        for key, label, value, unit, kind in rows:
            made.append(Line(f"limit.{name}.{key}", "work", "site", f"{title}: {label}", value, unit, kind, basis))
    return tuple(made)
