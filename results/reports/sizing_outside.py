"""The workbook's plants by air: outside air let in, or across an exchanger, as in
:mod:`perwatt.results.size.outside`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from perwatt.results.reports.sizing_cells import Draft
from perwatt.results.reports.sizing_formula import Term, choose, interpolated, least, most
from perwatt.results.size.loop import LEAST_LIFT_K, PLANTS
from perwatt.results.size.outside import K_PER_HUMIDITY, saturation


def kind(d: Draft) -> Term:
    """The cell that says what the plant is."""
    return d.stated("plant", f"plant: {', '.join(PLANTS)}", str(d.sizing.request["plant"]), "", "the site")


def needs(d: Draft) -> None:
    """The cells of what such a plant wants, whatever the plant is: a cell may be edited to another."""
    block, plant = d.book.cooling, kind(d)
    by_air = choose(plant.says("outside_air"), 1, choose(plant.says("indirect_air"), 1, 0))
    by_air = d.put(block, "by_air", "air without water between (1: yes)", by_air, "")
    fan = d.term("cooling.air_fan")
    need = d.term("cooling.supply_air_c") - d.cell("hall_rise_k") * fan / (1 + fan)
    d.put(block, "need_outdoor_c", "air needed at the fans of the hall", need, "degC")
    d.book.curves["humid"] = "air: humidity when saturated, kg/kg", "degC", saturation()
    for key, end, label in (
        ("driest", "dew_point_min_c", "humidity: least that is let in"),
        ("wettest", "dew_point_max_c", "humidity: most that is let in"),
    ):
        d.put(block, key, label, interpolated(d.term(f"cooling.{end}"), "humid", list(saturation())), "1")


class Outdoor(NamedTuple):
    """``wetted``: by what pads cool; the part that is trimmed, and that of the air which is outside air, by it."""

    wetted: Term
    trim: Callable[[Term], Term]
    let_in: Callable[[Term, Term], Term]


def loop(d: Draft, put: Callable[[str, str, Term, str], Term], db: Term, wb: Term) -> Outdoor:
    """The air's loop at a dry and a wet bulb."""
    direct = kind(d).says("outside_air")
    need, rise, exchanger = d.cell("need_outdoor_c"), d.cell("hall_rise_k"), d.term("cooling.exchanger_effectiveness")
    back = need + rise
    full = interpolated(wb, "humid", list(saturation()))
    wet = ((2501 - 2.326 * wb) * full - 1.006 * (db - wb)) / (2501 + 1.86 * db - 4.186 * wb)
    icy = ((2830 - 0.24 * wb) * full - 1.006 * (db - wb)) / (2830 + 1.86 * db - 2.1 * wb)
    humid = put("humidity", "humidity outside, kg/kg", most(choose(wb >= 0, wet, icy), 0), "1")
    pads = d.term("cooling.adiabatic_effectiveness") * most(db - wb, 0)
    room = most((d.cell("wettest") - humid) * K_PER_HUMIDITY, 0)
    moist = most((humid - d.cell("wettest")) * K_PER_HUMIDITY, 0)
    dry = most((d.cell("driest") - humid) * K_PER_HUMIDITY, 0)
    of_direct = most(least(most(db - need, 0), least(pads, room)), dry)
    of_plates = least(most(db - (back - rise / exchanger), 0), pads)

    def source(wetted: Term) -> Term:
        return choose(direct, db - wetted, back - exchanger * (back - (db - wetted)))

    def trim(wetted: Term) -> Term:
        above = most(source(wetted) - need, 0) + choose(direct, moist, 0)
        return least(above / (d.term("cooling.trim_share") * rise), 1)

    def let_in(wetted: Term, trimmed: Term) -> Term:
        mixed = choose(direct, least(rise / most(back - source(wetted), LEAST_LIFT_K), 1), 1)
        return choose(d.cell("by_air") > 0, choose(trimmed < 1, mixed, 0), 0)

    return Outdoor(choose(direct, of_direct, of_plates), trim, let_in)
