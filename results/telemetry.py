"""The samples behind the records: every timed launch and every meter reading of a run, in time order.

While a run goes on, each rank leaves one Parquet part a case in ``telemetry.parts/`` (written beside, renamed, so a
part is whole or absent). At the end the parts are folded into one ``telemetry.parquet``, sorted by rank, series and
time: what one meter said of one device, over all cases, lies together. A fleet has such a file for each node. A part
that stands beside the folded file is newer than what the file says of that case.

Columns: ``case`` (key of the record's case), ``series`` (``seconds``: seconds per launch of one sample, stamped at its
end; ``power_w:<meter>``; ``energy_j:<meter>``: cumulative since the meter was opened), ``rank``, ``repetition`` (-1:
warm-up or between windows), ``t_ns`` (the host's monotonic clock), ``value``, ``n`` (launches in the sample).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perwatt.results.store import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TELEMETRY = "telemetry.parquet"
PARTS = "telemetry.parts"
SORTED_BY = ("rank", "series", "t_ns", "case")
ROW_GROUP = 1 << 17  # rows: who wants one device of many reads little more


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    write_atomically(path, lambda file: pq.write_table(table, file, row_group_size=ROW_GROUP, compression="zstd"))


def write_part(run: Path, case: str, rank: int, series: dict[str, dict[str, npt.ArrayLike]]) -> None:
    """Write one rank's samples of one case; an earlier part of the same case and rank is replaced.

    ``series`` maps a series name to its columns ``t_ns``, ``value``, ``repetition`` and ``n``, of equal length.
    """
    import pyarrow as pa

    parts = run / PARTS
    parts.mkdir(exist_ok=True)
    tables = []
    for name, columns in series.items():
        length = len(np.asarray(columns["t_ns"]))
        tables.append(
            pa.table(
                {
                    "case": pa.array([case] * length, pa.string()),
                    "series": pa.array([name] * length, pa.string()),
                    "rank": pa.array(np.full(length, rank), pa.int32()),
                    "repetition": pa.array(np.asarray(columns["repetition"]), pa.int32()),
                    "t_ns": pa.array(np.asarray(columns["t_ns"]), pa.int64()),
                    "value": pa.array(np.asarray(columns["value"]), pa.float64()),
                    "n": pa.array(np.asarray(columns["n"]), pa.int64()),
                }
            )
        )
    if tables:
        _write(pa.concat_tables(tables), parts / f"{case}.{rank}.parquet")


def _read(run: Path, damaged: dict[str, str] | None = None) -> pa.Table | None:
    """Folded file and parts as one table; parts replace what the folded file says of their cases. ``damaged`` takes the
    parts that cannot be read, which are an error without it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    parts = []
    for path in sorted((run / PARTS).glob("*.parquet")):
        try:
            # ParquetFile, not read_table: a single file, no data set discovery, no extra thread pool at start-up
            parts.append(pq.ParquetFile(path).read())
        except (OSError, pa.ArrowException) as error:
            if damaged is None:
                raise
            damaged[path.name] = str(error).splitlines()[0]
    tables = list(parts)
    if (run / TELEMETRY).is_file():
        folded = pq.ParquetFile(run / TELEMETRY).read()
        if parts:
            renewed = pa.concat_tables(parts).column("case").unique()
            folded = folded.filter(pc.invert(pc.is_in(folded.column("case"), value_set=renewed)))
        tables.insert(0, folded)
    return pa.concat_tables(tables) if tables else None


def fold(run: Path) -> Path | None:
    """Fold the parts into ``telemetry.parquet``; the parts go only when the file is safely in place."""
    if not (run / PARTS).is_dir():
        return run / TELEMETRY if (run / TELEMETRY).is_file() else None
    table = _read(run)
    if table is not None:
        _write(table.sort_by([(name, "ascending") for name in SORTED_BY]), run / TELEMETRY)
    shutil.rmtree(run / PARTS)
    return run / TELEMETRY if table is not None else None


def unfolded(run: Path) -> tuple[pa.Table | None, dict[str, str]]:
    """All samples of a run that was killed before it folded its parts, sorted as the file would be; and by name the
    parts that cannot be read, with the reason: one that the kill damaged takes none of the others with it."""
    damaged: dict[str, str] = {}
    table = _read(run, damaged)
    return None if table is None else table.sort_by([(name, "ascending") for name in SORTED_BY]), damaged


def load(run: Path) -> pd.DataFrame | None:
    """All samples of a run as a data frame with the columns above; None if nothing was sampled."""
    table = _read(run)
    return None if table is None else table.to_pandas()
