"""Suspects are paired again, with partners that are known to be good, before anybody is blamed.

A host that is slow with good partners is slow itself. A link that is slow again, between hosts that are fast with
others, is slow itself. A leaf whose hosts are slow again to good hosts of other leaves is slow itself. Whoever is fast
now is cleared; who could not be tested again stays undecided, which is neither.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

from perwatt.benchmarks.cluster.pairs import Pair, Round
from perwatt.benchmarks.cluster.suspects import Normal, Suspects

PARTNERS = 2  # good partners of each suspect: one could be bad in a way that nobody saw
MEMBERS = 4  # hosts of a suspect leaf that are tested again


@dataclass(frozen=True)
class Verdict:
    """What became of one suspect. ``names``: a host, a leaf, or the two hosts of a link."""

    kind: Literal["node", "leaf", "link"]
    names: tuple[str, ...]
    outcome: Literal["blamed", "cleared", "undecided"]
    reason: str


def again(suspects: Suspects) -> tuple[Round, ...]:
    """The pairs to test next, in rounds of disjoint pairs; none if nobody is suspected, or nobody known to be good."""
    wanted: dict[frozenset[str], Pair] = {}
    used: Counter[str] = Counter()

    def want(host: str, others: Iterable[str], count: int) -> None:
        leaf = suspects.normal.leaf_of.get(host)
        for other in heapq.nsmallest(count, others, lambda o: (used[o], suspects.normal.leaf_of.get(o) != leaf, o)):
            wanted.setdefault(frozenset((host, other)), (host, other))
            used[other] += 1

    for host in suspects.nodes:
        want(host, _partners(suspects, host), PARTNERS)
    for pair in suspects.links:
        wanted.setdefault(frozenset(pair), pair)
        for host in pair:
            want(host, _partners(suspects, host) - set(pair), 1)
    for leaf in suspects.leaves:
        for host in _members(suspects, leaf)[:MEMBERS]:
            want(host, suspects.good, PARTNERS)
    return _rounds(wanted.values())


def judge(
    suspects: Suspects, first: Mapping[Pair, float | None], second: Mapping[Pair, float | None]
) -> tuple[Verdict, ...]:
    """The verdicts, from the links of the first test and those of the second (rates as in ``suspects.find``)."""
    test = {frozenset(pair): (pair, rate) for pair, rate in second.items()}
    verdicts = [_of_node(suspects, host, test) for host in suspects.nodes]
    verdicts += [_of_leaf(suspects, leaf, test) for leaf in suspects.leaves]
    blamed = {name for v in verdicts if v.outcome == "blamed" and v.kind == "node" for name in v.names}
    for host in sorted({name for pair in suspects.links for name in pair}):
        found = _of_node(suspects, host, test)
        if found.outcome == "blamed":
            blamed.add(host)
            verdicts.append(found)
    links = list(suspects.links)
    cleared = {name for v in verdicts if v.outcome == "cleared" and v.kind == "node" for name in v.names}
    # a host that is cleared leaves its slow links unexplained
    known = set(suspects.good) | cleared
    links += [p for p, rate in first.items() if suspects.normal.slow(p, rate) and cleared & set(p) and set(p) <= known]
    verdicts += [_of_link(suspects, pair, test, blamed) for pair in links]
    return tuple(verdicts)


def _partners(suspects: Suspects, host: str) -> set[str]:
    """Who is good enough to test ``host`` with, where it is known what is normal: in a suspect leaf those of the same
    leaf, who do not cross its uplink."""
    normal, leaf = suspects.normal, suspects.normal.leaf_of.get(host)
    others = _members(suspects, leaf) if leaf is not None and leaf in suspects.leaves else suspects.good
    return {other for other in others if other != host and normal.kind((host, other)) in normal.rate}


def _members(suspects: Suspects, leaf: str) -> list[str]:
    """The hosts of a leaf that are no suspects themselves."""
    doubtful = {*suspects.nodes, *(host for pair in suspects.links for host in pair)}
    return sorted(h for h, of in suspects.normal.leaf_of.items() if of == leaf and h not in doubtful)


def _rounds(pairs: Iterable[Pair]) -> tuple[Round, ...]:
    """The pairs packed into rounds in which each host appears once: the first round that has room for both."""
    rounds: list[list[Pair]] = []
    busy: list[set[str]] = []
    for pair in pairs:
        for taken, hosts in zip(rounds, busy, strict=True):
            if not hosts & set(pair):
                taken.append(pair)
                hosts |= set(pair)
                break
        else:
            rounds.append([pair])
            busy.append(set(pair))
    return tuple(tuple(taken) for taken in rounds)


_Test = Mapping[frozenset[str], tuple[Pair, float | None]]


def _of_node(suspects: Suspects, host: str, test: _Test) -> Verdict:
    partners = _partners(suspects, host)
    if not partners:
        return Verdict("node", (host,), "undecided", "no partner is known to be good")
    tested = [test[key] for other in partners if (key := frozenset((host, other))) in test]
    return _decided("node", (host,), tested, suspects.normal, "with partners known to be good")


def _of_leaf(suspects: Suspects, leaf: str, test: _Test) -> Verdict:
    members, good = set(_members(suspects, leaf)), set(suspects.good)
    if not members or not good:
        return Verdict("leaf", (leaf,), "undecided", "no hosts known to be good in it and outside it")
    tested = [found for key, found in test.items() if key & members and key & good]
    return _decided("leaf", (leaf,), tested, suspects.normal, "to hosts of other leaves known to be good")


def _of_link(suspects: Suspects, pair: Pair, test: _Test, blamed: set[str]) -> Verdict:
    if explained := sorted(blamed & set(pair)):
        return Verdict("link", pair, "cleared", f"{explained[0]} is slow with others as well")
    tested = [test[key] for key in [frozenset(pair)] if key in test]
    return _decided("link", pair, tested, suspects.normal, "between hosts that are not slow with others")


def _decided(
    kind: Literal["node", "leaf", "link"],
    names: tuple[str, ...],
    tested: list[tuple[Pair, float | None]],
    normal: Normal,
    how: str,
) -> Verdict:
    """Blamed if most of the tests are slow again: one that passes of two shows that it can."""
    tested = [(pair, rate) for pair, rate in tested if rate is None or normal.kind(pair) in normal.rate]
    if not tested:
        return Verdict(kind, names, "undecided", "was not tested again")
    slow = sum(normal.slow(pair, rate) for pair, rate in tested)
    rates = [normal.ratio(pair, rate) for pair, rate in tested if rate is not None]
    told = f"median {median(rates):.2f} of normal" if rates else "no rate"
    failed = sum(rate is None for _, rate in tested)
    reason = f"{slow} of {len(tested)} tests slow {how}, {told}" + (f", {failed} failed" if failed else "")
    return Verdict(kind, names, "blamed" if slow > len(tested) // 2 else "cleared", reason)
