"""Years of weather for tests: a made-up one, and the stations' bins where they are at hand."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np

from perwatt.results.size.parameter import Floats
from perwatt.results.size.site import Climate
from perwatt.results.size.weather import Weather


def made_up(mean_c: float = 9.0) -> tuple[Floats, Floats]:
    """Dry bulb and relative humidity of 8760 hours: seasons, days, and a little chance."""
    hour = np.arange(8760)
    rng = np.random.default_rng(5)
    slow = np.convolve(rng.normal(0, 12, 8760 + 99), np.ones(100) / 100, "valid")
    dry = (
        mean_c - 8.5 * np.cos(2 * np.pi * (hour / 8760 - 0.05)) - 3.5 * np.cos(2 * np.pi * (hour % 24 - 3) / 24) + slow
    )
    humidity = np.clip(80 - 1.2 * (dry - mean_c) + rng.normal(0, 5, 8760), 15, 100)
    return np.round(dry, 1), np.round(humidity)


def climate(**changes: object) -> Climate:
    """Copenhagen's extremes over two bins."""
    whole = Climate(
        name="here",
        title="Here",
        station="STATION",
        source="made up",
        bins=((5.0, 8000.0, 4.0), (20.0, 760.0, 16.0)),
        db_max_c=26.8,
        wb_max_c=19.46,
        cdd21=0.87,
        n_year_max_c={5: 29.1, 10: 30.0, 20: 31.0, 50: 32.2},
        extreme_wb_c=22.4,
    )
    return msgspec.structs.replace(whole, **changes)


def stations(data: Path) -> dict[str, Weather]:
    """The published stations by name, in bins of 1 K."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    with (data / "climate/drybulb_bins_1K_all_stations.csv").open() as file:
        for row in csv.DictReader(file):
            bin_ = float(row["db_floor_C"]) + 0.5, float(row["mcwb"]), float(row["hours"])
            rows.setdefault(row["station"], []).append(bin_)
    found = {}
    for name, bins in rows.items():
        dry, wet, hours = np.array(bins).T
        found[name] = Weather(dry, np.minimum(wet, dry), hours)
    return found
