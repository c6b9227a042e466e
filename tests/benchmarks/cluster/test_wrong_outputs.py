"""A group of nodes in whose collective an output was wrong has failed it, though its rate was measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from records import case, measured, record

from perwatt.benchmarks.cluster import culprits, links
from perwatt.benchmarks.cluster.groups import Test as GroupTest
from perwatt.results.recheck import Rechecks, Wrong
from perwatt.results.record import Failed, Over, Record, Skipped

WRONG = Wrong(1, 70, "rank 1 of 2: 1 of 9 elements", 1, 4.0, (7,), (1,))
SICK = "c"


class Leader:
    """Measures every test at once: a node whose collectives have wrong outputs is known."""

    def __init__(self) -> None:
        self.kept: list[Record] = []
        self.store, self.keys = SimpleNamespace(records=self.kept), itertools.count()

    def in_order(self, hosts: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted(hosts))

    def ranks_of(self, hosts: Sequence[str]) -> int:
        return len(hosts)

    def collectives(self, size: int) -> list[Any]:
        return [SimpleNamespace(case=case(kernel="all_reduce"))]

    def test(self, over: Over, cases: Sequence[Any]) -> GroupTest:
        one: Any = SimpleNamespace(case=case(f"k{next(self.keys)}", kernel="all_reduce", over=over))
        return GroupTest(over, (one,))

    def measure_rounds(self, rounds: Iterable[Sequence[GroupTest]]) -> None:
        for test in itertools.chain(*rounds):
            wrong = (WRONG,) if SICK in test.over.hosts else ()
            rechecks = Rechecks(3, 9, 0.0, "exact", 0.0, 0.1, wrong)
            outcome = msgspec.structs.replace(measured(), rechecks=rechecks)
            self.kept.append(msgspec.structs.replace(record(outcome=outcome), case=test.cases[0].case))

    def outcomes(self, tests: Iterable[GroupTest]) -> dict[Over, Record]:
        by_key = {r.case.key: r for r in self.kept}
        return {test.over: by_key[test.cases[0].case.key] for test in tests}


def test_a_pair_has_no_rate_if_what_arrived_was_wrong() -> None:
    leader: Any = Leader()
    pairs = (("a", "b"), ("b", "c"))
    rates = links._rates(leader, "pair", [pairs[:1], pairs[1:]], SimpleNamespace(), ("a", "b", "c"))  # type: ignore
    assert rates["b", "c"] is None
    assert rates["a", "b"] == pytest.approx(record(outcome=measured()).rate)


def test_a_group_is_halved_until_the_node_is_known() -> None:
    leader: Any = Leader()
    test = leader.test(Over("rack", "r1", ("a", "b", "c", "d")), ())
    leader.measure_rounds([[test]])
    (failed,) = culprits.failures(leader, [test])
    assert failed[2] == "wrong output: rank 1 of 2: 1 of 9 elements"
    found = culprits.search(leader, failed, ())
    assert [finding.hosts for finding in found.findings] == [(SICK,)]


@pytest.mark.parametrize(
    ("outcome", "failure"), [(Failed("boom"), "boom"), (Skipped("no fp8"), None), (measured(), None)]
)
def test_what_a_record_failed_by(outcome: Any, failure: str | None) -> None:
    assert record(outcome=outcome).failure == failure
