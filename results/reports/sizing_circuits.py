"""The workbook's circuits and key figures: I = P / (sqrt3 U pf) and the breaker that carries it; PUE, WUE, ERF, CUE
and ERE from annual energies, by the texts of Delegated Regulation (EU) 2024/1364 and ISO/IEC 30134."""

from __future__ import annotations

import math

from perwatt.results.reports.sizing_cells import Book, Computed, Given, name, named
from perwatt.results.reports.sizing_tables import parts
from perwatt.results.size.sizing import Sizing

# The key figures: name, formula from annual energies, its terms, its unit. The terms are lines of the report.
_ENERGIES = {
    "edc": ("EDC", "J", "year.edc"),
    "eit": ("EIT", "J", "year.eit"),
    "win": ("WIN", "m3", "year.water"),
    "ereuse": ("EREUSE", "J", "kpi.heat.handed_over"),
    "co2": ("CO2", "kg", "kpi.co2"),
}
_FIGURES: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("pue", "edc_j/eit_j", ("edc", "eit"), "1"),
    ("wue", "win_m3/(eit_j/3.6E9)", ("win", "eit"), "m3/MWh"),
    ("erf", "ereuse_j/edc_j", ("ereuse", "edc"), "1"),
    ("cue", "co2_kg/(eit_j/3.6E6)", ("co2", "eit"), "kg/kWh"),
    ("ere", "pue*(1-erf)", ("edc", "eit", "ereuse"), "1"),
)


def circuits(book: Book, sizing: Sizing, inputs: dict[str, float]) -> None:
    """The circuits to the racks of each part of the fleet: the current with one path lost, and whether the breaker
    carries it."""
    names = ("feed.voltage_v", "feed.power_factor", "feed.continuous_factor", "feed.temperature_factor")
    values = [named(book, inputs, end) for end in names]
    if None in values:
        return
    volts, pf, continuous, warm = (value or 0.0 for value in values)
    loads = parts(sizing, "feeds.rack.load")
    for part, line in loads.items():
        title, tail = (part, f"_{name(part)}") if len(loads) > 1 else ("rack", "")
        load_w = line.value or 0.0
        split_line, rating, failover = (
            parts(sizing, f"feeds.rack.{key}").get(part) for key in ("circuits", "rating", "failover")
        )
        many = (split_line.value if split_line else None) or 1
        if not load_w:
            continue
        load, split, breaker = f"rack_circuit_w{tail}", f"rack_circuits{tail}", f"breaker_a{tail}"
        book.given += [
            Given(load, f"{title}: load of a path", load_w, "W", "modelled", line.basis),
            Given(split, f"{title}: circuits a path", many, "", "modelled", "the report"),
        ]
        current = load_w / (math.sqrt(3) * volts * pf * many)
        least, formula = current / (continuous * warm), f"{load}/(SQRT(3)*voltage_v*power_factor*{split})"
        book.circuits += [
            Computed(f"rack_a{tail}", f"{title}: current of a circuit, one path lost", formula, current, "A",
                     failover.value if failover else None, True),
            Computed(f"breaker_least_a{tail}", f"{title}: least rating of the breaker",
                     f"rack_a{tail}/(continuous_factor*temperature_factor)", least, "A"),
        ]  # fmt: skip
        if rating is not None and rating.value is not None:
            rating_a = rating.value
            book.given.append(Given(breaker, f"{title}: breaker", rating_a, "A", "modelled", "the report's choice"))
            verdict = "carries it" if rating_a >= least * (1 - 1e-9) else "too small"
            test = f'IF({breaker}>=breaker_least_a{tail}*(1-1E-9),"carries it","too small")'
            book.circuits.append(Computed(f"breaker_verdict{tail}", f"{title}: the breaker", test, verdict, ""))


def figures(book: Book, sizing: Sizing) -> None:
    """The key figures whose terms the report has, each as a formula of annual energies."""
    found = {line.key: line for line in sizing.lines}
    known: dict[str, float] = {}
    for key, (symbol, unit, source) in _ENERGIES.items():
        line = found.get(source)
        if line is not None and line.value is not None and line.unit == unit:
            known[key] = line.value
            book.given.append(
                Given(f"{key}_{unit.lower()}", f"{symbol} of the year", line.value, unit, line.kind, line.basis)
            )
    computed: dict[str, float] = {}
    for key, formula, terms, unit in _FIGURES:
        if all(term in known for term in terms):
            a, b = (known[term] for term in terms[:2])
            divisor = b / {"wue": 3.6e9, "cue": 3.6e6}.get(key, 1.0)
            value = a / divisor if key != "ere" else computed["pue"] * (1 - computed["erf"])
            computed[key] = value
            line = found.get(f"kpi.{key}")
            book.figures.append(Computed(key, key.upper(), formula, value, unit, line.value if line else None))
