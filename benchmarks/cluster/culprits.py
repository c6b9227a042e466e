"""A group of nodes that failed a test is halved by running that test over parts of it, until the culprits are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perwatt.benchmarks.cluster.bisection import Bisection, Finding, Group
from perwatt.benchmarks.cluster.groups import GroupLeader, Test, disjoint
from perwatt.benchmarks.plan import Planned
from perwatt.results.record import Case, Over, Skipped
from perwatt.results.store import latest

NAMED = 4  # hosts of a part that its label names one by one


@dataclass(frozen=True)
class Culprits:
    """A failed group, the case that it failed first, how, and what halving it found."""

    over: Over
    case: str
    error: str
    findings: tuple[Finding, ...]


def failures(leader: GroupLeader, tests: Sequence[Test]) -> list[tuple[Over, Case, str]]:
    """The groups that failed a case, or had a wrong output in one, the smallest first, each with the first of them."""
    keys = {p.case.key: test.over for test in tests for p in test.cases}
    found: dict[Over, tuple[Over, Case, str]] = {}
    for record in latest(leader.store.records):
        if record.case.key in keys and (failure := record.failure) is not None:
            over = keys[record.case.key]
            found.setdefault(over, (over, record.case, failure))
    return sorted(found.values(), key=lambda one: len(one[0].hosts))


def search(leader: GroupLeader, failed: tuple[Over, Case, str], good: Sequence[str]) -> Culprits:
    """Halve one failed group; ``good``: nodes that passed other tests, to fill up a part that is a single node."""
    over, case, error = failed
    bisection = Bisection(over.hosts)
    while asked := bisection.groups():
        passed: dict[Group, bool | None] = dict.fromkeys(asked)
        tests: dict[Group, Test] = {}
        helpers = [h for h in dict.fromkeys((*bisection.known_good, *good)) if h not in {x for g in asked for x in g}]
        for index, group in enumerate(asked):
            hosts = group
            if len(group) == 1:
                if not helpers:
                    continue
                hosts = leader.in_order((*group, helpers[index % len(helpers)]))
            if planned := _same(leader, case, leader.ranks_of(hosts)):
                tests[group] = leader.test(Over("bisection", _name(hosts), hosts), [planned])
        leader.measure_rounds(disjoint(tests.values()))
        records = leader.outcomes(tests.values())
        for group, test in tests.items():
            if (record := records.get(test.over)) is not None:
                passed[group] = None if isinstance(record.outcome, Skipped) else record.failure is None
        bisection.answer(passed)
    return Culprits(over, f"{case.kernel} {case.label}", error, bisection.findings)


def _name(hosts: Group) -> str:
    """Of a part of a group, for its label; the record has all hosts."""
    return ",".join(hosts) if len(hosts) <= NAMED else f"{hosts[0]} to {hosts[-1]} ({len(hosts)} nodes)"


def _same(leader: GroupLeader, case: Case, size: int) -> Planned | None:
    """The same case for another number of ranks."""
    for planned in leader.collectives(size):
        one = planned.case
        if (one.kernel, one.params, one.held) == (case.kernel, case.params, case.held):
            return planned
    return None
