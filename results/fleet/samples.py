"""What one meter said of each device of a node, in order of time, on the monotonic clock that the node stamps by.

Of a node that was killed, or lost its power, the parts count that it had written: all cases but the one that it was at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perwatt.results.energy import slopes
from perwatt.results.fleet.layout import COPY, NODES
from perwatt.results.telemetry import PARTS, TELEMETRY, unfolded
from perwatt.results.traces.trace import Stamps

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]

POWER, COUNTER = "power_w:", "energy_j:"


@dataclass(frozen=True, eq=False)
class Samples:
    """One device's power: ``t_ns`` on the node's monotonic clock, never going back, and ``power_w``."""

    device: int
    t_ns: Stamps
    power_w: Floats


def series(node: Path) -> dict[str, int]:
    """The power and energy series of a node's file with the rows of each; empty where it has none.

    Raises ValueError for a file that cannot be read.
    """
    import pyarrow.compute as pc

    table = _table(node, ["series"])
    if table is None:
        return {}
    counts = ((str(one["values"]), int(one["counts"])) for one in pc.value_counts(table.column(0)).to_pylist())
    return {name: count for name, count in sorted(counts) if name.startswith((POWER, COUNTER))}


def read(node: Path, name: str, stamps: bool = True) -> Iterator[Samples]:
    """The samples of the series ``name`` of each device of a node, devices in order; not of those that have none.

    Readings that are no number are left out. A counter gives its slopes, each at its middle. Without ``stamps`` only
    the values are read, which takes half the time, and ``t_ns`` is empty.
    Raises ValueError for a file that cannot be read.
    """
    stamps = stamps or name.startswith(COUNTER)
    table = _table(node, ["series", "rank", "value", *(["t_ns"] if stamps else [])])
    if table is None:
        return
    mine = _of_series(table, name)
    rank = mine.column("rank").to_numpy()
    value = mine.column("value").to_numpy()
    t_ns = mine.column("t_ns").to_numpy() if stamps else np.zeros(0, dtype=np.int64)
    if np.any(np.diff(rank) < 0):  # an older perwatt sorted by case
        order = np.lexsort((t_ns, rank)) if stamps else np.argsort(rank, kind="stable")
        rank, value, t_ns = rank[order], value[order], t_ns[order] if stamps else t_ns
    bounds = np.flatnonzero(np.diff(rank)) + 1
    for first, last in zip([0, *bounds], [*bounds, len(rank)], strict=True):
        if first == last:
            continue
        yield _samples(int(rank[first]), t_ns[first:last], value[first:last], name, stamps)


def damaged(node: Path) -> dict[str, str]:
    """By name the parts of a killed node that cannot be read, with the reason. Raises ValueError as :func:`read`."""
    return _unfolded(node)[1] if (node / PARTS).is_dir() else {}


def _unfolded(node: Path) -> tuple[pa.Table | None, dict[str, str]]:
    import pyarrow as pa

    try:
        return unfolded(node)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{node}: not readable as perwatt's telemetry ({str(error).splitlines()[0]})") from None


def _table(node: Path, columns: list[str]) -> pa.Table | None:
    """Columns of a node's telemetry, None where there is none. Raises ValueError for one that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if (node / PARTS).is_dir():
        table, _ = _unfolded(node)
        if table is None:
            return None
        table = table.select(columns)
        return table.set_column(0, "series", table.column("series").dictionary_encode())
    path = node / TELEMETRY
    try:
        with pq.ParquetFile(path, read_dictionary=["series"]) as file:
            return file.read(columns).select(columns)
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException, KeyError) as error:
        raise ValueError(f"{path}: not readable as perwatt's telemetry ({str(error).splitlines()[0]})") from None


def _of_series(table: pa.Table, name: str) -> pa.Table:
    """The rows of one series, by the places of its name in the dictionaries: no text is compared row by row."""
    import pyarrow as pa

    runs, offset = [], 0
    for chunk in table.column("series").chunks:
        names = chunk.dictionary.to_pylist()
        if name in names:
            mine = chunk.indices.to_numpy(zero_copy_only=False) == names.index(name)
            edges = np.flatnonzero(np.diff(mine, prepend=False, append=False))
            runs += [table.slice(offset + a, b - a) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        offset += len(chunk)
    return pa.concat_tables(runs) if runs else table.slice(0, 0)


def _samples(device: int, t_ns: Stamps, value: Floats, name: str, stamps: bool) -> Samples:
    if name.startswith(COUNTER):
        of = slopes(t_ns, value)
        return Samples(device, of.start_ns + (of.end_ns - of.start_ns) // 2, of.power_w)
    fine = np.isfinite(value)
    if not fine.all():
        value, t_ns = value[fine], t_ns[fine] if stamps else t_ns
    return Samples(device, t_ns, value)


def nodes(run: Path) -> dict[str, Path]:
    """The folders of a fleet's nodes by host, in order of their names; a copy only of what is not there itself."""
    found = {path.name: path for path in sorted((run / NODES).iterdir()) if path.is_dir()}
    copies = {name: path for name, path in found.items() if name.endswith(COPY)}
    own = {name: path for name, path in found.items() if name not in copies}
    return dict(sorted(({name.removesuffix(COPY): path for name, path in copies.items()} | own).items()))
