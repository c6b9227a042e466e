"""The workbook's year: energies in MWh from the mean power of the units up to the grid, and the key figures of them.

IT is units x (utilisation x mean + (1 - utilisation) x idle) over 8760 h; distribution, UPS and transformers follow
from their inputs, CO2 from the grid's factor. What cools is worked out bin by bin of the weather
(:mod:`sizing_bins`); where the sizing does not tell its weather it is the report's, per energy that becomes heat in the
hall (IT, the losses on the way to it, light and controls).
PUE, WUE, ERF, REF, CUE and ERE by the texts of Delegated Regulation (EU) 2024/1364 and ISO/IEC 30134.
"""

from __future__ import annotations

from collections.abc import Sequence

from perwatt.results.reports.sizing_bins import year
from perwatt.results.reports.sizing_cells import Computed, Draft, near
from perwatt.results.reports.sizing_demand import SAME, Part, year_mean
from perwatt.results.reports.sizing_formula import Term, summed
from perwatt.results.size.kpi import J_PER_MWH

HOURS = 8760
PLANT = (("fans", "fans, hall and plant"), ("pumps", "pumps"), ("compressors", "compressors"))
# A load loss goes with the square of a load that moves over the year: its mean over the square of the mean.
LEAST_FORM, MOST_FORM = 0.9, 2.0
# The lines that the other figures divide: where one is missing the report's own energies stand in.
_ENERGIES = (("edc", "EDC, energy from the grid", "year.edc"), ("eit", "EIT, energy at the UPS outputs", "year.eit"))


def annual(d: Draft, fleet: Sequence[Part]) -> dict[str, float]:
    """The cells of the year; the energies in MWh (and water in m3, CO2 in kg) that figures can be made of."""
    mwh = {key: value / J_PER_MWH for key, value in d.found.items() if key.startswith("year.")}
    it_w = d.found.get("year.it_power")
    needed = ("year.edc", "year.eit", "year.loss_ups", "year.loss_transformer")
    known: dict[str, float] = {}
    counted = bool(it_w and fleet and all(key in mwh for key in needed) and _it(d, fleet, it_w))
    if counted and it_w and d.facts and d.book.cooling:
        return year(d, fleet, d.facts, it_w)
    if counted and it_w:
        d.book.year.append(Computed("it_mwh", "IT energy at the racks", f"it_mean_w*{HOURS}/1E6", it_w * HOURS / 1e6,
                                    "MWh"))  # fmt: skip
        known = {"edc": mwh["year.edc"], "eit": mwh["year.eit"]}
        _energies(d, it_w * HOURS / 1e6, mwh)
    else:
        for key, label, line in _ENERGIES:
            if line in mwh:
                known[key] = mwh[line]
                d.given(f"{key}_mwh", label, mwh[line], "MWh", f"the report's {line}")
    if "eit" in known:
        _beside(d, known)
    return known


def _it(d: Draft, fleet: Sequence[Part], it_w: float) -> bool:
    """The mean IT power and its energy; False if they do not come to the report's."""
    total = beside = d.found.get("power.support.nameplate", 0.0)
    for part in fleet:
        if part.mean_w is None or part.idle_w is None:
            return False
        busy = d.inputs[f"fleet.{part.name}.utilisation"]
        total += part.count * (busy * part.mean_w + (1 - busy) * part.idle_w)
    if not near(total, it_w, 1e-4):
        return False
    mean = summed([Term(f"unit{part.tail}_count", part.count) * year_mean(d, part) for part in fleet])
    if beside:
        mean = mean + Term("support_steady_w", beside)
    d.book.year.append(Computed("it_mean_w", "mean IT power", mean.text, it_w, "W", it_w, True))
    return True


def _energies(d: Draft, it: float, mwh: dict[str, float]) -> None:
    eit, edc, loss = mwh["year.eit"], mwh["year.edc"], mwh["year.loss_transformer"]
    ups_in = it + mwh["year.loss_ups"]
    formula = "it_mwh"
    distribution = d.named("electrical.distribution_loss")
    if distribution is not None:
        formula += "/(1-distribution_loss)"
    formula += d.times("eit_rest", "EIT over this", eit / it * (1 - (distribution or 0.0)), SAME)
    _add(d, "eit", "EIT, energy at the UPS outputs", formula, eit, eit)
    best = d.named("electrical.ups_efficiency")
    efficiency = "ups_efficiency" if best else "1"
    label = "UPS: efficiency at the year's load over its best"
    efficiency += d.times("ups_relative_year", label, eit / ups_in / (best or 1.0), "the report: its part-load curve")
    _add(d, "ups_in", "into the UPS", f"eit_mwh/({efficiency})", ups_in, None)
    lit = d.named("electrical.other") or 0.0
    base, heat = ("(ups_in_mwh+other*it_mwh)" if lit else "ups_in_mwh"), ups_in + lit * it
    terms, low = ["ups_in_mwh"], ups_in
    for key, label in PLANT:
        if value := mwh.get(f"year.{key}"):
            source = "the report: its weather and plant"
            d.given(f"{key}_per_mwh", f"{label}: per energy that becomes heat", value / heat, "1", source)
            _add(d, key, label, f"{key}_per_mwh*{base}", value, value)
            terms.append(f"{key}_mwh")
            low += value
    if value := mwh.get("year.other"):
        by_input = near(d.inputs.get("site.electrical.other", 0.0), value / it)
        if by_input:
            d.named("electrical.other")
        else:
            d.given("other_per_it", "light, offices, controls: per IT energy", value / it, "1", "the report")
        _add(d, "other", "light, offices, controls", f"{'other' if by_input else 'other_per_it'}*it_mwh", value, value)
        terms.append("other_mwh")
        low += value
    rest = edc - loss - low
    if abs(rest) > 1e-6 * edc:
        d.given("year_rest_per_it", "everything else: per IT energy", rest / it, "1", "the report")
        terms.append("year_rest_per_it*it_mwh")
        low += rest
    _add(d, "low_voltage", "from the transformers", "+".join(terms), low, None)
    _add(d, "transformer_loss", "losses of the transformers", _transformers(d, low, loss), loss, loss)
    _add(d, "edc", "EDC, energy from the grid", "low_voltage_mwh+transformer_loss_mwh", edc, edc, title=True)


def _transformers(d: Draft, low: float, loss: float) -> str:
    """Core losses all year, load losses by the square of the load; a fixed part of what they give where the report's
    losses do not follow from the inputs."""
    ends = ("transformer_va", "transformer_efficiency", "transformer_no_load_share")
    values = [d.inputs.get(f"site.electrical.{end}") for end in ends]
    pf = d.inputs.get("site.electrical.feed.power_factor")
    units = next((cell.value for cell in d.book.chain if cell.name == "transformer_units"), None)
    if None not in values and pf and isinstance(units, int | float):
        rated_va, efficiency, share = (value or 0.0 for value in values)
        rated = rated_va * (1 / efficiency - 1) * units * HOURS / 1e6
        square = (low / HOURS * 1e6 / (pf * rated_va * units)) ** 2
        form = (loss / rated - share) / ((1 - share) * square) if rated and share < 1 else 0.0
        if LEAST_FORM <= form <= MOST_FORM:
            for end in ends:
                d.named(f"electrical.{end}")
            ratio = d.times("load_form", "transformers: mean square of the load over its square", form, "the report")
            return (
                f"{HOURS}/1E6*transformer_units*transformer_va*(1/transformer_efficiency-1)*(transformer_no_load_share"
                f"+(1-transformer_no_load_share)*(low_voltage_mwh*1E6/{HOURS}"
                f"/(power_factor*transformer_va*transformer_units))^2{ratio})"
            )
    d.given("transformer_loss_share", "transformers: loss over what they give", loss / low, "1", "the report")
    return "transformer_loss_share*low_voltage_mwh"


def _beside(d: Draft, known: dict[str, float]) -> None:
    """Water, heat handed over and CO2."""
    per, base = ("eit", known["eit"])
    water = d.found.get("year.water")
    if water is not None:
        known["win"] = water
        d.given("water_per_mwh", "water per MWh of EIT", water / base, "m3/MWh", "the report: its weather and plant")
        _add(d, "win", "WIN, water", f"water_per_mwh*{per}_mwh", water, water, "m3")
    handed = d.found.get("kpi.heat.handed_over")
    if handed is not None:
        known["ereuse"] = handed = handed / J_PER_MWH
        fraction = d.inputs.get("site.reuse.fraction", 0.0)
        available = handed / fraction if fraction else d.found.get("kpi.heat.available", 0.0) / J_PER_MWH
        if available:
            d.named("reuse.fraction", "reuse_fraction")
            label = "heat that could be handed over, per MWh of EIT"
            d.given("heat_per_mwh", label, available / base, "1", "the report")
            formula = f"reuse_fraction*heat_per_mwh*{per}_mwh"
        else:
            d.given("ereuse_per_mwh", "heat handed over per MWh of EIT", handed / base, "1", "the report")
            formula = f"ereuse_per_mwh*{per}_mwh"
        _add(d, "ereuse", "EREUSE, heat handed over", formula, handed, handed)
    co2 = d.found.get("kpi.co2")
    if co2 is not None and "edc" in known:
        known["co2"] = co2
        # g/kWh is kg/MWh
        carbon = d.named("grid.carbon_g_kwh")
        if carbon is None:
            d.given("carbon_g_kwh", "carbon of the grid", co2 / known["edc"], "g/kWh", "the report")
        formula = "edc_mwh*carbon_g_kwh"
        formula += d.times("carbon_rest", "CO2 over this", co2 / known["edc"] / carbon, SAME) if carbon else ""
        d.book.year.append(Computed("co2_kg", "CO2", formula, co2, "kg", co2))


def figures(d: Draft, known: dict[str, float]) -> None:
    """The key figures whose terms are there."""
    table = (
        ("pue", "edc_mwh/eit_mwh", ("edc", "eit"), "1"),
        ("wue", "win_m3/eit_mwh", ("win", "eit"), "m3/MWh"),
        ("erf", "ereuse_mwh/edc_mwh", ("ereuse", "edc"), "1"),
        ("cue", "co2_kg/(eit_mwh*1000)", ("co2", "eit"), "kg/kWh"),
    )
    values: dict[str, float] = {}
    for key, formula, terms, unit in table:
        if all(term in known for term in terms):
            above, below = (known[term] for term in terms)
            values[key] = above / below / (1000 if key == "cue" else 1)
            _figure(d, key, formula, values[key], unit)
    if "pue" in values and "erf" in values:
        _figure(d, "ere", "pue*(1-erf)", values["pue"] * (1 - values["erf"]), "1")
    renewable = d.inputs.get("site.grid.renewable")
    if renewable is not None and near(renewable, d.found.get("kpi.ref", -1.0)):
        d.named("grid.renewable")
        _figure(d, "ref", "renewable", renewable, "1")


def _figure(d: Draft, key: str, formula: str, value: float, unit: str) -> None:
    d.book.figures.append(Computed(key, key.upper(), formula, value, unit, d.found.get(f"kpi.{key}")))


def _add(
    d: Draft, key: str, label: str, formula: str, value: float, reported: float | None, unit: str = "MWh",
    *, title: bool = False,
) -> None:  # fmt: skip
    d.book.year.append(Computed(f"{key}_{unit.lower()}", label, formula, value, unit, reported, title))
