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

from perwatt.results.size import air, fitting, hall, liquid, redundancy
from perwatt.results.size.chain import Built, Chain, Through
from perwatt.results.size.demand import TITLES, Demand
from perwatt.results.size.equipment import equipment
from perwatt.results.size.finding import Finding, beyond, in_draws
from perwatt.results.size.levels import SITE, UPS
from perwatt.results.size.parameter import Parameter, Values
from perwatt.results.size.plant import Hour, at_design, facility_supply_c, hour
from perwatt.results.size.request import Entry, Request
from perwatt.results.size.ride_through import ride_through
from perwatt.results.size.sheet import Sheet
from perwatt.results.size.site import Sizes
from perwatt.results.size.weather import coincident_wb_c, design_db_c, design_wb_c, hours_above_record

COOLING = "site.cooling."


@dataclass(frozen=True)
class Facility:
    """What was built, the design hour, and each column of the demand on its way through the chain. ``fits``: what of
    the temperatures does not fit the machines. ``air_rise_k``: of all air of the hall. ``water_l_per_kwh``: of IT in
    the design hour, or in as hot a one with the wet bulb of the year's hottest."""

    chain: Chain
    built: Built
    design: Hour
    through: dict[str, Through]
    loss: Values
    warnings: tuple[Finding, ...]
    failing: tuple[Finding, ...]
    fits: tuple[Finding, ...]
    air_rise_k: Values
    water_l_per_kwh: Values


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
    wb_c, wb_basis = design_wb_c(climate, db_c, p["extreme_margin_k"], p["warming_k"])
    chain = Chain(site.electrical, values)
    it_w = demand.site_w["recommended"]
    ups_it_w = demand.ups_w["recommended"]
    # losses first without cooling, which the UPS does not carry: they are heat that the plant has to remove
    first = chain.at_design(it_w, 0.0 * it_w, chain.build(it_w, 0.0 * it_w, ups_it_w))
    loss = first.loss_fraction
    rise_k = hall.rise_k(request, values, demand, it_w * (1 - demand.liquid + loss) * (1 + p["air_fan"]))
    values = {**values, f"{COOLING}air_rise_k": rise_k}
    p = at_design(cooling_values(values))
    design = hour(db_c, wb_c, site.cooling.plant, p, demand.liquid, loss)
    dry = hour(db_c, coincident_wb_c(climate, db_c, p["warming_k"]), site.cooling.plant, p, demand.liquid, loss)
    built = chain.build(it_w, cooling_w(design) * it_w, ups_it_w)
    through = {name: chain.at_design(w, cooling_w(design) * w, built) for name, w in demand.site_w.items()}
    ups_w = {name: chain.ups_in_w(w, built, design=True) for name, w in demand.ups_w.items()}
    sheet.add("cooling.design_db", "cooling", "dry bulb of the design hour", db_c, "degC", db_basis)
    if site.cooling.plant not in ("dry", "chiller"):
        sheet.add("cooling.design_wb", "cooling", "wet bulb of the design hour", wb_c, "degC", wb_basis)
    if site.cooling.plant in ("tower", "adiabatic"):
        above_h, above_basis = hours_above_record(climate)
        sheet.add("cooling.wet_bulb_above", "cooling", "hours above the design wet bulb, a year", above_h,
                  "h", above_basis)  # fmt: skip
    _power(through, ups_w, demand.over, sheet)
    failing = (
        *_electrical(request, chain, built, ups_it_w, through["recommended"], demand.over, sheet),
        *_cooling(request, values, demand, design, through["recommended"], sheet),
    )
    equipment(site.cooling, p, design, it_w, sheet)
    liquid_racks = sum(demand.racks[entry.name] for entry in _liquid_cooled(request))
    ride_through(p, design.liquid_w * it_w, liquid_racks, design.air_w * it_w, sum(demand.racks.values()), sheet)
    warnings = _chilled(request, demand, design)
    fits = fitting.temperatures(request, values)
    water_l_per_kwh = np.maximum(design.water_l_per_kwh, dry.water_l_per_kwh)
    return Facility(chain, built, design, through, loss, warnings, failing, fits, rise_k, water_l_per_kwh)


def _chilled(request: Request, demand: Demand, design: Hour) -> tuple[Finding, ...]:
    """Whether the plant needs a chiller behind it at the design hour, where it is none itself."""
    plant = request.site.cooling.plant
    chilled = np.atleast_1d(1 - np.asarray(design.free_fraction))
    share = float(np.mean(chilled > 0))
    if share == 0 or plant == "chiller":
        return ()
    only_air = bool(np.all(np.asarray(design.reachable))) or float(np.max(demand.liquid)) <= 0
    which = "the air's supply" if only_air else "the coolant's and the air's supply"
    up_to = "" if chilled.size == 1 else "up to "
    text = (
        f"cooling: the {plant} plant alone does not hold {which} at the design hour{in_draws(share)}; "
        f"a chiller behind it carries {up_to}{100 * float(np.max(chilled)):.0f} % of the heat"
    )
    return (Finding("chiller", text, share),)


def _power(through: Mapping[str, Through], ups_w: Mapping[str, Values], over: Mapping[str, str], sheet: Sheet) -> None:
    ups = f"of all units, {over[UPS.name]}, through distribution and UPS"
    site = f"of all units, {over[SITE.name]}, through distribution and UPS; with cooling of the design hour"
    low_voltage = {column: found.low_voltage_w for column, found in through.items()}
    grid = {column: found.grid_w for column, found in through.items()}
    for level, what, columns, basis in (
        ("ups", "UPS input", ups_w, ups),
        ("transformer", "transformers' output", low_voltage, site),
        ("site", "site, from the grid", grid, f"{site}, through the transformers"),
    ):
        for column, value in columns.items():
            sheet.add(f"power.{level}.{column}", "power", f"{what}: {TITLES[column]}", value, "W",
                      f"{TITLES[column]} {basis}", level=level)  # fmt: skip
    saved = through["nameplate"].grid_w - through["recommended"].grid_w
    sheet.add("savings.site.power", "savings", "site: below what the nameplates would ask of the grid", saved, "W",
              "nameplate less recommended, both from the grid at the design hour", level="site")  # fmt: skip


def _electrical(
    request: Request,
    chain: Chain,
    built: Built,
    ups_it_w: Values,
    design: Through,
    over: Mapping[str, str],
    sheet: Sheet,
) -> tuple[Finding, ...]:
    electrical = request.site.electrical
    out_w = chain.ups_out_w(ups_it_w)
    pf, rated_w = chain.value("feed.power_factor"), built.ups_module_w
    sheet.add("power.ups.output", "power", "UPS output", out_w, "W",
              f"recommended, {over[UPS.name]}, through distribution", level="ups")  # fmt: skip
    sheet.add("power.ups.apparent", "power", "UPS output: apparent power", out_w / pf, "VA",
              "the same over the racks' power factor", level="ups")  # fmt: skip
    sheet.add("redundancy.ups.module", "redundancy", "UPS modules: rating of each", rated_w, "W",
              _rated(electrical.ups_module_w, electrical.ups_sizes, 1e3, "kW"), level="ups")  # fmt: skip
    sheet.add("redundancy.ups.module_va", "redundancy", "UPS modules: apparent rating of each",
              rated_w / chain.value("ups_power_factor"), "VA", "rating over the modules' own power factor",
              level="ups")  # fmt: skip
    sheet.add("redundancy.transformer.rating", "redundancy", "transformers: rating of each", built.transformer_va, "VA",
              _rated(electrical.transformer_va, electrical.transformer_sizes, 1e3, "kVA"),
              level="transformer")  # fmt: skip
    for key, title, rated, of in (("ups", "UPS modules", rated_w, "W"),
                                  ("transformer", "transformers", built.transformer_va, "VA")):  # fmt: skip
        count = built.ups_modules if key == "ups" else built.transformers
        sheet.add(f"redundancy.{key}.installed", "redundancy", f"{title}: all of them", count * rated, of,
                  "their number times the rating of each", level=key)  # fmt: skip
    for key, title, count, load, unit, topology in (
        ("ups", "UPS modules", built.ups_modules, out_w, chain.ups_full() * rated_w, electrical.ups_topology),
        ("transformer", "transformers", built.transformers, design.low_voltage_w / pf, built.transformer_va,
         electrical.transformer_topology),
    ):  # fmt: skip
        basis = f"{topology}: {redundancy.describe(topology)}"
        if key == "ups":
            basis += "; of W or VA, whichever is fuller"
        normal = redundancy.normal_load(load, unit, topology, count)
        fault = redundancy.after_fault_load(load, unit, topology, count)
        sheet.add(f"redundancy.{key}.count", "redundancy", title, count, "", basis, level=key)
        sheet.add(f"redundancy.{key}.normal", "redundancy", f"{title}: load of each", normal, "1", basis, level=key)
        sheet.add(f"redundancy.{key}.fault", "redundancy", f"{title}: load of each after the fault", fault, "1", basis,
                  level=key)  # fmt: skip
    sheet.add("power.site.apparent", "power", "site: apparent power at the racks' power factor",
              design.grid_w / pf, "VA", "recommended, over the power factor",
              level="site")  # fmt: skip
    if electrical.available_w is not None:
        sheet.add("power.site.left", "power", "site: left of what the grid offers",
                  electrical.available_w - design.grid_w, "W", f"of {electrical.available_w / 1e6:.4g} MW",
                  level="site")  # fmt: skip
    offered = f"the grid offers {(electrical.available_w or 0.0) / 1e6:.4g} MW"
    return beyond("site", offered, design.grid_w, electrical.available_w, _mw)


def _rated(stated: Parameter | None, sizes: Sizes, per: float, unit: str) -> str:
    """What a rating rests on."""
    if stated is not None:
        return stated.source
    ratings = ", ".join(f"{rating / per:g}" for rating in sizes.ratings)
    return f"the smallest of which {sizes.most} carry the load, of {ratings} {unit}; {sizes.source}"


def _mw(power_w: float) -> str:
    return f"{power_w / 1e6:.3g} MW"


def _cooling(
    request: Request, values: Mapping[str, Values], demand: Demand, design: Hour, peak: Through, sheet: Sheet
) -> tuple[Finding, ...]:
    site, cooling, p = request.site, request.site.cooling, cooling_values(values)
    it_w = peak.it_w
    liquid_w, air_w = design.liquid_w * it_w, design.air_w * it_w
    altitude_m = site.above_sea_m(request.climate.altitude_m)

    def add(key: str, label: str, value: Values | None, unit: str, basis: str) -> None:
        sheet.add(f"cooling.{key}", "cooling", label, value, unit, basis)

    add("liquid_heat", "heat into the liquid", liquid_w, "W", "the systems' liquid fraction of the recommended power")
    add("air_heat", "heat into the air", air_w, "W", "the rest, losses in the hall and its fans")
    rejected_w = design.rejected_w * it_w
    add("rejected", "heat rejected at the design hour", rejected_w, "W", "all that the plant rejects")
    most_w = cooling.heat_limit_w
    if most_w is not None:
        add("left", "left of the heat that the plant may reject", most_w - rejected_w, "W", f"of {most_w / 1e6:.4g} MW")
    add("pue_peak", "PUE of the design hour", peak.grid_w / peak.ups_out_w, "1",
        "grid over UPS outputs, as the year's: the electrical capacity is sized on it")  # fmt: skip
    add("chilled", "heat through chillers at the design hour", design.chilled_w * it_w, "W", "taken up by all chillers")
    add("cooling_power", "electricity for cooling at the design hour", cooling_w(design) * it_w, "W",
        "fans, pumps and compressors")  # fmt: skip
    flow_air = air.flow_m3_s(air_w, p["air_rise_k"], p["supply_air_c"], altitude_m)
    add("air_flow", "air flow", flow_air, "m3/s", f"at its supply temperature and {altitude_m:g} m")
    add("air_flow_cfm", "air flow", air.cfm(flow_air), "CFM", "the same")
    add(
        "air_rise",
        "air of the hall warms by",
        p["air_rise_k"],
        "K",
        "its heat over what its machines move, and past them",
    )
    hall.racks(request, values, demand, sheet)
    if float(np.max(liquid_w)) <= 0:
        add("liquid_flow", "coolant flow", None, "m3/s", "no system of the fleet gives heat to a liquid")
    else:
        _liquid(request, values, demand, liquid_w, sheet)
    return beyond("cooling", f"the plant may reject {(most_w or 0.0) / 1e6:.4g} MW", rejected_w, most_w, _mw)


def _liquid(request: Request, values: Mapping[str, Values], demand: Demand, liquid_w: Values, sheet: Sheet) -> None:
    cooling, p = request.site.cooling, cooling_values(values)

    def add(key: str, label: str, value: Values | None, unit: str, basis: str) -> None:
        sheet.add(f"cooling.{key}", "cooling", label, value, unit, basis)

    flow = liquid.flow_m3_s(liquid_w, p["liquid_rise_k"], cooling.fluid, p["supply_liquid_c"])
    per_kw = liquid.l_min_per_kw(p["liquid_rise_k"], cooling.fluid, p["supply_liquid_c"])
    add("liquid_flow", "coolant flow", flow, "m3/s", f"{cooling.fluid} at its supply and rise")
    add("liquid_flow_per_kw", "coolant flow per kW", per_kw, "L/min/kW", f"{cooling.fluid} at its supply and rise")
    rack_w, row_w, cdus, floor = _wet(request, values, demand)
    add("liquid_flow_rack", "coolant flow of a rack", rack_w * per_kw / 1e3, "L/min",
        f"the rack with the most heat; as its circuit, on {floor}")  # fmt: skip
    add(
        "supply",
        "coolant supply",
        p["supply_liquid_c"],
        "degC",
        f"class {cooling.water_class} facility water behind it",
    )
    add("return", "coolant return", p["supply_liquid_c"] + p["liquid_rise_k"], "degC", "supply and rise")
    add("facility_supply", "facility water", facility_supply_c(p), "degC", "supply less the CDU's approach")
    add("facility_return", "facility water, return", facility_supply_c(p) + p["liquid_rise_k"], "degC",
        "as much warmer as the coolant")  # fmt: skip
    pump = liquid.pump_w(flow, p["pump_head_pa"], p["pump_efficiency"])
    add("pump", "coolant pumps", pump, "W", "flow times head over efficiency")
    row_flow = liquid.flow_m3_s(row_w, p["liquid_rise_k"], cooling.fluid, p["supply_liquid_c"])
    main = liquid.pipe_diameter_m(row_flow, p["pipe_velocity_m_s"])
    add("pipe", "pipe to a row, bore", main, "m", "the flows of its racks together, at the velocity chosen")
    add("pipe_dn", "pipe to a row, nominal size", liquid.nominal_size(main), "mm", "the next DN of ISO 6708")
    add("cdus", "CDUs", cdus, "", f"{cooling.cdu_topology} in each row that has liquid, on its racks' circuits: so few "
        "racks may peak together; only the plant sees the fleet's recommended power")  # fmt: skip
    if math.isfinite(limit_c := liquid.class_limit_c(cooling.water_class)):
        add("water_class_margin", "facility water below the limit of its class", limit_c - facility_supply_c(p), "K",
            f"{cooling.water_class} allows {limit_c:g} degC")  # fmt: skip


def _liquid_cooled(request: Request) -> tuple[Entry, ...]:
    """The entries of the fleet that may give heat to a liquid."""
    return tuple(entry for entry in request.fleet if entry.system.liquid_fraction.high > 0)


def _wet(request: Request, values: Mapping[str, Values], demand: Demand) -> tuple[Values, Values, Values, str]:
    """Heat into the liquid in W of the rack and of the row that have the most of it, how many CDUs all rows take, and
    what that heat rests on. Pipes and CDUs carry what a rack may draw, as its circuit does, and each rack's valve holds
    that flow at any load: what they see are not the fleet's statistics. Racks and rows are full ones: a last row of one
    rack makes the others no thinner."""
    cooling, racks_per_row = request.site.cooling, request.site.electrical.racks_per_row
    rack_w: Values = 0.0
    row_w: Values = 0.0
    cdus: Values = 0.0
    floor, most_w = "", 0.0
    for entry in _liquid_cooled(request):
        liquid = values[f"fleet.{entry.name}.liquid_fraction"]
        if float(np.max(liquid)) <= 0:
            continue
        circuit, in_rack = demand.circuits[entry.name], min(entry.units, entry.per_rack)
        wet_w = circuit.load_w * liquid
        of_row_w = wet_w / in_rack * min(entry.units, entry.per_rack * racks_per_row)
        if (mean_w := float(np.mean(wet_w))) > most_w:
            floor, most_w = circuit.floor, mean_w
        rack_w, row_w = np.maximum(rack_w, wet_w), np.maximum(row_w, of_row_w)
        count = redundancy.count(of_row_w, values[f"{COOLING}cdu_w"], cooling.cdu_topology)
        cdus = cdus + demand.rows[entry.name] * count
    return rack_w, row_w, cdus, floor
