"""Which hosts are tested against each other, and when: rounds of disjoint pairs that run in parallel.

Every pair: the circle method of round-robin tournaments (E. Lucas, Recreations mathematiques II, 1883, who gives it to
F. Walecki). One host stays, the others sit on a circle of m = n - 1 places; in round r the host that stays meets place
r, and places a and b meet if a + b = 2r (mod m). Each pair meets exactly once in n - 1 rounds; of an odd number one
rests in each of n rounds: it meets the host that is not there.

Sampled, for many hosts: some of these rounds. Partners of different rounds differ, so each host has as many partners as
there are rounds. Connected by construction: two rounds that follow each other are in the graph, and the union of rounds
r and s is one cycle through all hosts if r - s and m have no common divisor: from place a it leads to 2r - a and on to
2s - 2r + a, a step of 2(s - r), which visits all places of an odd m. (Without the one that is not there: one path.)
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Pair = tuple[str, str]
Round = tuple[Pair, ...]


@dataclass(frozen=True)
class Schedule:
    """``rounds`` run one after the other, the pairs of one at once. ``partners``: how many each host has at least."""

    kind: Literal["every pair", "sampled"]
    rounds: tuple[Round, ...]
    partners: int

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, in the order in which they are tested."""
        return tuple(pair for pairs in self.rounds for pair in pairs)


def schedule(
    hosts: Sequence[str],
    every_up_to: int,
    per_doubling: int,
    seed: int = 0,
    leaf_of: Mapping[str, str] | None = None,
) -> Schedule:
    """Every pair of up to ``every_up_to`` hosts, else a sample. Raises ValueError for names given twice.

    ``per_doubling``: partners of a host in a sample, for each doubling of the number of hosts: 2 gives 14 of 128 and
    28 of 12,500. ``leaf_of``: the leaf (or rack) of a host, where known; a sample prefers partners in other leaves.
    """
    if every_up_to < 0 or per_doubling < 1:
        raise ValueError(f"pairs: found every_up_to {every_up_to}, per_doubling {per_doubling}; allowed >= 0 and >= 1")
    if len(hosts) <= every_up_to:
        return every_pair(hosts)
    return sampled(hosts, per_doubling * math.ceil(math.log2(max(2, len(hosts)))), seed, leaf_of)


def every_pair(hosts: Sequence[str]) -> Schedule:
    """Each host against each other, exactly once."""
    circle = _circle(hosts)
    rounds = tuple(_round(circle, index) for index in range(len(circle) - 1))
    return Schedule("every pair", tuple(pairs for pairs in rounds if pairs), max(0, len(hosts) - 1))


def sampled(hosts: Sequence[str], partners: int, seed: int = 0, leaf_of: Mapping[str, str] | None = None) -> Schedule:
    """Each host against ``partners`` others (at least; of an odd number some have one more), the graph connected.

    The same for the same hosts, seed and leaves. Of the rounds that could be taken, those with the fewest pairs inside
    one leaf are: leaves sit beside each other on the circle, so that a round mirrors leaf on leaf.
    """
    if partners >= len(hosts) - 1:
        return every_pair(hosts)
    if partners < 2:
        raise ValueError(f"pairs: found {partners} partners a host; allowed 2 or more, or the graph falls apart")
    draw = random.Random(seed)
    circle = _circle(_by_leaf(hosts, leaf_of or {}, draw))
    places = len(circle) - 1
    inside = _inside(circle, leaf_of or {})
    order = list(range(places))
    draw.shuffle(order)
    start = min(order, key=lambda r: inside[r] + inside[(r + 1) % places])
    chosen = [start, (start + 1) % places]
    others = sorted((r for r in order if r not in chosen), key=lambda r: inside[r])
    # of an odd number each rests in one round at most
    chosen += others[: partners + len(hosts) % 2 - 2]
    return Schedule("sampled", tuple(_round(circle, index) for index in chosen), partners)


def _circle(hosts: Sequence[str]) -> list[str | None]:
    """The hosts, and nobody (None) where they are odd in number; the last one stays."""
    twice = sorted({host for host in hosts if hosts.count(host) > 1}) if len(set(hosts)) < len(hosts) else []
    if twice:
        raise ValueError(f"hosts: found {twice[0]!r} twice; allowed each once")
    return [*hosts, *([None] if len(hosts) % 2 else [])]


def _round(circle: Sequence[str | None], index: int) -> Round:
    places = len(circle) - 1
    met = [(circle[index], circle[places])]
    met += [(circle[(index + step) % places], circle[(index - step) % places]) for step in range(1, (places + 1) // 2)]
    return tuple((a, b) for a, b in met if a is not None and b is not None)


def _by_leaf(hosts: Sequence[str], leaf_of: Mapping[str, str], draw: random.Random) -> list[str]:
    """The hosts shuffled, those of one leaf beside each other, the leaves in a drawn order."""
    shuffled = list(hosts)
    draw.shuffle(shuffled)
    leaves: dict[str | None, list[str]] = {}
    for host in shuffled:
        leaves.setdefault(leaf_of.get(host), []).append(host)
    return [host for members in leaves.values() for host in members]


def _inside(circle: Sequence[str | None], leaf_of: Mapping[str, str]) -> list[int]:
    """The pairs of each round that lie inside one leaf, whose hosts sit beside each other. None is in no leaf."""
    places = len(circle) - 1
    half = (places + 1) // 2  # of 1: twice this is 1 (mod places)
    leaves = [leaf_of.get(host) if host is not None else None for host in circle]
    found = [int(leaf is not None and leaf == leaves[-1]) for leaf in leaves[:-1]]
    for leaf, beside in itertools.groupby(range(places), lambda place: leaves[place]):
        if leaf is not None:
            taken = list(beside)
            first, last = taken[0], taken[-1]
            for total in range(2 * first, 2 * last + 1):
                # places a and total - a that are both of this leaf; a host does not meet itself
                found[total * half % places] += (min(total - 2 * first, 2 * last - total) + 1) // 2
    return found
