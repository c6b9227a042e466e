"""The rounds of a merged burn-in, from the fleet's index alone: how each case of each device went on, and what failed.

The index counts memory errors of a case whatever their kind; XIDs, links and rows remapped are in the records, and what
becomes of them is for ``perwatt accept`` to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perwatt.results.drift import Rounds, Track, hours, told
from perwatt.results.fleet.layout import MERGED
from perwatt.results.fleet.merge import INDEX, whole
from perwatt.results.recheck import WRONG_OUTPUT

if TYPE_CHECKING:
    import pandas as pd

SAME = ["host", "case"]
COLUMNS = [*SAME, "device", "kernel", "label", "outcome", "reason", "rate", "temperature_c", "power_w", "ecc", "flags"]
COLUMNS += ["time_utc", "round"]


def read(run: Path) -> Rounds | None:
    """The rounds of a merged fleet; None of what is no fleet, has not been merged (by this perwatt), or had no rounds.

    Raises ValueError for an index that cannot be read.
    """
    path = run / MERGED / INDEX
    if not path.is_file():
        return None
    import pyarrow.parquet as pq

    with whole(path):
        if not {*COLUMNS} <= {*pq.read_schema(path).names}:
            return None
        table = pq.read_table(path, columns=COLUMNS, filters=[("round", ">", 0)])
    if not table.num_rows:
        return None
    # a round that was cut short and measured again counts once
    rows: pd.DataFrame = table.to_pandas().drop_duplicates([*SAME, "round"], keep="last")
    measured = rows[rows["outcome"] == "measured"]
    return Rounds(
        [_track(same) for _, same in measured.groupby(SAME, sort=False)],
        [line for row in rows.sort_values("time_utc", kind="stable").itertuples() for line in _events(row)],
    )


def _track(same: pd.DataFrame) -> Track:
    first = same.iloc[0]
    known = ([None if math.isnan(v) else v for v in same[name]] for name in ("rate", "temperature_c", "power_w"))
    at = [hours(text) for text in same["time_utc"]]
    return Track(first["host"], int(first["device"]), first["kernel"], first["label"], at, *known)


def _events(row: Any) -> Iterator[str]:
    happened = []
    if row.outcome == "failed":
        happened.append(f"failed: {row.reason}")
    if WRONG_OUTPUT in row.flags.split():
        happened.append("wrong output")
    if row.ecc > 0:  # NaN is not
        happened.append(f"memory errors +{row.ecc:.0f}")
    for what in happened:
        yield told(row.time_utc, row.host, f"{row.kernel} {row.label}", row.round, what)
