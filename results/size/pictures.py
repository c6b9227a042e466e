"""What the plots of a sizing are drawn from: the boxes of the chain, the arrows of energy, the curves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perwatt.results.size import support
from perwatt.results.size.annual import S_PER_H, Year
from perwatt.results.size.demand import Demand
from perwatt.results.size.facility import Facility, cooling_w
from perwatt.results.size.levels import UPS, idle_w
from perwatt.results.size.parameter import Floats, Values
from perwatt.results.size.request import Entry, Request
from perwatt.results.size.sizing import Flow, Series, Stage
from perwatt.results.size.weather import column

DURATION_POINTS = 201
UNITS = "units"
# What else than the units warms the hall's air in the model.
INTO_AIR = (support.TITLE, "UPS and distribution losses", "light, offices, controls", "hall's fans")


def stages(request: Request, demand: Demand, built: Facility) -> tuple[Stage, ...]:
    """The chain at the design hour, from the grid down, at the likeliest values."""
    electrical, found = request.site.electrical, built.through["recommended"]
    it_w = _one(found.it_w)
    grid_w, low_w = _one(found.grid_w), _one(found.low_voltage_w)
    ups_in_w, ups_out_w = _one(found.ups_in_w), _one(found.ups_out_w)
    available = electrical.available_w
    offered = "what the grid offers is not stated" if available is None else f"of {available / 1e6:.4g} MW offered"
    feed = electrical.feed
    rows = sum(demand.rows.values())
    cdus = request.site.cooling.cdu_topology if _one(demand.liquid) > 0 else ""
    # beside the rows, with its part of what the distribution loses
    beside_w = _one(demand.support_w)
    beside_in_w = _one(built.chain.ups_out_w(beside_w)) if beside_w else 0.0
    beside = [Stage("support", support.TITLE, beside_in_w, beside_w, 1, "", "modelled, steady; racks of its own")]
    machines = [box for entry in request.fleet for box in _machines(entry, demand, f"{feed.paths} paths")]
    return (
        Stage("site", "grid", grid_w, grid_w, 1, "", offered),
        Stage("transformer", "transformers", grid_w, low_w, int(_one(built.built.transformers)),
              electrical.transformer_topology, f"{_rated(built.built.transformer_va, 'VA')} each"),
        Stage("cooling", "cooling", _one(found.cooling_w), _one(found.cooling_w), 1, cdus,
              f"{request.site.cooling.plant}, design hour, PUE {grid_w / ups_out_w:.3f}"),
        Stage("ups", "UPS", ups_in_w, ups_out_w, int(_one(built.built.ups_modules)), electrical.ups_topology,
              f"{_rated(built.built.ups_module_w, 'W')} modules, for the highest {UPS.window_s:g} s"),
        *(beside if beside_w else []),
        Stage("row", "rows, busway", ups_out_w - beside_in_w, it_w - beside_w, rows, "",
              f"{electrical.racks_per_row} racks a row"),
        *machines,
    )  # fmt: skip


def _machines(entry: Entry, demand: Demand, paths: str) -> tuple[Stage, Stage]:
    """The racks of an entry and the units in them: their supplies, hosts and fans are inside that figure."""
    power_w, circuit = _one(demand.entry_w[entry.name]), demand.circuits[entry.name]
    breakers = f"{_one(circuit.circuits):.0f} x {_one(circuit.rating_a):.0f} A a path"
    gpus = f"{entry.units * entry.system.gpus} GPUs; supplies, host and fans included"
    return (
        Stage("rack", f"racks of {entry.system.title}", power_w, power_w, demand.racks[entry.name], paths, breakers),
        Stage("unit", entry.system.title, power_w, power_w, entry.units, "", gpus),
    )


def flows(y: Year) -> tuple[Flow, ...]:
    """A year's energy in J from the grid to the chips and out again, at the likeliest values."""
    hours = y.weather.hours
    it = column(y.it_w)

    def total(power: Values) -> float:
        return _one(y.weather.total(power)) * S_PER_H

    it_j, beside_j = (_one(power) * float(hours.sum()) * S_PER_H for power in (y.it_w, y.support_w))
    loss_ups = total(y.chain.ups_in_w - y.chain.it_w)
    from_liquid, from_air = (float(x) for x in np.asarray(y.by_loop.ereuse_j).reshape(-1, 2)[0])
    liquid, air = _one(y.liquid_j), _one(y.air_j)
    found = [
        Flow("grid", "transformer losses", total(y.chain.grid_w - y.chain.low_voltage_w)),
        Flow("grid", "UPS and distribution losses", loss_ups),
        Flow("grid", "light, offices, controls", total(y.chain.other_w)),
        Flow("grid", UNITS, it_j - beside_j),
        Flow("grid", support.TITLE, beside_j),
        Flow("grid", "hall's fans", total(y.plant.air_fan_w * it)),
        Flow("grid", "plant's fans", total(y.plant.fan_w * it)),
        Flow("grid", "pumps", total(y.plant.pump_w * it)),
        Flow("grid", "compressors", total(y.plant.compressor_w * it)),
        Flow(UNITS, "heat in liquid", liquid),
        Flow(UNITS, "heat in air", it_j - beside_j - liquid),
        Flow("heat in liquid", "reused", from_liquid),
        Flow("heat in liquid", "ambient", liquid - from_liquid),
        Flow("heat in air", "reused", from_air),
        Flow("heat in air", "ambient", air - from_air),
    ]
    found += [
        Flow(f.target, "heat in air" if f.target in INTO_AIR else "ambient", f.energy_j)
        for f in found
        if f.source == "grid" and f.target != UNITS
    ]
    return tuple(f for f in found if f.energy_j > 0)


def series(request: Request, values: Mapping[str, Values], demand: Demand, built: Facility, y: Year) -> list[Series]:
    """The year by temperature and the load-duration curve, at the likeliest values."""
    order = np.argsort(y.weather.db_c.reshape(-1))
    pue = np.broadcast_to(np.asarray(y.chain.grid_w / y.chain.ups_out_w), y.weather.hours.shape)
    cooling = np.broadcast_to(np.asarray(cooling_w(y.plant)), y.weather.hours.shape)
    by_bin = Series(
        name="year_bins",
        x_label="dry bulb in degC",
        y_label="hours; PUE; cooling over IT",
        x=_row(y.weather.db_c.reshape(-1)[order]),
        y={
            "hours": _row(y.weather.hours[order]),
            "PUE": _row(pue[order]),
            "cooling over IT": _row(cooling[order]),
        },
        note=f"{request.climate.station}, warmer by {_one(values['site.cooling.warming_k']):g} K",
    )
    return [by_bin, _duration(request, values, demand, y)]


def _duration(request: Request, values: Mapping[str, Values], demand: Demand, y: Year) -> Series:
    """Site power over the fraction of the year in which it is exceeded: the units' own distribution while they work,
    idle else, in step; and what the chain and the weather add in the mean."""
    power = np.full(1, _one(y.support_w))
    weight = np.ones(1)
    for entry in request.fleet:
        drawn = demand.drawn[entry.name]
        busy = _one(values[f"fleet.{entry.name}.utilisation"])
        levels = np.asarray(entry.load.cdf) if entry.load.cdf else np.array([entry.load.mean_w])
        scaled = _one(drawn.mean_w) * (1 + (levels / entry.load.mean_w - 1) * _one(drawn.swing)) * entry.units
        own = np.append(scaled, entry.units * _one(idle_w(entry, values)))
        share = np.append(np.full(len(scaled), busy / len(scaled)), 1 - busy)
        power = (power[:, None] + own[None, :]).reshape(-1)
        weight = (weight[:, None] * share[None, :]).reshape(-1)
        power, weight = _thinned(power, weight)
    overhead = np.broadcast_to(np.asarray(y.chain.grid_w / y.chain.it_w), y.weather.hours.shape)
    site = (power[:, None] * overhead[None, :]).reshape(-1)
    hours = (weight[:, None] * (y.weather.hours / y.weather.hours.sum())[None, :]).reshape(-1)
    order = np.argsort(-site)
    exceeded = np.cumsum(hours[order])
    at = np.linspace(0, 1, DURATION_POINTS)
    return Series(
        name="load_duration",
        x_label="fraction of the year",
        y_label="site power in W",
        x=_row(at),
        y={"site": _row(np.interp(at, exceeded, site[order]))},
        note="all units of a system in step; idle hours at idle power",
    )


def _thinned(power: Floats, weight: Floats, most: int = 512) -> tuple[Floats, Floats]:
    """The distribution on ``most`` points at the most: sums of several systems would multiply them."""
    if len(power) <= most:
        return power, weight
    order = np.argsort(power)
    cut = np.minimum((np.cumsum(weight[order]) * most).astype(np.int64), most - 1)
    total = np.bincount(cut, weights=weight[order], minlength=most)
    mean = np.bincount(cut, weights=weight[order] * power[order], minlength=most)
    kept = total > 0
    return np.asarray(mean[kept] / total[kept]), np.asarray(total[kept], dtype=np.float64)


def _rated(value: Values, unit: str) -> str:
    rating = _one(value)
    return f"{rating / 1e6:.4g} M{unit}" if rating >= 1e6 else f"{rating / 1e3:.4g} k{unit}"


def _one(value: Values) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def _row(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
