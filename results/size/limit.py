"""The other way round: under the limits of the site, how many units of which hardware, at which cap, do the most work.

A candidate is one kind of hardware as it was recorded, at one power cap, or as it was published, without any. A cap is
one that was enforced and that the recording proves: on the whole unit, or on each of its GPUs alone. Between two caps
nothing is interpolated: what was not recorded is no candidate.

For each candidate the largest number of units is sought whose site stays within all limits that are stated, in 95 of
100 draws of what is not known (with every input at its likeliest, where no draws are asked for): the power from the
grid at the design hour, the heat that the plant rejects then, the water of a year. None of them falls with one more
unit, so bisection finds it: over a few draws first, then, from there, over all that the report is made of. The limit
that one unit more would pass by the most binds. Candidates are ranked by the work that they do in a year; only like
work is compared, and published peaks are not work that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np

from perwatt.results.size.load import Load
from perwatt.results.size.model import evaluate, parameters
from perwatt.results.size.montecarlo import HIGH, drawn, modes
from perwatt.results.size.parameter import Kind, Values
from perwatt.results.size.request import Entry, Request
from perwatt.results.size.sizing import Line, Series
from perwatt.results.size.weather import Weather

MOST_UNITS = 10_000_000
FEW = 400  # draws that find about how many fit
S_PER_YEAR = 8760 * 3600.0
SITE, HEAT, WATER = "power.site.recommended", "cooling.rejected", "year.water"


class Limit(NamedTuple):
    """``most`` of the line ``key``, as ``name`` of the request states it; ``what`` it is."""

    name: str
    what: str
    key: str
    most: float


@dataclass(frozen=True)
class Choice:
    """A candidate under the limits: ``units`` of it (0: not one fits), what the site then takes in W and m3 and rejects
    in W, the work of a year, of ``work_unit`` and ``kind`` (None: nothing to count), and which limit ``binding``."""

    entry: Entry
    units: int
    site_w: float
    heat_w: float
    water_m3: float
    work: float | None
    work_unit: str
    kind: Kind
    binding: Limit

    @property
    def work_per_w(self) -> float | None:
        """Work of a year per W from the grid; None where no work is counted or not one unit fits."""
        return None if self.work is None or not self.site_w else self.work / self.site_w


class Cap(NamedTuple):
    """A cap that held, in W, ``of`` the unit or each GPU, and what proves it."""

    power_w: float
    of: str
    proof: str


def cap(load: Load) -> Cap | None:
    """The cap under which ``load`` was recorded; None if none is proven."""
    if load.cap_w is not None:
        return Cap(load.cap_w, "unit", load.cap_proof)
    if load.device_cap_w is not None:
        return Cap(load.device_cap_w, "GPU", load.device_cap_proof)
    return None


def limits(request: Request, limit_w: float) -> tuple[Limit, ...]:
    """What binds the request: ``limit_w`` and all that its site states."""
    site = request.site
    stated: tuple[tuple[str, str, str, float | None], ...] = (
        ("limit_mw", "electrical", SITE, limit_w),
        ("site.electrical.available_w", "electrical", SITE, site.electrical.available_w),
        ("site.cooling.heat_limit_w", "cooling", HEAT, site.cooling.heat_limit_w),
        ("site.cooling.water_limit_m3", "water", WATER, site.cooling.water_limit_m3),
    )
    return tuple(Limit(name, what, key, most) for name, what, key, most in stated if most is not None)


def choices(request: Request, weather: Weather, limit_w: float) -> tuple[Choice, ...]:
    """Every entry of the fleet alone under ``limit_w`` and the site's own limits, the most work first.

    Raises ValueError for a limit that is not above 0, and for entries whose work cannot be compared.
    """
    if not limit_w > 0:
        raise ValueError(f"limit_mw: found {limit_w / 1e6:g}; allowed above 0")
    rates = [work_rate(entry) for entry in request.fleet]
    for entry, (rate, _, _) in zip(request.fleet, rates, strict=True):
        if rate is None and cap(entry.load) is not None and len(request.fleet) > 1:
            raise ValueError(f"{entry.name}: work_per_s: found nothing; allowed what a unit did at its cap, to compare")
    units = {unit or "nothing that is counted" for _, unit, _ in rates}
    if len(units) > 1:
        raise ValueError(f"systems: found work in {' and '.join(sorted(units))}; allowed one unit, to be comparable")
    binding = limits(request, limit_w)
    found = [_most(msgspec.structs.replace(request, fleet=(entry,)), weather, binding) for entry in request.fleet]
    return tuple(sorted(found, key=lambda c: (-(c.work or 0.0), c.site_w)))


class _Tried:
    """What ``entry`` alone needs of each limit in 95 of 100 of so many draws, by its count."""

    def __init__(self, request: Request, weather: Weather, draws: int, binding: Sequence[Limit]) -> None:
        known = parameters(request)  # the same for any number of units
        self._values = drawn(known, draws, request.seed) if draws else modes(known)
        self._request, self._weather, self._binding = request, weather, binding
        self._seen: dict[int, dict[str, float]] = {0: dict.fromkeys((SITE, HEAT, WATER), 0.0)}

    def at(self, units: int) -> Mapping[str, float]:
        """By the keys of the limits."""
        if units not in self._seen:
            asked = sized(self._request, self._request.fleet[0].name, units)
            lines = evaluate(asked, self._weather, self._values).sheet.values()
            self._seen[units] = {key: _high(lines[key]) for key in (SITE, HEAT, WATER)}
        return self._seen[units]

    def used(self, units: int, limit: Limit) -> float:
        """The part of the limit that is used: beyond 1 it does not hold. All of it, if there is none of it."""
        need = self.at(units)[limit.key]
        return need / limit.most if limit.most else math.inf if need else 0.0

    def fullest(self, units: int) -> Limit:
        """The limit of which the most is used."""
        return max(self._binding, key=lambda limit: self.used(units, limit))

    def most(self, near: int) -> int:
        """The largest count that holds, at most MOST_UNITS, sought in steps that double from ``near``."""
        low, high, step = near, near + 1, 1
        while low and not self._holds(low):
            low, high, step = max(low - step, 0), low, 2 * step
        while high < MOST_UNITS and self._holds(high):
            low, high, step = high, high + step, 2 * step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._holds(middle) else (low, middle)
        return low

    def _holds(self, units: int) -> bool:
        return self.used(units, self.fullest(units)) <= 1


def _most(request: Request, weather: Weather, binding: Sequence[Limit]) -> Choice:
    entry = request.fleet[0]
    tried = _Tried(request, weather, min(request.draws, FEW), binding)
    units = tried.most(near=0)
    if request.draws > FEW:
        tried = _Tried(request, weather, request.draws, binding)
        if units:  # what is needed goes with the count, nearly
            units = int(units / tried.used(units, tried.fullest(units)))
        units = tried.most(units)
    rate, unit, kind = work_rate(entry)
    work = None if rate is None else rate * units * entry.utilisation.mode * S_PER_YEAR
    needs = tried.at(units)
    return Choice(entry, units, needs[SITE], needs[HEAT], needs[WATER], work, unit, kind, tried.fullest(units + 1))


def _high(value: Values | None) -> float:
    """What 95 of 100 draws stay below."""
    return 0.0 if value is None else float(np.quantile(np.atleast_1d(value), HIGH))


def work_rate(entry: Entry) -> tuple[float | None, str, Kind]:
    """Work per second of one unit: measured where it was, else the published dense peak, which is none under a cap."""
    if entry.load.work_per_s is not None:
        return entry.load.work_per_s, entry.load.work_unit, entry.load.work_kind or entry.load.kind
    if entry.system.peak_flops is not None and cap(entry.load) is None:
        return entry.system.peak_flops.mode, "FLOP at the dense peak", "published"
    return None, "", "assumed"


def sized(request: Request, name: str, units: int) -> Request:
    """``request`` with so many units of one entry."""
    fleet = tuple(
        msgspec.structs.replace(entry, units=units) if entry.name == name else entry for entry in request.fleet
    )
    return msgspec.structs.replace(request, fleet=fleet)


def titled(entry: Entry) -> str:
    """The hardware and its cap, as a person calls it."""
    held = cap(entry.load)
    if held is None:
        return entry.system.title
    each = "" if held.of == "unit" else "with each GPU "
    return f"{entry.system.title} {each}at {_told_w(held.power_w)}"


def _told_w(power_w: float) -> str:
    return f"{power_w / 1e3:.4g} kW" if power_w >= 1e3 else f"{power_w:.4g} W"


def lines(found: Sequence[Choice], limit_w: float, draws: bool) -> tuple[Line, ...]:
    """The candidates side by side, and the best cap of each system that was recorded at several; ``draws``: whether
    they hold in 95 of 100 draws."""
    made = []
    held = "in 95 of 100 draws" if draws else "with every input at its likeliest"
    for choice in found:
        name, title = choice.entry.name, titled(choice.entry)
        at, first = cap(choice.entry.load), choice.binding
        basis = (
            f"under {limit_w / 1e6:g} MW from the grid at the design hour, {held}; {first.what} binds ({first.name})"
        )
        unit = choice.work_unit
        if at is not None:
            what = f"power cap on each {at.of}"
            made.append(_line(f"{name}.cap", f"{title}: {what}", at.power_w, "W", "measured", at.proof))
        rows: tuple[tuple[str, str, float | None, str, Kind], ...] = (
            ("units", "units", choice.units, "", "modelled"),
            ("gpus", "GPUs", choice.units * choice.entry.system.gpus, "", "modelled"),
            ("site", "power from the grid", choice.site_w, "W", "modelled"),
            ("heat", "heat rejected at the design hour", choice.heat_w, "W", "modelled"),
            ("water", "water a year", choice.water_m3, "m3", "modelled"),
            ("work", f"{unit or 'work'} a year", choice.work, unit, choice.kind),
            ("work_per_w", f"{unit or 'work'} a year per W from the grid", choice.work_per_w, f"{unit}/W", choice.kind),
        )
        made += [_line(f"{name}.{key}", f"{title}: {label}", value, of, kind, basis)
                 for key, label, value, of, kind in rows]  # fmt: skip
    for (title, of), capped in _by_system(found).items():
        best, at = capped[0], cap(capped[0].entry.load)
        assert at is not None
        others = ", ".join(_told_w(power_w) for power_w, _ in sorted(_points(capped)))
        basis = f"the most work of the caps recorded, {others}; nothing is known between them"
        made.append(_line(f"{best.entry.name}.best_cap", f"{title}: best cap on each {of}", at.power_w, "W",
                          "modelled", basis))  # fmt: skip
    return tuple(made)


def _line(key: str, label: str, value: float | None, unit: str, kind: Kind, basis: str) -> Line:
    return Line(f"limit.{key}", "work", "site", label, value, unit, kind, basis)


def series(found: Sequence[Choice]) -> tuple[Series, ...]:
    """Work against cap of each system that was recorded at two caps or more, with the limits filled at each."""
    made = []
    for (title, of), capped in _by_system(found).items():
        points = sorted(_points(capped))
        made.append(
            Series(
                name=f"caps_{capped[0].entry.system.name}_{of.lower()}",
                x_label=f"cap on each {of} in W",
                y_label=f"work a year in {capped[0].work_unit}",
                x=tuple(power_w for power_w, _ in points),
                y={title: tuple(work for _, work in points)},
                note=f"{title}, the limits filled at each cap; nothing is known between caps that were recorded",
            )
        )
    return tuple(made)


def _points(capped: Sequence[Choice]) -> list[tuple[float, float]]:
    """(cap in W, work of a year)."""
    return [(at.power_w, choice.work or 0.0) for choice in capped if (at := cap(choice.entry.load)) is not None]


def _by_system(found: Sequence[Choice]) -> dict[tuple[str, str], list[Choice]]:
    """The candidates with a cap by title and what is capped, the best first; of those with two caps and work alone."""
    by: dict[tuple[str, str], list[Choice]] = {}
    for choice in found:
        if (at := cap(choice.entry.load)) is not None and choice.work is not None:
            by.setdefault((choice.entry.system.title, at.of), []).append(choice)
    return {key: capped for key, capped in by.items() if len(capped) > 1}
