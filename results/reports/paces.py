"""How the ranks of collectives kept step, in words: the slowest in a cell, stragglers by name below the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from perwatt.results.pace import Pace, host_of
from perwatt.results.record import Record
from perwatt.results.reports.legend import small, spoken
from perwatt.results.reports.table import Note, Row, one_line
from perwatt.results.reports.units import number

MOST = 10  # stragglers that are named
OF_TWO = ("pair", "retest")  # what the links tell of these, their ranks do not


def pace_of(record: Record) -> Pace | None:
    """How the ranks of a record kept step; None where nobody looked."""
    return m.pace if (m := record.measured) else None


def slowest(record: Record) -> str:
    """``n2 rank 5, 62 %``: who was slowest in most iterations, and in how many; empty where nobody looked."""
    if (found := pace_of(record)) is None:
        return ""
    return f"{named(record, found.last)}, {small(found.slowest[found.last])} %"


def named(record: Record, rank: int) -> str:
    """A rank, after its host where there are several."""
    over = record.case.over
    return f"{host_of(over.hosts, record.case.ranks, rank)} rank {rank}" if over else f"rank {rank}"


def pace_notes(rows: Sequence[Row]) -> list[Note]:
    """What the two columns say, who is a straggler where, and which ranks a caution is about."""
    found = []
    for row in rows:
        over = row.record.case.over
        if (pace := pace_of(row.record)) is not None and not (over and over.kind in OF_TWO):
            found.append((row.record, pace))
    if not found:
        return []
    out = [
        "Apart: slowest less fastest rank of an iteration, over the middle one, median; slowest: who took longest in "
        "most iterations. Ranks that wait for each other come out alike: that none is slow clears nobody, "
        "each device by itself and the pairs of nodes do."
    ]
    stragglers = [(record, pace, rank) for record, pace in found for rank in pace.stragglers]
    out += [_straggler(*one) for one in stragglers[:MOST]]
    if len(stragglers) > MOST:
        hosts = Counter(named(record, rank) for record, _, rank in stragglers[MOST:])
        out.append(f"And {len(stragglers) - MOST} more, most often {hosts.most_common(1)[0][0]}.")
    if not stragglers:
        limits = sorted({(pace.effect, pace.share) for _, pace in found})
        text = " or ".join(f"{number(100 * e, 2)} % in {number(100 * s, 2)} % of the iterations" for e, s in limits)
        out.append(f"No straggler: no rank took longer than the middle one by more than {text}.")
    cautions = Counter(
        (flag, ", ".join(named(record, rank) for rank in ranks))
        for record, pace in found
        for flag, ranks in pace.flags.items()
    )
    out += [f"{spoken(flag).capitalize()} only on {who}{_of(n, len(found))}." for (flag, who), n in cautions.items()]
    return [Note("", text) for text in out]


def _straggler(record: Record, pace: Pace, rank: int) -> str:
    """``Straggler: n2 rank 5 in bf16 sum 16 MiB: 14 % above the middle rank, ...``."""
    return (
        f"Straggler: {named(record, rank)} in {record.case.kernel} {one_line(record.case.label)}: "
        f"{number(100 * pace.above(rank), 2)} % above the middle rank, by more than {number(100 * pace.effect, 2)} % "
        f"in {small(pace.beyond[rank])} % of the iterations."
    )


def _of(n: int, total: int) -> str:
    return "" if n == total else f" ({n} of {total} collectives)"
