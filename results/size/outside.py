"""The air of a hall cooled by the air outside, without water between: let in, or across an exchanger.

The hall wants air of ``need`` at its fans, which warm it to the supply; it comes back warmer by ``rise``.

    need = supply - rise * fan / (1 + fan)        back = need + rise

``outside_air``: outside air is mixed with returned air, and leaves again. Of the air moved, ``let in`` is outside air:

    short  = max(db - need, 0)                    wetted = max(min(short, effectiveness * (db - wb), room), dry)
    source = db - wetted                          let in = min(1, rise / (back - source))

``wetted`` in K: by what pads or sprays cool, as much as is needed and at most what their effectiveness and the humidity
allowed (``room``) leave; ``dry``: by what water cools that brings too dry air up to the least dew point. Air above the
highest dew point is dried, and its latent heat, ``moist`` in K, comes on top of the source. ``indirect_air``: the
hall's own air goes round, over plates with outside air beyond:

    source = back - exchanger * (back - (db - wetted))      wetted as much as brings the source to need

A mechanical coil trims the rest, ``x = clip((source + moist - need) / (trim_share * rise), 0, 1)``: at 1 nothing is let
in. It evaporates an approach below ``need`` and condenses outdoors. Each K of ``wetted`` takes cp / latent heat of
water from as much air as carries the heat: ``let in * wetted / rise`` of the heat is evaporated. Fans that move the
hall's air also let it in and out; those beyond the plates, and of condensers, are ``dry_fan``. Neglected: moisture that
the coil condenses below the limit, the pumps of pads, and the height (humidity is taken at sea level).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from perwatt.results.size.elementwise import plain
from perwatt.results.size.fluid import AIR_CP_J_KG_K, psychrometrics
from perwatt.results.size.loop import LATENT_HEAT_MJ_KG, LEAST_LIFT_K, MJ_PER_KWH, Loop
from perwatt.results.size.parameter import Floats, Values

K_PER_HUMIDITY = LATENT_HEAT_MJ_KG * 1e6 / AIR_CP_J_KG_K  # by what air cools that takes up a kg of water per kg
SEA_LEVEL_PA = 101_325.0
SATURATION_C = (-60.0, 60.0)
SATURATION_STEP_K = 1.0


def need_c(p: Mapping[str, Values]) -> Values:
    """Air that the hall's fans want, in degrees C."""
    return p["supply_air_c"] - p["air_rise_k"] * p["air_fan"] / (1 + p["air_fan"])


@lru_cache(maxsize=1)
def saturation() -> tuple[tuple[float, float], ...]:
    """(temperature in degrees C, kg of water in a kg of dry air that is saturated), linear between by less than
    0.1 %."""
    psychro = psychrometrics()
    grid = np.arange(SATURATION_C[0], SATURATION_C[1] + SATURATION_STEP_K / 2, SATURATION_STEP_K)
    return tuple((float(t), float(psychro.GetSatHumRatio(float(t), SEA_LEVEL_PA))) for t in grid)


def saturated(temperature_c: Values) -> Values:
    """Humidity ratio of saturated air, whose dew point is its temperature."""
    grid, ratio = zip(*saturation(), strict=True)
    return plain(np.interp(temperature_c, grid, ratio))


def humidity(db_c: Values, wb_c: Values) -> Values:
    """Humidity ratio at a dry and a wet bulb: ASHRAE Fundamentals 2017, chapter 1, equations 33 and 35."""
    db, wb = np.asarray(db_c, np.float64), np.asarray(wb_c, np.float64)
    full: Floats = np.asarray(saturated(wb_c))
    wet = ((2501 - 2.326 * wb) * full - 1.006 * (db - wb)) / (2501 + 1.86 * db - 4.186 * wb)
    icy = ((2830 - 0.24 * wb) * full - 1.006 * (db - wb)) / (2830 + 1.86 * db - 2.1 * wb)
    return plain(np.maximum(np.where(wb >= 0, wet, icy), 0.0))


def air_loop(db_c: Values, wb_c: Values, plant: str, p: Mapping[str, Values], heat_w: Values) -> Loop:
    """The air's loop of ``heat_w`` (W per W of IT, its fans' included); ``p`` by the names of Cooling's fields.
    Elementwise; nothing is checked here."""
    rise_k, need = p["air_rise_k"], need_c(p)
    back_c = need + rise_k
    most_k = p["adiabatic_effectiveness"] * np.maximum(db_c - wb_c, 0.0)
    moist_k: Values = 0.0
    if plant == "outside_air":
        humid = humidity(db_c, wb_c)
        room_k = (saturated(p["dew_point_max_c"]) - humid) * K_PER_HUMIDITY
        dry_k = np.maximum(saturated(p["dew_point_min_c"]) - humid, 0.0) * K_PER_HUMIDITY
        wetted_k = np.minimum(np.maximum(db_c - need, 0.0), np.minimum(most_k, np.maximum(room_k, 0.0)))
        wetted_k = np.maximum(wetted_k, dry_k)
        source_c = db_c - wetted_k
        moist_k = np.maximum(-np.asarray(room_k), 0.0)
    else:
        short_k = np.maximum(db_c - (back_c - rise_k / p["exchanger_effectiveness"]), 0.0)
        wetted_k = np.minimum(short_k, most_k)
        source_c = back_c - p["exchanger_effectiveness"] * (back_c - (db_c - wetted_k))
    # air that is cool and humid takes up heat before it is dried
    above_k = np.maximum(source_c - need, 0.0) + moist_k
    trim = np.clip(above_k / (p["trim_share"] * rise_k), 0.0, 1.0)
    let_in: Values = np.where(trim < 1, 1.0, 0.0)
    if plant == "outside_air":
        let_in = let_in * np.minimum(rise_k / np.maximum(back_c - source_c, LEAST_LIFT_K), 1.0)
    evaporator_c = need - p["air_approach_k"]
    lift_k = np.maximum(db_c + p["dry_condenser_k"] - evaporator_c, LEAST_LIFT_K)
    cop = np.minimum(p["cop_max_dry"], p["carnot_fraction_dry"] * (evaporator_c + 273.15) / lift_k)
    compressor_w = trim * heat_w / cop
    rejected_w = heat_w + compressor_w
    blown_w = rejected_w - (1 - trim) * heat_w if plant == "outside_air" else rejected_w
    evaporated = MJ_PER_KWH / LATENT_HEAT_MJ_KG * let_in * wetted_k / rise_k * heat_w
    water = evaporated * p["cycles"] / (p["cycles"] - 1)
    return Loop(trim, source_c, 0.0 * heat_w, compressor_w, p["dry_fan"] * blown_w, rejected_w, water)
