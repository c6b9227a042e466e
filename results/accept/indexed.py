"""The rows that a merged fleet's index makes: a record each, of millions, so that names are categories and what is the
same for many is worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from perwatt.results.accept.soaked import folded
from perwatt.results.flags import ALL_INVALID, TIME_INVALID
from perwatt.results.fleet.merge import Fleet

if TYPE_CHECKING:
    import pandas as pd

RENAMED = {"per_joule": "rate_per_watt", "power_w": "power", "temperature_c": "temperature"}
NUMBERS = ("rate", "busbw", "u_rate", "spread", "power_w", "per_joule", "temperature_c", "throttled", "ecc")
OTHERS = ("device", "ranks", "offset", "round", "last")
NAMES = (
    "scope", "host", "test", "kernel", "label", "over", "outcome", "reason", "kind", "flags", "energy_flags", "file"
)  # fmt: skip


def rows(fleet: Fleet) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """What the index says of each case, with whom it is of (``subject``), and what is not to be relied on; and where
    earlier rounds of a burn-in lie (:func:`perwatt.results.accept.soaked.folded`)."""
    read = fleet.columns((*NAMES, *OTHERS, *NUMBERS), NAMES).rename(columns=RENAMED)
    found, earlier = folded(read.astype({"ecc": float}))
    group = (found["scope"] == "group").to_numpy()
    alone = ~group & (found["ranks"] == 1).to_numpy()
    found["scope"] = _coded(np.where(group, 0, np.where(alone, 1, 2)), ("group", "device", "node"))
    found["subject"] = _subjects(found, group, alone)
    cautions = _of_both(found["flags"], found["energy_flags"])
    found["invalid"] = _mapped(cautions, lambda text: named(set(text.split()) & TIME_INVALID))
    found["invalid_energy"] = _mapped(cautions, lambda text: named(set(text.split()) & ALL_INVALID))
    found["indicative"] = _mapped(found["flags"], lambda text: "indicative" in text.split()).astype(bool)
    found["unknown"] = _coded(found["rate_per_watt"].isna().to_numpy().astype(int), ("", "not metered"))
    return found.drop(columns="energy_flags"), earlier


def named(flags: set[str]) -> str:
    """Flags in words."""
    return ", ".join(sorted(flags)).replace("_", " ")


def joined(first: pd.DataFrame, then: pd.DataFrame) -> pd.DataFrame:
    """One below the other; what are categories in ``first`` stay so, as text of millions of rows takes long."""
    import pandas as pd

    both = first.columns[[isinstance(dtype, pd.CategoricalDtype) for dtype in first.dtypes]]
    for name in both:
        more = pd.Index(then[name].unique()).difference(first[name].cat.categories, sort=False)
        first = first.assign(**{name: first[name].cat.add_categories(more)})
        then = then.assign(**{name: pd.Categorical(then[name], first[name].cat.categories)})
    return pd.concat([first, then], ignore_index=True)


def _subjects(found: pd.DataFrame, group: np.ndarray, alone: np.ndarray) -> pd.Categorical:
    """Devices by host and number, nodes by host, groups by what they are over."""
    host, over = found["host"].cat, found["over"].cat
    numbers = found["device"].to_numpy().astype(np.int64)
    most = int(numbers.max(initial=0)) + 1
    key = host.codes.to_numpy().astype(np.int64) * (most + 1) + np.where(alone, numbers + 1, 0)
    key = np.where(group, -1 - over.codes.to_numpy().astype(np.int64) * 2**32 - found["ranks"].to_numpy(), key)
    codes, keys = _numbered(key)

    def name(one: int) -> str:
        if one >= 0:
            at, number = divmod(one, most + 1)
            return f"{host.categories[at]}:{number - 1}" if number else str(host.categories[at])
        at, ranks = divmod(-1 - one, 2**32)
        told = " ".join(str(over.categories[at]).split("\t")[:2]).strip()
        return told or f"group of {ranks} ranks"

    return _coded(codes, [name(int(one)) for one in keys])


def _of_both(first: pd.Series, then: pd.Series) -> pd.Series:
    """The words of both."""
    import pandas as pd

    a, b = first.cat, then.cat
    codes, keys = _numbered(a.codes.to_numpy().astype(np.int64) * len(b.categories) + b.codes.to_numpy())
    names = [divmod(int(key), len(b.categories)) for key in keys]
    return pd.Series(_coded(codes, [f"{a.categories[i]} {b.categories[j]}" for i, j in names]), first.index)


def _mapped(texts: pd.Series, of: Callable[[str], Any]) -> pd.Series:
    """Each category by what it means; several may mean the same."""
    import pandas as pd

    meant = pd.Categorical([of(str(text)) for text in texts.cat.categories])
    codes = meant.codes.astype(np.int64)[texts.cat.codes.to_numpy()]
    return pd.Series(pd.Categorical.from_codes(codes, meant.categories), texts.index)


def _numbered(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    codes, found = pd.factorize(keys)
    return codes, np.asarray(found)


def _coded(codes: np.ndarray, names: Sequence[str]) -> pd.Categorical:
    """Names by their number; two numbers may have one name."""
    import pandas as pd

    one, found = pd.factorize(np.asarray(names, dtype=object))
    made: pd.Categorical = pd.Categorical.from_codes(one[codes], pd.Index(found))
    return made
