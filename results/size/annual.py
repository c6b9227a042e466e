"""A year of the site: every bin of the weather through plant and chain, summed to energies, indicators, water and heat.

The fleet draws its mean all year (working at ``utilisation``, else idling); the weather moves only what cools. The
energies close: what the grid delivers is IT, losses and cooling, and all of it but the losses outside the hall leaves
through the plant or is handed over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perwatt.results.size import kpi, support
from perwatt.results.size.chain import Built, Chain, Through
from perwatt.results.size.demand import Demand
from perwatt.results.size.equipment import make_up
from perwatt.results.size.facility import Facility, cooling_values, cooling_w
from perwatt.results.size.finding import Finding, beyond
from perwatt.results.size.indicator import INDICATORS
from perwatt.results.size.levels import idle_w
from perwatt.results.size.loop import BY_AIR
from perwatt.results.size.parameter import Floats, Values
from perwatt.results.size.plant import Hour, air_water_return_c, air_water_supply_c, facility_supply_c, hour
from perwatt.results.size.request import Request
from perwatt.results.size.reuse import HeatPump, Reused, liquid_first, return_c, reuse, summed
from perwatt.results.size.sheet import Sheet
from perwatt.results.size.weather import Weather, column, shifted

S_PER_H = 3600.0


@dataclass(frozen=True)
class Year:
    """Shapes (draws, bins) or (bins,): the weather, the plant and the chain in each bin. Energies in J, water in m3.
    ``by_loop``: what is handed over by the loop that it leaves, the coolant's and the air's along the last axis;
    ``reused``: both together."""

    weather: Weather
    plant: Hour
    chain: Through
    it_w: Values
    support_w: Values
    edc_j: Values
    eit_j: Values
    win_m3: Values
    liquid_j: Values
    air_j: Values
    by_loop: Reused
    reused: Reused
    work: dict[str, Values]
    failing: tuple[Finding, ...]


def year(
    request: Request,
    weather: Weather,
    values: Mapping[str, Values],
    demand: Demand,
    built: Facility,
    sheet: Sheet,
) -> Year:
    """Add the lines of the year to ``sheet``."""
    values = {**values, "site.cooling.air_rise_k": built.air_rise_k}
    p = cooling_values(values)
    it_w, liquid = _mean(request, values, demand)
    bins = shifted(weather, values["site.cooling.warming_k"])
    wide = {path: column(value) for path, value in values.items()}
    chain = Chain(request.site.electrical, wide)
    stood = Built(*(column(getattr(built.built, field.name)) for field in dataclasses.fields(Built)))
    it = column(it_w)
    loss = chain.through(it, 0.0 * it, stood).loss_fraction
    plant = hour(
        bins.db_c, bins.wb_c, request.site.cooling.plant, cooling_values(wide), column(liquid), np.asarray(loss)
    )
    driest = np.maximum(built.water_l_per_kwh, np.max(np.asarray(plant.water_l_per_kwh), axis=-1))
    make_up(request.site.cooling, p, driest, demand.site_w["recommended"], sheet)
    through = chain.through(it, cooling_w(plant) * it, stood)
    edc_j = bins.total(through.grid_w) * S_PER_H
    eit_j = bins.total(through.ups_out_w) * S_PER_H
    win_m3 = bins.total(plant.water_l_per_kwh * it) * 1e-6
    liquid_j = bins.total(plant.liquid_w * it) * S_PER_H
    air_j = bins.total(plant.air_w * it) * S_PER_H
    source_c = _loops(return_c(facility_supply_c(p), p["liquid_rise_k"]), air_water_return_c(p))
    source_c = source_c - column(values["site.reuse.source_approach_k"])
    drop_k = _loops(p["liquid_rise_k"], air_water_return_c(p) - air_water_supply_c(p))
    pump = HeatPump(
        column(values["site.reuse.heat_pump_fraction"]), drop_k, column(values["site.reuse.condenser_approach_k"])
    )
    by_loop = reuse(
        _loops(liquid_j, air_j),
        source_c,
        _loops(*liquid_first(values["site.reuse.fraction"], liquid_j, air_j, from_air=_has_water(request))),
        column(values["site.reuse.network_c"]),
        pump,
        pump_inside=False,
        own_cooling=0.0,
    )
    work = _work(request, values)
    most_m3 = request.site.cooling.water_limit_m3
    failing = beyond(
        "water", f"the site may use {most_m3 or 0.0:g} m3 a year", win_m3, most_m3, lambda m3: f"{m3:.4g} m3"
    )
    found = Year(
        bins,
        plant,
        through,
        it_w,
        support.steady_w(request, values),
        edc_j,
        eit_j,
        win_m3,
        liquid_j,
        air_j,
        by_loop,
        summed(by_loop),
        work,
        failing,
    )
    _lines(request, values, found, source_c, sheet)
    return found


def _has_water(request: Request) -> bool:
    """Whether the air's heat is in water that a network can take it from: a plant by air blows it out."""
    return request.site.cooling.plant not in BY_AIR


def _loops(liquid: Values, air: Values) -> Floats:
    """The coolant's value and the air's along a last axis."""
    return np.stack(np.broadcast_arrays(np.asarray(liquid, np.float64), np.asarray(air, np.float64)), axis=-1)


def _mean(request: Request, values: Mapping[str, Values], demand: Demand) -> tuple[Values, Values]:
    """Mean IT power in W over the year, and the fraction of it whose heat goes into the liquid."""
    total: Values = support.steady_w(request, values)
    liquid_w: Values = 0.0
    for entry in request.fleet:
        busy = values[f"fleet.{entry.name}.utilisation"]
        mean_w = busy * demand.drawn[entry.name].mean_w + (1 - busy) * idle_w(entry, values)
        total = total + entry.units * mean_w
        liquid_w = liquid_w + entry.units * mean_w * values[f"fleet.{entry.name}.liquid_fraction"]
    return total, liquid_w / total


def _work(request: Request, values: Mapping[str, Values]) -> dict[str, Values]:
    """Work of a year by its unit, of the entries whose load counts any."""
    done: dict[str, Values] = {}
    for entry in request.fleet:
        if entry.load.work_per_s is not None:
            busy = values[f"fleet.{entry.name}.utilisation"]
            amount = entry.units * entry.load.work_per_s * busy * 8760 * S_PER_H
            done[entry.load.work_unit] = done.get(entry.load.work_unit, 0.0) + amount
    return done


def _lines(request: Request, values: Mapping[str, Values], y: Year, source_c: Values, sheet: Sheet) -> None:
    where = f"{request.climate.station}, {request.site.cooling.plant} plant, every bin of the year"

    def add(key: str, label: str, value: Values | None, unit: str, basis: str = where) -> None:
        sheet.add(f"year.{key}", "year", label, value, unit, basis)

    add(
        "it_power",
        "mean IT power at the racks",
        y.it_w,
        "W",
        f"units at their mean, idle for the rest of the year; {support.TITLE} steady",
    )
    add("edc", "energy from the grid (EDC)", y.edc_j, "J")
    add("eit", "energy at the UPS outputs (EIT)", y.eit_j, "J", "IT and the distribution behind the UPS")
    it_j = y.it_w * S_PER_H * float(y.weather.hours.sum())
    basis = "EDC over IT energy at the nodes' AC input: higher than the regulation's by the distribution losses"
    add("pue_it", "PUE over the energy at the racks", y.edc_j / it_j, "1", basis)
    it = column(y.it_w)
    for key, label, power in (
        ("loss_ups", "losses of UPS and distribution", y.chain.ups_in_w - y.chain.it_w),
        ("loss_transformer", "losses of the transformers", y.chain.grid_w - y.chain.low_voltage_w),
        ("other", "everything else that is fed", y.chain.other_w),
        ("fans", "fans, hall and plant", (y.plant.air_fan_w + y.plant.fan_w) * it),
        ("pumps", "pumps", y.plant.pump_w * it),
        ("compressors", "compressors", y.plant.compressor_w * it),
    ):
        add(key, label, y.weather.total(power) * S_PER_H, "J")
    free = np.asarray(y.plant.free_fraction)
    add("chiller_hours", "hours in which a chiller helps", y.weather.total(np.where(free < 1 - 1e-9, 1.0, 0.0)), "h")
    if float(np.max(y.liquid_j)) > 0:
        helped = y.weather.total(np.where(np.asarray(y.plant.reachable), 0.0, 1.0))
        add("chiller_hours_liquid", "of them, hours in which it helps the coolant", helped, "h")
    add("free_share", "heat removed without a compressor", y.weather.mean(free), "1")
    add("water", "water (WIN)", y.win_m3, "m3", f"{where}; what the plant evaporates and blows down")
    limit = request.site.cooling.water_limit_m3
    if limit is not None:
        add("water_left", "water left of the site's limit", limit - y.win_m3, "m3", f"limit {limit:g} m3 a year")
    peak = np.max(np.asarray(y.chain.grid_w / y.chain.ups_out_w), axis=-1)
    add("pue_hottest", "highest PUE of any bin of the year", peak, "1")
    _indicators(request, values, y, sheet)
    _heat(y, source_c, _has_water(request), sheet)
    _done(y, sheet)


def _indicators(request: Request, values: Mapping[str, Values], y: Year, sheet: Sheet) -> None:
    carbon_kg = kpi.co2_kg(y.edc_j, values["site.grid.carbon_g_kwh"])
    found = kpi.indicators(
        kpi.Annual(
            edc_j=y.edc_j,
            eit_j=y.eit_j,
            win_m3=y.win_m3,
            ereuse_j=y.reused.ereuse_j,
            eres_tot_j=values["site.grid.renewable"] * y.edc_j,
            co2_kg=carbon_kg,
            heat_removed_j=y.weather.total(y.plant.rejected_w * column(y.it_w)) * S_PER_H,
            cooling_j=y.weather.total(y.chain.cooling_w) * S_PER_H,
        )
    )
    for item in INDICATORS:
        sheet.add(f"kpi.{item.key}", "kpi", f"{item.symbol}, {item.name}", found[item.key], item.unit, item.basis)
    sheet.add("kpi.co2", "kpi", "CO2 equivalent of the grid's energy", carbon_kg, "kg",
              "EDC times the grid's life-cycle factor")  # fmt: skip
    sheet.add("kpi.cdd", "kpi", "cooling degree days above 21 degrees C", request.climate.cdd21, "K d",
              f"daily means of the typical year of {request.climate.station}, all days; Eurostat counts days above 24 "
              "degrees C only")  # fmt: skip


def _heat(y: Year, source_c: Values, air_water: bool, sheet: Sheet) -> None:
    def add(key: str, label: str, value: Values, unit: str, basis: str) -> None:
        sheet.add(f"kpi.heat.{key}", "kpi", label, value, unit, basis)

    add("available", "heat that leaves the hall, a year", y.liquid_j + y.air_j, "J", "with the coolant and the air")
    for at, key, loop, water, heat_j in (
        (0, "liquid", "coolant", "facility water's return", y.liquid_j),
        (1, "air", "air", "return of the air handlers' water", y.air_j),
    ):
        if float(np.max(heat_j)) <= 0:
            continue
        add(key, f"of it with the {loop}", heat_j, "J", "losses in the hall and its fans included" if at else
            "what leaves the hall with the coolant")  # fmt: skip
        if at and not air_water:
            add(f"{key}_handed_over", f"{loop}: heat handed over", 0.0 * heat_j, "J", "none: it is in no water")
            continue
        add(f"{key}_temperature", f"{loop}: temperature of its heat for a network", np.asarray(source_c)[..., at],
            "degC", f"{water}, less an approach")  # fmt: skip
        cop = np.asarray(y.by_loop.cop)[..., at]
        if np.all(np.isfinite(cop)):
            add(f"{key}_cop", f"{loop}: COP of the heat pump", cop, "1",
                "a fraction of Carnot's, evaporator to condenser")  # fmt: skip
        add(f"{key}_handed_over", f"{loop}: heat handed over", np.asarray(y.by_loop.ereuse_j)[..., at], "J",
            "what the coolant's heat leaves of the site's fraction" if at else "first, as it is warmer")  # fmt: skip
    add("handed_over", "heat handed over (EREUSE)", y.reused.ereuse_j, "J",
        "the site's fraction of what leaves the hall, at the boundary")  # fmt: skip
    add("pump", "electricity of the heat pump", y.reused.pump_j, "J",
        "outside the boundary: the network pays it, it is in no EDC")  # fmt: skip
    add("delivered", "heat in the network behind the heat pump", y.reused.delivered_j, "J",
        "with the pump's electricity, which the network pays")  # fmt: skip


def _done(y: Year, sheet: Sheet) -> None:
    for unit, amount in y.work.items():
        rates = kpi.work_rates(amount, y.edc_j, y.win_m3)
        basis = "measured rate of the units, at their utilisation, over the site's energy"
        sheet.add(f"work.{unit}.year", "work", f"{unit} a year", amount, unit, basis)
        for key, label, per in (
            ("per_joule", "joule", "J"),
            ("per_mwh", "MWh", "MWh"),
            ("per_m3", "m3 of water", "m3"),
        ):
            if (value := rates.get(key)) is not None:
                sheet.add(
                    f"work.{unit}.{key}", "work", f"{unit} per {label} of the site", value, f"{unit}/{per}", basis
                )
