"""Draws, bands and what dominates: against closed forms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from perwatt.results.size.montecarlo import bands, drawn, drivers, modes
from perwatt.results.size.parameter import Parameter, Values

PARAMETERS = {
    "a": Parameter(2.0, "W", "test", 1.0, 5.0),
    "b": Parameter(10.0, "W", "test", 9.0, 11.0),
    "exact": Parameter(3.0, "W", "test"),
}


def evaluate(values: Mapping[str, Values]) -> dict[str, Values | None]:
    return {"sum": 10 * values["a"] + values["b"], "exact": values["exact"] * 2, "none": None}


def test_a_draw_follows_its_triangle() -> None:
    found = np.asarray(drawn(PARAMETERS, 200_000, 0)["a"])
    assert found.min() >= 1.0
    assert found.max() <= 5.0
    assert found.mean() == pytest.approx((1 + 2 + 5) / 3, rel=0.005)
    assert found.var() == pytest.approx((1 + 4 + 25 - 2 - 5 - 10) / 18, rel=0.01)


def test_draws_are_told_by_their_seed_and_independent_of_the_other_inputs() -> None:
    both, alone = drawn(PARAMETERS, 100, 7), drawn({"b": PARAMETERS["b"]}, 100, 7)
    assert np.array_equal(both["b"], alone["b"])
    assert not np.array_equal(both["b"], drawn(PARAMETERS, 100, 8)["b"])
    assert abs(np.corrcoef(both["a"], both["b"])[0, 1]) < 0.3


def test_a_band_is_the_quantile_of_the_draws_and_an_exact_line_has_none() -> None:
    found = bands(evaluate(drawn(PARAMETERS, 100_000, 1)))
    # of the triangle (1, 2, 5): low 5 % at 1 + sqrt(0.05 * 4 * 1), high at 5 - sqrt(0.05 * 4 * 3)
    assert found["sum"][0] == pytest.approx(10 * 1.447 + 10, rel=0.01)
    # half of it lies below 5 - sqrt(0.5 * 4 * 3)
    assert found["sum"][1] == pytest.approx(10 * 2.551 + 10, rel=0.01)
    assert found["sum"][2] == pytest.approx(10 * 4.225 + 10, rel=0.01)
    assert found["exact"] == (6.0, 6.0, 6.0)
    assert "none" not in found


def test_the_widest_bar_comes_first_and_shares_are_those_of_the_variance() -> None:
    values = drawn(PARAMETERS, 20_000, 2)
    found = drivers(["sum", "exact", "none"], PARAMETERS, values, evaluate(values), evaluate)
    first, second = found["sum"]
    assert (first.path, second.path) == ("a", "b")
    assert first.at_low == pytest.approx(10 * first.low + 10)
    assert first.at_high == pytest.approx(10 * first.high + 10)
    assert first.share > 0.95
    assert second.share < 0.05
    assert first.share + second.share == pytest.approx(1.0, abs=0.05)
    assert found["exact"] == ()
    assert "none" not in found


def test_modes_are_what_is_likeliest() -> None:
    assert modes(PARAMETERS) == {"a": 2.0, "b": 10.0, "exact": 3.0}


@pytest.mark.parametrize("bad", [(3.0, 1.0, 2.0), (float("nan"), None, None), (0.0, 1.0, None)])
def test_a_range_that_does_not_hold_its_mode_is_refused(bad: tuple[float, float | None, float | None]) -> None:
    with pytest.raises(ValueError, match=r"mode: found"):
        Parameter(bad[0], "W", "test", bad[1], bad[2])


def test_a_parameter_needs_a_source() -> None:
    with pytest.raises(ValueError, match="source: found nothing"):
        Parameter(1.0, "W", " ")
