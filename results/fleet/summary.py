"""A fleet's index in few words: each test over all its devices, and each device over all its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

QUANTITIES = ("rate", "per_joule")


def cases(table: pa.Table) -> pd.DataFrame:
    """Each test of single devices and of groups: how many were measured, and for its rate (headline work per s) and its
    work per joule the median, the median absolute deviation, p1, p50, p99, least and most, with the device of each.

    Percentiles are read off linearly between the values in order. NaN where nothing was measured.
    """
    import pandas as pd

    frame = table.to_pandas()
    keys = ["scope", "kernel", "label", "ranks", "test"]
    found = []
    for key, part in frame.groupby(keys, observed=True, sort=True):
        row: dict[str, object] = dict(zip(keys, key, strict=True))
        row["devices"] = len(part)
        row["measured"] = int((part["outcome"] == "measured").sum())
        for quantity in QUANTITIES:
            row |= _statistics(part, quantity)
        found.append(row)
    return pd.DataFrame(found, columns=[*keys, "devices", "measured", *(n for q in QUANTITIES for n in _names(q))])


def _names(quantity: str) -> list[str]:
    of = ("count", "median", "mad", "p1", "p50", "p99", "min", "min_device", "max", "max_device")
    return [f"{quantity}_{name}" for name in of]


def _statistics(part: pd.DataFrame, quantity: str) -> dict[str, object]:
    known = part[part[quantity].notna()]
    values = known[quantity].to_numpy()
    if not len(values):
        return dict(zip(_names(quantity), [0, *[np.nan] * 6, "", np.nan, ""], strict=True))
    p1, p50, p99 = np.percentile(values, [1, 50, 99])
    mad = float(np.median(np.abs(values - p50)))
    ends = []
    for at in (int(values.argmin()), int(values.argmax())):
        one = known.iloc[at]
        ends += [float(values[at]), f"{one['host']}:{one['device']}"]
    told = [len(values), float(p50), mad, float(p1), float(p50), float(p99), *ends]
    return dict(zip(_names(quantity), told, strict=True))


def devices(table: pa.Table) -> pd.DataFrame:
    """Each device that has a record of its own: how many of the fleet's tests of single devices it measured, failed,
    skipped, and has no record of."""
    import pandas as pd

    frame = table.to_pandas()
    frame = frame[frame["scope"] == "node"]
    tests = frame["test"].nunique()
    keys = ["host", "device"]
    counts = {name: (frame["outcome"] == name).astype(np.int64) for name in ("measured", "failed", "skipped")}
    grouped = pd.concat([frame[[*keys, "uuid"]].astype({"host": str, "uuid": str}), pd.DataFrame(counts)], axis=1)
    found: pd.DataFrame = grouped.groupby(keys, as_index=False, sort=False).agg(
        uuid=("uuid", "max"), measured=("measured", "sum"), failed=("failed", "sum"), skipped=("skipped", "sum")
    )
    found["missing"] = tests - found["measured"] - found["failed"] - found["skipped"]
    return found
