"""One row a record: the records of one host from all its files, the latest of each case, and what could not be read.

A record's identity is its host and its case's key. The latest by ``time_utc`` wins, of equals the greater content, so
that neither the order of files, nor a line or a file given twice, nor a torn last line changes what comes out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from perwatt.results.record import Failed, Measured, Record
from perwatt.results.store import decode

if TYPE_CHECKING:
    import pyarrow as pa

Scope = Literal["node", "group"]


class Row(NamedTuple):
    """What the index says of a record. ``test`` is the case whatever the device, ``rate`` headline work per second,
    ``time_s`` the median seconds of a launch, ``energy_j`` over all windows, ``per_joule`` work per joule; None where
    there is none. ``file`` and ``offset`` (in bytes) are where the whole record lies."""

    scope: Scope
    host: str
    device: int
    uuid: str
    case: str
    test: str
    kernel: str
    label: str
    ranks: int
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

    rows: list[Row] = []
    lines: dict[str, int] = {}
    damaged: list[str] = []
    for host in hosts:
        best: dict[str, tuple[str, bytes, Record, str, int]] = {}
        count = 0
        for source in host.sources:
            count += _collect(source, best, damaged)
        lines[host.name] = count
        found = [_row(host, record, name, offset) for _, _, record, name, offset in best.values()]
        rows += sorted(found, key=lambda row: (row.device, row.case))
    columns = zip(*rows, strict=True) if rows else ((),) * len(Row._fields)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema(), strict=True)]
    return Found(pa.Table.from_arrays(arrays, schema=schema()), lines, damaged)


def _collect(source: Source, best: dict[str, tuple[str, bytes, Record, str, int]], damaged: list[str]) -> int:
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


def _row(host: Host, record: Record, file: str, offset: int) -> Row:
    case, outcome = record.case, record.outcome
    joules = [energy.energy_j for _, energy in record.energies]
    measured = isinstance(outcome, Measured)
    return Row(
        scope=host.scope,
        host=host.name or record.host,
        device=case.device_index,
        uuid=record.device.uuid,
        case=case.key,
        test=test(record),
        kernel=case.kernel,
        label=case.label,
        ranks=case.ranks,
        outcome="measured" if measured else "failed" if isinstance(outcome, Failed) else "skipped",
        reason="" if isinstance(outcome, Measured) else _reason(outcome),
        rate=record.rate,
        time_s=outcome.seconds.median if isinstance(outcome, Measured) else None,
        energy_j=sum(joules) if joules else None,
        power_w=record.power_w,
        per_joule=record.work_per_joule,
        flags=" ".join(record.flags),
        time_utc=record.time_utc,
        file=file,
        offset=offset,
    )


def _reason(outcome: object) -> str:
    return outcome.error if isinstance(outcome, Failed) else str(getattr(outcome, "reason", ""))


def test(record: Record) -> str:
    """A hash of what makes the case itself, but for the device that it ran on."""
    case = record.case
    same = msgspec.json.encode([case.kernel, case.params, case.ranks, case.cache], order="sorted")
    return hashlib.sha256(same).hexdigest()[:16]


def schema() -> pa.Schema:
    """The columns of the index."""
    import pyarrow as pa

    integers = {"device": pa.int32(), "ranks": pa.int32(), "offset": pa.int64()}
    numbers = dict.fromkeys(("rate", "time_s", "energy_j", "power_w", "per_joule"), pa.float64())
    return pa.schema([(name, integers.get(name) or numbers.get(name) or pa.string()) for name in Row._fields])
