"""Slowest ranks and stragglers by their hosts' names, and thousands of pairs in two rows, in every report."""

from __future__ import annotations

import csv
import io
import itertools

import msgspec
import pytest
from records import measured, record

from perwatt.results.pace import Pace
from perwatt.results.record import Failed, Over, Record, Skipped, Work
from perwatt.results.reports import console, html_cases, text
from perwatt.results.reports.layout import groups

MESSAGE = Work(0, 2 * 10**6, "message", 10**6, 1.0)
SLOW = Pace((1.0, 1.0, 1.0, 1.2), (0.1, 0.1, 0.0, 0.8), (0.0, 0.0, 0.0, 0.9), 0.21, 0.1, 0.5, {"launch_bound": (3,)})
EVEN = Pace((1.0,) * 4, (0.3, 0.25, 0.25, 0.2), (0.0,) * 4, 0.02, 0.1, 0.5)


def collective(key: str, pace: Pace | None, hosts: tuple[str, ...] = ("n1", "n2"), median: float = 0.01) -> Record:
    outcome = msgspec.structs.replace(measured(work=MESSAGE, median=median), pace=pace)
    kind = "pair" if pace is None else "all"
    where = Over(kind, "-".join(hosts), hosts) if hosts else None
    return record(key, outcome, kernel="all_reduce", label=f"sum {key}", ranks=4, collective=True, over=where)


def flat(records: list[Record], width: int = 200) -> str:
    return " ".join(console.render(records, width).split())


def test_a_straggler_is_named_with_its_host_in_every_report() -> None:
    records = [collective("a", SLOW), collective("b", EVEN)]
    for said in (flat(records), text.markdown(records), html_cases.cases(groups(records))):
        assert "n2 rank 3, 80.0 %" in said
        assert "n1 rank 0, 30.0 %" in said
        told = "Straggler: n2 rank 3 in all_reduce sum a: 20 % above the middle rank, by more than 10 % in 90.0 %"
        assert told in said.replace("&#x27;", "'")
        assert "Launch bound only on n2 rank 3 (1 of 2 collectives)." in said
    rows = list(csv.DictReader(io.StringIO(text.csv(records))))
    assert [(r["slowest_rank"], r["stragglers"]) for r in rows] == [("3", "3"), ("0", "")]
    assert rows[0]["rank_apart_ratio"] == "0.21"


def test_without_a_straggler_nobody_is_cleared() -> None:
    said = flat([collective("b", EVEN, hosts=())])
    assert "No straggler: no rank took longer than the middle one by more than 10 % in 50 % of the iterations." in said
    assert "that none is slow clears nobody" in said
    assert " rank 0, 30.0 %" in said
    narrow = flat([collective("b", EVEN, hosts=())], 80)
    assert "Left out at this width: slowest" in narrow


def pairs(hosts: int, *others: Record) -> list[Record]:
    found = []
    for i, two in enumerate(itertools.combinations([f"n{i}" for i in range(hosts)], 2)):
        found.append(collective("-".join(two), None, two, median=0.02 if two == ("n3", "n5") else 0.01 + 1e-6 * i))
    return [*found, *others]


def test_many_pairs_are_two_rows_and_a_line() -> None:
    lost = record("x", Failed("rank 1 died"), kernel="all_reduce", over=Over("pair", "n0-n9", ("n0", "n9")))
    gone = record("y", Skipped("n9 is gone"), kernel="all_reduce", over=Over("pair", "n1-n9", ("n1", "n9")))
    records = [collective("first", EVEN), *pairs(64, *[lost] * 5, gone), collective("last", EVEN)]
    (group,) = groups(records)
    assert [line.row.record.case.label for line in group.lines] == [
        *("sum first", "sum n18-n47: median of 2016 pairs", "sum n3-n5: slowest of 2016 pairs"),
        *(["fp32 x"] * 3),
        "sum last",
    ]
    # each row leads to its record
    assert [records[line.row.index].case.key for line in group.lines[:3]] == ["first", "n18-n47", "n3-n5"]
    told = "2016 measured, the slowest (n3-n5) at 55.0 % of the median; 5 failed (rank 1 died); 1 skipped (n9 is gone)."
    for said in (flat(records), text.markdown(records), html_cases.cases(groups(records))):
        assert f"Pairs of nodes: {told} Each is in the matrix of links and in groups.json." in said
    assert len(text.csv(records).splitlines()) == 2016 + 9


@pytest.mark.parametrize("hosts", [3, 5])
def test_few_pairs_are_listed(hosts: int) -> None:
    records = pairs(hosts)
    assert len(groups(records)[0].lines) == len(records)
    assert "Pairs of nodes" not in flat(records)


def test_a_slowest_rank_is_none_of_a_pair_and_an_older_record_reads_as_it_is() -> None:
    pair = msgspec.structs.replace(collective("a-b", None), outcome=msgspec.structs.replace(measured(), pace=SLOW))
    assert "Straggler" not in flat([pair])
    old = msgspec.to_builtins(collective("a", None)) | {"schema": 4}
    del old["outcome"]["pace"]
    assert "slowest" not in flat([msgspec.convert(old, Record)])
