"""From the rates of links between hosts to suspects: slow hosts, slow leaves, slow links.

A link is as fast as the slowest thing in it: two hosts, perhaps two leaves' uplinks, and what is its own. What is
normal is therefore the rate of those that are fast. A first guess is, of each host, the upper quartile of its links,
and of these the median over the hosts: half of the hosts may be slow, and of four hosts two, with five links of six.
Faults only slow, so the links above that guess say how wide normal is; the median of those not far below it is normal.

Slow is a link below normal by more than a practical effect and by more than 3.5 robust standard deviations, each 1.4826
times the median absolute deviation (B. Iglewicz, D. Hoaglin, How to detect and handle outliers, 1993).

A host is a suspect if the median of its links is slow. The worst is taken out first, with its links, before the others
are looked at again: a good host in bad company is left. Leaves come before hosts: where three quarters of the hosts of
one leaf are slow to other leaves, the leaf is the suspect, and its hosts are judged by the links inside it. Slow links
that are left between hosts that are not suspects are suspects themselves. Nobody is blamed here: see ``retest``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median, median_high
from typing import Literal

from perwatt.benchmarks.cluster.pairs import Pair

Kind = Literal["inside", "across"]

SCALE = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
ROUGH = 6.0  # of the deviations above the first guess: wide, because the upper quarter alone looks narrow
LEAF_SHARE = 0.75  # of a leaf's hosts that are slow to other leaves for the leaf to be the suspect


@dataclass(frozen=True)
class Limits:
    """How far below normal is slow: ``effect``, a fraction of normal, and ``deviations``, robust standard ones."""

    effect: float = 0.05
    deviations: float = 3.5

    def __post_init__(self) -> None:
        if not 0 < self.effect < 1 or not self.deviations >= 0:
            found = f"effect {self.effect}, deviations {self.deviations}"
            raise ValueError(f"suspects: found {found}; allowed an effect between 0 and 1, deviations of 0 and more")


@dataclass(frozen=True)
class Normal:
    """What is normal: ``rate`` in B/s of links inside a leaf and across leaves, and the share of it that is slow."""

    rate: Mapping[Kind, float]
    slow_below: Mapping[Kind, float]
    leaf_of: Mapping[str, str]

    def kind(self, pair: Pair) -> Kind:
        """Across only if both leaves are known and differ."""
        a, b = (self.leaf_of.get(host) for host in pair)
        return "across" if a is not None and b is not None and a != b else "inside"

    def ratio(self, pair: Pair, rate: float | None) -> float:
        """The rate over what is normal; of a test that failed 0, slower than any."""
        return 0.0 if rate is None else rate / self.rate[self.kind(pair)]

    def slow(self, pair: Pair, rate: float | None) -> bool:
        """Whether a link of that rate is slow; one whose test failed (None) is."""
        kind = self.kind(pair)
        return rate is None or (kind in self.rate and rate < self.slow_below[kind] * self.rate[kind])


@dataclass(frozen=True)
class Suspects:
    """Who is to be tested again, and who may be their partner. ``nodes``: the worst first; those at the end were tested
    against suspects alone. ``good``: no suspect, at no suspect link, in no suspect leaf."""

    nodes: tuple[str, ...]
    leaves: tuple[str, ...]
    links: tuple[Pair, ...]
    good: tuple[str, ...]
    normal: Normal

    def __bool__(self) -> bool:
        return bool(self.nodes or self.leaves or self.links)


def rates_of(times_s: Mapping[Pair, float | None]) -> dict[Pair, float | None]:
    """Links by time (s of one exchange) as links by rate (1/s)."""
    return {pair: None if time is None else 1 / time if time > 0 else -1.0 for pair, time in times_s.items()}


def find(
    links: Mapping[Pair, float | None],
    limits: Limits,
    leaf_of: Mapping[str, str] | None = None,
    expected: float | None = None,
) -> Suspects:
    """The suspects of a matrix of rates (B/s, or any unit of which more is better; None: the test failed).

    ``expected`` is the normal rate where it is known: with it, all hosts may be slow. Raises ValueError for a rate that
    is none, and for a host that is paired with itself.
    """
    for (a, b), rate in links.items():
        if a == b or (rate is not None and not 0 < rate < math.inf):
            raise ValueError(f"links: found {a}-{b}: {rate}; allowed two hosts and a rate above 0, None if it failed")
    if expected is not None and not 0 < expected < math.inf:
        raise ValueError(f"suspects: found an expected rate of {expected}; allowed one above 0, None if it is unknown")
    hosts = _hosts(links)
    normal = _normal(links, limits, {h: leaf for h, leaf in (leaf_of or {}).items() if h in hosts}, expected)
    slow = {pair: normal.slow(pair, rate) for pair, rate in links.items()}
    leaves = _slow_leaves({pair: s for pair, s in slow.items() if normal.kind(pair) == "across"}, normal, links)
    # hosts of a slow leaf are judged inside it
    hidden = {host for host, leaf in normal.leaf_of.items() if leaf in leaves}
    seen = {pair: s for pair, s in slow.items() if normal.kind(pair) == "inside" or not hidden.intersection(pair)}
    nodes = _peel(seen, normal, links)
    left = {pair: s for pair, s in seen.items() if not set(pair) & set(nodes)}
    unknown = sorted(hosts - hidden - set(nodes) - _hosts(left))
    suspects = tuple(pair for pair, s in left.items() if s)
    good = hosts - hidden - set(nodes) - set(unknown) - _hosts(suspects)
    return Suspects((*nodes, *unknown), tuple(sorted(leaves)), suspects, tuple(sorted(good)), normal)


def _normal(
    links: Mapping[Pair, float | None], limits: Limits, leaf_of: Mapping[str, str], expected: float | None
) -> Normal:
    found = Normal({}, {}, leaf_of)
    rates: dict[Kind, float] = {}
    below: dict[Kind, float] = {}
    for kind in ("inside", "across"):
        measured = {pair: rate for pair, rate in links.items() if rate is not None and found.kind(pair) == kind}
        of_host: dict[str, list[float]] = {}
        for pair, rate in measured.items():
            for host in pair:
                of_host.setdefault(host, []).append(rate)
        if expected is None and not measured:
            continue
        rough = expected or median_high([_upper_quartile(values) for values in of_host.values()])
        above = [rate - rough for rate in measured.values() if rate >= rough]
        width = max(limits.effect * rough, ROUGH * SCALE * median(above) if above else 0.0)
        fast = [rate for rate in measured.values() if rate >= rough - width]
        middle = median(fast) if fast else rough
        rates[kind] = expected or middle
        deviation = SCALE * median(abs(rate - middle) for rate in fast) / rates[kind] if fast else 0.0
        below[kind] = 1 - max(limits.effect, min(limits.deviations * deviation, 1.0))
    return Normal(rates, below, leaf_of)


def _upper_quartile(values: Iterable[float]) -> float:
    """A value that was measured, the higher of two: of three links it is the fastest."""
    ordered = sorted(values)
    return ordered[math.ceil(0.75 * (len(ordered) - 1))]


def _slow_leaves(slow: Mapping[Pair, bool], normal: Normal, links: Mapping[Pair, float | None]) -> set[str]:
    hosts = _hosts(slow)
    suspects = set(_peel(slow, normal, links))
    found = set()
    for leaf in {normal.leaf_of[host] for host in hosts}:
        members = {host for host in hosts if normal.leaf_of[host] == leaf}
        if len(members) > 1 and len(members & suspects) >= LEAF_SHARE * len(members):
            found.add(leaf)
    return found


def _peel(slow: Mapping[Pair, bool], normal: Normal, links: Mapping[Pair, float | None]) -> list[str]:
    """The hosts most of whose links are slow (so that their median is), each without the links of those before."""
    partners: dict[str, dict[str, bool]] = {}
    ratios: dict[str, list[float]] = {}
    for pair, is_slow in slow.items():
        for host, other in (pair, pair[::-1]):
            partners.setdefault(host, {})[other] = is_slow
            ratios.setdefault(host, []).append(normal.ratio(pair, links[pair]))
    bad = {host: sum(of.values()) for host, of in partners.items()}
    typical = {host: median(ratios[host]) for host, count in bad.items() if count}
    found: list[str] = []
    while True:
        candidates = [host for host in typical if bad[host] > len(partners[host]) // 2]
        if not candidates:
            return found
        worst = min(candidates, key=lambda host: (-bad[host] / len(partners[host]), typical[host], host))
        found.append(worst)
        for other, was_slow in partners.pop(worst).items():
            del partners[other][worst]
            bad[other] -= was_slow
        del typical[worst]


def _hosts(pairs: Iterable[Pair]) -> set[str]:
    return {host for pair in pairs for host in pair}
