"""Losses worked out by hand, and what must hold for any stage: it draws more than it gives, and more for more."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size.electrical import (
    distribution_input_w,
    efficiency,
    psu_input_w,
    transformer_input_w,
    ups_input_w,
    within,
)
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.system import Psu

# The least that Regulation (EU) 2019/424 asks of supplies at 10, 20, 50 and 100 % of their rating.
EU = ((0.1, 0.90), (0.2, 0.94), (0.5, 0.96), (1.0, 0.91))
UPS = ((0.05, 0.80), (0.1, 0.90), (0.25, 0.97), (0.5, 1.0), (0.75, 0.998), (1.0, 0.99))
SIX = Psu(6, 4, Parameter(3300.0, "W", "label"), EU, "regulation")
shares = st.floats(0.001, 1.2)


@pytest.mark.parametrize(("load", "expected"), [(0.1, 0.90), (0.2, 0.94), (0.5, 0.96), (1.0, 0.91), (0.35, 0.95)])
def test_a_curve_is_met_at_its_points_and_linear_between_them(load: float, expected: float) -> None:
    assert efficiency(EU, load) == pytest.approx(expected, rel=1e-12)


def test_a_curve_is_level_beyond_its_ends() -> None:
    assert efficiency(EU, 0.0) == 0.90
    assert efficiency(EU, 1.5) == 0.91


def test_efficiency_keeps_the_shape_and_broadcasts() -> None:
    load = np.linspace(0.05, 1, 12).reshape(3, 4)
    found = efficiency(EU, load)
    assert isinstance(found, np.ndarray)
    assert found.shape == (3, 4)
    assert found[1, 2] == efficiency(EU, float(load[1, 2]))


@pytest.mark.parametrize(
    ("curve", "load", "says"),
    [
        ((), 0.5, "found no points"),
        (((0.5, 0.9), (0.5, 0.95)), 0.5, "loads that grow"),
        (((0.5, 0.9), (0.2, 0.95)), 0.5, "loads that grow"),
        (((0.1, 0.9), (0.5, 1.02)), 0.5, r"found 1\.02; allowed above 0 to 1"),
        (((0.1, 0.0), (0.5, 0.9)), 0.5, "found 0; allowed above 0 to 1"),
        (EU, -0.1, r"found -0\.1; allowed 0 or more"),
        (EU, np.array([0.5, np.nan]), "found nan"),
    ],
)
def test_a_curve_or_load_that_cannot_be_is_refused(
    curve: tuple[tuple[float, float], ...], load: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        efficiency(curve, load)


def test_six_supplies_share_the_load_of_a_node() -> None:
    # 9900 W of 6 x 3300 W is half load: 0.96
    assert psu_input_w(9900.0, SIX, 0.0) == pytest.approx(9900 / 0.96)
    # half of the supplies lost with their feed: full load, 0.91
    assert psu_input_w(9900.0, SIX, 0.0, supplies=3) == pytest.approx(9900 / 0.91)
    # with 6600 W supplies at a quarter: 0.94 + 0.02 / 6
    assert psu_input_w(9900.0, SIX, 0.0, rating_w=6600.0) == pytest.approx(9900 / (0.94 + 0.02 / 6))


def test_an_offset_moves_the_curve_and_may_not_leave_what_can_be() -> None:
    assert psu_input_w(9900.0, SIX, -0.01) == pytest.approx(9900 / 0.95)
    with pytest.raises(ValueError, match=r"efficiency_offset: found 1\.01; allowed above 0 to 1"):
        psu_input_w(9900.0, SIX, 0.05)


def test_a_ups_at_part_load_by_hand() -> None:
    # 3 MW on 8 modules of 1.5 MW: a quarter each, 0.97 of the best 0.97
    assert ups_input_w(3e6, 8, 1.5e6, 0.97, UPS) == pytest.approx(3e6 / (0.97 * 0.97))
    # more modules on one load: never better below the best point
    assert ups_input_w(3e6, 16, 1.5e6, 0.97, UPS) > ups_input_w(3e6, 4, 1.5e6, 0.97, UPS)


def test_a_transformer_has_its_stated_efficiency_at_rated_load() -> None:
    # 2 x 2 MVA at unity power factor and full load
    assert 4e6 / transformer_input_w(4e6, 2, 2e6, 1.0, 0.995, 0.2) == pytest.approx(0.995)


def test_no_load_loss_stays_and_load_loss_goes_with_the_square_of_the_current() -> None:
    rated_w = 2e6 * (1 / 0.995 - 1)
    for load in (1e-9, 0.25, 0.5, 1.0):
        out_w = load * 2e6
        loss_w = transformer_input_w(out_w, 1, 2e6, 1.0, 0.995, 0.2) - out_w
        assert loss_w == pytest.approx(rated_w * (0.2 + 0.8 * load**2), rel=1e-6)
    # the current, and not the power: at power factor 0.8 and 0.8 of the power the current is the rated one
    assert transformer_input_w(1.6e6, 1, 2e6, 0.8, 0.995, 0.2) - 1.6e6 == pytest.approx(rated_w)
    # a spare one that is energised costs its core
    two = transformer_input_w(1e6, 2, 2e6, 1.0, 0.995, 0.2) - 1e6
    assert two == pytest.approx(2 * rated_w * (0.2 + 0.8 * 0.25**2))


def test_distribution_loses_a_part_of_what_it_takes_in() -> None:
    assert distribution_input_w(99.0, 0.01) == pytest.approx(100.0)
    assert distribution_input_w(99.0, 0.0) == 99.0
    for loss, says in ((-0.01, r"found -0\.01; allowed 0 or more"), (1.0, "found 1; allowed 0 to below 1")):
        with pytest.raises(ValueError, match=says):
            distribution_input_w(99.0, loss)


@pytest.mark.parametrize("power_w", [0.0, -1.0, float("nan"), float("inf")])
def test_no_stage_takes_a_power_that_cannot_be(power_w: float) -> None:
    calls = (
        lambda: psu_input_w(power_w, SIX, 0.0),
        lambda: ups_input_w(power_w, 8, 1.5e6, 0.97, UPS),
        lambda: transformer_input_w(power_w, 2, 2e6, 0.95, 0.995, 0.2),
        lambda: distribution_input_w(power_w, 0.01),
    )
    for call in calls:
        with pytest.raises(ValueError, match="_w: found"):
            call()


def test_a_stage_of_no_units_and_an_efficiency_above_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"count: found 0"):
        psu_input_w(100.0, msgspec.structs.replace(SIX, count=0), 0.0)
    with pytest.raises(ValueError, match="modules: found 0"):
        ups_input_w(1e6, 0, 1.5e6, 0.97, UPS)
    with pytest.raises(ValueError, match=r"ups_efficiency: found 1\.1; allowed above 0 to 1"):
        ups_input_w(1e6, 1, 1.5e6, 1.1, UPS)
    with pytest.raises(ValueError, match="count: found 0"):
        transformer_input_w(1e6, 0, 2e6, 0.95, 0.995, 0.2)
    with pytest.raises(ValueError, match=r"no_load_share: found 1\.5; allowed 0 to 1"):
        transformer_input_w(1e6, 1, 2e6, 0.95, 0.995, 1.5)


def test_an_error_is_one_line_and_names_the_worst_of_an_array() -> None:
    with pytest.raises(ValueError, match=r"^loss: found 1\.2; allowed 0 to 1$"):
        within("loss", np.array([[0.1], [1.2]]), 1.0, zero=True)


@settings(max_examples=100, deadline=None)
@given(load=shares, more=shares, best=st.floats(0.8, 0.999), modules=st.integers(1, 40))
def test_every_stage_draws_more_than_it_gives_and_more_for_more(
    load: float, more: float, best: float, modules: int
) -> None:
    power = np.array([load, load + more]) * modules * 1e6
    drawn = (
        psu_input_w(power, SIX, 0.0, rating_w=1e6, supplies=modules),
        ups_input_w(power, modules, 1e6, best, UPS),
        transformer_input_w(power, modules, 1e6, 0.95, best, 0.2),
        distribution_input_w(power, 1 - best),
    )
    for found in drawn:
        assert np.all(found > power)
        assert found[1] > found[0]


def test_draws_against_bins_give_what_single_numbers_give() -> None:
    rng = np.random.default_rng(1)
    best, power = rng.uniform(0.9, 0.99, (50, 1)), rng.uniform(1e5, 9e6, 30)
    ups = ups_input_w(power, 8, 1.5e6, best, UPS)
    trafo = transformer_input_w(ups, 4, 3e6, 0.95, best, 0.2)
    assert np.shape(trafo) == (50, 30)
    one = ups_input_w(float(power[4]), 8, 1.5e6, float(best[7, 0]), UPS)
    assert np.asarray(ups)[7, 4] == pytest.approx(one, rel=1e-12)
    again = transformer_input_w(one, 4, 3e6, 0.95, float(best[7, 0]), 0.2)
    assert np.asarray(trafo)[7, 4] == pytest.approx(again, rel=1e-12)
    assert isinstance(one, float)
