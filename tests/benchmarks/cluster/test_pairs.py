"""The pair schedules: every pair exactly once, rounds disjoint, samples connected, leaves mixed."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.benchmarks.cluster.pairs import Schedule, every_pair, sampled, schedule


def named(n: int) -> list[str]:
    return [f"n{i:05}" for i in range(n)]


def partners(made: Schedule) -> Counter[str]:
    return Counter(host for pair in made.pairs for host in pair)


def reached(made: Schedule, start: str) -> set[str]:
    beside: dict[str, set[str]] = {}
    for a, b in made.pairs:
        beside.setdefault(a, set()).add(b)
        beside.setdefault(b, set()).add(a)
    seen, waiting = {start}, [start]
    while waiting:
        new = beside[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def check_rounds(made: Schedule) -> None:
    for pairs in made.rounds:
        hosts = [host for pair in pairs for host in pair]
        assert hosts
        assert len(hosts) == len(set(hosts))
    assert len({frozenset(pair) for pair in made.pairs}) == len(made.pairs)


@given(st.integers(0, 70))
def test_every_pair_meets_exactly_once_in_as_few_rounds_as_can_be(n: int) -> None:
    hosts = named(n)
    made = every_pair(hosts)
    assert sorted(tuple(sorted(p)) for p in made.pairs) == list(itertools.combinations(hosts, 2))
    assert len(made.rounds) == (0 if n < 2 else n - 1 + n % 2)
    check_rounds(made)
    for pairs in made.rounds:
        assert len(pairs) == n // 2


@settings(deadline=None, max_examples=60)
@given(st.integers(3, 150), st.integers(1, 3), st.integers(0, 2**32), st.integers(0, 9))
def test_a_sample_gives_each_host_its_partners_and_is_connected(n: int, per: int, seed: int, leaves: int) -> None:
    hosts = named(n)
    leaf_of = {host: f"leaf{i % leaves}" for i, host in enumerate(hosts)} if leaves else None
    made = schedule(hosts, 0, per, seed, leaf_of)
    asked = per * math.ceil(math.log2(n))
    check_rounds(made)
    least = min(asked, n - 1)
    assert made.partners == least
    assert set(partners(made)) == set(hosts)
    assert all(least <= count <= least + n % 2 for count in partners(made).values())
    assert len(made.rounds) <= least + n % 2
    assert reached(made, hosts[0]) == set(hosts)
    assert made == schedule(hosts, 0, per, seed, leaf_of)


@given(st.integers(4, 120), st.integers(0, 1000))
def test_two_partners_each_are_enough_to_connect_all(n: int, seed: int) -> None:
    made = sampled(named(n), 2, seed)
    assert len(reached(made, "n00000")) == n


def test_another_seed_is_another_sample() -> None:
    assert schedule(named(300), 0, 2, 1) != schedule(named(300), 0, 2, 2)


@pytest.mark.parametrize(("leaves", "most"), [(2, 0.25), (4, 0.10), (16, 0.01)])
def test_a_sample_prefers_partners_in_other_leaves(leaves: int, most: float) -> None:
    hosts = named(256)
    leaf_of = {host: f"leaf{i % leaves}" for i, host in enumerate(hosts)}
    inside = [leaf_of[a] == leaf_of[b] for a, b in schedule(hosts, 0, 2, 7, leaf_of).pairs]
    by_chance = (256 / leaves - 1) / 255
    assert sum(inside) / len(inside) <= most < by_chance
    # and each leaf meets more than one other, where there are more
    met = {frozenset((leaf_of[a], leaf_of[b])) for a, b in schedule(hosts, 0, 2, 7, leaf_of).pairs} - {
        frozenset([leaf]) for leaf in leaf_of.values()
    }
    assert all(sum(leaf in pair for pair in met) >= min(2, leaves - 1) for leaf in leaf_of.values())


def test_the_number_of_hosts_chooses() -> None:
    assert schedule(named(64), 64, 2).kind == "every pair"
    many = schedule(named(65), 64, 2)
    assert (many.kind, many.partners, len(many.rounds)) == ("sampled", 14, 15)


def test_twelve_thousand_hosts_are_scheduled_in_rounds_of_all() -> None:
    hosts = named(12500)
    made = schedule(hosts, 64, 1, leaf_of={host: f"leaf{i // 32}" for i, host in enumerate(hosts)})
    assert len(made.rounds) == made.partners == 14
    assert all(len(pairs) == 6250 for pairs in made.rounds)


@pytest.mark.parametrize("bad", [(-1, 2), (0, 0)])
def test_a_wrong_parameter_is_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="allowed >= 0 and >= 1"):
        schedule(named(4), *bad)


def test_a_host_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^hosts: found 'a' twice; allowed each once$"):
        every_pair(["a", "b", "a"])


def test_a_single_partner_cannot_connect() -> None:
    with pytest.raises(ValueError, match="found 1 partners a host; allowed 2 or more"):
        sampled(named(8), 1)
