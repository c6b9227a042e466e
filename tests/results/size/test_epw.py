from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import climates
import numpy as np
import pytest

from perwatt.results.size import epw, weather
from perwatt.results.size.fluid import psychrometrics

LOCATION = "LOCATION,Somewhere,-,DNK,TMYx,061800,55.63,12.67,1.0,5.0"
HEATING = "Heating,1,-11.2,-8,-13.8,1.1,-10.2,-10.8,1.5,-6.8,15,5.9,13.3,6.3,2.1,20"
COOLING = "Cooling,7,9.2,26.7,18.3,24.8,17.4,22.8,16.5,19.2,24.1,18.2,22.9,17.3,21.5,4.3,140,17.6,12.8,21,16.3,11.7"
EDITION_2009 = (
    f"DESIGN CONDITIONS,1,Climate Design Data 2009 ASHRAE Handbook,,{HEATING},{COOLING},19.5,15.5,11.1,18.6,54.8,24,"
    "51.5,23,48.7,21.5,988,Extremes,11.3,9.9,8.9,23.5,-14,29.2,3.8,1.8,-16.7,30.5,-18.9,31.5,-21.1,32.5,-23.8,33.8"
)
EDITION_2017 = (
    f"DESIGN CONDITIONS,1,2017 ASHRAE Handbook -- Fundamentals,,{HEATING},{COOLING},20.1,16.2,11.6,19.2,56.4,24.4,"
    "53.2,23.4,50.2,21.7,23.5,Extremes,11.4,10.1,8.9,-13.6,30.2,3,1.5,-15.7,31.3,-17.5,32.2,-19.1,33,-21.3,34.2,-13.8"
)
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
STAMPS = [(m, d, h) for m, n in enumerate(DAYS, 1) for d in range(1, n + 1) for h in range(1, 25)]

Rows = list[list[str]]
Write = Callable[..., Path]


def rows(pressure: str = "100500") -> Rows:
    dry, humidity = climates.made_up()
    rest = ["0"] * 21 + ["9", "999999999", "120", "0.0", "0", "88", "0.2", "0.0", "1.0"]
    return [
        ["2009", str(m), str(d), str(h), "60", "?9", f"{t:.1f}", "3.0", f"{r:.0f}", pressure, *rest[:25]]
        for (m, d, h), t, r in zip(STAMPS, dry, humidity, strict=True)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(
        table: Rows, design: str = EDITION_2009, periods: str = "DATA PERIODS,1,1,Data,Sunday,1/1,12/31"
    ) -> Path:
        header = [LOCATION, design, "TYPICAL/EXTREME PERIODS,0", "GROUND TEMPERATURES,0"]
        header += ["HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0", "COMMENTS 1,made up", "COMMENTS 2,", periods]
        path = tmp_path / "somewhere.epw"
        path.write_text("\r\n".join([*header, *(",".join(row) for row in table)]) + "\r\n")
        return path

    return written


def test_a_year_is_read_whole(write: Write) -> None:
    climate, hours = epw.read(write(rows()))
    dry, humidity = climates.made_up()
    np.testing.assert_allclose(hours.db_c, dry)
    assert hours.total(1.0) == 8760
    assert climate.db_max_c == dry.max()
    assert climate.wb_max_c == hours.wb_c.max()
    assert climate.altitude_m == 5.0
    assert climate.title == "Somewhere, DNK"
    daily = dry.reshape(365, 24).mean(1)
    assert climate.cdd21 == pytest.approx(np.maximum(daily - 21, 0).sum())
    one = psychrometrics().GetTWetBulbFromRelHum(float(dry[4321]), float(humidity[4321]) / 100, 100500.0)
    assert hours.wb_c[4321] == pytest.approx(one)


def test_bins_of_a_file_are_its_hours(write: Write) -> None:
    climate, hours = epw.read(write(rows()))
    year = weather.of(climate)
    assert year.total(1.0) == 8760
    assert year.mean(year.db_c) == pytest.approx(hours.mean(hours.db_c), abs=0.06)
    # bins hold wet bulbs as means, so theirs is that of the hours but for fog
    assert year.mean(year.wb_c) == pytest.approx(hours.mean(hours.wb_c), abs=0.01)


def test_extremes_of_both_editions_of_the_handbook(write: Write) -> None:
    old = epw.design_conditions(EDITION_2009.split(","))
    new = epw.design_conditions(EDITION_2017.split(","))
    assert old == ({5: 30.5, 10: 31.5, 20: 32.5, 50: 33.8}, 23.5)
    assert new == ({5: 31.3, 10: 32.2, 20: 33.0, 50: 34.2}, 23.5)
    assert epw.read(write(rows(), EDITION_2017))[0].n_year_max_c[20] == 33.0


@pytest.mark.parametrize(
    "design",
    [
        "DESIGN CONDITIONS,0",
        EDITION_2009.replace("31.5,-21.1,32.5", "99.5,-21.1,32.5"),
        EDITION_2009.replace(",33.8", ""),
        EDITION_2009.replace("-16.7", "n/a"),
    ],
)
def test_no_extremes_are_made_of_what_are_none(design: str) -> None:
    assert epw.design_conditions(design.split(",")) == ({}, None)


def test_a_station_without_a_barometer_takes_its_altitudes_pressure(write: Write) -> None:
    with_it, without = epw.read(write(rows("101265")))[1], epw.read(write(rows("999999")))[1]
    np.testing.assert_allclose(without.wb_c, with_it.wb_c, atol=0.01)


def _without(table: Rows, first: int, count: int) -> Rows:
    return table[:first] + table[first + count :]


def _with(table: Rows, row: int, field: int, value: str) -> Rows:
    table[row][field] = value
    return table


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda t: _without(t, 4700, 5), "found no hour 07-15 21h, 5 such in all; allowed the 8760 hours"),
        (lambda t: t[:4000], "found no hour 06-16 17h, 4760 such in all"),
        (lambda t: [*t, t[10]], "found the hour 01-01 11h twice; allowed once"),
        (lambda t: _with(t, 30, 3, "25"), "allowed rows of an EPW file"),
        (
            lambda t: _with(t, 30, 6, "99.9"),
            "found dry bulb 99.9 at 01-02 07h and in 1 hours in all; allowed -90 to 60",
        ),
        (lambda t: _with(t, 30, 6, "58"), "found dry bulb 58 at 01-02 07h after .*; allowed 30 K in an hour"),
        (lambda t: _with(t, 31, 8, "999"), "found relative humidity 999 at 01-02 08h and in 1 hours"),
        (lambda t: _with(t, 32, 6, ""), "found dry bulb nan at 01-02 09h"),
        (lambda t: _with(t, 33, 6, "warm"), "could not convert string to float"),
        (lambda t: [], "allowed"),
    ],
)
def test_what_is_no_year_is_refused_in_a_line(write: Write, broken: Callable[[Rows], Rows], message: str) -> None:
    path = write(broken(rows()))
    with pytest.raises(ValueError, match=message) as caught:
        epw.read(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_epw_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file or directory; allowed an EPW file"):
        epw.read(tmp_path / "none.epw")
    other = tmp_path / "other.epw"
    other.write_text("t_s,power_w\n0,1\n")
    with pytest.raises(ValueError, match="found a header that begins 't_s,power_w'; allowed EPW's eight lines"):
        epw.read(other)
    with pytest.raises(ValueError, match="found 4 records an hour; allowed 1"):
        epw.read(write(rows(), periods="DATA PERIODS,1,4,Data,Sunday,1/1,12/31"))
