"""A year of weather from an EPW file (EnergyPlus), as a climate: any station of the world, read offline.

pvlib reads the table; psychrolib gives the wet bulb at the station's pressure, from dry bulb and relative humidity.
A file that is no whole year, that has an hour twice, or that misses a reading is refused: a gap in July is worth more
than all of January. The header's design conditions give extremes, where it has them. Their layout differs between
editions of ASHRAE's handbook (2017 moved the extreme wet bulb), so the n-year values are looked for by what they must
be: minima that fall and maxima that rise with the years.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perwatt.results.optional import library
from perwatt.results.size.fluid import psychrometrics, standard_pressure_pa
from perwatt.results.size.kpi import cdd
from perwatt.results.size.parameter import Floats
from perwatt.results.size.site import Climate
from perwatt.results.size.weather import Weather

YEARS = (5, 10, 20, 50)
BASE_C = 21.0  # of cooling degree days: every day above it counts, as in the climates that are shipped
# what may stand in each column, dry bulbs a little beyond what weather reaches: assumed
# EPW's codes for missing are 99.9, 999 and 999999
COLUMNS = {"temp_air": ("dry bulb", -90.0, 60.0), "relative_humidity": ("relative humidity", 0.0, 110.0)}
PRESSURES_PA = (31_000.0, 120_000.0)
HEADER_LINES = 8
JUMP_K = 30.0  # no hour is warmer or colder than the one before by more: a reading that is wrong
HOURS = range(1, 25)  # hour 1 ends at one o'clock


def read(path: Path) -> tuple[Climate, Weather]:
    """The climate of an EPW file, in bins of 1 K, and its hours, shape (8760,) or (8784,). Raises ValueError, in one
    line that names the file, for what is no whole year of weather."""
    header = _header(path)
    table, meta = _table(path)
    _whole_year(path, table)
    altitude_m = float(meta["altitude"])
    for column, (name, low, high) in COLUMNS.items():
        _complete(path, table, column, name, low, high)
    pressure_pa = table["atmospheric_pressure"].to_numpy(dtype=np.float64)
    # a station without a barometer: its altitude tells the pressure well enough for a wet bulb
    known = (pressure_pa > PRESSURES_PA[0]) & (pressure_pa < PRESSURES_PA[1])
    pressure_pa = np.where(known, pressure_pa, standard_pressure_pa(altitude_m))
    dry = table["temp_air"].to_numpy(dtype=np.float64)
    _steady(path, table, dry)
    humidity = np.clip(table["relative_humidity"].to_numpy(dtype=np.float64) / 100, 0.0, 1.0)
    wet = wet_bulb_c(dry, humidity, pressure_pa)
    city = str(meta["city"])
    n_year_max_c, extreme_wb_c = design_conditions(header[1].split(","))
    days = (table["month"] * 100 + table["day"]).to_numpy()
    _, day = np.unique(days, return_inverse=True)
    climate = Climate(
        name=path.stem,
        title=f"{city}, {meta['country']}",
        station=path.stem,
        source=f"{path.name} ({meta['data_type']}, WMO {meta['WMO_code']}); wet bulb by psychrolib",
        bins=_bins(dry, wet),
        db_max_c=float(dry.max()),
        wb_max_c=float(wet.max()),
        cdd21=float(cdd(np.bincount(day, weights=dry) / np.bincount(day), BASE_C, BASE_C)),
        n_year_max_c=n_year_max_c,
        altitude_m=altitude_m,
        extreme_wb_c=extreme_wb_c,
        extreme_wb_hours=None if extreme_wb_c is None else float(np.count_nonzero(wet > extreme_wb_c)),
    )
    return climate, Weather(dry, wet, np.ones(len(dry)))


def wet_bulb_c(db_c: Floats, relative_humidity: Floats, pressure_pa: Floats) -> Floats:
    """Wet bulb in degrees C of arrays of one shape (ASHRAE Fundamentals 2017, chapter 1, equations 33 and 35)."""
    one = psychrometrics().GetTWetBulbFromRelHum
    rows = zip(db_c.tolist(), relative_humidity.tolist(), pressure_pa.tolist(), strict=True)
    found: Floats = np.array([one(*row) for row in rows], dtype=np.float64)
    return np.minimum(found, db_c)


def design_conditions(fields: Sequence[str]) -> tuple[dict[int, float], float | None]:
    """n-year maxima of the dry bulb and the extreme wet bulb, in degrees C, from the header's line of design
    conditions; empty and None where it has none."""
    words = [field.strip() for field in fields]
    if "Extremes" not in words:
        return {}, None
    start = words.index("Extremes") + 1
    # 2009 and 2013: three winds, extreme wet bulb, mean and spread of extremes, n-year values; 2017 has that wet bulb
    # as the last of the cooling conditions, before the word
    for offset, wet_at in ((4, start + 3), (3, start - 2)):
        values = [_number(word) for word in words[start + offset : start + offset + 12]]
        if len(values) < 12 or None in values:
            continue
        known = [value for value in values if value is not None]
        minima, maxima = [known[0], *known[4::2]], [known[1], *known[5::2]]
        spread_is_one = min(known[2:4]) >= 0
        if spread_is_one and minima == sorted(minima, reverse=True) and maxima == sorted(maxima) and minima < maxima:
            wet = _number(words[wet_at])
            sensible = wet is not None and 0 < wet < maxima[-1]
            return dict(zip(YEARS, maxima[1:], strict=True)), wet if sensible else None
    return {}, None


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="latin-1") as file:
            lines = [file.readline().rstrip("\r\n") for _ in range(HEADER_LINES)]
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; allowed an EPW file") from None
    if not (lines[0].startswith("LOCATION") and lines[7].startswith("DATA PERIODS")):
        raise ValueError(f"{path}: found a header that begins {lines[0][:20]!r}; allowed EPW's eight lines")
    per_hour = lines[7].split(",")[2:3]
    if per_hour != ["1"]:
        raise ValueError(f"{path}: found {''.join(per_hour) or 'no'} records an hour; allowed 1")
    return lines


def _table(path: Path) -> tuple[Any, dict[str, Any]]:
    try:
        with path.open(encoding="latin-1") as file:
            table, meta = library("pvlib.iotools", "sizing").read_epw(file)
            for column in ("month", "day", "hour", *COLUMNS, "atmospheric_pressure"):
                table[column] = table[column].astype(float)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if "pip install" in str(error):
            raise
        raise ValueError(f"{path}: {' '.join(str(error).split())[:120]}; allowed rows of an EPW file") from None
    return table, meta


def _whole_year(path: Path, table: Any) -> None:
    once, times = np.unique(_codes(table), return_counts=True)
    if np.any(times > 1):
        raise ValueError(f"{path}: found the hour {_stamp(float(once[times > 1][0]))} twice; allowed once")
    leap = bool(np.any((once >= 22_900) & (once < 23_000)))
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    year = np.array([m * 10_000 + d * 100 + h for m, n in enumerate(days, 1) for d in range(1, n + 1) for h in HOURS])
    for found, what in ((np.setdiff1d(year, once), "found no"), (np.setdiff1d(once, year), "found an")):
        if len(found):
            raise ValueError(
                f"{path}: {what} hour {_stamp(float(found[0]))}, {len(found)} such in all; allowed the {len(year)} "
                "hours of a year, 1 to 24 each day"
            )


def _complete(path: Path, table: Any, column: str, name: str, low: float, high: float) -> None:
    values = table[column].to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~((values >= low) & (values <= high)))
    if len(wrong):
        at = _stamp(_codes(table)[wrong[0]])
        raise ValueError(
            f"{path}: found {name} {values[wrong[0]]:g} at {at} and in {len(wrong)} hours in all; "
            f"allowed {low:g} to {high:g} in each"
        )


def _steady(path: Path, table: Any, dry: Floats) -> None:
    jumps = np.abs(np.diff(dry))
    if np.any(jumps > JUMP_K):
        at = int(np.argmax(jumps)) + 1
        stamp = _stamp(_codes(table)[at])
        raise ValueError(
            f"{path}: found dry bulb {dry[at]:g} at {stamp} after {dry[at - 1]:g}; allowed {JUMP_K:g} K in an hour"
        )


def _codes(table: Any) -> Floats:
    """Of each row its month, day and hour as one number."""
    codes: Floats = (table["month"] * 10_000 + table["day"] * 100 + table["hour"]).to_numpy(dtype=np.float64)
    return codes


def _stamp(code: float) -> str:
    month, rest = divmod(int(code), 10_000)
    return f"{month:02d}-{rest // 100:02d} {rest % 100:02d}h"


def _bins(dry: Floats, wet: Floats) -> tuple[tuple[float, float, float], ...]:
    floor = np.floor(dry)
    edges, index, hours = np.unique(floor, return_inverse=True, return_counts=True)
    means = np.bincount(index, weights=wet) / hours
    return tuple(zip(edges.tolist(), hours.astype(np.float64).tolist(), means.tolist(), strict=True))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
