"""Heat handed over: temperatures, heat pump, what counts, and a balance that closes."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size.kpi import Annual, indicators
from perwatt.results.size.reuse import HeatPump, Reused, heat_pump_cop, liquid_first, return_c, reuse, summed

shares = st.floats(0, 1)
PUMP = HeatPump(0.5, 10.0, 3.0)
COP = 0.5 * 348.15 / (75 - 35)  # of PUMP from 45 to 72 degrees C


def handed(
    heat_j: float, fraction: float = 0.5, inside: bool = False, own: float = 0.0, source: float = 45.0
) -> Reused:
    return reuse(heat_j, source, fraction, 72.0, PUMP, pump_inside=inside, own_cooling=own)


def test_the_return_is_the_supply_and_its_rise() -> None:
    assert return_c(35.0, 10.0) == 45.0
    with pytest.raises(ValueError, match="rise_k: found -1"):
        return_c(35.0, -1.0)


def test_coefficient_is_the_fraction_of_carnots() -> None:
    assert heat_pump_cop(45.0, 72.0, HeatPump(0.5, 0.0, 0.0)) == pytest.approx(0.5 * 345.15 / 27)
    assert heat_pump_cop(45.0, 72.0, PUMP) == pytest.approx(COP)
    assert np.isnan(heat_pump_cop(75.0, 72.0, PUMP))
    assert np.isnan(heat_pump_cop(72.0, 72.0, PUMP))


@pytest.mark.parametrize(("network_c", "published"), [(60.0, 5.5), (70.0, 4.3), (80.0, 3.5)])
def test_the_shipped_heat_pump_comes_to_the_coefficients_of_simulated_ones(network_c: float, published: float) -> None:
    shipped = yaml.safe_load((files("perwatt.conf") / "site_defaults/eu.yaml").read_text(encoding="utf-8"))["reuse"]
    pump = HeatPump(shipped["heat_pump_fraction"]["mode"], 10.0, shipped["condenser_approach_k"]["mode"])
    found = heat_pump_cop(45.0 - shipped["source_approach_k"]["mode"], network_c, pump)
    assert found == pytest.approx(published, rel=0.05)


@pytest.mark.parametrize(
    ("pump", "words"), [(HeatPump(0.5, -1.0, 3.0), "drop_k"), (HeatPump(0.5, 1.0, -3.0), "condenser_approach_k")]
)
def test_a_heat_pump_that_warms_its_source_is_refused(pump: HeatPump, words: str) -> None:
    with pytest.raises(ValueError, match=f"{words}: found -"):
        heat_pump_cop(45.0, 72.0, pump)


def test_a_pump_that_only_heats_with_its_own_electricity_is_refused() -> None:
    with pytest.raises(ValueError, match=r"heat_pump_fraction: found a coefficient of 0\.345; allowed above 1"):
        heat_pump_cop(-28.0, 72.0, HeatPump(0.1, 0.0, 0.0))


def test_a_network_that_takes_the_heat_as_it_is_needs_no_pump() -> None:
    found = handed(100.0, source=75.0)
    assert (found.source_j, found.pump_j, found.delivered_j, found.ereuse_j) == (50.0, 0.0, 50.0, 50.0)


def test_what_is_handed_over_depends_on_whose_the_pump_is() -> None:
    cop = COP
    outside, inside = handed(100.0), handed(100.0, inside=True)
    assert outside.delivered_j == inside.delivered_j == pytest.approx(50 * cop / (cop - 1))
    assert (outside.ereuse_j, outside.edc_extra_j) == (50.0, 0.0)
    assert inside.ereuse_j == inside.delivered_j
    assert inside.edc_extra_j == inside.pump_j == pytest.approx(50 / (cop - 1))


def test_heat_that_cools_the_centre_again_does_not_count() -> None:
    found = handed(100.0, own=0.2)
    assert (found.own_cooling_j, found.ereuse_j) == (10.0, 40.0)


@settings(max_examples=80)
@given(st.floats(1, 1e17), shares, shares, st.floats(20, 90), st.booleans(), st.floats(0.01, 0.3))
def test_all_energy_in_is_heat_out_or_heat_reused(
    it_j: float, liquid: float, fraction: float, source_c: float, inside: bool, overhead: float
) -> None:
    found = reuse(it_j * liquid, source_c, fraction, 72.0, PUMP, pump_inside=inside, own_cooling=0.0)
    edc_j = it_j * (1 + overhead) + found.edc_extra_j
    other_heat_j = it_j * (1 - liquid) + it_j * overhead
    assert edc_j == pytest.approx(found.rejected_j + other_heat_j + found.ereuse_j, rel=1e-9)
    assert found.delivered_j == pytest.approx(found.source_j + found.pump_j, rel=1e-9)
    terms = indicators(Annual(edc_j, it_j, ereuse_j=found.ereuse_j))
    erf, ere, pue = terms["erf"], terms["ere"], terms["pue"]
    assert pue is not None
    assert erf is not None
    assert ere is not None
    assert ere == pytest.approx(pue * (1 - erf))
    assert 0 <= erf <= 1 + 1e-9


@settings(max_examples=80)
@given(st.floats(0, 1e17), st.floats(0, 1e17), shares)
def test_the_liquids_heat_goes_first_and_no_more_than_there_is(liquid_j: float, air_j: float, fraction: float) -> None:
    of_liquid, of_air = liquid_first(fraction, liquid_j, air_j)
    parts = reuse(np.array([liquid_j, air_j]), np.array([39.0, 27.0]), np.array([of_liquid, of_air]), 72.0, PUMP,
                  pump_inside=False, own_cooling=0.0)  # fmt: skip
    found = summed(parts)
    rounding = 1e-9 * (liquid_j + air_j) + 1e-300
    assert found.ereuse_j == pytest.approx(fraction * (liquid_j + air_j), rel=1e-9)
    assert found.ereuse_j + found.rejected_j == pytest.approx(liquid_j + air_j, rel=1e-9)
    assert found.delivered_j == pytest.approx(found.source_j + found.pump_j, rel=1e-9)
    left_in_liquid, from_air = np.asarray(parts.rejected_j)[0], np.asarray(parts.source_j)[1]
    assert min(left_in_liquid, from_air) <= rounding
    # never more electricity than if all of it came from the air
    assert found.pump_j <= handed(liquid_j + air_j, fraction, source=27.0).pump_j * (1 + 1e-9)


@pytest.mark.parametrize("heat", [(-1.0, 1.0), (1.0, -1.0)])
def test_heat_below_nothing_is_refused(heat: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="_j: found -1; allowed"):
        liquid_first(0.5, *heat)


@settings(max_examples=40)
@given(st.floats(20, 70), st.floats(0.5, 20))
def test_warmer_water_needs_less_electricity(source_c: float, warmer_k: float) -> None:
    assert handed(1.0, source=source_c + warmer_k).pump_j < handed(1.0, source=source_c).pump_j


def test_draws_against_bins_add_up_to_the_year() -> None:
    heat_j = np.array([[100.0, 50.0, 10.0], [200.0, 50.0, 10.0]])
    taken = np.array([1.0, 0.5, 0.0])  # winter, spring, summer
    found = summed(reuse(heat_j, 45.0, taken, np.array([72.0, 72.0, 40.0]), PUMP, pump_inside=False, own_cooling=0.0))
    assert found.source_j == pytest.approx([125.0, 225.0])
    assert found.rejected_j == pytest.approx([35.0, 35.0])
    assert found.cop == pytest.approx([COP] * 2)
    one = handed(100.0)
    assert summed(one) is one


def test_the_years_coefficient_leaves_out_heat_that_was_not_lifted() -> None:
    parts = reuse(np.array([100.0, 100.0]), np.array([45.0, 80.0]), 1.0, 72.0, PUMP, pump_inside=False, own_cooling=0.0)
    assert summed(parts).cop == pytest.approx(COP)
    direct = reuse(np.array([1.0, 1.0]), 80.0, 1.0, 72.0, PUMP, pump_inside=False, own_cooling=0.0)
    assert np.isnan(summed(direct).cop)


@pytest.mark.parametrize(
    ("heat_j", "fraction", "own", "words"),
    [
        (-1.0, 0.5, 0.0, "heat_j: found -1; allowed a finite number of 0 or more"),
        (1.0, 1.1, 0.0, "reuse.fraction: found 1.1; allowed 0 to 1"),
        (1.0, 0.5, -0.1, "own_cooling: found -0.1; allowed 0 to 1"),
        (1.0, float("nan"), 0.0, "reuse.fraction: found nan"),
    ],
)
def test_impossible_shares_are_refused(heat_j: float, fraction: float, own: float, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        handed(heat_j, fraction, own=own)
