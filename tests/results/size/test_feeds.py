"""Published feed tables, racks that are known to fit or not, and the rule that no breaker carries more than it may."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size.feeds import carried_w, choose, circuit, current_a, path_loss, paths_left
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.site import Feed
from perwatt.results.size.system import Psu

EU = (16.0, 32.0, 63.0, 125.0, 250.0, 400.0)


def parameter(value: float, unit: str = "1") -> Parameter:
    return Parameter(value, unit, "test")


FEED = Feed(parameter(400.0, "V"), parameter(1.0), EU, "IEC", parameter(1.0), parameter(1.0), 2)


def circuits(design_w: Any, nameplate_w: Any = None, capped: bool = False, feed: Feed = FEED, **other: Any) -> Any:
    values: dict[str, Any] = {
        "voltage_v": 400.0,
        "power_factor": 1.0,
        "continuous_factor": 1.0,
        "temperature_factor": 1.0,
        **other,
    }
    return circuit(design_w, nameplate_w, capped, feed, **values)


def test_the_european_feed_table_at_400_v() -> None:
    full = [11.1, 22.2, 43.6, 86.6, 173.2, 277.1]
    policy = [8.9, 17.7, 34.9, 69.3, 138.6, 221.7]
    for factor, table in ((1.0, full), (0.8, policy)):
        found = np.asarray(carried_w(np.array(EU), 400.0, 1.0, factor)) / 1e3
        assert found == pytest.approx(table, abs=0.05)


@pytest.mark.parametrize(
    ("voltage_v", "rating_a", "kw"),
    [(208.0, 30.0, 8.6), (208.0, 60.0, 17.3), (240.0, 60.0, 20.0), (415.0, 60.0, 34.5), (480.0, 60.0, 39.9)],
)
def test_american_circuits_at_80_per_cent(voltage_v: float, rating_a: float, kw: float) -> None:
    assert carried_w(rating_a, voltage_v, 1.0, 0.8) == pytest.approx(kw * 1e3, abs=60)


def test_current_by_hand() -> None:
    assert current_a(40_800.0, 400.0, 1.0) == pytest.approx(58.89, abs=0.005)
    assert current_a(40_800.0, 400.0, 0.95) == pytest.approx(61.99, abs=0.005)
    assert current_a(carried_w(63.0, 415.0, 0.97, 0.8), 415.0, 0.97) == pytest.approx(0.8 * 63)


def test_the_smallest_breaker_that_carries_is_chosen_whatever_the_order() -> None:
    assert [choose(a, EU, 1.0) for a in (0.1, 16.0, 16.1, 58.9, 63.0, 63.01, 400.0)] == [16, 16, 32, 63, 63, 125, 400]
    assert choose(58.9, EU[::-1], 0.8) == 125
    assert np.isnan(choose(400.1, EU, 1.0))
    assert np.isnan(choose(330.0, EU, 0.8))
    found = choose(np.array([[10.0], [500.0]]), EU, np.array([1.0, 0.5]))
    np.testing.assert_array_equal(found, [[16, 32], [np.nan, np.nan]])


def test_rounding_of_floating_point_does_not_ask_for_the_next_breaker() -> None:
    for rating in EU:
        for factor in (0.8, 0.9, 0.7):
            assert choose(rating * factor, EU, factor) == rating
            assert choose(rating * factor * 1.0001, (*EU, 9999.0), factor) > rating


def test_a_rack_of_four_dgx_h100_needs_63_a_by_iec_and_does_not_fit_it_at_80_per_cent() -> None:
    iec = circuits(30_000.0, 40_800.0)
    assert (iec.rating_a, iec.circuits, iec.failing, iec.floor) == (63, 1, "", "the nameplate")
    assert iec.used == pytest.approx(58.89 / 63, abs=1e-4)
    assert circuits(30_000.0, 40_800.0, continuous_factor=0.8).rating_a == 125
    assert circuits(30_000.0, 40_800.0, temperature_factor=0.9).rating_a == 125


def test_each_path_carries_all_and_half_of_it_on_a_good_day() -> None:
    two = circuits(40_800.0)
    one = circuits(40_800.0, feed=msgspec.structs.replace(FEED, paths=1))
    assert two.rating_a == one.rating_a == 63
    assert two.failover_a == one.failover_a == pytest.approx(58.89, abs=0.005)
    assert two.normal_a == pytest.approx(two.failover_a / 2)
    assert one.normal_a == one.failover_a
    assert two.spare_w == pytest.approx(63 * np.sqrt(3) * 400 - 40_800)


def test_of_three_paths_two_carry_all_when_one_is_lost() -> None:
    three = circuits(40_800.0, feed=msgspec.structs.replace(FEED, paths=3))
    assert three.rating_a == 32  # of 58.89 A each of the two that are left carries 29.44
    assert three.failover_a == pytest.approx(58.89 / 2, abs=0.005)
    assert three.normal_a == pytest.approx(58.89 / 3, abs=0.005)
    assert three.path_w == pytest.approx(20_400)
    assert three.load_w == 40_800
    assert three.spare_w == pytest.approx(2 * 32 * np.sqrt(3) * 400 - 40_800)
    assert three.after_loss == "when one of 3 paths is lost, the other 2 share the load"
    assert circuits(40_800.0).after_loss == "either path carries all when the other is lost"
    big = circuits(1e6, feed=msgspec.structs.replace(FEED, paths=3), level="row")
    assert big.failing.startswith("row: no breaker is big enough: 500 kW on each path with one of 3 lost is 721.7 A")
    assert (big.circuits, big.rating_a) == (2, 400)


@settings(max_examples=60, deadline=None)
@given(design=st.floats(100.0, 3e6), paths=st.integers(1, 6), factor=st.floats(0.5, 1.0))
def test_the_paths_that_are_left_carry_everything(design: float, paths: int, factor: float) -> None:
    feed = msgspec.structs.replace(FEED, paths=paths)
    found = circuits(design, feed=feed, continuous_factor=factor)
    left = paths_left(paths)
    assert left == (1 if paths == 1 else paths - 1)
    carried = left * found.circuits * float(carried_w(found.rating_a, 400.0, 1.0, factor))
    assert carried >= design * (1 - 1e-8)
    assert carried == pytest.approx(design + found.spare_w)
    assert found.normal_a * paths == pytest.approx(found.failover_a * left)
    more = circuits(design, feed=msgspec.structs.replace(FEED, paths=paths + 1), continuous_factor=factor)
    assert more.circuits * more.rating_a <= found.circuits * found.rating_a


def test_nothing_but_a_proven_cap_goes_below_the_nameplate() -> None:
    assert circuits(20_000.0, 40_800.0).load_w == 40_800
    capped = circuits(20_000.0, 40_800.0, capped=True)
    assert (capped.load_w, capped.rating_a) == (20_000, 32)
    assert "cap" in capped.floor
    above = circuits(45_000.0, 40_800.0)
    assert (above.load_w, above.rating_a) == (45_000, 125)
    assert above.floor == "the design power, above the nameplate"
    # a row is no branch circuit
    assert circuits(20_000.0, None, ratings_a=(100.0, 200.0), level="row").load_w == 20_000


def test_four_b200_on_60_a_take_the_two_circuits_of_the_reference_design() -> None:
    feed = msgspec.structs.replace(FEED, ratings_a=(30.0, 60.0), paths=1)
    found = circuits(57_200.0, feed=feed, voltage_v=415.0)
    assert (found.circuits, found.rating_a) == (2, 60)
    assert found.failing.startswith("rack: no breaker is big enough: 57.2 kW on its one path is 79.58 A a phase")


@pytest.mark.parametrize(
    ("kw", "volts", "ratings_a", "factor", "rating_a"),
    [
        (28.6, 380.0, (16.0, 32.0), 1.0, 32),  # two DGX B200
        (57.2, 415.0, (30.0, 60.0), 0.8, 60),  # four
        (56.0, 415.0, (30.0, 60.0), 0.8, 60),  # four DGX B300
    ],
)
def test_racks_of_published_designs_stand_on_two_circuits_a_path(
    kw: float, volts: float, ratings_a: tuple[float, ...], factor: float, rating_a: float
) -> None:
    feed = msgspec.structs.replace(FEED, ratings_a=ratings_a)
    found = circuits(1e3 * kw, feed=feed, voltage_v=volts, continuous_factor=factor, most=2)
    assert (found.circuits, found.rating_a, found.failing, found.short) == (2, rating_a, "", 0)
    # one circuit does not carry it, and one path carries all when the other is lost
    assert found.failover_a * 2 > factor * max(ratings_a)
    assert 2 * found.failover_a * volts * 3**0.5 == pytest.approx(1e3 * kw)


def test_more_circuits_than_may_share_a_path_are_said_with_what_those_carry() -> None:
    feed = msgspec.structs.replace(FEED, ratings_a=(32.0, 63.0))
    found = circuits(132_000.0, 132_000.0, feed=feed, continuous_factor=0.8, most=2)
    assert (found.circuits, found.short) == (4, 1)
    assert found.failing == (
        "rack: no breaker is big enough: 132 kW with the other path lost is 190.5 A a phase, 2 of the largest, each"
        " 63 A, may carry 100.8 A (IEC): short by 89.7 A, 62.2 kW; it takes 4 circuits a path"
    )


def test_a_rack_without_a_breaker_big_enough_says_which_level_and_by_how_much() -> None:
    feed = msgspec.structs.replace(FEED, ratings_a=(32.0, 63.0))
    found = circuits(132_000.0, 132_000.0, feed=feed, continuous_factor=0.8)
    # 190.5 A of 50.4 A: four circuits of 47.6 A each
    assert (found.circuits, found.rating_a) == (4, 63)
    assert found.failover_a == pytest.approx(190.53 / 4, abs=0.005)
    assert found.failing == (
        "rack: no breaker is big enough: 132 kW with the other path lost is 190.5 A a phase, the largest, 63 A, may"
        " carry 50.4 A (IEC): short by 140 A, 97.1 kW; it takes 4 circuits a path"
    )
    row = circuits(1e6, None, ratings_a=(400.0, 800.0), level="row")
    assert row.failing.startswith("row: no breaker")
    assert "short by 643 A, 446 kW; it takes 2 circuits" in row.failing


def test_draws_are_sized_one_by_one_and_the_worst_is_told() -> None:
    feed = msgspec.structs.replace(FEED, ratings_a=(32.0, 63.0))
    design = np.array([20e3, 40e3, 50e3, 90e3])
    found = circuits(design, feed=feed)
    np.testing.assert_array_equal(found.circuits, [1, 1, 2, 3])
    np.testing.assert_array_equal(found.rating_a, [32, 63, 63, 63])
    assert "in 50 % of the draws, at worst: 90 kW" in found.failing
    mixed = circuits(design, 45e3, feed=feed)
    np.testing.assert_array_equal(mixed.load_w, [45e3, 45e3, 50e3, 90e3])
    assert mixed.floor == "the design power, above the nameplate in 50 % of the draws"


@settings(max_examples=150, deadline=None)
@given(
    design=st.floats(100.0, 5e6),
    nameplate=st.floats(100.0, 5e6),
    factor=st.floats(0.5, 1.0),
    voltage=st.sampled_from([208.0, 240.0, 400.0, 415.0, 480.0]),
    more=st.floats(0.0, 1e6),
    most=st.integers(1, 4),
)
def test_no_circuit_carries_more_than_it_may_nor_is_bigger_than_it_must(
    design: float, nameplate: float, factor: float, voltage: float, more: float, most: int
) -> None:
    found = circuits(design, nameplate, continuous_factor=factor, voltage_v=voltage, most=most)
    assert found.load_w >= max(design, nameplate)
    assert found.failover_a <= factor * found.rating_a * (1 + 1e-8)
    assert 0 < found.used <= 1
    carried = found.circuits * float(carried_w(found.rating_a, voltage, 1.0, factor))
    assert carried == pytest.approx(found.load_w + found.spare_w)
    smaller = [a for a in EU if a < found.rating_a]
    assert not smaller or factor * smaller[-1] < found.failover_a
    assert bool(found.failing) == (found.circuits > most) == bool(found.short)
    if found.circuits > 1:  # one circuit fewer would not do
        assert found.failover_a * found.circuits > (found.circuits - 1) * factor * EU[-1]
    bigger = circuits(design + more, nameplate, continuous_factor=factor, voltage_v=voltage)
    assert (bigger.circuits, bigger.failover_a * bigger.circuits) >= (
        found.circuits,
        found.failover_a * found.circuits * (1 - 1e-12),
    )


def test_supplies_must_survive_the_loss_of_their_path_too() -> None:
    def supplies(count: int, needed: int) -> Psu:
        return Psu(count, needed, parameter(3300.0, "W"), ((0.5, 0.96),), "test")

    assert path_loss(supplies(12, 6), 2) == ""
    assert path_loss(supplies(6, 4), 2) == (
        "unit: 3 of 6 supplies are left when one of 2 paths is lost, it needs 4:"
        " site.electrical.feed.paths=3 would leave 4"
    )
    assert path_loss(supplies(6, 5), 2).endswith("paths=6 would leave 5")
    assert path_loss(supplies(6, 6), 2).endswith("no number of paths helps, as none of its supplies is redundant")
    # five of eight: three paths do not divide eight evenly, four do
    assert path_loss(supplies(8, 5), 2).endswith("paths=4 would leave 6")
    assert path_loss(supplies(6, 4), 3) == ""
    assert path_loss(supplies(6, 5), 3) != ""
    assert "0 of 6 supplies are left when the only path is lost" in path_loss(supplies(6, 4), 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"design_w": 0.0}, "design_w: found 0"),
        ({"nameplate_w": -1.0}, "nameplate_w: found -1"),
        ({"voltage_v": 0.0}, "voltage_v: found 0"),
        ({"power_factor": 1.1}, r"power_factor: found 1\.1; allowed above 0 to 1"),
        ({"continuous_factor": 1.2}, r"continuous_factor \* temperature_factor: found 1\.2"),
        ({"temperature_factor": 0.0}, "temperature_factor: found 0"),
        ({"ratings_a": ()}, "ratings_a: found none"),
        ({"ratings_a": (16.0, -3.0)}, "ratings_a: found -3"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        circuits(**{"design_w": 1e4, **change})
    assert "\n" not in str(caught.value)
