"""Long power traces, a year of seconds in CSV or Parquet, read in pieces.

The columns are those of :mod:`perwatt.results.traces.table`: a time (``t_s``, ``t_ms``, ``t_us``, ``t_ns`` since 1970,
or ISO 8601) and a power in W, whatever else stands beside them; a cell that says that there was no reading is counted,
not read as 0. Stamps are taken as exact decimal numbers of nanoseconds. What is refused, is refused with its line:
power below 0 or endless, what is no number, stamps that go back.

Arrow converts whole columns at once. Only where that fails is a piece looked at cell by cell: for spaces, for words
that mean absent, and for the first cell that nobody can read. A CSV needs as many cells on every line as its header
has; lines that begin with ``#`` are passed over.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perwatt.results.traces.table import ABSENT, EARLIEST_NS, SCALES, TIMES, chosen, clock_of, stamp_ns
from perwatt.results.traces.trace import Clock, Floats, Stamps, Trace, lines, refuse

BLOCK = 1 << 24  # bytes of a CSV that are parsed at a time
ROWS = 1 << 19  # of a Parquet file that are read at a time
DECIMALS = {"t_s": 9, "t_ms": 6, "t_us": 3, "t_ns": 0}  # of each unit, down to the nanosecond

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Source:
    """A file and what its columns mean. ``unit`` of time: a key of ``SCALES``, or ``iso``; ``origin_ns``: the moment
    that times count from, None for 1970."""

    path: Path
    names: tuple[str, ...]
    time: int
    power: int
    unit: str
    clock: Clock
    origin_ns: int | None
    parquet: bool

    def line(self, row: int) -> int:
        """The line of a CSV on which its ``row``, counted from 0, stands; the row itself of a Parquet file."""
        if self.parquet:
            return row + 1
        header = True
        for number, text in lines(self.path):
            comment = text.lstrip().startswith("#")
            if comment and (header or len(next(csv.reader([text]))) != len(self.names)):
                continue
            if not header:
                row -= 1
            header = False
            if row < 0:
                return number
        raise AssertionError("more rows than lines")


def read_big(
    path: Path,
    *,
    boundary: str,
    accuracy_class: str,
    accuracy: float | None = None,
    name: str = "",
    time: str = "",
    power: str = "power_w",
    unit: str = "",
    timezone: str = "UTC",
    start: str = "",
) -> Trace:
    """Read a CSV, packed by gzip or not, or a Parquet file; the arguments are those of ``read_table``.

    Raises ValueError of one line naming file, line (row of a Parquet file), what was found and what is allowed; and
    where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise ValueError("pyarrow: found no such library; allowed: pip install 'perwatt[sizing]'") from None
    clock, origin_ns = clock_of(timezone, unit, start)
    parquet = _starts(path, 4) == b"PAR1"

    def about(names: list[str], line: int) -> _Source:
        at_time, at_power, kind = chosen(path, line, names, time, power, unit)
        return _Source(path, tuple(names), at_time, at_power, kind, clock, origin_ns, parquet)

    stamps, watts, dropped, row, last_ns = [], [], 0, 0, -(2**63)
    try:
        for source, cells in _parquet(path, about) if parquet else _csv(path, about):
            t_ns, power_w, known, comments = _numbers(source, cells, row)
            if len(t_ns):
                _growing(source, t_ns, last_ns, row, known)
                last_ns = int(t_ns[-1])
                stamps.append(t_ns)
                watts.append(power_w)
            dropped += len(known) - len(t_ns) - comments
            row += len(known)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        what = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: found {what}; allowed a CSV or Parquet file of time and power") from None
    # one column after the other: both twice would be a gigabyte of a year of seconds
    t_ns = np.concatenate(stamps) if stamps else np.zeros(0, dtype=np.int64)
    stamps.clear()
    power_w = np.concatenate(watts) if watts else np.zeros(0)
    watts.clear()
    stem = name or path.name.split(".")[0]
    return Trace(stem, t_ns, power_w, boundary, accuracy_class, accuracy, str(path), dropped=dropped)


def _starts(path: Path, count: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise ValueError(f"{path}: found {error.strerror or error}; allowed a readable file") from None


def _csv(path: Path, about: Callable[[list[str], int], _Source]) -> Iterator[tuple[_Source, tuple[Any, Any, Any]]]:
    """Pieces of a CSV: its first, time and power columns as text."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    number, text = next(((n, t) for n, t in lines(path) if not t.lstrip().startswith("#")), (0, ""))
    if not number:
        raise ValueError(f"{path}: found no header; allowed one of {'|'.join(TIMES)}, and a power")
    source = about([c.strip() for c in next(csv.reader([text.removeprefix("\ufeff")]))], number)
    wrong: list[Any] = []

    def odd(row: Any) -> str:
        if not row.text.strip() or row.text.lstrip().startswith("#"):
            return "skip"
        wrong.append(row)
        return "error"

    keys = [f"c{i}" for i in range(len(source.names))]
    wanted = [keys[i] for i in dict.fromkeys((0, source.time, source.power))]
    stream = pa.input_stream(str(path), compression="gzip" if _starts(path, 2) == b"\x1f\x8b" else None)
    try:
        reader = pa_csv.open_csv(
            stream,
            pa_csv.ReadOptions(skip_rows=number, column_names=keys, block_size=BLOCK),
            pa_csv.ParseOptions(invalid_row_handler=odd),
            pa_csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
            ),
        )
        for batch in reader:
            yield source, (batch.column("c0"), batch.column(keys[source.time]), batch.column(keys[source.power]))
    except pa.ArrowInvalid:
        if not wrong:
            if not any(n > number for n, _ in lines(path)):
                return  # a header alone: the trace says what it lacks
            raise
        at = next(n for n, t in lines(path) if n > number and t == wrong[0].text.rstrip("\r\n"))
        refuse(path, at, f"{wrong[0].actual_columns} cells", f"{len(keys)}, as in the header")


def _parquet(path: Path, about: Callable[[list[str], int], _Source]) -> Iterator[tuple[_Source, tuple[Any, Any, Any]]]:
    """Pieces of a Parquet file: time and power columns as they are; nothing in it is a comment."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    source = about(list(file.schema_arrow.names), 1)
    time, power = source.names[source.time], source.names[source.power]
    for batch in file.iter_batches(batch_size=ROWS, columns=list(dict.fromkeys((time, power)))):
        yield source, (None, batch.column(time), batch.column(power))


def _growing(source: _Source, t_ns: Stamps, last_ns: int, row: int, known: Mask) -> None:
    """Refuse stamps that go back, inside a piece or from the one before it."""
    back = np.flatnonzero(t_ns[1:] < t_ns[:-1]) + 1
    at = 0 if t_ns[0] < last_ns else int(back[0]) if len(back) else -1
    if at >= 0:
        before_ns = int(t_ns[at - 1]) if at else last_ns
        line = source.line(row + int(np.flatnonzero(known)[at]))
        gone_s = (before_ns - int(t_ns[at])) * 1e-9
        refuse(source.path, line, f"a stamp {gone_s:.3f} s before the one above it", "stamps that only grow")


def _numbers(source: _Source, cells: tuple[Any, Any, Any], row: int) -> tuple[Stamps, Floats, Mask, int]:
    """Stamps and powers of one piece that begins with ``row``, which rows have them, and how many are comments."""
    import pyarrow.compute as pc

    first, time, power = cells
    comment = np.zeros(len(time), dtype=np.bool_)
    if first is not None:
        comment = pc.starts_with(first, "#").to_numpy(zero_copy_only=False)
    power_w = _watts(source, power, comment, row)
    bad = np.flatnonzero((np.isinf(power_w) | (power_w < 0)) & ~comment)
    if len(bad):
        at = int(bad[0])
        found = f"{source.names[source.power]} {power[at].as_py()}"
        refuse(source.path, source.line(row + at), found, "watts, 0 or more")
    known = ~np.isnan(power_w) & ~comment
    if not known.all():
        time = time.filter(known)
    t_ns = _stamps(source, time, known, row)
    return t_ns, power_w[known], known, int(np.count_nonzero(comment))


def _watts(source: _Source, power: Any, comment: Mask, row: int) -> Floats:
    """Power in W, NaN where there was no reading."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return np.array(pc.cast(power, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except pa.ArrowInvalid:
        pass
    found = np.full(len(power), np.nan)
    for i, cell in enumerate(power.to_pylist()):
        text = "" if cell is None else cell.strip()
        if comment[i] or text.lower() in ABSENT:
            continue
        try:
            found[i] = float(text.removesuffix("W"))
        except ValueError:
            name = source.names[source.power]
            refuse(source.path, source.line(row + i), f"{name} {text!r}", "a number of watts")
    return found


def _stamps(source: _Source, time: Any, known: Mask, row: int) -> Stamps:
    """Stamps in ns since 1970 of the rows that are ``known``."""
    import pyarrow as pa

    found = None
    with contextlib.suppress(pa.ArrowInvalid):
        found = _at_once(source, time)
    if found is not None and (
        source.unit == "iso" or source.origin_ns is not None or bool(np.all(found > EARLIEST_NS))
    ):
        return found
    rows = np.flatnonzero(known)
    stamps = np.empty(len(rows), dtype=np.int64)
    for i, cell in enumerate(time.to_pylist()):
        text = "" if cell is None else str(cell).strip()
        try:
            stamps[i] = stamp_ns(source.path, 0, text, source.unit, source.clock, source.origin_ns)
        except (ValueError, OverflowError):
            stamp_ns(source.path, source.line(row + int(rows[i])), text, source.unit, source.clock, source.origin_ns)
            raise
    return stamps


def _at_once(source: _Source, time: Any) -> Stamps | None:
    """A whole column of times in ns; None, or an error of Arrow, where that cannot be."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(time.type) or source.unit == "iso":
        if pa.types.is_timestamp(time.type):
            moments = time
        else:
            time = pc.replace_substring(time, "/", "-")
            zoned = len(time) > 0 and bool(pc.match_substring_regex(time[0], r"(Z|[+-]\d\d:?\d\d)$").as_py())
            moments = pc.cast(time, pa.timestamp("ns", "UTC" if zoned else None))
        if moments.type.tz is None and source.clock.name != "UTC":
            moments = pc.assume_timezone(moments, source.clock.name, ambiguous="raise", nonexistent="raise")
        whole = pc.cast(pc.cast(moments, pa.timestamp("ns", moments.type.tz)), pa.int64())
        return None if whole.null_count else np.array(whole.to_numpy(zero_copy_only=False), dtype=np.int64)
    scale = SCALES[source.unit]
    if time.null_count:
        return None
    if pa.types.is_floating(time.type):
        found: Stamps = np.round(time.to_numpy(zero_copy_only=False) * float(scale)).astype(np.int64)
    elif (counts := _whole(time)) is not None and len(counts) and np.abs(counts).max() < 2**62 // int(scale):
        found = counts * int(scale)
    else:
        exact = pc.cast(pc.cast(time, pa.string()), pa.decimal128(38, DECIMALS[source.unit]))
        # 128 bits each, the lower 64 first: a number of ns fits in these if the upper ones repeat its sign
        words = np.frombuffer(exact.buffers()[1], dtype="<i8")[2 * exact.offset :].reshape(-1, 2)[: len(exact)]
        if np.any(words[:, 1] != words[:, 0] >> 63):
            return None
        found = words[:, 0].copy()
    return found if source.origin_ns is None else found + source.origin_ns


def _whole(time: Any) -> Stamps | None:
    """Whole numbers, five times as fast as decimal ones; None where not all of them are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return np.array(pc.cast(time, pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)
    except pa.ArrowInvalid:
        return None
