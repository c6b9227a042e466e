"""What is usual in a fleet, and what stands out of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perwatt.results.accept.outliers import LEAST, centre, deviations, reach
from perwatt.results.accept.splits import gap, halved


def test_the_centre_stays_with_the_good_ones_however_bad_the_others_are() -> None:
    good = np.random.default_rng(1).normal(100.0, 0.8, 600)
    for bad in (95.0, 0.0, 1e9):
        found = centre(np.concatenate([good, np.full(400, bad)]))
        assert found.location == pytest.approx(100.0, abs=0.15)
        assert found.scale == pytest.approx(0.8, rel=0.1)
        assert 550 <= found.kept <= 610


def test_of_two_equal_halves_the_greater_counts_and_like_values_have_no_spread() -> None:
    assert centre([95.0] * 4 + [100.0] * 5).location == 100.0
    found = centre(np.full(8, 7.0))
    assert (found.location, found.scale, found.kept) == (7.0, 0.0, 8)
    with pytest.raises(ValueError, match="5 values or more, not 4"):
        centre([1.0] * (LEAST - 1))


def test_three_of_eight_devices_that_are_slow_at_everything_are_found_in_either_unit() -> None:
    values = np.random.default_rng(2).normal(1.0, 0.008, (8, 20))
    values[:3] *= 0.95
    for scale in (1.0, 1e15):
        found = deviations(values * scale, effect=0.03, false_alarms=0.4)
        assert found.whole.tolist() == [-1, -1, -1, 0, 0, 0, 0, 0]
    assert found.overall[:3] == pytest.approx(-0.05, abs=0.005)


def test_a_device_that_is_off_at_one_thing_only_is_found_there_in_its_direction() -> None:
    values = np.random.default_rng(3).normal(50.0, 0.2, (200, 10))
    values[7, 4], values[9, 2] = 40.0, 60.0
    found = deviations(values, effect=0.03, false_alarms=0.4)
    assert (found.single[7, 4], found.single[9, 2]) == (-1, 1)
    assert np.count_nonzero(found.single) == 2
    assert not found.whole.any()
    absolute = deviations(values, effect=3.0, false_alarms=0.4, absolute=True)
    assert absolute.off[7, 4] == pytest.approx(-10.0, abs=0.1)


def test_what_does_not_matter_is_not_told_however_certain_it_is() -> None:
    values = np.full((50, 4), 10.0)
    values[0] = 9.8
    assert not deviations(values, effect=0.03, false_alarms=0.4).single.any()
    assert deviations(values, effect=0.01, false_alarms=0.4).single[0].tolist() == [-1] * 4


def test_absent_values_and_small_fleets_are_neither_good_nor_bad() -> None:
    values = np.full((6, 3), 10.0)
    values[0, 0], values[:3, 1] = np.nan, np.nan
    found = deviations(values, effect=0.03, false_alarms=0.4)
    assert found.centres[0] is not None
    assert found.centres[1] is None
    assert math.isinf(found.limit[1])
    assert not found.single.any()
    assert np.isnan(found.overall[0])
    assert not deviations(np.full((3, 4), 1.0), 0.03, 0.4).whole.any()


def test_the_gap_tells_two_groups_where_the_spread_of_few_says_little() -> None:
    values = np.array([1.0, 1.003, 0.998, 1.006, 0.995, 0.953, 0.948, 0.945])
    found = gap(values, 0.2)
    assert found is not None
    assert found == (pytest.approx(values[:5].mean()), pytest.approx((0.995 + 0.953) / 2))
    assert gap(values * 1e15, 0.2) == (pytest.approx(1e15 * found[0]), pytest.approx(1e15 * found[1]))
    assert gap(values[:5], 0.2) is None
    assert gap(-values, 0.2) is None  # a majority is never the bad side
    assert gap(np.full(8, 7.0), 0.2) is None
    many = np.random.default_rng(6).normal(1.0, 0.008, 1000)
    assert not halved(many, 0.03, 0.45)
    for bad in (490, 500, 510):
        assert halved(np.where(np.arange(1000) < bad, many - 0.05, many), 0.03, 0.45)
    assert not halved(np.where(np.arange(1000) < 400, many - 0.05, many), 0.03, 0.45)
    # in fleets without a bad device no more are parted off than was said
    played = np.random.default_rng(5).standard_normal((400, 8))
    lost = sum(int((row < told[1]).sum()) for row in played if (told := gap(row, 0.2)) is not None)
    assert 0.1 < lost / 400 < 0.3


def test_reach_is_wider_for_few_devices_and_normal_for_many() -> None:
    assert reach(1e-3, 8) > reach(1e-3, 100) > reach(1e-3, 100_000)
    assert reach(1e-6, 1_000_000) == pytest.approx(4.7534, abs=1e-3)
