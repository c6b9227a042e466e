from __future__ import annotations

import math

import pytest

from perwatt.results.reports import units


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (812.44, 4, "812.4"),
        (0.012345, 3, "0.0123"),
        (1.0, 4, "1.000"),
        (9.9996, 4, "10.00"),
        (12345.6, 4, "12346"),  # digits before the point are never rounded away
        (-3.14159, 3, "-3.14"),
        (0.0, 4, "0"),
        (1e-12, 2, "0.0000000000010"),
        (None, 4, ""),
        (math.nan, 4, ""),
        (math.inf, 4, ""),
    ],
)
def test_number(value: float | None, digits: int, text: str) -> None:
    assert units.number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.124e14, "812.4 TFLOP/s"),
        (999.96e12, "1.000 PFLOP/s"),  # rounding carries into the next prefix
        (115e9, "115.0 GFLOP/s"),
        (3.2, "3.200 FLOP/s"),
        (0.0, "0 FLOP/s"),
        (None, ""),
    ],
)
def test_quantity(value: float | None, text: str) -> None:
    assert units.quantity(value, "FLOP/s") == text


def test_one_prefix_for_a_column_keeps_four_digits_before_the_point() -> None:
    assert units.common_prefix([1.4e15, 2e14, None]) == "T"
    assert units.common_prefix([4e11, 1.2e9]) == "G"
    assert units.common_prefix([None]) == ""
    assert units.common_prefix([]) == ""


def test_percent_and_binary() -> None:
    assert units.percent(0.71344) == "71.3"
    assert units.percent(None) == ""
    assert units.binary(80 * 2**30) == "80 GiB"
    assert units.binary(1.5 * 2**20) == "1.5 MiB"
    assert units.binary(100) == "100 B"
    assert units.binary(None) == ""


def test_align_brings_points_in_line_and_leaves_words() -> None:
    padded = units.align(["1.25", "30", "not metered", "7.5"], digit="0", point=".")
    assert padded == ["1.25", "30.00", "not metered", "7.50"]
    assert units.align(["30", "7"], "x", "y") == ["30", "7"]
