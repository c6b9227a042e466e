"""Counts by hand, and the promise of each topology: what is left after its fault carries the load."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size.redundancy import (
    after_fault_load,
    count,
    describe,
    fits,
    grouped,
    needed,
    normal_load,
)
from perwatt.results.size.site import Topology

TOPOLOGIES: tuple[Topology, ...] = get_args(Topology)
loads = st.floats(1.0, 1e9)
units = st.floats(1e3, 1e7)


@pytest.mark.parametrize(
    ("topology", "built", "normal", "after"),
    [
        ("N", 3, 4 / 4.5, 4 / 3.0),
        ("N+1", 4, 4 / 6.0, 4 / 4.5),
        ("N+2", 5, 4 / 7.5, 4 / 4.5),
        ("2N", 6, 4 / 9.0, 4 / 4.5),
        ("4N3R", 4, 4 / 6.0, 4 / 4.5),
    ],
)
def test_four_megawatts_on_units_of_one_and_a_half(topology: Topology, built: int, normal: float, after: float) -> None:
    assert count(4e6, 1.5e6, topology) == built
    assert normal_load(4e6, 1.5e6, topology) == pytest.approx(normal)
    assert after_fault_load(4e6, 1.5e6, topology) == pytest.approx(after)


def test_four_to_make_three_is_built_in_blocks_of_four() -> None:
    assert [int(count(load, 1.0, "4N3R")) for load in (0.1, 3.0, 3.01, 6.0, 6.01, 9.0)] == [4, 4, 8, 8, 12, 12]
    assert normal_load(3.0, 1.0, "4N3R") == 0.75
    assert after_fault_load(3.0, 1.0, "4N3R") == 1.0


def test_rounding_of_floating_point_adds_no_unit_but_a_real_excess_does() -> None:
    assert (0.1 + 0.2) / 0.1 > 3  # what plain rounding up would make four of
    assert needed(0.1 + 0.2, 0.1) == 3
    assert needed(3.00001, 1.0) == 4


def test_without_redundancy_the_loss_of_the_only_unit_leaves_nothing() -> None:
    assert after_fault_load(1.0, 2.0, "N") == np.inf
    assert after_fault_load(1.0, 2.0, "N+1", units=1) == np.inf


def test_a_given_number_of_units_takes_the_place_of_the_count() -> None:
    # five built where four are needed and one is spare, then the load grows by half
    assert normal_load(6e6, 1e6, "N+1", units=5) == pytest.approx(1.2)
    assert after_fault_load(6e6, 1e6, "N+1", units=5) == pytest.approx(1.5)
    assert after_fault_load(6e6, 1e6, "2N", units=16) == pytest.approx(0.75)
    assert after_fault_load(6e6, 1e6, "4N3R", units=8) == pytest.approx(1.0)


@settings(max_examples=150, deadline=None)
@given(load=loads, more=st.floats(0, 1e9), unit=units, topology=st.sampled_from(TOPOLOGIES))
def test_whatever_is_built_carries_the_load_and_more_load_never_needs_fewer(
    load: float, more: float, unit: float, topology: Topology
) -> None:
    built = float(count(load, unit, topology))
    assert built == int(built) >= 1
    assert count(load + more, unit, topology) >= built
    normal, after = float(normal_load(load, unit, topology)), float(after_fault_load(load, unit, topology))
    assert 0 < normal <= {"2N": 0.5, "4N3R": 0.75}.get(topology, 1.0) * (1 + 1e-8)
    assert after > normal
    if topology != "N":
        assert after <= 1 + 1e-8


@settings(max_examples=100, deadline=None)
@given(load=loads, unit=units)
def test_no_unit_could_be_left_out(load: float, unit: float) -> None:
    n = float(needed(load, unit))
    assert (n - 1) * unit < load <= n * unit * (1 + 1e-8)
    assert count(load, unit, "4N3R") == 4 * np.ceil(load / (3 * unit) * (1 - 1e-9))
    assert count(load, unit, "N") < count(load, unit, "N+1") < count(load, unit, "N+2")


def test_arrays_broadcast_and_agree_with_single_numbers() -> None:
    load, unit = np.linspace(1e5, 9e6, 20), np.array([[5e5], [1.5e6]])
    for topology in TOPOLOGIES:
        for function in (count, normal_load, after_fault_load):
            found = np.asarray(function(load, unit, topology))
            assert found.shape == (2, 20)
            assert found[1, 5] == function(float(load[5]), 1.5e6, topology)


def test_every_topology_is_described_and_no_other_is_known() -> None:
    assert len({describe(topology) for topology in TOPOLOGIES}) == len(TOPOLOGIES)
    for call in (
        lambda: describe("3N"),  # type: ignore[arg-type]
        lambda: count(1.0, 1.0, "3N"),  # type: ignore[arg-type]
        lambda: normal_load(1.0, 1.0, "3N", units=2),  # type: ignore[arg-type]
        lambda: after_fault_load(1.0, 1.0, "3N", units=2),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="topology: found '3N'; allowed N, N"):
            call()


@pytest.mark.parametrize(("load", "unit"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (1.0, -2.0), (float("nan"), 1.0)])
def test_a_load_or_unit_of_nothing_is_refused(load: float, unit: float) -> None:
    for function in (count, normal_load, after_fault_load):
        with pytest.raises(ValueError, match="allowed above 0"):
            function(load, unit, "N+1")
        with pytest.raises(ValueError, match="allowed above 0"):
            function(load, unit, "N", 3.0) if function is not count else function(load, unit, "N")


def test_four_machines_of_10_2_kw_fit_40_8_kw_exactly() -> None:
    assert fits(4 * 10_200.0, 10_200.0) == 4.0
    assert fits(3 * 0.1, 0.1) == 3.0
    assert fits(40_799.0, 10_200.0) == 3.0


def test_each_group_has_its_own_spare() -> None:
    # 12 MW on units of 1 MW, five of which are a group: three groups of four and a spare
    assert grouped(12.0, 1.0, "N+1", 5.0) == (15.0, 0.8, 1.0)
    assert grouped(12.0, 1.0, "N+1", 100.0) == (13.0, pytest.approx(12 / 13), 1.0)
    # a group is whole units, and one at least
    assert grouped(12.0, 2.0, "N+1", 5.0) == (9.0, pytest.approx(12 / 18), 1.0)
    assert grouped(2.0, 1.0, "N+1", 0.1) == (4.0, 0.5, 1.0)
    for topology in ("N", "2N", "4N3R"):
        assert grouped(12.0, 1.0, topology, 5.0)[0] == count(12.0, 1.0, topology), topology


def test_no_load_needs_no_unit() -> None:
    np.testing.assert_array_equal(grouped(np.array([0.0, 1.0]), 1.0, "N", 5.0), [[0, 1], [0, 1], [0, np.inf]])
    with pytest.raises(ValueError, match="load: found -1"):
        grouped(-1.0, 1.0, "N", 5.0)


@settings(max_examples=80)
@given(loads, st.floats(0, 0.5), units, st.floats(0.1, 20), st.sampled_from(TOPOLOGIES))
def test_groups_carry_their_load_after_the_fault_and_never_shrink(
    load: float, more: float, unit: float, of_group: float, topology: Topology
) -> None:
    built, normal, fault = grouped(np.array([load, load * (1 + more)]), unit, topology, of_group * unit)
    assert built[1] >= built[0] >= count(load, unit, topology)
    assert np.all(np.asarray(normal) <= 1 + 1e-9)
    if topology != "N":
        assert np.all(np.asarray(fault) <= 1 + 1e-9)
