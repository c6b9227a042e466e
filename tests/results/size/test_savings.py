"""Nameplate, vendor's maximum, measured and recommended power beside each other."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size.load import Load
from perwatt.results.size.savings import COLUMNS, Column, cautions, compared, fits, measured, summed


def load(**statistics_w: float) -> Load:
    """A node's load with 1 s statistics."""
    quantiles = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return Load(
        name="node", kind="measured", evidence="run A", boundary="node_ac", period_s=1.0, seconds=3600.0, mean_w=9800.0,
        statistics={(1.0, quantiles[name]): value for name, value in statistics_w.items()}, cdf=(),
    )  # fmt: skip


def columns(recommended_w: float = 12_000.0) -> list[Column]:
    seen = measured(load(p50=9_800.0, p99=10_700.0, max=11_000.0), 1.0)
    return [
        Column("nameplate", "published", "label", 16_000.0),
        Column("vendor_max", "published", "guide", 14_300.0),
        *seen.values(),
        Column("recommended", "modelled", "max and 10 %", recommended_w),
    ]


def test_all_columns_in_their_order_with_megawatts_and_racks() -> None:
    found = {column.name: column for column in compared(columns(), 100, 1.15e6, 40_000.0, 4)}
    assert tuple(found) == COLUMNS
    assert found["nameplate"].fleet_w == 1.6e6
    assert (found["nameplate"].per_rack, found["nameplate"].racks) == (2.0, 50.0)
    assert (found["recommended"].per_rack, found["recommended"].racks) == (3.0, 34.0)
    assert found["recommended"].fleet_w == 1.15e6  # with coincidence: not 100 times its own figure
    assert found["recommended"].saved_w == pytest.approx(0.45e6)
    assert found["recommended"].racks_saved == 16.0
    assert found["recommended"].hosted == 139.0
    assert (found["nameplate"].saved_w, found["nameplate"].racks_saved) == (0.0, 0.0)
    assert found["measured_p50"].basis == "run A"


def test_a_statistic_that_was_not_observed_is_none_throughout_and_says_why() -> None:
    seen = measured(load(p50=9_800.0), 1.0)
    found = compared([Column("nameplate", "published", "label", 16_000.0), *seen.values()], 10, None, 40_000.0, 4)
    missing = found[2]
    assert (missing.name, missing.unit_w, missing.fleet_w, missing.saved_w) == ("measured_p99", None, None, None)
    assert missing.basis == "no mean over 1 s or more in run A"


def test_without_a_reference_figure_nothing_is_saved_or_lost() -> None:
    found = compared([Column("nameplate", "published", "unknown", None), *columns()[1:]], 10, None, 40_000.0, 4)
    assert found[1].fleet_w == 143_000.0
    assert all(column.saved_w is None and column.hosted is None for column in found)


def test_a_unit_too_big_for_the_rack_has_no_racks() -> None:
    found = compared(columns(), 10, None, np.array([15_000.0, 40_000.0]), 4)
    assert found[0].per_rack == pytest.approx([0, 2])
    assert found[0].racks == pytest.approx([float("nan"), 5], nan_ok=True)
    assert found[5].racks == pytest.approx([10, 4])


def test_space_limits_a_rack_before_power_does() -> None:
    found = compared(columns(), 100, None, 1e6, 4)
    assert all(column.per_rack == 4.0 and column.racks == 25.0 for column in found)


def test_four_machines_of_10_2_kw_fit_40_8_kw_exactly() -> None:
    assert fits(4 * 10_200.0, 10_200.0) == 4.0
    assert fits(3 * 0.1, 0.1) == 3.0
    assert fits(40_799.0, 10_200.0) == 3.0


@settings(max_examples=60)
@given(st.integers(1, 5000), st.floats(1e3, 2e4), st.floats(1e3, 2e4), st.floats(2e4, 2e5))
def test_less_per_unit_never_needs_more_racks_or_hosts_fewer(n: int, a_w: float, b_w: float, rack_w: float) -> None:
    low, high = sorted((a_w, b_w))
    pair = [Column("nameplate", "published", "label", high), Column("vendor_max", "published", "guide", low)]
    first, second = compared(pair, n, None, rack_w, 8)
    for column in (first, second):
        assert column.racks is not None
        assert column.per_rack is not None
        assert column.racks * column.per_rack >= n > (column.racks - 1) * column.per_rack
    assert first.racks is not None
    assert second.racks is not None
    assert second.racks <= first.racks
    assert second.hosted is not None
    assert second.hosted >= n
    assert second.saved_w is not None
    assert second.saved_w >= 0


def test_two_kinds_of_units_add_up_and_a_missing_part_leaves_no_sum() -> None:
    one = compared(columns(), 100, 1.15e6, 40_000.0, 4)
    bare = [*columns()[:2], *measured(load(p50=9_800.0), 1.0).values(), columns()[5]]
    other = compared(bare, 10, None, 40_000.0, 4)
    total = {column.name: column for column in summed([one, other])}
    assert total["nameplate"].fleet_w == pytest.approx(1.6e6 + 0.16e6)
    assert total["nameplate"].racks == 55.0
    assert total["recommended"].saved_w == pytest.approx(0.45e6 + 0.04e6)
    assert total["measured_p99"].fleet_w is None
    assert total["nameplate"].unit_w is None
    with pytest.raises(ValueError, match="unlike columns"):
        summed([one, other[:3]])


def test_a_recommendation_below_the_measurement_is_cautioned() -> None:
    assert cautions(columns()) == ()
    assert cautions(columns(10_900.0)) == ("recommended (10900 W a unit) lies below measured max (11000 W)",)
    loud = [Column("vendor_max", "published", "guide", 10_200.0), Column("measured_max", "measured", "A", 10_300.0)]
    assert cautions(loud) == ("vendor max (10200 W a unit) lies below measured max (10300 W)",)


@pytest.mark.parametrize(
    ("units", "rack_w", "most", "against", "words"),
    [
        (0, 4e4, 4, "nameplate", "found 0, 4; allowed 1 or more of each"),
        (1, 4e4, 0, "nameplate", "found 1, 0; allowed 1 or more of each"),
        (1, -1.0, 4, "nameplate", "rack_w: found -1; allowed a finite number above 0"),
        (1, 4e4, 4, "label", "against: found 'label' with columns nameplate, vendor_max"),
    ],
)
def test_impossible_requests_are_refused(units: int, rack_w: float, most: int, against: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        compared(columns(), units, None, rack_w, most, against)
