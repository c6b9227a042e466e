"""The weather that a plant is sized for: a year of it in bins or hours, and the hottest hour that it must stand.

A typical year (TMY, IWEC) leaves out the extremes: its hottest hour in Copenhagen is 26.8 degrees C, the one to be
expected once in twenty years 31.0. A plant is sized on the latter. ASHRAE states it for 5, 10, 20 and 50 years, and
between those extremes follow Gumbel's distribution (Fundamentals 2017, chapter 14): the n-year maximum is linear in

    F(n) = -sqrt(6) / pi * (0.5772 + ln ln(n / (n - 1)))

Two things come on top: the warming since the record was taken, and the warm air that dry coolers blow and take in
again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from perwatt.results.size.elementwise import plain
from perwatt.results.size.parameter import Floats, Values
from perwatt.results.size.site import Climate


class Weather(NamedTuple):
    """Dry and wet bulb in degrees C and the ``hours`` that each lasts; shape (bins,), temperatures also
    (draws, bins)."""

    db_c: Floats
    wb_c: Floats
    hours: Floats

    def total(self, value: Values) -> Values:
        """Sum over the bins of ``value`` times hours, one a draw; a number for a number or one row."""
        whole = np.sum(np.broadcast_to(value, np.broadcast_shapes(np.shape(value), self.hours.shape)) * self.hours, -1)
        return plain(whole)

    def mean(self, value: Values) -> Values:
        """Mean of ``value`` over the hours, one a draw."""
        return self.total(value) / float(np.sum(self.hours))


def column(value: Values) -> Values:
    """A value as it meets bins: one a draw, shape (draws,), becomes (draws, 1); one number stays. Raises ValueError
    for any other shape: that would be laid along the bins in silence."""
    if np.ndim(value) == 0:
        return value
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 1:
        return array[:, None]
    if array.ndim == 2 and array.shape[1] == 1:
        return array
    raise ValueError(f"a value: found shape {array.shape}; allowed one number, or one a draw")


def of(climate: Climate) -> Weather:
    """The bins of ``climate``, each at its middle."""
    floor, hours, wet = np.array(climate.bins, dtype=np.float64).reshape(-1, 3).T
    dry = floor + 0.5
    # the mean wet bulb of a foggy bin may lie in its upper half
    return Weather(dry, np.minimum(wet, dry), hours)


def binned(weather: Weather) -> Weather:
    """Hours of a year, shape (hours,), in bins of 1 K of dry bulb, with the mean of what coincided."""
    floor = np.floor(weather.db_c)
    index = (floor - floor.min()).astype(np.int64)
    hours = np.asarray(np.bincount(index, weights=weather.hours), dtype=np.float64)
    kept = hours > 0
    dry = np.bincount(index, weights=weather.hours * weather.db_c)[kept] / hours[kept]
    wet = np.bincount(index, weights=weather.hours * weather.wb_c)[kept] / hours[kept]
    return Weather(dry, wet, hours[kept])


def shifted(weather: Weather, warming_k: Values) -> Weather:
    """Warmer by ``warming_k`` (one number, or one a draw). The wet bulb warms as much, as it nearly does at the same
    relative humidity: the safe side for towers and wet pads."""
    by = column(warming_k)
    return Weather(np.asarray(weather.db_c + by), np.asarray(weather.wb_c + by), weather.hours)


def design_db_c(
    climate: Climate, return_years: int, margin_k: Values, warming_k: Values, recirculation_k: Values
) -> tuple[Values, str]:
    """Dry bulb that the plant must stand, in degrees C, and what it rests on.

    The ``return_years`` maximum where the station states it, or lies between those that it states by Gumbel's line;
    else the typical year's highest hour and ``margin_k``. Never below what the typical year reached. Raises ValueError
    for less than 2 years.
    """
    if return_years < 2:
        raise ValueError(f"return_years: found {return_years}; allowed 2 or more")
    stated = {int(n): c for n, c in climate.n_year_max_c.items() if n >= 2}
    extra = "warming and recirculation on top"
    highest: Values
    if return_years in stated:
        highest = max(stated[return_years], climate.db_max_c)
        basis = f"{return_years}-year maximum {stated[return_years]:g} degC of {climate.station}, {extra}"
    elif len(stated) > 1:
        near = sorted(sorted(stated, key=lambda n: abs(_gumbel(n) - _gumbel(return_years)))[:2])
        at = (_gumbel(return_years) - _gumbel(near[0])) / (_gumbel(near[1]) - _gumbel(near[0]))
        found = stated[near[0]] + at * (stated[near[1]] - stated[near[0]])
        highest = max(found, climate.db_max_c)
        basis = (
            f"{return_years}-year maximum {found:.1f} degC from those of {near[0]} and {near[1]} years "
            f"(Gumbel) of {climate.station}, {extra}"
        )
    else:
        least = max([climate.db_max_c, *(c for n, c in stated.items() if n < return_years)])
        highest = plain(np.maximum(climate.db_max_c + margin_k, least))
        basis = f"highest hour {climate.db_max_c:g} degC of the typical year of {climate.station}, margin, {extra}"
    return highest + warming_k + recirculation_k, basis


def design_wb_c(climate: Climate, db_c: Values, margin_k: Values, warming_k: Values) -> tuple[Values, str]:
    """Wet bulb that goes with the design hour, in degrees C, and what it rests on; at most ``db_c``.

    The station's extreme where it states one, even where an hour of the typical year lies above (one reading of the
    humidity, which files do not check), else that year's highest and ``margin_k``. The hottest and the
    most humid hour seldom coincide: taking both is the safe side, and more than what recirculated air would add.
    """
    extreme = climate.extreme_wb_c
    if extreme is not None:
        highest: Values = extreme
        basis = f"extreme wet bulb {extreme:g} degC of {climate.station}, warming on top"
        if climate.wb_max_c > extreme:
            basis += f"; the typical year's highest, {climate.wb_max_c:.1f}, is not taken"
    else:
        highest = climate.wb_max_c + margin_k
        basis = f"highest wet bulb {climate.wb_max_c:g} degC of the typical year of {climate.station}, margin, warming"
    return plain(np.minimum(highest + warming_k, db_c)), basis


def coincident_wb_c(climate: Climate, db_c: Values, warming_k: Values) -> Values:
    """Wet bulb that comes with the hottest air of the typical year, in degrees C; at most ``db_c``. Pads evaporate the
    most in dry air: what they take is sized on it, and not on the extreme of the wet bulb."""
    return plain(np.minimum(climate.bins[-1][2] + warming_k, db_c))


def hours_above_record(climate: Climate) -> tuple[float | None, str]:
    """Hours of the typical year whose wet bulb lies above the station's extreme, for which towers and pads are sized,
    and what that rests on; None where they are not known. Warming moves both alike."""
    extreme, highest = climate.extreme_wb_c, climate.wb_max_c
    if extreme is None:
        return (
            0.0,
            f"{climate.station} states no extreme: sized on more than the highest of its year, {highest:g} degC",
        )
    of = f"typical year of {climate.station}: at most {highest:g} degC, extreme {extreme:g}"
    if climate.extreme_wb_hours is not None:
        return climate.extreme_wb_hours, of
    return (0.0, of) if highest <= extreme else (None, f"{of}: one hour or more, not kept in bins: an EPW file has it")


def _gumbel(years: float) -> float:
    return -math.sqrt(6) / math.pi * (0.5772 + math.log(math.log(years / (years - 1))))
