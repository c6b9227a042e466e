"""One row a record: the records of one host from all its files, the latest of each case, of a burn-in those of all
rounds, and what could not be read.

A record's identity is its host and its case's key. The latest by ``time_utc`` wins, of equals the later round, then the
greater content, so that neither the order of files, nor a line or a file given twice, nor a torn last line changes what
comes out. If it is of a burn-in, all records of its rounds are rows, one that was cut short and measured again as well:
what a device did wrong in any of them counts.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
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
NO_STATE = derived.state(())
ROWS_AT_ONCE = 1024  # as many as stay near the processor: of twenty times as many each took twice as long


class Row(NamedTuple):
    """What the index says of a record. ``test`` is the case whatever the device, ``rate`` headline work per second and
    ``kind`` what that counts, ``time_s`` the median seconds of a launch, ``u_rate`` half of its 95 % interval as a
    share, ``energy_j`` over all windows, ``per_joule`` work per joule; temperature, share throttled and ECC errors as
    :class:`perwatt.results.derived.State` has them; None where there is none. ``over`` of a group: its kind, its name
    and its hosts, tabs between. ``flags`` are the record's, ``energy_flags`` those of its energies. ``round`` of a
    burn-in from 1, else 0; ``last``: the newest of its case, which the other rounds stand right before, in order of
    time. ``file`` and ``offset`` (in bytes) are where the whole record lies."""

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
    kind: str
    rate: float | None
    busbw: float | None
    time_s: float | None
    u_rate: float | None
    spread: float | None
    energy_j: float | None
    power_w: float | None
    per_joule: float | None
    temperature_c: float | None
    throttled: float | None
    ecc: int | None
    flags: str
    energy_flags: str
    time_utc: str
    round: int
    last: bool
    file: str
    offset: int


NUMBERS = (
    "rate", "busbw", "time_s", "u_rate", "spread", "energy_j", "power_w", "per_joule", "temperature_c", "throttled"
)  # fmt: skip


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
    """Rows of some hosts, how many lines each host had, a line of text for each that could not be read, and what was
    read: of each file by its name how many bytes and their CRC-32."""

    table: pa.Table
    lines: dict[str, int]
    damaged: list[str]
    files: dict[str, tuple[int, int]]


class _One(NamedTuple):
    """A record that was read; the first three say which of two is newer."""

    time_utc: str
    round: int
    line: bytes
    record: Brief
    file: str
    offset: int


class _Kept:
    """The records of a host by the key of their case: the newest of each, and all that are of a round, each line once:
    of the same line twice the first file keeps it."""

    def __init__(self) -> None:
        self.newest: dict[str, _One] = {}
        self._rounds: dict[str, dict[bytes, _One]] = {}

    def add(self, one: _One) -> None:
        """Keep this record, if it is to be kept."""
        key = one.record.case.key
        before = self.newest.get(key)
        if before is None or one[:3] > before[:3]:
            self.newest[key] = one
        if one.round:
            self._rounds.setdefault(key, {}).setdefault(one.line, one)

    def ordered(self) -> Iterator[tuple[_One, bool]]:
        """What is kept, by device and case, with whether it is the newest of its case, which comes last of it."""
        for newest in sorted(self.newest.values(), key=lambda one: (one.record.case.device_index, one.record.case.key)):
            if not newest.round:
                yield newest, True
                continue
            *before, last = sorted(self._rounds[newest.record.case.key].values(), key=lambda one: one[:3])
            yield from ((one, False) for one in before)
            yield last, True


def read(hosts: Sequence[Host]) -> Found:
    """The rows of these hosts, in their order, each host's sorted by device and case."""
    import pyarrow as pa

    columns = schema()
    rows: list[Row] = []
    tables: list[pa.Table] = []
    lines: dict[str, int] = {}
    damaged: list[str] = []
    files: dict[str, tuple[int, int]] = {}

    def tabulate() -> None:
        values = zip(*rows, strict=True) if rows else ((),) * len(columns)
        arrays = [pa.array(column, field.type) for column, field in zip(values, columns, strict=True)]
        tables.append(pa.Table.from_arrays(arrays, schema=columns))
        rows.clear()

    for host in hosts:
        kept = _Kept()
        lines[host.name] = sum(_collect(source, kept, damaged, files) for source in host.sources)
        rows += [_row(host, one.record, one.file, one.offset, last) for one, last in kept.ordered()]
        if len(rows) >= ROWS_AT_ONCE:
            tabulate()
    tabulate()
    return Found(pa.concat_tables(tables), lines, damaged, files)


def _collect(source: Source, kept: _Kept, damaged: list[str], files: dict[str, tuple[int, int]]) -> int:
    """Keep what is to be kept of a file; the number of whole lines that were read."""
    try:
        data = source.path.read_bytes()
    except OSError as error:
        damaged.append(f"{source.name}: {error.strerror}")
        return 0
    files[source.name] = len(data), zlib.crc32(data)
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
        kept.add(_One(record.time_utc, record.round.number if record.round else 0, line, record, source.name, here))
    return count


def _row(host: Host, record: Brief, file: str, offset: int, last: bool = True) -> Row:
    case, outcome = record.case, record.outcome
    rate = busbw = time_s = u_rate = spread = energy_j = per_joule = power_w = None
    state = NO_STATE
    told, reason, kind, energy_flags = "measured", "", "", ""
    if isinstance(outcome, Measured):
        # which meter speaks is found once, for all that is made of its energies
        pairs = derived.metered(outcome.repetitions, derived.meter(record.device.type, outcome.repetitions))
        work, seconds = outcome.work, outcome.seconds
        kind, time_s, rate = derived.kind(work), seconds.median, derived.rate(work, seconds.median)
        busbw, u_rate, spread = derived.busbw(work, rate), derived.half_interval(seconds), derived.spread(seconds)
        energy_j, power_w, per_joule = derived.figures(work, pairs)
        energy_flags = " ".join(sorted(derived.cautions(pairs)))
        state = derived.state(outcome.repetitions)
    elif isinstance(outcome, Failed):
        told, reason = "failed", outcome.error
    else:
        told, reason = "skipped", outcome.reason
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
        told,
        reason,
        kind,
        rate,
        busbw,
        time_s,
        u_rate,
        spread,
        energy_j,
        power_w,
        per_joule,
        *state,
        " ".join(record.flags),
        energy_flags,
        record.time_utc,
        record.round.number if record.round else 0,
        last,
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

    types = {name: pa.int32() for name in ("device", "ranks", "round")}
    types |= {"last": pa.bool_(), "offset": pa.int64(), "ecc": pa.int64()}
    types |= dict.fromkeys(NUMBERS, pa.float64())
    return pa.schema([(name, types.get(name, pa.string())) for name in Row._fields])
