"""The links of a fleet: every pair or a sample of them measured, suspects found, tested again and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from perwatt.benchmarks.cluster import retest, suspects
from perwatt.benchmarks.cluster.groups import GroupLeader
from perwatt.benchmarks.cluster.pairs import Pair, Round
from perwatt.benchmarks.cluster.retest import Verdict
from perwatt.benchmarks.cluster.suspects import Suspects
from perwatt.benchmarks.plan import Planned
from perwatt.results.record import Over


@dataclass(frozen=True)
class Links:
    """What came out: ``rates`` in B/s (None: the test failed) of the first test, whom it made suspects, the verdicts.
    ``suspects`` is None where no pair was measured."""

    case: Planned
    schedule: str
    rates: Mapping[Pair, float | None]
    suspects: Suspects | None
    verdicts: tuple[Verdict, ...]


def measure(
    leader: GroupLeader, hosts: Sequence[str], present: Sequence[str], leaf_of: Mapping[str, str]
) -> Links | None:
    """Measure the links between ``hosts`` as the leader's grouping says, those between nodes that are ``present``; of
    the others counts what the run holds already. None without a collective to measure by."""
    if (case := leader.grouping.pair_case(leader.collectives(leader.ranks_of(("a", "pair"))))) is None:
        return None
    schedule = leader.grouping.schedule(hosts, leaf_of)
    rates = _rates(leader, "pair", schedule.rounds, case, present)
    if not any(rate is not None for rate in rates.values()):
        return Links(case, schedule.kind, rates, None, ())
    found = suspects.find(rates, leader.grouping.limits, leaf_of)
    if not found:
        return Links(case, schedule.kind, rates, found, ())
    second = _rates(leader, "retest", retest.again(found), case, present)
    return Links(case, schedule.kind, rates, found, retest.judge(found, rates, second))


def _rates(
    leader: GroupLeader, kind: str, rounds: Iterable[Round], case: Planned, present: Sequence[str]
) -> dict[Pair, float | None]:
    """The rate of each pair that was tested, None if it failed or had a wrong output; of what was skipped nothing is
    known."""
    tests = []
    for pairs in rounds:
        ordered = [leader.in_order(pair) for pair in pairs]
        tests.append([leader.test(Over(kind, "-".join(pair), pair), [case]) for pair in ordered])
    here = set(present)
    leader.measure_rounds([[test for test in round_ if here.issuperset(test.over.hosts)] for round_ in tests])
    found = leader.outcomes(test for round_ in tests for test in round_)
    rates: dict[Pair, float | None] = {}
    for over, record in found.items():
        a, b = over.hosts
        if record.failure is not None:
            rates[a, b] = None
        elif record.rate is not None:
            rates[a, b] = record.rate
    return rates


def slow(links: Links) -> list[Pair]:
    """The pairs that were slower than is normal, or failed."""
    found = links.suspects
    return [pair for pair, rate in links.rates.items() if found is not None and found.normal.slow(pair, rate)]
