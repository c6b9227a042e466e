"""The workbook's year, bin by bin of the weather: a table with a row a bin, each with the plant and the chain as
formulas, and the energies as sums over its hours.

As in :mod:`perwatt.results.size.annual`: the fleet draws its mean all year, and the weather moves only what cools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from perwatt.results.reports.sizing_cells import Column, Draft
from perwatt.results.reports.sizing_cooling import drives, plant
from perwatt.results.reports.sizing_demand import Part, year_mean
from perwatt.results.reports.sizing_formula import LETTERS, Term, choose, interpolated, least, most, summed, total
from perwatt.results.size.facts import Facts
from perwatt.results.size.kpi import J_PER_MWH
from perwatt.results.size.reuse import KELVIN

W_PER_MW = 1e6
# A part of the heat below which no chiller runs.
LEAST_CHILLED = 1e-9


def year(d: Draft, fleet: Sequence[Part], facts: Facts, it_w: float) -> dict[str, float]:
    """The table, and the cells of the energies in MWh (water in m3, CO2 in kg) that figures are made of, by name."""
    it, liquid_w = Term("it_mean_w", it_w), _liquid(d, fleet)
    other = d.term("electrical.other")
    block = d.book.year
    out = d.put(block, "year_ups_out_w", "mean at the UPS outputs", it / (1 - d.term("electrical.distribution_loss")),
                "W", "year.eit", factor=1 / _seconds(facts))  # fmt: skip
    units = d.cell("ups_units")
    load = out / (units * (d.rating("ups_module_w") or d.cell("ups_module_w")))
    load = d.put(block, "year_ups_load", "load of a UPS module", load, "1")
    relative = interpolated(load, "ups", list(facts.ups_curve))
    relative = d.put(block, "year_ups_relative", "UPS: efficiency at this load over its best", relative, "1")
    ups_in = d.put(block, "year_ups_in_w", "mean into the UPS",
                   out / (d.term("electrical.ups_efficiency") * relative), "W")  # fmt: skip
    loss = d.put(block, "year_loss", "electrical losses and other consumers, W/W", (ups_in - it) / it + other, "1")
    liquid = d.put(block, "year_liquid", "heat in the liquid, W/W", liquid_w / it, "1")
    air = (1 - liquid + loss) * (1 + d.term("cooling.air_fan"))
    air = d.put(block, "year_air", "heat in the air with its fans, W/W", air, "1")

    _given(d, facts)
    warming = d.term("cooling.warming_k")
    db = _column(d, "db_c", "dry bulb", Term("B{row}", np.asarray(d.book.bins[1].values)) + warming, "degC")
    wb = _column(d, "wb_c", "wet bulb", Term("C{row}", np.asarray(d.book.bins[2].values)) + warming, "degC")
    needs = (d.cell("need_liquid_c"), d.cell("need_air_c"))
    found = plant(d, partial(_column, d), db, wb, needs, liquid, air, drives(d, "year"))
    cooling = _column(d, "cooling", "electricity for cooling, W/W", found.cooling, "1")
    low = _column(d, "low_mw", "from the transformers", (ups_in + it * (cooling + other)) / W_PER_MW, "MW")
    grid = _column(d, "grid_mw", "from the grid", _grid(d, low), "MW")
    _column(d, "pue", "PUE", grid * W_PER_MW / out, "1")
    _water(d, d.cell("design_water"), d.cell("dry_water"))
    return _energies(d, it, liquid_w, ups_in, other)


def _seconds(facts: Facts) -> float:
    return 3600 * sum(hours for _, hours, _ in facts.weather)


def _liquid(d: Draft, fleet: Sequence[Part]) -> Term:
    """The mean heat into the liquid: each part's mean power times its liquid fraction."""
    terms = []
    for part in fleet:
        share = d.term(f"fleet.{part.name}.liquid_fraction", f"liquid_fraction{part.tail}")
        terms.append(Term(f"unit{part.tail}_count", part.count) * year_mean(d, part) * share)
    return d.put(d.book.year, "liquid_mean_w", "mean heat into the liquid", summed(terms), "W")


def _given(d: Draft, facts: Facts) -> None:
    """The columns of the weather."""
    recorded = tuple(zip(*facts.weather, strict=True))
    for key, head, unit, values in (
        ("h", "hours", "h", recorded[1]),
        ("recorded_db_c", "dry bulb, recorded", "degC", recorded[0]),
        ("recorded_wb_c", "wet bulb, recorded", "degC", recorded[2]),
    ):
        d.book.bins.append(Column(f"bin_{key}", head, unit, values))


def _column(d: Draft, key: str, head: str, term: Term, unit: str) -> Term:
    """A column that computes ``term``; a cell of it in the same row."""
    bins = d.book.bins
    values = np.broadcast_to(np.asarray(term.value, dtype=np.float64), (len(bins[0].values),))
    bins.append(Column(f"bin_{key}", head, unit, tuple(values.tolist()), term.text))
    return Term(f"{LETTERS[len(bins) - 1]}{{row}}", values)


def _grid(d: Draft, low: Term) -> Term:
    """Through the transformers: core losses all the time, load losses by the square of the load."""
    units, rated = d.cell("transformer_units"), d.rating("transformer_va") or d.cell("transformer_va")
    efficiency, share = d.term("electrical.transformer_efficiency"), d.term("electrical.transformer_no_load_share")
    load = low * W_PER_MW / (d.term("feed.power_factor") * rated * units)
    load = _column(d, "transformer_load", "load of a transformer", load, "1")
    return low + units * rated * (1 / efficiency - 1) * (share + (1 - share) * load * load) / W_PER_MW


def _water(d: Draft, design: Term, dry: Term) -> None:
    """The most water that is to be there, at the power that the site is built for."""
    bins = next(column for column in d.book.bins if column.name == "bin_water")
    highest = most(most(design, dry), Term("MAX(bin_water)", float(np.max(np.asarray(bins.values)))))
    d.put(d.book.cooling, "make_up_l_min", "make-up water, at the most", highest * d.cell("it_w") / 60_000, "L/min",
          "cooling.make_up", factor=60_000)  # fmt: skip


def _energies(d: Draft, it: Term, liquid_w: Term, ups_in: Term, other: Term) -> dict[str, float]:
    block = d.book.year
    per_mwh = 1 / J_PER_MWH
    columns = {c.name.removeprefix("bin_"): Term(c.name, np.asarray(c.values)) for c in d.book.bins}
    h = columns["h"]
    hours = d.put(block, "year_h", "hours", total(h), "h")
    known = {}

    def energy(key: str, label: str, term: Term, line: str = "", *, title: bool = False) -> Term:
        made = d.put(block, f"{key}_mwh", label, term, "MWh", line, factor=per_mwh, title=title)
        known[key] = made.number
        return made

    energy("it", "IT energy at the racks", it * hours / W_PER_MW)
    eit = d.cell("year_ups_out_w") * hours / W_PER_MW
    eit = energy("eit", "EIT, energy at the UPS outputs", eit, "year.eit")
    energy("loss_ups", "losses of UPS and distribution", (ups_in - it) * hours / W_PER_MW, "year.loss_ups")
    energy("other", "light, offices, controls", other * it * hours / W_PER_MW, "year.other")
    room = d.cell("year_air") * d.term("cooling.air_fan") / (1 + d.term("cooling.air_fan"))
    fans = room * hours + total(h, columns["fans"])
    energy("fans", "fans, hall and plant", fans * it / W_PER_MW, "year.fans")
    moved = d.cell("year_pump_fraction") * d.cell("year_liquid") + d.cell("year_air_pump") * d.cell("year_air")
    energy("pumps", "pumps", moved * hours * it / W_PER_MW, "year.pumps")
    work = total(h, columns["liquid_compressors"]) + total(h, columns["air_compressors"])
    energy("compressors", "compressors", work * it / W_PER_MW, "year.compressors")
    low = energy("low_voltage", "from the transformers", total(h, columns["low_mw"]))
    edc = total(h, columns["grid_mw"])
    energy("loss_transformer", "losses of the transformers", edc - low, "year.loss_transformer")
    edc = energy("edc", "EDC, energy from the grid", edc, "year.edc", title=True)
    water = total(h, columns["water"]) * it / W_PER_MW
    known["win"] = d.put(block, "win_m3", "WIN, water", water, "m3", "year.water").number
    chilled = columns["chilled"]
    helped = Term(f"SUMPRODUCT(bin_h*(bin_chilled>{LEAST_CHILLED:G}))",
                  float(np.sum(h.value * (chilled.value > LEAST_CHILLED))))  # fmt: skip
    d.put(block, "chiller_h", "hours in which a chiller helps", helped, "h", "year.chiller_hours")
    free = 1 - total(h, chilled) / hours
    d.put(block, "free_share", "heat removed without a compressor", free, "1", "year.free_share")
    highest = Term("MAX(bin_pue)", float(np.max(columns["pue"].value)))
    d.put(block, "pue_hottest", "highest PUE of any bin", highest, "1", "year.pue_hottest")
    _heat(d, energy, liquid_w * hours / W_PER_MW, d.cell("year_air") * it * hours / W_PER_MW)
    carbon = edc * d.term("grid.carbon_g_kwh")
    known["co2"] = d.put(block, "co2_kg", "CO2", carbon, "kg", "kpi.co2").number
    return known


def _heat(d: Draft, energy: Callable[..., Term], of_liquid: Term, of_air: Term) -> None:
    """What is handed over, the coolant's heat first, and what a heat pump makes of it."""
    fraction, network = d.term("reuse.fraction", "reuse_fraction"), d.term("reuse.network_c")
    approach = d.term("reuse.source_approach_k")
    of_liquid = energy("heat_liquid", "heat that leaves with the coolant", of_liquid, "kpi.heat.liquid")
    of_air = energy("heat_air", "heat that leaves with the air", of_air, "kpi.heat.air")
    wanted = fraction * (of_liquid + of_air)
    first = energy("ereuse_liquid", "coolant: heat handed over", least(wanted, of_liquid),
                   "kpi.heat.liquid_handed_over")  # fmt: skip
    # a plant by air has no water that a network could take the heat from
    rest = choose(d.cell("by_air") > 0, 0, least(wanted - first, of_air))
    rest = energy("ereuse_air", "air: heat handed over", rest, "kpi.heat.air_handed_over")
    delivered = []
    air_c = d.cell("air_water_return_c")
    rise = d.term("cooling.liquid_rise_k")
    for key, title, handed, warm, drop in (
        ("liquid", "coolant", first, d.cell("facility_supply_c") + rise, rise),
        ("air", "air", rest, air_c, air_c - d.cell("air_water_supply_c")),
    ):
        label = f"{title}: temperature of its heat for a network"
        source = d.put(d.book.year, f"{key}_source_c", label, warm - approach, "degC")
        condenser = network + d.term("reuse.condenser_approach_k")
        lift = most(condenser - source + drop, LEAST_CHILLED)
        cop = d.term("reuse.heat_pump_fraction") * (condenser + KELVIN) / lift
        cop = d.put(d.book.year, f"{key}_heat_cop", f"{title}: COP of the heat pump", cop, "1", f"kpi.heat.{key}_cop")
        delivered.append(choose(network > source, handed * cop / (cop - 1), handed))
    energy("ereuse", "EREUSE, heat handed over", first + rest, "kpi.heat.handed_over", title=True)
    energy("delivered", "heat in the network behind the heat pump", summed(delivered), "kpi.heat.delivered")
