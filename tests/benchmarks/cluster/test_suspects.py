"""Suspects and verdicts on simulated clusters whose truth is known."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.benchmarks.cluster import retest
from perwatt.benchmarks.cluster.pairs import Pair, Schedule, every_pair, sampled
from perwatt.benchmarks.cluster.suspects import Limits, find, rates_of

LIMITS = Limits(effect=0.05, deviations=3.5)
NORMAL = 46e9  # B/s


@dataclass
class Cluster:
    """A link is as fast as the slowest thing in it, with 0.5 % of noise; ``flaws`` slow a host, a leaf or a link."""

    n: int
    leaves: int = 0
    flaws: dict[object, float] = field(default_factory=dict)
    across: float = 1.0  # what is normal across leaves, of what is inside
    noise: float = 0.005
    seed: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.hosts = [f"n{i:03}" for i in range(self.n)]
        size = -(-self.n // self.leaves) if self.leaves else 1
        self.leaf_of = {h: f"leaf{i // size}" for i, h in enumerate(self.hosts)} if self.leaves else {}

    def rate(self, pair: Pair) -> float | None:
        a, b = pair
        leaves = {self.leaf_of.get(a), self.leaf_of.get(b)}
        share = min(self.flaws.get(what, 1.0) for what in (a, b, frozenset(pair)))
        if len(leaves) == 2:
            share = min(share, *(self.flaws.get(leaf, 1.0) for leaf in leaves)) * self.across
        return NORMAL * share * (1 + self.draw.gauss(0, self.noise)) if share else None

    def test(self, schedule: Schedule) -> dict[Pair, float | None]:
        return {pair: self.rate(pair) for pair in schedule.pairs}

    def blamed(self, schedule: Schedule | None = None, expected: float | None = None) -> set[object]:
        first = self.test(schedule or every_pair(self.hosts))
        suspects = find(first, LIMITS, self.leaf_of, expected)
        rounds = retest.again(suspects)
        for pairs in rounds:
            hosts = [host for pair in pairs for host in pair]
            assert len(hosts) == len(set(hosts))
        second = {pair: self.rate(pair) for pairs in rounds for pair in pairs}
        verdicts = retest.judge(suspects, first, second)
        assert all(v.reason for v in verdicts)
        return {frozenset(v.names) if v.kind == "link" else v.names[0] for v in verdicts if v.outcome == "blamed"}


@pytest.mark.parametrize("n", [4, 5, 8, 33])
@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_cluster_blames_nobody(n: int, seed: int) -> None:
    assert Cluster(n, seed=seed).blamed() == set()
    assert Cluster(n, leaves=2, across=0.6, seed=seed).blamed() == set()


@pytest.mark.parametrize("n", [4, 5, 16])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_slow_host_is_told_from_a_slow_link(n: int, share: float) -> None:
    assert Cluster(n, flaws={"n001": share}).blamed() == {"n001"}
    link = frozenset({"n001", "n002"})
    assert Cluster(n, flaws={link: share}).blamed() == {link}


def test_of_four_hosts_two_may_be_slow() -> None:
    for bad in itertools.combinations([f"n{i:03}" for i in range(4)], 2):
        suspects = find(
            Cluster(4, flaws=dict.fromkeys(bad, 0.5)).test(every_pair([f"n{i:03}" for i in range(4)])), LIMITS
        )
        assert set(suspects.nodes) == set(bad)
        assert Cluster(4, flaws=dict.fromkeys(bad, 0.5)).blamed() == set(bad)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_several_slow_hosts_and_a_slow_link_are_found_and_nobody_else(data: st.DataObject) -> None:
    n = data.draw(st.integers(8, 40))
    hosts = [f"n{i:03}" for i in range(n)]
    bad = data.draw(st.lists(st.sampled_from(hosts), unique=True, max_size=n // 3))
    flaws: dict[object, float] = {host: data.draw(st.sampled_from([0.0, 0.3, 0.6, 0.85])) for host in bad}
    healthy = [host for host in hosts if host not in bad]
    truth: set[object] = set(bad)
    if data.draw(st.booleans()):
        link = frozenset(data.draw(st.lists(st.sampled_from(healthy), min_size=2, max_size=2, unique=True)))
        flaws[link] = 0.5
        truth.add(link)
    assert Cluster(n, flaws=flaws, seed=data.draw(st.integers(0, 99))).blamed() == truth


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 8), st.integers(3, 8), st.sampled_from([0.0, 0.5, 0.85]), st.integers(0, 99), st.booleans())
def test_a_slow_leaf_is_told_from_its_hosts(leaves: int, size: int, share: float, seed: int, also: bool) -> None:
    flaws: dict[object, float] = {"leaf1": share}
    truth: set[object] = {"leaf1"}
    if also:  # a slow host in another leaf, and one behind the slow uplink
        flaws |= {"n000": 0.4, f"n{size:03}": 0.4}
        truth |= {"n000", f"n{size:03}"}
    assert Cluster(leaves * size, leaves, flaws, across=0.8, seed=seed).blamed() == truth


def test_one_slow_host_of_a_leaf_is_not_its_leaf() -> None:
    for size in (2, 4):
        assert Cluster(4 * size, 4, {"n000": 0.5}, across=0.7).blamed() == {"n000"}


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_a_sample_of_pairs_is_enough(seed: int, bad: int) -> None:
    cluster = Cluster(256, 8, seed=seed, across=0.9)
    cluster.flaws = dict.fromkeys(cluster.draw.sample(cluster.hosts, bad), 0.7)
    schedule = sampled(cluster.hosts, 16, seed, cluster.leaf_of)
    assert cluster.blamed(schedule) == set(cluster.flaws)
    cluster.flaws = {"leaf3": 0.5}
    assert cluster.blamed(schedule) == {"leaf3"}


def test_a_difference_without_practical_effect_blames_nobody() -> None:
    assert Cluster(12, flaws={"n003": 0.97}, noise=0.0005).blamed() == set()


def test_noise_is_no_fault() -> None:
    """With 4 % of noise a link 8 % below normal is nothing."""
    for seed in range(10):
        assert Cluster(16, noise=0.04, seed=seed).blamed() == set()


def test_who_was_slow_once_is_cleared() -> None:
    cluster = Cluster(8, flaws={"n002": 0.5})
    first = cluster.test(every_pair(cluster.hosts))
    suspects = find(first, LIMITS)
    assert suspects.nodes == ("n002",)
    assert set(suspects.good) == set(cluster.hosts) - {"n002"}
    cluster.flaws = {}
    second = {pair: cluster.rate(pair) for pairs in retest.again(suspects) for pair in pairs}
    assert len(second) == retest.PARTNERS
    (verdict,) = [v for v in retest.judge(suspects, first, second) if v.kind == "node"]
    assert (verdict.names, verdict.outcome) == (("n002",), "cleared")
    assert verdict.reason.startswith("0 of 2 tests slow with partners known to be good, median 1.0")


def test_who_cannot_be_tested_again_stays_undecided() -> None:
    cluster = Cluster(4, flaws={f"n00{i}": 0.5 for i in range(4)})
    first = cluster.test(every_pair(cluster.hosts))
    # what is normal cannot be seen where all are slow: it has to be known
    assert not find(first, LIMITS)
    suspects = find(first, LIMITS, expected=NORMAL)
    assert set(suspects.nodes) == set(cluster.hosts)
    assert retest.again(suspects) == ()
    assert {v.outcome for v in retest.judge(suspects, first, {})} == {"undecided"}
    some = Cluster(6, flaws={"n001": 0.5})
    lost = find(some.test(every_pair(some.hosts)), LIMITS)
    assert [v.reason for v in retest.judge(lost, first, {})][:1] == ["was not tested again"]


def test_times_serve_as_well_as_rates() -> None:
    cluster = Cluster(6, flaws={"n004": 0.5})
    rates = cluster.test(every_pair(cluster.hosts))
    times = {pair: 1 / rate if rate else None for pair, rate in rates.items()}
    assert find(rates_of(times), LIMITS).nodes == ("n004",)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"^links: found a-b: "):
        find({("a", "b"): rate}, LIMITS)
    with pytest.raises(ValueError, match="allowed two hosts"):
        find({("a", "a"): 1.0}, LIMITS)
    with pytest.raises(ValueError, match="links: found a-b"):
        find(rates_of({("a", "b"): 0.0}), LIMITS)
    with pytest.raises(ValueError, match=r"^suspects: found an expected rate of "):
        find({("a", "b"): 1.0}, LIMITS, expected=rate)


def test_limits_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^suspects: found effect 0, deviations 3"):
        Limits(effect=0, deviations=3)
