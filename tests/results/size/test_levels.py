"""What machines draw at each level: against sums by hand, and properties that must hold for any fleet."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import loads
from perwatt.results.size.aggregate import convolved
from perwatt.results.size.levels import RACK, ROW, SITE, UPS, Drawn, Z, draw, idle_w, inputs, one_gpu
from perwatt.results.size.load import QUANTILES, WINDOWS_S
from perwatt.results.size.parameter import Parameter
from tests.fleets_of import MEAN_W, entry, exact, measured, over_draws, request

LEVELS = (RACK, ROW, UPS, SITE)


def test_units_in_step_draw_their_number_times_the_statistic_of_the_level() -> None:
    one = draw(entry(load=measured()), exact(request(entry(load=measured()))))
    assert one.together(4, RACK, 1.0) == pytest.approx(4 * 1.20 * MEAN_W)
    assert one.together(32, ROW, 1.0) == pytest.approx(32 * 1.12 * MEAN_W)
    assert one.together(100, UPS, 1.0) == pytest.approx(100 * 1.18 * MEAN_W)
    assert one.together(100, SITE, 0.98) == pytest.approx(98 * 1.04 * MEAN_W)


def alone(**changes: object) -> Drawn:
    """Units for themselves, of a recording with ``changes``."""
    load = measured(**changes)
    return draw(entry(load=load, training=0.0), exact(request(entry(load=load))))


def test_uncorrelated_units_add_up_by_convolution_of_the_recording() -> None:
    load = measured()
    cdf_w = np.interp(np.linspace(0, 100, 1001), np.arange(101), load.cdf)
    top = np.linspace(0, 100, 1001) >= 99
    cdf_w[top] = np.interp(np.linspace(0, 100, 1001)[top], (99, 99.9, 100), (cdf_w[990], 1.2 * MEAN_W, cdf_w[-1]))
    for units in (2, 5, 100):
        expected = convolved(tuple(cdf_w), units, 0.999)
        assert alone(correlation=0.0).of(units, 1.0, 0.999, 1.0) == pytest.approx(expected)
    # over longer windows the recording is drawn in about its mean
    quarter = alone(correlation=0.0).of(100, 900.0, 0.99, 1.0)
    drawn_in = 0.035 / 0.20
    expected = 100 * MEAN_W + (convolved(tuple(cdf_w), 100, 0.99) - 100 * MEAN_W) * drawn_in
    assert quarter == pytest.approx(expected)
    assert "convolution of the recording, uncorrelated" in alone(correlation=0.0).how(4)
    # where nobody measured a correlation, the site's assumption stands in
    values = exact(request(entry(load=load))) | {"site.electrical.correlation": 0.0}
    assumed = draw(entry(load=load, training=0.0), values)
    assert assumed.of(100, 900.0, 0.99, 1.0) == pytest.approx(quarter)


def test_one_unit_alone_is_itself_and_what_is_not_recorded_stays_normal() -> None:
    for quantile in QUANTILES:
        one = alone(correlation=0.3)
        assert one.of(1, 1.0, quantile, 1.0) >= one.statistic(1.0, quantile)
    stated = draw(entry(training=0.0), exact(request(entry())))
    assert stated.how(4) == "each for itself: normal limit, correlation 0.3"
    assert draw(entry(), exact(request(entry()))).how(4) == "in step"


SHAPES = {
    "even": np.linspace(0.5, 1.5, 1001),
    "two levels": np.where(np.linspace(0, 1, 1001) < 0.4, 0.5, 4 / 3),
    "skewed": 0.7 + 0.9 * np.linspace(0, 1, 1001) ** 3,
    "rare peaks": np.where(np.linspace(0, 1, 1001) < 0.98, 0.95, 3.0),
    "rare rests": np.where(np.linspace(0, 1, 1001) < 0.08, 0.4, 1.05),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("latent", [0.0, 0.15, 0.4, 0.7])
def test_no_sum_is_below_what_units_with_a_common_factor_draw(shape: str, latent: float) -> None:
    # each unit has the recorded distribution; a normal factor common to all makes them rise together
    levels_w = MEAN_W * SHAPES[shape] / SHAPES[shape].mean()
    share = np.linspace(0, 1, 1001)
    rng = np.random.default_rng(0)
    common = rng.standard_normal((60_000, 1))

    def drawn_w(units: int) -> np.ndarray:
        normal = math.sqrt(latent) * common + math.sqrt(1 - latent) * rng.standard_normal((len(common), units))
        return np.interp(np.argsort(np.argsort(normal, axis=0), axis=0) / len(normal), share, levels_w)

    correlation = max(float(np.corrcoef(drawn_w(2).T)[0, 1]), 0.0) if latent else 0.0
    statistics = {(1.0, q): float(np.interp(q, share, levels_w)) for q in QUANTILES}
    cdf = tuple(np.interp(np.linspace(0, 1, 101), share, levels_w))
    one = alone(statistics=statistics, cdf=cdf, correlation=correlation)
    for units in (2, 4, 16, 64):
        sums = drawn_w(units).sum(axis=1)
        for quantile in (0.99, 0.999):
            assert one.of(units, 1.0, quantile, 1.0) > 0.985 * np.quantile(sums, quantile)


def test_a_sum_never_exceeds_all_units_at_their_own_peak() -> None:
    tied = draw(entry(load=measured(correlation=1.0), training=0.0), exact(request(entry(load=measured()))))
    assert tied.of(7, 900.0, 1.0, 1.0) == pytest.approx(7 * 1.04 * MEAN_W)


def test_part_of_the_fleet_in_step_lies_between_all_and_none() -> None:
    of = {share: draw(entry(load=measured(), training=share), exact(request(entry(load=measured()))))
          for share in (0.0, 0.5, 1.0)}  # fmt: skip
    for level in LEVELS:
        none, half, whole = (of[share].together(40, level, 1.0) for share in (0.0, 0.5, 1.0))
        assert none < half < whole
        assert half == pytest.approx(of[1.0].together(20, level, 1.0) + of[0.0].together(20, level, 1.0))


def test_a_unit_that_is_partly_in_step_counts_as_in_step() -> None:
    one = draw(entry(load=measured(correlation=0.0), training=0.1), exact(request(entry(load=measured()))))
    # what is in step has a coincidence, what serves alone has none
    assert one.together(1, RACK, 0.9) == pytest.approx(0.9 * 1.20 * MEAN_W)
    alone = draw(entry(load=measured(correlation=0.0), training=0.0), exact(request(entry(load=measured()))))
    assert one.together(10, RACK, 0.9) == pytest.approx(0.9 * 1.20 * MEAN_W + alone.together(9, RACK, 1.0))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.sampled_from((0.0, 0.25, 1 / 3, 0.5, 0.9, 1.0)), st.floats(0, 1), st.floats(0.9, 1.0))
def test_one_more_unit_never_draws_less(units: int, share: float, correlation: float, coincidence: float) -> None:
    one = draw(entry(load=measured(correlation=correlation), training=share), exact(request(entry(load=measured()))))
    for level in LEVELS:
        for quantile in QUANTILES:
            less = one.of(units, level.window_s, quantile, coincidence)
            assert one.of(units + 1, level.window_s, quantile, coincidence) > less


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("seen", [True, False])
def test_power_grows_with_the_quantile_and_falls_with_the_window(share: float, seen: bool) -> None:
    made = entry(load=measured() if seen else None, training=share)
    one = draw(made, exact(request(made)))
    windows = [w for w in WINDOWS_S if w >= 1]
    table = np.array([[one.of(24, w, q, 1.0) for q in QUANTILES] for w in windows])
    assert np.all(np.diff(table, axis=1) >= 0)
    assert np.all(np.diff(table, axis=0) <= 1e-9 * table[0, 0])
    assert table[0, -1] > table[0, 0]
    if seen:
        assert table[0, -1] > table[-1, -1]


def test_a_window_longer_than_any_known_takes_the_longest_there_is() -> None:
    short = measured()
    short = msgspec.structs.replace(short, statistics={k: v for k, v in short.statistics.items() if k[0] <= 10.0})
    one = draw(entry(load=short), exact(request(entry(load=short))))
    assert one.together(1, SITE, 1.0) == pytest.approx(1.18 * MEAN_W)


def test_the_gain_of_a_meter_moves_all_statistics_alike() -> None:
    load = measured(uncertainty=0.02)
    found = inputs((entry(load=load),))["fleet.dgx_h100.load"]
    # a triangle from -a to a has the standard deviation a / sqrt(6)
    assert (found.high - found.low) / 2 / 6**0.5 == pytest.approx(0.02)
    one = draw(entry(load=load), exact(request(entry(load=load)), load=1.05))
    assert one.together(4, RACK, 1.0) == pytest.approx(1.05 * 4 * 1.20 * MEAN_W)


def test_no_power_that_is_drawn_is_negative() -> None:
    load = measured(uncertainty=0.408)
    values, found = over_draws(request(entry(load=load)), 2000)
    assert np.min(values["fleet.dgx_h100.load"]) > 0
    assert np.min(found.sheet.values()["power.unit.p50"]) > 0


def test_a_gpu_is_told_as_metered_and_its_gain_moves_it_more_than_the_unit() -> None:
    gpu = measured(600.0, boundary="gpu", uncertainty=0.06)
    plain = entry()
    psu = plain.system.psu
    assert psu is not None
    made = entry(load=loads.lift(gpu, 8, 1200.0, psu))
    values = exact(request(made))
    assert one_gpu(made, values, 0.1, 1.0) == (pytest.approx(1.25 * 600), 1.0)  # no shorter window is known
    assert one_gpu(made, values, 1.0, 0.999) == (pytest.approx(1.20 * 600), 1.0)
    # 8 x 600 W of 6000 W at the DC side: 4 % more of the unit are 5 % more of its GPUs
    more = one_gpu(made, values | {"fleet.dgx_h100.load": 1.04}, 0.1, 1.0)
    assert more == (pytest.approx(1.05 * 1.25 * 600), 1.0)
    assert one_gpu(entry(load=measured()), exact(request(entry(load=measured()))), 0.1, 1.0) is None


def test_a_load_lifted_from_its_gpus_moves_with_host_and_supplies() -> None:
    gpu = measured(600.0, boundary="gpu", uncertainty=0.0)
    plain = entry()
    psu = plain.system.psu
    assert psu is not None
    made = entry(load=loads.lift(gpu, 8, plain.system.host_w.mode, psu))
    assert {"fleet.dgx_h100.host_w", "fleet.dgx_h100.efficiency_offset"} <= inputs((made,)).keys()
    assert "fleet.dgx_h100.host_w" not in inputs((entry(load=measured()),))
    one = draw(made, exact(request(made)))
    assert one.mean_w == pytest.approx(made.load.mean_w)
    assert one.statistic(1.0, 1.0) == pytest.approx(made.load.statistics[1.0, 1.0])
    # 500 W more at the DC side are 500 W over the efficiency at the input, in the mean as at the peak
    more = draw(made, exact(request(made), host_w=plain.system.host_w.mode + 500))
    assert 500 < float(more.mean_w) - float(one.mean_w) < 1.15 * 500
    assert more.statistic(1.0, 1.0) - one.statistic(1.0, 1.0) == pytest.approx(more.mean_w - one.mean_w)
    scaled = draw(made, exact(request(made), load=1.05))
    for quantile in QUANTILES:
        assert scaled.statistic(1.0, quantile) == pytest.approx(1.05 * one.statistic(1.0, quantile))
    better = draw(made, exact(request(made), efficiency_offset=psu.efficiency_offset.high))
    assert better.mean_w < one.mean_w


def test_published_ratios_are_drawn_where_nothing_was_measured() -> None:
    made = entry()
    system = made.system
    one = draw(made, exact(request(made), mean_fraction=0.7, peak_over_mean=1.10, vendor_max_w=10000.0))
    assert one.mean_w == pytest.approx(7000)
    assert one.statistic(1.0, 1.0) == pytest.approx(7700)
    likeliest = draw(made, exact(request(made)))
    own = loads.published(system)
    assert likeliest.statistic(1.0, 0.99) == pytest.approx(own.statistics[1.0, 0.99])
    assert inputs((made,)).keys() == {
        f"fleet.dgx_h100.{key}"
        for key in ("mean_fraction", "peak_over_mean", "vendor_max_w", "nameplate_w", "utilisation", "idle_w",
                    "liquid_fraction", "airflow_m3_s", "supply_air_max_c")
    }  # fmt: skip


def test_a_unit_idles_as_its_system_states_else_at_a_fraction_of_its_vendors_maximum() -> None:
    made = entry()
    assert made.system.idle_w is not None
    assert idle_w(made, exact(request(made))) == made.system.idle_w.mode
    assert idle_w(made, exact(request(made), idle_w=1900.0)) == 1900.0
    silent = entry(system="dgx_h100")
    silent = msgspec.structs.replace(silent, system=msgspec.structs.replace(silent.system, idle_w=None))
    assert idle_w(silent, exact(request(silent), idle_fraction=0.2, vendor_max_w=10000.0)) == pytest.approx(2000)


def test_the_deviate_of_the_highest_is_beyond_that_of_three_nines() -> None:
    assert Z[0.5] == pytest.approx(0)
    assert Z[0.999] == pytest.approx(3.0902, abs=1e-4)
    assert Z[1.0] > 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"units": 0}, "dgx_h100: units: found 0; allowed 1 or more"),
        ({"per_rack": -1}, "dgx_h100: per_rack: found -1; allowed 1 or more"),
        ({"training": 1.5}, "dgx_h100: training: found 1.5; allowed 0 to 1"),
    ],
)
def test_counts_and_fractions_that_cannot_be_are_refused(changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        entry(**changes)


def test_a_request_without_a_fleet_and_negative_draws_are_refused() -> None:
    whole = request()
    with pytest.raises(ValueError, match="fleet: found nothing"):
        type(whole)("", whole.site, whole.climate, ())
    with pytest.raises(ValueError, match="draws: found -1"):
        type(whole)("", whole.site, whole.climate, whole.fleet, draws=-1)


def test_utilisation_is_a_parameter_of_the_entry() -> None:
    made = entry(utilisation=Parameter(0.5, "1", "test"))
    assert inputs((made,))["fleet.dgx_h100.utilisation"].mode == 0.5
