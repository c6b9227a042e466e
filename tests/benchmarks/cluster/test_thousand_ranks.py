"""1,024 ranks on 128 nodes: who is in which group in which round, and what a rank of such a group does, by the worker's
own code over torch's fake process group, with the time and the memory that it takes."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from simulated_fleet import configuration
from spent import watched

from perwatt.benchmarks.cluster import groups
from perwatt.benchmarks.cluster.grouping import collectives, from_config, over
from perwatt.benchmarks.cluster.topology import from_config as topology
from perwatt.benchmarks.plan import check
from perwatt.results.record import Over

NODES, PER_HOST = 128, 8
RANKS = NODES * PER_HOST
HOSTS = [f"n{i:03}" for i in range(NODES)]
FIRST = {host: PER_HOST * i for i, host in enumerate(HOSTS)}
LEAVES = {f"leaf{i}": HOSTS[32 * i : 32 * i + 32] for i in range(4)}
RAILS = {f"set{i}": HOSTS[64 * i : 64 * i + 64] for i in range(2)} | {"odd": HOSTS[1::2]}
RACKS = {f"r{i:02}": HOSTS[8 * i : 8 * i + 8] for i in range(16)}
MOVED = {
    "AllReduce": ("allreduce_", 2 * (RANKS - 1) / RANKS),
    "AllGather": ("_allgather_base_", (RANKS - 1) / RANKS),
    "ReduceScatter": ("_reduce_scatter_base_", (RANKS - 1) / RANKS),
    "AllToAll": ("alltoall_base_", (RANKS - 1) / RANKS),
    "Broadcast": ("broadcast_", 1.0),
    "SendRecv": ("send", 1.0),
}


def ranks_of(hosts: Iterable[str]) -> list[int]:
    """The ranks on these nodes, by their numbers among all."""
    return [FIRST[host] + local for host in hosts for local in range(PER_HOST)]


def once_each(together: Sequence[Sequence[str]]) -> bool:
    """Whether every rank of the fleet is in exactly one of these groups."""
    return sorted(itertools.chain.from_iterable(map(ranks_of, together))) == list(range(RANKS))


def test_every_pair_of_nodes_meets_once_and_each_rank_is_in_one_group_a_round() -> None:
    grouping = from_config({**configuration()["groups"], "every_up_to": NODES})
    schedule = grouping.schedule(HOSTS, {host: leaf for leaf, hosts in LEAVES.items() for host in hosts})
    assert len(schedule.rounds) == NODES - 1
    assert all(once_each(pairs) for pairs in schedule.rounds)
    met = Counter(frozenset(pair) for pair in schedule.pairs)
    assert len(met) == NODES * (NODES - 1) // 2
    assert set(met.values()) == {1}


def test_leaves_rails_and_racks_cover_each_rank_once_and_no_round_has_a_rank_twice() -> None:
    found = topology({"name": "t", "source": "given", "leaves": LEAVES, "rails": RAILS, "racks": RACKS}).groups(HOSTS)
    assert Counter(of.level for of in found) == {"rack": 16, "leaf": 4, "rail": 3}
    for level, given in (("rack", RACKS), ("leaf", LEAVES)):
        assert [list(of.hosts) for of in found if of.level == level] == list(given.values())
        assert once_each([of.hosts for of in found if of.level == level])
    plain = deepcopy(configuration())
    plan = check(plain)
    tests = []
    for of in found:
        group, size = Over(of.level, of.name, of.hosts), PER_HOST * len(of.hosts)
        cases = tuple(over(planned, group) for planned in collectives(plan, "cpu", size))
        assert [case.case.ranks for case in cases] == [size]
        tests.append(groups.Test(group, cases))
    rounds = groups.disjoint(tests)
    # racks, leaves and both halves, in a round each; the odd ones, which meet all of them
    assert [len(together) for together in rounds] == [16, 4, 2, 1]
    for together in rounds:
        busy = Counter(rank for of in together for rank in ranks_of(of.over.hosts))
        assert set(busy.values()) == {1}


@pytest.mark.slow
def test_a_rank_of_1024_launches_what_is_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, script = tmp_path / "found.json", Path(__file__).parents[2] / "fake_ranks.py"
    spent = watched([sys.executable, str(script), str(path), f"{RANKS}:0,{RANKS - 1}", f"{2 * PER_HOST}:15"])
    found: dict[str, Any] = json.loads(path.read_text())
    # the check of values notices that nothing was moved
    assert f"wrong result: rank 0 of {RANKS}: 262144 of 262144 elements from 0 on are wrong" in found["refused"]
    for rank in ("0", str(RANKS - 1)):
        did = found["played"][str(RANKS)][rank]
        for name, (operation, factor) in MOVED.items():
            case = did[name]
            assert case["work"]["message_bytes"] == 1 << 20
            assert case["work"]["bus_factor"] == pytest.approx(factor)
            # what torch was given is what busbw counts, over and over
            assert case["largest"][f"c10d.{operation}.default"] == 1 << 20
            assert case["calls"][f"c10d.{operation}.default"] >= 3
            assert case["checked"] == (1 << 18) // (RANKS if name == "ReduceScatter" else 1)
    assert found["played"]["16"]["15"]["AllReduce"]["work"]["bus_factor"] == pytest.approx(2 * 15 / 16)
    seconds = [found["played"][str(RANKS)]["0"][name]["seconds"] for name in MOVED]
    with capsys.disabled():
        print(f"\na rank of {RANKS}, a case: {min(seconds):.2f} to {max(seconds):.2f} s of a processor; all: {spent}")
    assert max(seconds) < 5
    assert spent.peak_bytes < 1 << 30
