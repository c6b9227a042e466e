"""What pairs of nodes say of each node: the median over all pairs that it was in, as a case of its own, ``in pairs``.

A node with a bad link or behind a slow switch is slow with most others; one that met a bad node once is not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from perwatt.results.accept import health
from perwatt.results.accept.falling import FALL, U_FALL
from perwatt.results.accept.indexed import joined

if TYPE_CHECKING:
    import pandas as pd

PAIR = "pair\t"
TEXTS = ("test", "kernel", "label", "kind", "over")
UNKNOWN = (
    *("rate_per_watt", "power", "temperature", "throttled", "ecc", "spread", FALL),
    *("u_rate", "u_energy", U_FALL),
    *health.METRICS,
)


def in_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` of a merged fleet's index, and a row a node and test of the pairs that measured."""
    among = (rows["scope"] == "group") & rows["over"].str.startswith(PAIR) & (rows["outcome"] == "measured")
    if not among.any():
        return rows
    pairs = rows.loc[among, [*TEXTS, "rate", "busbw"]].astype(dict.fromkeys(TEXTS, str))
    name = pairs["over"].str.split("\t")
    label = [text.removesuffix(f" over {of[1]}") for text, of in zip(pairs["label"], name, strict=True)]
    each = pairs.assign(host=name.str[2:], label=label).explode("host")
    one = {"kernel": "first", "label": "first", "kind": "first", "rate": "median", "busbw": "median"}
    found = each.groupby(["host", "test"], sort=False).agg(one).reset_index()
    made = found.assign(
        scope="node", device=0, ranks=1, subject=found["host"], outcome="measured", file="", offset=0,
        indicative=False, label=found["label"] + " in pairs", test=found["test"] + " in pairs",
        **dict.fromkeys(("reason", "flags", "unknown", "invalid", "invalid_energy", "over"), ""),
        **dict.fromkeys(UNKNOWN, math.nan),
    )  # fmt: skip
    return joined(rows, made)
