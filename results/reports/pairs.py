"""Pairs of nodes in a table: of thousands of rows the one in the middle, the slowest and the first that failed.

The rest is in the matrix of links, ``groups.json`` and the tables for other programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from perwatt.results.reports.table import Note, Row
from perwatt.results.reports.units import number

KIND = "pair"
MOST, FAILED = 10, 3  # pairs that are listed each by itself; of more, those that failed


def shortened(members: Sequence[Row]) -> list[Row]:
    """The rows of a table with those of many pairs made few, in the place of the first; others as they are."""
    pairs = [row for row in members if _pair(row)]
    if len(pairs) <= MOST:
        return list(members)
    kept = _kept(pairs)
    first = next(at for at, row in enumerate(members) if _pair(row))
    rest = [row for row in members[first:] if not _pair(row)]
    return [*members[:first], *kept, *rest]


def pair_notes(members: Sequence[Row]) -> list[Note]:
    """How many pairs were tested, and what the table leaves out; nothing where each is listed."""
    pairs = [row for row in members if _pair(row)]
    if len(pairs) <= MOST:
        return []
    measured, failed, skipped = (_in_state(pairs, state) for state in ("measured", "failed", "skipped"))
    parts = [f"{len(measured)} measured"]
    if rated := _by_rate(measured):
        (least, row), (middle, _) = rated[0], rated[(len(rated) - 1) // 2]
        parts[0] += f", the slowest ({'-'.join(_hosts(row))}) at {number(100 * least / middle, 3)} % of the median"
    for words, found in (("failed", failed), ("skipped", skipped)):
        if found:
            parts.append(f"{len(found)} {words} ({found[0].reason})")
    return [Note("", f"Pairs of nodes: {'; '.join(parts)}. Each is in the matrix of links and in groups.json.")]


def _kept(pairs: Sequence[Row]) -> list[Row]:
    rated = _by_rate(_in_state(pairs, "measured"))
    told = f"of {len(rated)} pairs"
    kept = []
    if rated:
        kept = [_named(rated[(len(rated) - 1) // 2][1], f"median {told}"), _named(rated[0][1], f"slowest {told}")]
    return [*kept, *_in_state(pairs, "failed")[:FAILED]]


def _by_rate(rows: Sequence[Row]) -> list[tuple[float, Row]]:
    """Rates above 0 with their rows, the slowest first."""
    return sorted(((row.best, row) for row in rows if row.best), key=lambda one: one[0])


def _in_state(rows: Sequence[Row], state: str) -> list[Row]:
    return [row for row in rows if row.state == state]


def _pair(row: Row) -> bool:
    over = row.record.case.over
    return over is not None and over.kind == KIND


def _hosts(row: Row) -> tuple[str, ...]:
    over = row.record.case.over
    return over.hosts if over else ()


def _named(row: Row, words: str) -> Row:
    """The row with its label said to be one of many."""
    case = row.record.case
    case = msgspec.structs.replace(case, label=f"{case.label}: {words}")
    return replace(row, record=msgspec.structs.replace(row.record, case=case))
