"""The site around the fleet: chain and cooling at the design hour, and what is built for them.

The electrical capacity follows from the recommended IT power and from the cooling of the hottest hour that the plant
must stand, not from the mean of a year. Every other column (nameplates, measured quantiles) goes through the same chain
with the same hour, so that the columns differ by the IT load alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perwatt.results.size import air, liquid, redundancy
from perwatt.results.size.chain import Built, Chain, Through
from perwatt.results.size.demand import TITLES, Demand
from perwatt.results.size.parameter import Values
from perwatt.results.size.plant import Hour, facility_supply_c, hour
from perwatt.results.size.request import Request
from perwatt.results.size.sheet import Sheet
from perwatt.results.size.weather import design_db_c, design_wb_c

COOLING = "site.cooling."


@dataclass(frozen=True)
class Facility:
    """What was built, the design hour, and each column of the demand on its way through the chain."""

    chain: Chain
    built: Built
    design: Hour
    through: dict[str, Through]
    loss: Values
    warnings: tuple[str, ...]


def cooling_values(values: Mapping[str, Values]) -> dict[str, Values]:
    """The cooling parameters by their own names."""
    return {path.removeprefix(COOLING): value for path, value in values.items() if path.startswith(COOLING)}


def cooling_w(found: Hour) -> Values:
    """Electricity for cooling in W per W of IT load: room fans, pumps, compressors, the plant's fans."""
    return found.air_fan_w + found.pump_w + found.compressor_w + found.fan_w


def facility(request: Request, values: Mapping[str, Values], demand: Demand, sheet: Sheet) -> Facility:
    """Add the lines of UPS, transformers, site and cooling equipment to ``sheet``."""
    site, climate = request.site, request.climate
    p = cooling_values(values)
    db_c, db_basis = design_db_c(
        climate, site.cooling.return_years, p["extreme_margin_k"], p["warming_k"], p["recirculation_k"]
    )
    wb_c, _ = design_wb_c(climate, db_c, p["extreme_margin_k"], p["warming_k"])
    chain = Chain(site.electrical, values)
    it_w = demand.site_w["recommended"]
    ups_it_w = np.maximum(demand.ups_w, it_w)
    # losses first without cooling, which the UPS does not carry: they are heat that the plant has to remove
    first = chain.through(it_w, 0.0 * it_w, chain.build(ups_it_w, 0.0 * it_w))
    loss = first.loss_fraction
    design = hour(db_c, wb_c, site.cooling.plant, p, demand.liquid, loss)
    built = chain.build(ups_it_w, cooling_w(design) * it_w)
    through = {name: chain.through(w, cooling_w(design) * w, built) for name, w in demand.site_w.items()}
    sheet.add("cooling.design_db", "cooling", "dry bulb of the design hour", db_c, "degC", db_basis)
    _power(through, sheet)
    warnings = _electrical(request, chain, built, ups_it_w, through["recommended"], sheet)
    _cooling(request, p, demand, design, it_w, sheet)
    if not np.all(np.asarray(design.reachable)):
        warnings.append(
            f"cooling: the {site.cooling.plant} plant alone does not hold the coolant's supply at the design hour; "
            f"the chiller behind it carries {100 * float(np.mean(1 - np.asarray(design.free_fraction))):.0f} %"
        )
    return Facility(chain, built, design, through, loss, tuple(warnings))


def _power(through: Mapping[str, Through], sheet: Sheet) -> None:
    for level, of, what in (
        ("ups", "ups_in_w", "UPS input"),
        ("transformer", "low_voltage_w", "transformers' output"),
        ("site", "grid_w", "site, from the grid"),
    ):
        for column, found in through.items():
            basis = f"{TITLES[column]} of all units through distribution, UPS, cooling of the design hour, transformers"
            sheet.add(f"power.{level}.{column}", "power", f"{what}: {TITLES[column]}", getattr(found, of), "W", basis,
                      level=level)  # fmt: skip
    saved = through["nameplate"].grid_w - through["recommended"].grid_w
    sheet.add("savings.site.power", "savings", "site: below what the nameplates would ask of the grid", saved, "W",
              "nameplate less recommended, both from the grid at the design hour", level="site")  # fmt: skip


def _electrical(
    request: Request, chain: Chain, built: Built, ups_it_w: Values, design: Through, sheet: Sheet
) -> list[str]:
    electrical = request.site.electrical
    out_w = ups_it_w / (1 - chain.value("distribution_loss"))
    for key, title, count, load, unit, topology in (
        ("ups", "UPS modules", built.ups_modules, out_w, chain.value("ups_module_w"), electrical.ups_topology),
        ("transformer", "transformers", built.transformers, design.low_voltage_w / chain.value("feed.power_factor"),
         chain.value("transformer_va"), electrical.transformer_topology),
    ):  # fmt: skip
        basis = f"{topology}: {redundancy.describe(topology)}"
        normal = redundancy.normal_load(load, unit, topology, count)
        fault = redundancy.after_fault_load(load, unit, topology, count)
        sheet.add(f"redundancy.{key}.count", "redundancy", title, count, "", basis, level=key)
        sheet.add(f"redundancy.{key}.normal", "redundancy", f"{title}: load of each", normal, "1", basis, level=key)
        sheet.add(f"redundancy.{key}.fault", "redundancy", f"{title}: load of each after the fault", fault, "1", basis,
                  level=key)  # fmt: skip
    warnings = []
    if electrical.available_w is not None:
        short_w = design.grid_w - electrical.available_w
        most = float(np.max(short_w))
        if most > 0:
            share = float(np.mean(np.asarray(short_w) > 0))
            often = "" if share == 1 else f" in {100 * share:.2g} % of the draws"
            warnings.append(
                f"site: the grid offers {electrical.available_w / 1e6:.4g} MW, short by {most / 1e6:.3g} MW{often}"
            )
    return warnings


def _cooling(
    request: Request, p: Mapping[str, Values], demand: Demand, design: Hour, it_w: Values, sheet: Sheet
) -> None:
    site, cooling = request.site, request.site.cooling
    racks, rows = sum(demand.racks.values()), sum(demand.rows.values())
    liquid_w, air_w = design.liquid_w * it_w, design.air_w * it_w
    altitude_m = request.climate.altitude_m if site.altitude_m is None else site.altitude_m

    def add(key: str, label: str, value: Values | None, unit: str, basis: str) -> None:
        sheet.add(f"cooling.{key}", "cooling", label, value, unit, basis)

    add("liquid_heat", "heat into the liquid", liquid_w, "W", "the systems' liquid fraction of the recommended power")
    add("air_heat", "heat into the air", air_w, "W", "the rest, losses in the hall and its fans")
    add("rejected", "heat rejected at the design hour", design.rejected_w * it_w, "W", "all that the plant rejects")
    add("pue_peak", "PUE of the design hour, without transformers", design.pue, "1",
        "the electrical capacity is sized on it")  # fmt: skip
    add("cooling_power", "electricity for cooling at the design hour", cooling_w(design) * it_w, "W",
        "fans, pumps and compressors")  # fmt: skip
    flow_air = air.flow_m3_s(air_w, p["air_rise_k"], p["supply_air_c"], altitude_m)
    add("air_flow", "air flow", flow_air, "m3/s", f"at its supply temperature and {altitude_m:g} m")
    add("air_flow_cfm", "air flow", air.cfm(flow_air), "CFM", "the same")
    if float(np.max(liquid_w)) <= 0:
        add("liquid_flow", "coolant flow", None, "m3/s", "no system of the fleet gives heat to a liquid")
        return
    flow = liquid.flow_m3_s(liquid_w, p["liquid_rise_k"], cooling.fluid, p["supply_liquid_c"])
    per_kw = liquid.l_min_per_kw(p["liquid_rise_k"], cooling.fluid, p["supply_liquid_c"])
    add("liquid_flow", "coolant flow", flow, "m3/s", f"{cooling.fluid} at its supply and rise")
    add("liquid_flow_per_kw", "coolant flow per kW", per_kw, "L/min/kW", f"{cooling.fluid} at its supply and rise")
    add("liquid_flow_rack", "coolant flow per rack", flow / racks * liquid.LITRE_PER_MINUTE, "L/min", "mean over racks")
    add(
        "supply",
        "coolant supply",
        p["supply_liquid_c"],
        "degC",
        f"class {cooling.water_class} facility water behind it",
    )
    add("return", "coolant return", p["supply_liquid_c"] + p["liquid_rise_k"], "degC", "supply and rise")
    add("facility_supply", "facility water", facility_supply_c(p), "degC", "supply less the CDU's approach")
    pump = liquid.pump_w(flow, p["pump_head_pa"], p["pump_efficiency"])
    add("pump", "coolant pumps", pump, "W", "flow times head over efficiency")
    main = liquid.pipe_diameter_m(flow / max(rows, 1), p["pipe_velocity_m_s"])
    add("pipe", "pipe to a row, bore", main, "m", "its flow at the velocity chosen")
    add("pipe_dn", "pipe to a row, nominal size", liquid.nominal_size(main), "mm", "the next DN of ISO 6708")
    per_row = redundancy.count(liquid_w / rows, p["cdu_w"], cooling.cdu_topology)
    add("cdus", "CDUs", per_row * rows, "", f"{cooling.cdu_topology} in each of {rows} rows")
    hold_s = liquid.ride_through_s(liquid_w, p["thermal_mass_j_k"] * racks, p["ride_through_rise_k"])
    add("ride_through", "ride-through on loss of cooling", hold_s, "s", "coolant and metal warming by the rise allowed")
    if (limit_c := liquid.class_limit_c(cooling.water_class)) < float(np.max(facility_supply_c(p))) - 1e-9:
        share = float(np.mean(np.asarray(facility_supply_c(p)) > limit_c))
        add("water_class_margin", "facility water above its class", share if math.isfinite(share) else None, "1",
            f"{cooling.water_class} allows {limit_c:g} degC; part of the draws above it")  # fmt: skip
