"""A dry run says which groups of nodes would measure, in how many rounds, and for how long."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from simulated_fleet import configuration

from perwatt.benchmarks.cluster.outlook import Outlook, outlook
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.plan import GROUP_S, JOIN_S, PREPARE_S, check

LEAVES = {"name": "two", "leaves": {"left": "n[1-32]", "right": "n[33-64]"}}


def asked(nodes: int, topology: dict[str, Any] | None = None, named: bool = True, **groups: object) -> Outlook:
    plain = deepcopy(configuration())
    hosts = [f"n{i}" for i in range(1, nodes + 1)]
    plain["launcher"] |= {"hosts": hosts}
    plain["topology"] |= topology or {}
    plain["groups"] |= groups
    return outlook(plain, check(plain), "cpu", hosts, 1, named)


def test_of_64_nodes_the_leaves_then_all_then_every_pair_in_63_rounds() -> None:
    found = asked(64, LEAVES)
    assert (found.groups, found.pairs, found.rounds) == (3, 2016, 63)
    said = "\n".join(found.lines)
    assert "leaf             left: 32 nodes, 1 cases" in said
    assert "all              64 nodes, 1 cases" in said
    assert "every pair: 2016 in 63 rounds of up to 32 at once, all_reduce fp32 sum 1 MiB, about " in said
    pairs_s, all_s, leaves_s = (
        asked(64, LEAVES, all=a, levels=b).estimate_s for a, b in ((False, False), (True, False), (True, True))
    )
    # ranks are started once, and join 63 times
    assert pairs_s == pytest.approx(GROUP_S + 63 * (JOIN_S + PREPARE_S + 0.5 + 2 * 1.0))
    anew_s = asked(64, LEAVES, all=False, levels=False, standing=63).estimate_s
    assert anew_s == pytest.approx(63 * (GROUP_S + PREPARE_S + 0.5 + 2 * 1.0))
    # both leaves at the same time
    assert leaves_s - all_s == pytest.approx(all_s - pairs_s)


def test_fewer_at_once_take_longer_and_many_nodes_are_sampled() -> None:
    whole_s, twice_s = (asked(64, at_once=n, all=False).estimate_s - GROUP_S for n in (32, 16))
    assert twice_s == pytest.approx(2 * whole_s)
    many = asked(128, all=False)
    assert (many.pairs, many.rounds) == (14 * 64, 14)
    assert "sampled: 896 in 14 rounds" in many.lines[-1]


def test_what_is_not_measured_is_not_listed() -> None:
    assert (asked(2).pairs, asked(2).groups) == (0, 1)  # two nodes are a pair already
    assert asked(8, pairs=False).rounds == 0
    assert len(asked(8, pairs=False, all=False).lines) == 1


def test_without_names_the_places_are_not_known_and_a_node_without_a_place_is_refused() -> None:
    assert "known once the nodes are" in asked(64, LEAVES, named=False).lines[-1]
    assert "known once the nodes are" in asked(4, {"source": "slurm"}, named=False).lines[-1]
    with pytest.raises(BadRequest, match=r"topology two: host 'n65' is in no leaf"):
        asked(65, LEAVES)
