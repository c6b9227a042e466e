"""One row a record: the records of one host from all its files, the latest of each case, and what could not be read.

A record's identity is its host and its case's key. The latest by ``time_utc`` wins, of equals the greater content, so
that neither the order of files, nor a line or a file given twice, nor a torn last line changes what comes out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from perwatt.results import derived
from perwatt.results.fleet.brief import Brief, Measured, decode
from perwatt.results.record import Failed

if TYPE_CHECKING:
    import pyarrow as pa

Scope = Literal["node", "group"]
ROWS_AT_ONCE = 1024  # as many as stay near the processor: of twenty times as many each took twice as long


class Row(NamedTuple):
    """What the index says of a record. ``test`` is the case whatever the device, ``rate`` headline work per second,
    ``time_s`` the median seconds of a launch, ``energy_j`` over all windows, ``per_joule`` work per joule; None where
    there is none. ``over`` of a group: its kind, its name and its hosts, tabs between. ``file`` and ``offset`` (in
    bytes) are where the whole record lies."""

    scope: Scope
    host: str
    device: int
    uuid: str
    case: str
    test: str
    kernel: str
    label: str
    ranks: int
    over: str
    outcome: str
    reason: str
    rate: float | None
    time_s: float | None
    energy_j: float | None
    power_w: float | None
    per_joule: float | None
    flags: str
    time_utc: str
    file: str
    offset: int


@dataclass(frozen=True)
class Source:
    """A records file: where it is, and by which name the index calls it."""

    path: Path
    name: str


@dataclass(frozen=True)
class Host:
    """What is to be read of one host: all files that hold its records. The group tests have a host of their own."""

    scope: Scope
    name: str
    sources: tuple[Source, ...]


class Found(NamedTuple):
    """Rows of some hosts, how many lines each host had, and a line of text for each that could not be read."""

    table: pa.Table
    lines: dict[str, int]
    damaged: list[str]


def read(hosts: Sequence[Host]) -> Found:
    """The rows of these hosts, in their order, each host's sorted by device and case."""
    import pyarrow as pa

    columns = schema()
    rows: list[Row] = []
    tables: list[pa.Table] = []
    lines: dict[str, int] = {}
    damaged: list[str] = []

    def tabulate() -> None:
        values = zip(*rows, strict=True) if rows else ((),) * len(columns)
        arrays = [pa.array(column, field.type) for column, field in zip(values, columns, strict=True)]
        tables.append(pa.Table.from_arrays(arrays, schema=columns))
        rows.clear()

    for host in hosts:
        best: dict[str, tuple[str, bytes, Brief, str, int]] = {}
        count = 0
        for source in host.sources:
            count += _collect(source, best, damaged)
        lines[host.name] = count
        found = [_row(host, record, name, offset) for _, _, record, name, offset in best.values()]
        rows += sorted(found, key=lambda row: (row.device, row.case))
        if len(rows) >= ROWS_AT_ONCE:
            tabulate()
    tabulate()
    return Found(pa.concat_tables(tables), lines, damaged)


def _collect(source: Source, best: dict[str, tuple[str, bytes, Brief, str, int]], damaged: list[str]) -> int:
    """Keep the latest record of each case; the number of whole lines that were read."""
    try:
        data = source.path.read_bytes()
    except OSError as error:
        damaged.append(f"{source.name}: {error.strerror}")
        return 0
    offset, count = 0, 0
    *whole, _torn = data.split(b"\n")
    for number, line in enumerate(whole, 1):
        here, offset = offset, offset + len(line) + 1
        if not line:
            continue
        try:
            record = decode(line, f"{source.name} line {number}")
        except ValueError as error:
            damaged.append(str(error))
            continue
        count += 1
        before = best.get(record.case.key)
        # the same line twice: the first file keeps it
        if before is None or (record.time_utc, line) > before[:2]:
            best[record.case.key] = (record.time_utc, line, record, source.name, here)
    return count


def _row(host: Host, record: Brief, file: str, offset: int) -> Row:
    case, outcome = record.case, record.outcome
    rate = time_s = energy_j = per_joule = power_w = None
    kind, reason = "measured", ""
    if isinstance(outcome, Measured):
        # which meter speaks is found once, for all that is made of its energies
        pairs = derived.metered(outcome.repetitions, derived.meter(record.device.type, outcome.repetitions))
        time_s = outcome.seconds.median
        rate = derived.rate(outcome.work, time_s)
        energy_j, power_w, per_joule = derived.figures(outcome.work, pairs)
    elif isinstance(outcome, Failed):
        kind, reason = "failed", outcome.error
    else:
        kind, reason = "skipped", outcome.reason
    return Row(
        host.scope,
        host.name or record.host,
        case.device_index,
        record.device.uuid,
        case.key,
        test_of(case.kernel, bytes(case.params), case.ranks, case.held),
        case.kernel,
        case.label,
        case.ranks,
        "" if case.over is None else "\t".join((case.over.kind, case.over.name, *case.over.hosts)),
        kind,
        reason,
        rate,
        time_s,
        energy_j,
        power_w,
        per_joule,
        " ".join(record.flags),
        record.time_utc,
        file,
        offset,
    )


@lru_cache(1 << 16)
def test_of(kernel: str, params: bytes, ranks: int, held: tuple[str, float | None]) -> str:
    """A hash of what makes the case itself, but for the device that it ran on."""
    same = msgspec.json.encode([kernel, msgspec.json.decode(params), ranks, *held], order="sorted")
    return hashlib.sha256(same).hexdigest()[:16]


def schema() -> pa.Schema:
    """The columns of the index."""
    import pyarrow as pa

    integers = {"device": pa.int32(), "ranks": pa.int32(), "offset": pa.int64()}
    numbers = dict.fromkeys(("rate", "time_s", "energy_j", "power_w", "per_joule"), pa.float64())
    return pa.schema([(name, integers.get(name) or numbers.get(name) or pa.string()) for name in Row._fields])
