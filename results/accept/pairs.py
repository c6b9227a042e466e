"""What pairs of nodes say of each node: the median over all pairs that it was in, as a case of its own, ``in pairs``.

A node with a bad link or behind a slow switch is slow with most others; one that met a bad node once is not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from perwatt.results.accept import health
from perwatt.results.accept.surroundings import Full

if TYPE_CHECKING:
    import pandas as pd

PAIR = "pair\t"
UNKNOWN = ("rate_per_watt", "power", "temperature", "throttled", "ecc", "spread", "u_rate", "u_energy", *health.METRICS)


def in_pairs(rows: pd.DataFrame, full: Full) -> pd.DataFrame:
    """``rows`` of a merged fleet, and a row a node and test of the pairs that measured."""
    import pandas as pd

    if "over" not in rows:
        return rows
    pairs = rows[(rows["scope"] == "group") & rows["over"].str.startswith(PAIR) & (rows["outcome"] == "measured")]
    if pairs.empty:
        return rows
    name = pairs["over"].str.split("\t")
    label = [text.removesuffix(f" over {of[1]}") for text, of in zip(pairs["label"], name, strict=True)]
    each = pairs.assign(host=name.str[2:], label=label).explode("host")
    found = each.groupby(["host", "test"], sort=False, observed=True).agg(
        {"kernel": "first", "label": "first", "rate": "median"}
    )
    found = found.reset_index()
    one = full(pairs.drop_duplicates("test"))  # how much of the bus a rate is, is the same in all pairs of a test
    factor = dict(zip(one["test"], one["busbw"] / one["rate"], strict=True))
    kind = dict(zip(one["test"], one["kind"], strict=True))
    made = found.assign(
        scope="node", device=0, subject=found["host"], outcome="measured", file="", offset=0, indicative=False,
        busbw=found["rate"] * found["test"].map(factor), kind=found["test"].map(kind),
        label=found["label"] + " in pairs", test=found["test"] + " in pairs",
        **dict.fromkeys(("reason", "flags", "unknown", "invalid", "invalid_energy", "over"), ""),
        **dict.fromkeys(UNKNOWN, math.nan),
    )  # fmt: skip
    return pd.concat([rows, made], ignore_index=True)
