"""The power chain: what comes in goes out or is lost, counts by hand, and no power falls as the load grows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size.chain import Built, Chain, never_better
from perwatt.results.size.parameter import Values
from tests.fleets_of import changed_site, entry, exact, figures, over_draws, request

SITE = changed_site(
    electrical={"ups_curve": [[0.1, 0.9], [0.5, 1.0], [1.0, 0.98]], "ups_topology": "N+1", "transformer_topology": "N",
                "ups_module_w": 1e6, "transformer_va": 2.5e6}
)  # fmt: skip
LEVELS = ("ups_out_w", "ups_in_w", "low_voltage_w", "grid_w")


def chain(**values: float) -> Chain:
    asked = request(site=SITE)
    return Chain(SITE.electrical, exact(asked, **values))


BY_HAND = {
    "distribution_loss": 0.02,
    "ups_efficiency": 0.96,
    "ups_module_w": 1e6,
    "other": 0.005,
    "transformer_va": 2.5e6,
    "transformer_efficiency": 0.99,
    "transformer_no_load_share": 0.2,
    "power_factor": 0.95,
    "ups_power_factor": 0.95,
}


def test_each_stage_by_hand_at_part_load() -> None:
    made = chain(**BY_HAND)
    built = made.build(980e3, 100e3)
    # 980 kW over 0.98 is 1 MW: one module and a spare
    assert (float(np.asarray(built.ups_modules)), float(np.asarray(built.transformers))) == (2, 1)
    found = made.through(980e3, 100e3, built)
    assert found.ups_out_w == pytest.approx(1e6)
    assert found.ups_in_w == pytest.approx(1e6 / 0.96)  # two modules at half load are at their best
    low_voltage_w = 1e6 / 0.96 + 100e3 + 4900
    assert found.low_voltage_w == pytest.approx(low_voltage_w)
    rated_loss_w = 2.5e6 * (1 / 0.99 - 1)
    load = low_voltage_w / 0.95 / 2.5e6
    assert found.grid_w == pytest.approx(low_voltage_w + rated_loss_w * (0.2 + 0.8 * load**2))
    assert found.loss_fraction == pytest.approx((1e6 / 0.96 - 980e3 + 4900) / 980e3)


def test_at_design_the_units_lose_what_they_lose_when_full() -> None:
    made = chain(**BY_HAND)
    found = made.at_design(980e3, 100e3, Built(2.0, 1.0, 1e6, 2.5e6))
    assert found.ups_in_w == pytest.approx(1e6 / (0.96 * 0.98))  # the worst at half load and above
    low_voltage_w = 1e6 / (0.96 * 0.98) + 100e3 + 4900
    rated_loss_w = 2.5e6 * (1 / 0.99 - 1)
    assert found.grid_w == pytest.approx(low_voltage_w + rated_loss_w * (0.2 + 0.8 * low_voltage_w / 0.95 / 2.5e6))


def test_an_efficiency_is_never_better_than_at_any_higher_load() -> None:
    assert never_better(((0.1, 0.9), (0.5, 1.0), (0.75, 0.97), (1.0, 0.99))) == (
        (0.1, 0.9), (0.5, 0.97), (0.75, 0.97), (1.0, 0.99))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.floats(1e4, 1e8), st.floats(0.0, 0.6))
def test_energy_in_is_energy_out_and_losses_above_zero(it_w: float, cooling: float) -> None:
    made = chain()
    for found in (made.through, made.at_design):
        through = found(it_w, cooling * it_w, made.build(it_w, cooling * it_w))
        losses = (
            through.ups_out_w - through.it_w,
            through.ups_in_w - through.ups_out_w,
            through.grid_w - through.low_voltage_w,
        )
        assert all(loss > 0 for loss in losses)
        into = through.it_w + through.cooling_w + through.other_w + sum(losses)
        assert through.grid_w == pytest.approx(into, rel=1e-12)


def test_the_design_never_loses_less_than_the_year_at_the_same_load() -> None:
    made = chain()
    it_w = np.geomspace(1e5, 1e8, 200)
    built = made.build(it_w, 0.3 * it_w)
    part, design = made.through(it_w, 0.3 * it_w, built), made.at_design(it_w, 0.3 * it_w, built)
    assert np.all(np.asarray(design.ups_in_w) >= np.asarray(part.ups_in_w))
    assert np.all(np.asarray(design.grid_w - design.low_voltage_w) >= part.grid_w - part.low_voltage_w)


FIXED = {"ups_module_w": 1e6, "transformer_va": 2.5e6}


@pytest.mark.parametrize("ratings", [FIXED, {}], ids=["one rating", "ratings that fit"])
@pytest.mark.parametrize("topology", ["N", "N+1", "N+2", "2N", "4N3R"])
def test_no_power_and_no_count_falls_as_the_load_grows(topology: str, ratings: dict[str, float]) -> None:
    site = changed_site(electrical={"ups_topology": topology, "transformer_topology": topology, **ratings})
    made = Chain(site.electrical, exact(request(site=site)))
    it_w: Values = np.arange(1e4, 3e7, 1e4)  # steps of a node, over many modules
    built = made.build(it_w, 0.2 * it_w)
    found = made.at_design(it_w, 0.2 * it_w, built)
    for level in LEVELS:
        assert np.all(np.diff(np.asarray(getattr(found, level))) > 0), level
    for units, rated in ((built.ups_modules, built.ups_module_w), (built.transformers, built.transformer_va)):
        rating = np.broadcast_to(rated, it_w.shape)
        assert np.all(np.diff(np.asarray(units * rating)) >= 0)
        assert np.all(np.diff(rating) >= 0)
        # of one rating never fewer; fewer only where the next begins
        assert np.all((np.diff(np.asarray(units)) >= 0) | (np.diff(rating) > 0))
    # a load beside the one that the plant is for goes through it as well
    other = made.at_design(1.4 * it_w, 0.28 * it_w, built)
    assert all(np.all(np.diff(np.asarray(getattr(other, level))) > 0) for level in LEVELS)


@pytest.mark.parametrize("ratings", [FIXED, {}], ids=["one rating", "ratings that fit"])
def test_what_is_built_carries_the_load_after_the_fault(ratings: dict[str, float]) -> None:
    for topology, left in (("N+1", lambda n: n - 1), ("2N", lambda n: n / 2), ("4N3R", lambda n: 0.75 * n)):
        site = changed_site(electrical={"ups_topology": topology, "transformer_topology": topology, **ratings})
        made = Chain(site.electrical, exact(request(site=site)))
        it_w = np.linspace(1e5, 4e7, 500)
        built = made.build(it_w, 0.3 * it_w)
        found = made.at_design(it_w, 0.3 * it_w, built)
        module_w = 0.98 * built.ups_module_w  # full of the apparent power of a load at 0.98
        carried_w = left(np.asarray(built.ups_modules)) * module_w
        assert np.all(carried_w >= np.asarray(found.ups_out_w) * (1 - 1e-9)), topology
        carried_va = left(np.asarray(built.transformers)) * built.transformer_va
        assert np.all(carried_va * made.value("feed.power_factor") >= found.low_voltage_w * (1 - 1e-9)), topology
        # and it is not more than needed: one module less would not
        less = left(np.asarray(built.ups_modules) - (4 if topology == "4N3R" else 2 if topology == "2N" else 1))
        assert np.all(less * module_w < np.asarray(found.ups_out_w)), topology


@pytest.mark.parametrize("topology", ["N", "N+1", "2N", "4N3R"])
def test_the_rating_is_the_smallest_of_which_few_enough_carry_the_load(topology: str) -> None:
    site = changed_site(electrical={"ups_topology": topology, "transformer_topology": topology})
    made, sizes = Chain(site.electrical, exact(request(site=site))), site.electrical.ups_sizes
    it_w = np.geomspace(3e3, 3e7, 400)
    built = made.build(it_w, 0.3 * it_w)
    load_w, module_w = made.ups_out_w(it_w) / 0.98, np.asarray(built.ups_module_w)
    carry = 3 if topology == "4N3R" else sizes.most
    assert set(module_w) == {r for r in sizes.ratings if r >= module_w.min()}
    assert np.all((carry * module_w >= load_w * (1 - 1e-9)) | (module_w == sizes.ratings[-1]))
    smaller = np.array([max((r for r in sizes.ratings if r < w), default=0.0) for w in module_w])
    assert np.all(carry * smaller < load_w)


def test_one_node_is_built_for_one_node() -> None:
    found = figures(request(entry(units=1)))
    # 9.9 kW at a power factor of 0.98 is 10.1 kVA: two of the smallest, and a spare
    assert (found["redundancy.ups.module"], found["redundancy.ups.count"]) == (10_000, 3)
    assert (found["redundancy.transformer.rating"], found["redundancy.transformer.count"]) == (25_000, 2)


def test_the_chain_of_all_draws_closes() -> None:
    values, found = over_draws(request(), 200)
    assert np.ndim(values["site.electrical.ups_efficiency"]) == 1
    for through in found.facility.through.values():
        ups_loss = np.asarray(through.ups_in_w - through.it_w)
        transformer_loss = np.asarray(through.grid_w - through.low_voltage_w)
        assert ups_loss.shape == (200,)
        assert np.all(ups_loss > 0)
        assert np.all(transformer_loss > 0)
        into = through.it_w + ups_loss + through.cooling_w + through.other_w + transformer_loss
        np.testing.assert_allclose(through.grid_w, into, rtol=1e-12)
