"""Work per euro: what a device does over its life for what it costs to buy and to feed.

    cost = price / devices + (power * pue + rest * pue) * hours at work * tariff   (+ idle power in the other hours)
    work = rate * seconds at work

Prices, tariffs and lifetimes are data with a source, a unit and a range; ranges are triangular, and drawn together with
what is not known of rate and power. Tariff, PUE and the part of the time at work are one draw for all runs, so that
they move all of them alike. Capital costs, staff, space and discounting are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from perwatt.results.compare import draws
from perwatt.results.compare.caps import outermost
from perwatt.results.compare.pairing import Cases
from perwatt.results.compare.ratio import Ratio, ratio
from perwatt.results.compare.sample import Estimate, Meter, Sample
from perwatt.results.fleet.plain import converted
from perwatt.results.size.parameter import Parameter
from perwatt.results.uncertainty import UNITS

if TYPE_CHECKING:
    from perwatt.results.compare.draws import Floats

HOURS = 8766.0  # of a year
NOTHING = Parameter(0.0, "W", "none is stated")


class Priced(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hardware by a pattern of its device's name: ``price`` of so many ``devices``, ``lifetime`` in years, and what
    each device needs beside what is metered (``rest_w``)."""

    device: str
    price: Parameter
    lifetime: Parameter
    devices: int = 1
    rest_w: Parameter = NOTHING


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of prices. ``electricity`` per kWh at the site's meter, ``at_work`` the part of the life in which the
    hardware works."""

    currency: str
    electricity: Parameter
    pue: Parameter
    at_work: Parameter
    systems: tuple[Priced, ...]


class Value(msgspec.Struct, frozen=True):
    """One case of one run: work per unit of ``currency`` of each side, their ``ratio``, and the part of the cost that
    is energy. Power at ``boundary``; ``idle``: whether power at rest was measured and counts."""

    run: str
    kernel: str
    label: str
    unit: str
    boundary: str
    ratio: Ratio
    energy_part: tuple[float, float]
    idle: bool


class Bought(msgspec.Struct, frozen=True):
    """All of them, what they rest on, and what has none."""

    currency: str
    values: tuple[Value, ...]
    basis: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def from_plain(plain: Any, where: str) -> Prices:
    """The prices of a parsed YAML. Raises ValueError, one line with file, key, what was found and what is allowed."""
    found = converted(plain, Prices, where)
    if not found.systems:
        raise ValueError(f"{where}: systems: found none; allowed one or more")
    _check(where, "electricity", found.electricity, f"{found.currency}/kWh", 0.0, math.inf)
    _check(where, "pue", found.pue, "1", 1.0, 10.0)
    _check(where, "at_work", found.at_work, "1", math.ulp(0.0), 1.0)
    for at, system in enumerate(found.systems):
        name = f"systems[{at}]"
        _check(where, f"{name}.price", system.price, found.currency, 0.0, math.inf)
        _check(where, f"{name}.lifetime", system.lifetime, "year", math.ulp(0.0), 100.0)
        _check(where, f"{name}.rest_w", system.rest_w, "W", 0.0, math.inf)
        if system.devices < 1:
            raise ValueError(f"{where}: {name}.devices: found {system.devices}; allowed 1 or more")
    return found


def _check(where: str, key: str, value: Parameter, unit: str, least: float, most: float) -> None:
    if value.unit != unit:
        raise ValueError(f"{where}: {key}: unit: found {value.unit!r}; allowed {unit!r}")
    if not least <= value.low <= value.high <= most:
        raise ValueError(f"{where}: {key}: found {value.low:g} to {value.high:g}; allowed {least:.3g} to {most:.3g}")


def bought(prices: Prices, runs: Sequence[Cases], effect: float) -> Bought:
    """Every case of every run over the reference, the first. Raises ValueError for a device without a price."""
    reference, *others = runs
    found, left = [], []
    used: dict[str, Parameter] = {k: getattr(prices, k) for k in ("electricity", "pue", "at_work")}
    for other in others:
        for key, sample in other.measured.items():
            if key not in reference.measured or not sample.first.amount:
                continue
            sides = (sample, reference.measured[key])
            systems = [_system(prices, one) for one in sides]
            meter = outermost(sides, "")
            if meter is None:
                left.append(f"{sample.first.case.kernel} {sample.label}: not metered alike in {other.name}")
                continue
            for system in systems:
                used |= {f"{system.device} {k}": getattr(system, k) for k in ("price", "lifetime", "rest_w")}
            found.append(_value(prices, other.name, sides, systems, meter, effect))
    return Bought(prices.currency, tuple(found), tuple(_told(used)), tuple(dict.fromkeys(left)))


def _system(prices: Prices, sample: Sample) -> Priced:
    name = sample.first.device.name
    for system in prices.systems:
        if fnmatchcase(name, system.device):
            return system
    known = ", ".join(system.device for system in prices.systems)
    raise ValueError(f"prices: found none for {name!r}; systems there: {known}")


def _told(used: Mapping[str, Parameter]) -> list[str]:
    """Each figure with its range and whose word it is."""
    lines = []
    for name, p in used.items():
        if p is NOTHING:
            continue
        span = f" ({p.low:g} to {p.high:g})" if p.low != p.high else ""
        lines.append(f"{name}: {p.mode:g}{span} {p.unit if p.unit != '1' else ''}".rstrip() + f", {p.kind}: {p.source}")
    return lines


def _value(
    prices: Prices, run: str, sides: Sequence[Sample], systems: Sequence[Priced], meter: Meter, effect: float
) -> Value:
    same = sides[0].units == sides[1].units
    made = [_work_per_cost(prices, one, system, meter, same) for one, system in zip(sides, systems, strict=True)]
    m = sides[0].first.measured
    assert m is not None
    return Value(
        run=run,
        kernel=sides[0].first.case.kernel,
        label=sides[0].label,
        unit=UNITS[m.work.headline],
        boundary=meter[0],
        ratio=ratio("work_per_cost", 1, made[0][0], made[1][0], effect),
        energy_part=(made[0][1], made[1][1]),
        idle=all(_idle_w(one, meter) is not None for one in sides),
    )


def _work_per_cost(
    prices: Prices, sample: Sample, system: Priced, meter: Meter, same_units: bool
) -> tuple[Estimate, float]:
    """Work for each unit of the currency, and the part of the cost that is energy, at the likeliest figures."""
    import numpy as np

    rate = sample.estimate("rate", meter, same_units)
    power = sample.estimate("power", meter, same_units)
    assert rate is not None
    assert power is not None
    devices = sample.first.case.ranks if sample.first.case.collective else 1
    idle_w = _idle_w(sample, meter) or 0.0

    def work(rate_s: Any, power_w: Any, of: Mapping[str, Any]) -> tuple[Any, Any]:
        hours = of["lifetime"] * HOURS
        mean_w = power_w * of["at_work"] + idle_w * (1 - of["at_work"]) + devices * of["rest_w"]
        energy = mean_w * of["pue"] * hours * of["electricity"] / 1e3
        cost = devices * of["price"] / system.devices + energy
        return rate_s * hours * 3600 * of["at_work"] / cost, energy / cost

    known = {
        "electricity": (prices.electricity, "all"), "pue": (prices.pue, "all"), "at_work": (prices.at_work, "all"),
        "price": (system.price, system.device), "lifetime": (system.lifetime, system.device),
        "rest_w": (system.rest_w, system.device),
    }  # fmt: skip
    value, part = work(rate.value, power.value, {name: p.mode for name, (p, _) in known.items()})
    if rate.log_draws is None or power.log_draws is None:
        return Estimate(value, None, rate.reason or power.reason), part
    drawn = {name: draws.triangular(p.low, p.mode, p.high, "prices", name, of) for name, (p, of) in known.items()}
    made: Floats = work(rate.value * np.exp(rate.log_draws), power.value * np.exp(power.log_draws), drawn)[0]
    return Estimate(value, np.log(made / value)), part


def _idle_w(sample: Sample, meter: Meter) -> float | None:
    """Power at rest at the same boundary, the mean over devices; None unless each has it."""
    found = []
    for record in sample.records:
        m = record.measured
        found.append(next((i.power_w for i in m.idle if i.boundary == meter[0]), None) if m else None)
    known = [w for w in found if w is not None]
    return sum(known) / len(known) if len(known) == len(found) else None
