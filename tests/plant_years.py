"""A year of a cooling plant by itself: every bin of the weather, and the design hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from perwatt.results.size.parameter import Values
from perwatt.results.size.plant import Hour, hour
from perwatt.results.size.weather import Weather, column


class Year(NamedTuple):
    """``mean``: every figure of :class:`Hour` as its mean over the hours, which is energy per energy of IT (``pue`` is
    the year's, ``water_l_per_kwh`` its WUE, ``reachable`` the part of the hours). ``peak``: at the design hour.
    ``bins``: by the hours of ``weather``, draws by bins. ``free_hours``: without any compressor;
    ``liquid_free_hours``: without one for the coolant."""

    mean: Hour
    peak: Hour
    bins: Hour
    weather: Weather
    free_hours: Values
    liquid_free_hours: Values

    @property
    def pue(self) -> Values:
        """Of the year."""
        return self.mean.pue

    @property
    def wue(self) -> Values:
        """Of the year, in L per kWh of IT."""
        return self.mean.water_l_per_kwh

    @property
    def pue_peak(self) -> Values:
        """At the design hour: the electrical capacity is sized on it."""
        return self.peak.pue


def year(
    weather: Weather,
    plant: str,
    p: Mapping[str, Values],
    liquid_fraction: Values,
    electrical_fraction: Values,
    design_db_c: Values,
    design_wb_c: Values,
    hall_fraction: Values | None = None,
) -> Year:
    """The plant over a year and at its design hour.

    Every value is one number or one a draw, shape (draws,); so are the outcomes, but ``bins`` is (draws, bins).
    Ten thousand draws want bins, not 8760 hours. Raises ValueError as :func:`hour` does.
    """
    drawn = {name: column(value) for name, value in p.items()}
    hall = None if hall_fraction is None else column(hall_fraction)
    shares = column(liquid_fraction), column(electrical_fraction)
    bins = hour(weather.db_c, weather.wb_c, plant, drawn, *shares, hall)
    peak = hour(column(design_db_c), column(design_wb_c), plant, drawn, *shares, hall)
    return Year(
        mean=Hour(*(weather.mean(value) for value in bins)),
        peak=Hour(*(_flat(value) for value in peak)),
        bins=bins,
        weather=weather,
        free_hours=weather.total(np.where(np.asarray(bins.free_fraction) >= 1.0, 1.0, 0.0)),
        liquid_free_hours=weather.total(bins.reachable),
    )


def _flat(value: Values) -> Values:
    """One a draw, from (draws, 1)."""
    return np.asarray(value)[..., 0] if np.ndim(value) else value
