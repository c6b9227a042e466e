from __future__ import annotations

import climates
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import weather


def test_a_stated_maximum_is_taken_and_what_comes_on_top_is_added() -> None:
    db, basis = weather.design_db_c(climates.climate(), 20, 4.1, 1.5, 2.5)
    assert db == pytest.approx(31.0 + 1.5 + 2.5)
    assert basis == "20-year maximum 31 degC of STATION, warming and recirculation on top"


@pytest.mark.parametrize("left_out", [10, 20])
def test_years_between_follow_gumbel(left_out: int) -> None:
    # the station's own value, left out, is found again within its rounding
    stated = climates.climate().n_year_max_c
    without = climates.climate(n_year_max_c={n: c for n, c in stated.items() if n != left_out})
    db, basis = weather.design_db_c(without, left_out, 4.1, 0.0, 0.0)
    assert db == pytest.approx(stated[left_out], abs=0.15)
    assert "Gumbel" in basis


def test_gumbel_is_ashraes_formula() -> None:
    # mean of the annual extremes 27.9, their spread 1.7: 31.0 in 20 years, 32.2 in 50 (the station's header)
    assert 27.9 + 1.7 * weather._gumbel(20) == pytest.approx(31.0, abs=0.1)
    assert 27.9 + 1.7 * weather._gumbel(50) == pytest.approx(32.2, abs=0.15)


def test_without_extremes_the_typical_year_and_a_margin_serve() -> None:
    plain = climates.climate(n_year_max_c={})
    db, basis = weather.design_db_c(plain, 20, np.array([3.0, 6.0]), 1.5, np.array([1.0, 4.0]))
    np.testing.assert_allclose(db, [26.8 + 3 + 1.5 + 1, 26.8 + 6 + 1.5 + 4])
    assert basis == "highest hour 26.8 degC of the typical year of STATION, margin, warming and recirculation on top"


def test_one_extreme_of_fewer_years_is_a_floor() -> None:
    one = climates.climate(n_year_max_c={5: 29.1})
    assert weather.design_db_c(one, 20, 1.0, 0.0, 0.0)[0] == 29.1
    assert weather.design_db_c(one, 20, 4.0, 0.0, 0.0)[0] == pytest.approx(30.8)


@settings(max_examples=60, deadline=None)
@given(a=st.integers(2, 200), b=st.integers(2, 200))
def test_more_years_are_never_cooler(a: int, b: int) -> None:
    low, high = (weather.design_db_c(climates.climate(), n, 4.0, 0.0, 0.0)[0] for n in sorted((a, b)))
    assert low <= high
    assert low >= 26.8


def test_a_return_of_one_year_is_refused() -> None:
    with pytest.raises(ValueError, match="return_years: found 1; allowed 2 or more"):
        weather.design_db_c(climates.climate(), 1, 4.0, 1.5, 2.5)


def test_wet_bulb_of_the_design_hour_never_exceeds_its_dry_bulb() -> None:
    assert weather.design_wb_c(climates.climate(), 35.0, 4.0, 1.5)[0] == pytest.approx(23.9)
    assert weather.design_wb_c(climates.climate(), 20.0, 4.0, 1.5)[0] == 20.0
    # one humid reading of the typical year above what the station states is told, not taken
    found, basis = weather.design_wb_c(climates.climate(wb_max_c=33.0), 35.0, 4.0, 1.5)
    assert found == pytest.approx(23.9)
    assert basis.endswith("the typical year's highest, 33.0, is not taken")
    found, basis = weather.design_wb_c(climates.climate(extreme_wb_c=None), 35.0, 4.0, np.array([0.5, 2.0]))
    np.testing.assert_allclose(found, [23.96, 25.46])
    assert "19.46" in basis


def test_bins_stand_in_their_middle_and_make_a_year() -> None:
    year = weather.of(climates.climate())
    np.testing.assert_allclose(year.db_c, [5.5, 20.5])
    assert year.total(1.0) == 8760
    assert year.mean(year.db_c) == pytest.approx((5.5 * 8000 + 20.5 * 760) / 8760)


def test_means_over_draws_and_bins() -> None:
    year = weather.of(climates.climate())
    draws = np.array([[1.0], [2.0]])
    np.testing.assert_allclose(year.mean(draws), [1.0, 2.0])
    np.testing.assert_allclose(year.mean(draws * year.db_c), np.array([1.0, 2.0]) * float(year.mean(year.db_c)))
    assert year.mean(3.0) == 3.0


def test_shift_moves_every_bin_and_takes_draws() -> None:
    year = weather.of(climates.climate())
    warmer = weather.shifted(year, np.array([0.0, 1.5]))
    assert warmer.db_c.shape == (2, 2)
    np.testing.assert_allclose(warmer.db_c[1], year.db_c + 1.5)
    np.testing.assert_allclose(warmer.wb_c[1], year.wb_c + 1.5)


def test_values_laid_along_the_bins_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found shape \(3, 2\); allowed one number, or one a draw"):
        weather.column(np.zeros((3, 2)))


def test_binning_keeps_hours_and_means() -> None:
    dry, humidity = climates.made_up()
    hours = weather.Weather(dry, dry - (100 - humidity) / 10, np.ones(8760))
    bins = weather.binned(hours)
    assert len(bins.hours) < 50
    assert bins.total(1.0) == 8760
    assert bins.mean(bins.db_c) == pytest.approx(hours.mean(hours.db_c))
    assert bins.mean(bins.wb_c) == pytest.approx(hours.mean(hours.wb_c))


def test_fog_is_not_wetter_than_wet() -> None:
    foggy = weather.of(climates.climate(bins=((-4.0, 100.0, -3.2), (5.0, 8660.0, 4.0))))
    assert foggy.wb_c[0] == foggy.db_c[0] == -3.5


@pytest.mark.parametrize(
    ("changes", "hours", "said"),
    [
        ({"wb_max_c": 19.46, "extreme_wb_c": 22.4}, 0.0, "at most 19.46 degC, extreme 22.4"),
        ({"wb_max_c": 33.0, "extreme_wb_c": 27.5}, None, "one hour or more"),
        ({"wb_max_c": 33.0, "extreme_wb_c": 27.5, "extreme_wb_hours": 12.0}, 12.0, "extreme 27.5"),
        ({"wb_max_c": 19.46, "extreme_wb_c": None}, 0.0, "states no extreme"),
    ],
)
def test_hours_above_the_extreme_wet_bulb_are_counted_or_said_not_to_be_known(
    changes: dict[str, object], hours: float | None, said: str
) -> None:
    found, basis = weather.hours_above_record(climates.climate(**changes))
    assert found == hours
    assert said in basis
