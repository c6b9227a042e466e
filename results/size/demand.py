"""What the fleet draws, from a unit to a row: columns side by side, and the circuits that feed racks and rows.

Columns: nameplate (what the codes ask for), the vendor's maximum, the measured median, 99 % and maximum, and what is
recommended. A unit's branch circuit is never below its nameplate unless a cap is enforced and the run proves it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from perwatt.results.size import feeds, fitting, redundancy, support
from perwatt.results.size.feeds import Circuit
from perwatt.results.size.finding import Finding
from perwatt.results.size.levels import GPU, RACK, ROW, SITE, UPS, Drawn, Level, draw, one_gpu
from perwatt.results.size.parameter import Kind, Values
from perwatt.results.size.request import Entry, Request
from perwatt.results.size.sheet import Sheet
from perwatt.results.size.site import Feed

TITLES = {
    "nameplate": "nameplate",
    "vendor_max": "vendor's maximum",
    "p50": "median",
    "p99": "99 %",
    "p999": "99.9 %",
    "max": "maximum",
    "recommended": "recommended",
}
MEASURED = {"p50": 0.5, "p99": 0.99, "max": 1.0}
UNIT_S = 1.0  # the window of a unit's figures
# Of a GPU, whose transients trip no breaker: window in s and quantile by column.
OF_A_GPU = {key: (GPU.window_s, q) for key, q in MEASURED.items()} | {"p999": (RACK.window_s, RACK.quantile)}


@dataclass
class Demand:
    """IT power of the whole fleet in W by column: ``site_w`` at the site's own statistic, ``ups_w`` at that of the UPS.
    ``liquid``: part of the recommended power whose heat goes into the liquid, ``liquid_w`` that heat of each entry and
    ``entry_w`` its recommended power. ``over``: which windows stand for those of the UPS and the site, in words.
    Racks, rows and the circuits of a rack of each entry. ``support_w``: of the recommended power what network, storage
    and management take; ``entry_w`` does not hold it, all totals do."""

    site_w: dict[str, Values] = field(default_factory=dict)
    ups_w: dict[str, Values] = field(default_factory=dict)
    liquid: Values = 0.0
    liquid_w: dict[str, Values] = field(default_factory=dict)
    entry_w: dict[str, Values] = field(default_factory=dict)
    support_w: Values = 0.0
    drawn: dict[str, Drawn] = field(default_factory=dict)
    racks: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    circuits: dict[str, Circuit] = field(default_factory=dict)
    over: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failing: list[Finding] = field(default_factory=list)


def place(request: Request, entry: Entry) -> str:
    """What stands in the keys of an entry's lines: its name, after a dot, or nothing where it is the only one."""
    return f".{entry.name}" if len(request.fleet) > 1 else ""


def demand(request: Request, values: Mapping[str, Values], sheet: Sheet) -> Demand:
    """Add the lines of units, racks and rows to ``sheet``; what the rest of the chain needs is returned."""
    found = Demand()
    electrical = request.site.electrical
    margin = 1 + values["site.electrical.margin"]
    growth = 1 + values["site.electrical.growth"]
    coincidence = values["site.electrical.coincidence"]
    for entry in request.fleet:
        drawn = draw(entry, values)
        found.drawn[entry.name] = drawn
        where = place(request, entry)
        _gpu(entry, where, values, sheet)
        columns = _unit(entry, where, drawn, values, sheet)
        racks = math.ceil(entry.units / entry.per_rack)
        in_row = min(entry.units, entry.per_rack * electrical.racks_per_row)
        rows = math.ceil(racks / electrical.racks_per_row)
        found.racks[entry.name], found.rows[entry.name] = racks, rows
        _counts(entry, where, racks, rows, electrical.racks_per_row, sheet)
        in_rack = min(entry.units, entry.per_rack)
        rack_w = drawn.together(in_rack, RACK, coincidence) * margin
        circuit = _feed(request, entry, values, rack_w, in_rack, found, sheet)
        basis = f"branch circuit: {circuit.floor}"
        _level(entry, where, RACK, in_rack, columns, drawn, coincidence, (circuit.load_w, basis), sheet)
        over = functools.partial(entry.load.over, designed=True)
        basis = f"99.9 % of {over(RACK.window_s, RACK.quantile)}, {drawn.how(in_rack)}, coincidence, margin"
        sheet.add(f"power{where}.rack.upward", "power", f"{entry.system.title}, one rack: demand passed upward", rack_w,
                  "W", basis, level="rack")  # fmt: skip
        row_w = drawn.together(in_row, ROW, coincidence) * margin
        # a busway warms in minutes, yet must not trip on a second
        row_w = np.maximum(row_w, drawn.of(in_row, UNIT_S, 1.0, coincidence) * drawn.raised(UNIT_S, 1.0))
        minute, second = (over(window_s, ROW.quantile) for window_s in (ROW.window_s, UNIT_S))
        basis = f"highest of {minute} with margin, at least the highest of {second}"
        _level(entry, where, ROW, in_row, columns, drawn, coincidence, (row_w, basis), sheet)
        _row(request, entry, values, row_w, found, sheet)
        recommended_w = np.maximum(
            drawn.together(entry.units, SITE, coincidence) * margin, drawn.of(entry.units, SITE.window_s, 1.0, 1.0)
        )
        ups_w = np.maximum(drawn.together(entry.units, UPS, coincidence) * margin, recommended_w)
        for totals, level, most_w in ((found.site_w, SITE, recommended_w), (found.ups_w, UPS, ups_w)):
            for column in ("nameplate", "vendor_max"):
                _sum(totals, column, entry.units * columns[column])
            for column, quantile in MEASURED.items():
                _sum(totals, column, drawn.of(entry.units, level.window_s, quantile, coincidence))
            _sum(totals, "recommended", most_w * growth)
            told = f"{entry.name}: " * (len(request.fleet) > 1) + over(level.window_s, level.quantile)
            found.over[level.name] = "; ".join([*filter(None, [found.over.get(level.name)]), told])
        found.entry_w[entry.name] = recommended_w * growth
        found.liquid_w[entry.name] = recommended_w * growth * values[f"fleet.{entry.name}.liquid_fraction"]
        _savings(entry, where, columns, recommended_w, sheet)
        fits = fitting.warnings(
            entry.system, request.site, per_rack=entry.per_rack, altitude_m=request.climate.altitude_m
        )
        found.warnings += [f"{entry.name}: {line}" for line in fits]
    if support.stands(request):
        _support(request, values, growth, found, sheet)
    liquid_w: Values = sum(found.liquid_w.values())
    found.liquid = liquid_w / found.site_w["recommended"]
    return found


def _support(request: Request, values: Mapping[str, Values], growth: Values, found: Demand, sheet: Sheet) -> None:
    """Network, storage and management into every column of the totals."""
    support.lines(request, values, growth, sheet)
    steady_w = support.steady_w(request, values)
    found.support_w = steady_w * growth
    for totals in (found.site_w, found.ups_w):
        for column in totals:
            _sum(totals, column, found.support_w if column == "recommended" else steady_w)
    found.over = {level: f"{told}; {support.TITLE} steady beside them" for level, told in found.over.items()}


def _counts(entry: Entry, where: str, racks: int, rows: int, racks_per_row: int, sheet: Sheet) -> None:
    """How many of what stands there."""
    counts: tuple[tuple[str, str, int, str, Kind], ...] = (
        ("units", "units", entry.units, "the request", "given"),
        ("gpus", "GPUs", entry.units * entry.system.gpus, f"{entry.system.gpus} a unit", "modelled"),
        ("racks", "racks", racks, f"units in a rack: {entry.per_rack}", "modelled"),
        ("rows", "rows", rows, f"{racks_per_row} racks a row", "modelled"),
    )
    for key, what, value, basis, kind in counts:
        sheet.add(f"fleet{where}.{key}", "fleet", f"{entry.system.title}: {what}", value, "", basis, kind=kind)


def _unit(entry: Entry, where: str, drawn: Drawn, values: Mapping[str, Values], sheet: Sheet) -> dict[str, Values]:
    """The columns of one unit in W."""
    system, load = entry.system, entry.load
    columns: dict[str, Values] = {key: values[f"fleet.{entry.name}.{key}_w"] for key in ("nameplate", "vendor_max")}
    kinds: dict[str, tuple[Kind, str]] = {
        "nameplate": (system.nameplate_w.kind, system.nameplate_w.source),
        "vendor_max": (system.vendor_max_w.kind, system.vendor_max_w.source),
    }
    for column, quantile in MEASURED.items():
        columns[column] = drawn.statistic(UNIT_S, quantile)
        kind: Kind = load.kind if load.observed else "modelled"
        kinds[column] = kind, f"{load.evidence}; {load.over(UNIT_S, quantile)}"
    if system.peak_w is not None:
        basis = f"{system.peak_w.source}; within milliseconds: for supplies and shelves, no statistic of a breaker"
        sheet.add(f"power{where}.unit.edpp", "power", f"{system.title}, one unit: electrical peak (EDPp)",
                  system.peak_w.mode, "W", basis, level="unit", kind=system.peak_w.kind)  # fmt: skip
    if load.cap_proof and load.cap_w is not None:
        columns["recommended"] = np.maximum(load.cap_w, columns["max"] * drawn.raised(UNIT_S, 1.0))
        kinds["recommended"] = "modelled", f"the cap of {load.cap_w / 1e3:.4g} kW: {load.cap_proof}"
    else:
        columns["recommended"] = np.maximum(columns["nameplate"], columns["max"])
        kinds["recommended"] = "modelled", "branch circuit: never below the nameplate without a proven power cap"
    for column, value in columns.items():
        kind, basis = kinds[column]
        label = f"{system.title}, one unit: {TITLES[column]}"
        sheet.add(f"power{where}.unit.{column}", "power", label, value, "W", basis, level="unit", kind=kind)
    return columns


def _gpu(entry: Entry, where: str, values: Mapping[str, Values], sheet: Sheet) -> None:
    """What one GPU draws: as its vendor states it, and as it was metered where the load is of GPUs."""
    system, key, title = entry.system, f"power{where}.gpu", f"{entry.system.title}, one GPU"
    sheet.add(f"{key}.vendor_max", "power", f"{title}: {TITLES['vendor_max']}", system.gpu_max_w.mode, "W",
              f"{system.gpu_max_w.source}; for no breaker", level="gpu", kind=system.gpu_max_w.kind)  # fmt: skip
    for column, (window_s, quantile) in OF_A_GPU.items():
        metered = one_gpu(entry, values, window_s, quantile)
        if metered is not None and entry.load.gpu is not None:
            basis = f"{entry.load.gpu.evidence}; means over {metered[1]:g} s; for no breaker"
            sheet.add(f"{key}.{column}", "power", f"{title}: {TITLES[column]}", metered[0], "W", basis, level="gpu",
                      kind=entry.load.gpu.kind)  # fmt: skip


def _level(
    entry: Entry,
    where: str,
    level: Level,
    units: int,
    columns: Mapping[str, Values],
    drawn: Drawn,
    coincidence: Values,
    recommended: tuple[Values, str],
    sheet: Sheet,
) -> None:
    """The columns of a rack or a row of ``units``: ``columns`` of one unit, ``recommended`` with its basis."""
    for column, value in columns.items():
        if column == "recommended":
            total, basis = recommended
        elif column in MEASURED:
            total = drawn.of(units, level.window_s, MEASURED[column], coincidence)
            means = entry.load.over(level.window_s, MEASURED[column])
            basis = f"units: {units}, {drawn.how(units)}; {means}: {TITLES[column]}"
        else:
            total, basis = units * value, f"units at their {TITLES[column]}: {units}"
        label = f"{entry.system.title}, one {level.name}: {TITLES[column]}"
        sheet.add(f"power{where}.{level.name}.{column}", "power", label, total, "W", basis, level=level.name)


def _feed(
    request: Request,
    entry: Entry,
    values: Mapping[str, Values],
    rack_w: Values,
    in_rack: int,
    found: Demand,
    sheet: Sheet,
) -> Circuit:
    """The circuits of a rack."""
    capped = bool(entry.load.cap_proof) and entry.load.cap_w is not None
    design_w = np.maximum(rack_w, in_rack * (entry.load.cap_w or 0.0)) if capped else rack_w
    nameplate_w = in_rack * values[f"fleet.{entry.name}.nameplate_w"]
    feed = request.site.electrical.feed
    circuit = _circuit(feed, values, design_w, nameplate_w, capped, feed.ratings_a, "rack")
    if capped and float(np.max(rack_w - in_rack * (entry.load.cap_w or 0.0))) > 0:
        circuit = replace(circuit, floor=f"the demand with its margin, above {circuit.floor}")
    found.circuits[entry.name] = circuit
    _circuit_lines(entry, place(request, entry), "rack", circuit, sheet)
    _short(entry, circuit, found)
    if entry.system.psu is not None and (lost := feeds.path_loss(entry.system.psu, circuit.paths)):
        found.warnings.append(f"{entry.name}: {lost}")
    return circuit


def _row(
    request: Request, entry: Entry, values: Mapping[str, Values], row_w: Values, found: Demand, sheet: Sheet
) -> None:
    """The busway of a row."""
    electrical = request.site.electrical
    circuit = _circuit(electrical.feed, values, row_w, None, False, electrical.row_ratings_a, "row")
    _circuit_lines(entry, place(request, entry), "row", circuit, sheet)
    _short(entry, circuit, found)


def _short(entry: Entry, circuit: Circuit, found: Demand) -> None:
    if circuit.failing:
        where, text = f"{entry.name}.{circuit.level}", f"{entry.name}: {circuit.failing}"
        found.failing.append(Finding(where, text, circuit.short))


def _circuit(
    feed: Feed,
    values: Mapping[str, Values],
    design_w: Values,
    nameplate_w: Values | None,
    capped: bool,
    ratings_a: tuple[float, ...],
    level: str,
) -> Circuit:
    of = "site.electrical.feed"
    return feeds.circuit(
        design_w,
        nameplate_w,
        capped,
        feed,
        values[f"{of}.voltage_v"],
        values[f"{of}.power_factor"],
        values[f"{of}.continuous_factor"],
        values[f"{of}.temperature_factor"],
        ratings_a=ratings_a,
        level=level,
        most=feed.circuits if level == "rack" else 1,
    )


def _circuit_lines(entry: Entry, where: str, level: str, circuit: Circuit, sheet: Sheet) -> None:
    title, key = f"{entry.system.title}, one {level}", f"feeds{where}.{level}"
    basis = f"sized on {circuit.floor}; {circuit.after_loss}"
    if np.any(np.asarray(circuit.circuits) > 1):
        basis += "; circuits of a path share its load evenly"
    for name, label, value, unit in (
        ("load", "design load", circuit.load_w, "W"),
        ("path", "load of a path, one path lost", circuit.path_w, "W"),
        ("circuits", "circuits a path", circuit.circuits, ""),
        ("rating", "breaker", circuit.rating_a, "A"),
        ("normal", "current, all paths alive", circuit.normal_a, "A"),
        ("failover", "current, one path lost", circuit.failover_a, "A"),
        ("used", "of what the breaker may carry, one path lost", circuit.used, "1"),
    ):
        sheet.add(f"{key}.{name}", "feeds", f"{title}: {label}", value, unit, basis, level=level)


def _savings(entry: Entry, where: str, columns: Mapping[str, Values], recommended_w: Values, sheet: Sheet) -> None:
    """How much less than the nameplates the fleet needs, and what the same power would feed."""
    nameplate_w = entry.units * columns["nameplate"]
    saved_w = nameplate_w - recommended_w
    basis = "nameplate of all units less the recommended power of the fleet, both at the racks"
    title = entry.system.title
    sheet.add(f"savings{where}.fleet.power", "savings", f"{title}: below nameplate", saved_w, "W", basis, level="site")
    hosted = redundancy.fits(nameplate_w, recommended_w / entry.units)
    more = hosted - entry.units
    sheet.add(f"savings{where}.fleet.units", "savings", f"{title}: more units from the nameplates' power", more, "",
              basis, level="site")  # fmt: skip
    sheet.add(f"savings{where}.fleet.racks", "savings", f"{title}: more racks from the nameplates' power",
              np.floor(more / entry.per_rack), "", basis, level="site")  # fmt: skip


def _sum(totals: dict[str, Values], column: str, value: Values) -> None:
    totals[column] = totals.get(column, 0.0) + value
