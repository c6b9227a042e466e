"""What a level of the site does not hold: at the likeliest values of all inputs, or only in many of the draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from perwatt.results.size.parameter import Values

OFTEN = 0.05  # of the draws, from which on it is said: beside it stand bands from 5 to 95 %


# What of the request helps at a level that does not hold, by the end of a finding's ``where``.
KEYS = {
    "rack": "site.electrical.feed.ratings_a, site.electrical.feed.circuits, site.electrical.feed.paths or per_rack",
    "row": "site.electrical.row_ratings_a or site.electrical.racks_per_row",
    "site": "site.electrical.available_w or the units",
    "cooling": "site.cooling.heat_limit_w or the units",
    "water": "site.cooling.water_limit_m3, site.cooling.plant or the units",
}


class Finding(NamedTuple):
    """``where``: what it is about, one each in an evaluation; ``text``: one line; ``share`` of the draws in which it is
    so, 1 in an evaluation of one value."""

    where: str
    text: str
    share: float

    @property
    def remedied(self) -> str:
        """The line with the keys to change, where there are any."""
        keys = KEYS.get(self.where.rpartition(".")[2])
        return f"{self.text}; to be changed: {keys}" if keys else self.text


def in_draws(share: float) -> str:
    """In words, in how many of the draws; nothing where it is all of them."""
    return "" if share == 1 else f" in {100 * share:.2g} % of the draws"


def beyond(
    where: str, what: str, need: Values, most: float | None, told: Callable[[float], str]
) -> tuple[Finding, ...]:
    """The line about ``need`` where it is more than ``most`` (None: no limit): ``what`` is allowed, and the widest gap
    as ``told`` spells it. No line where all of it fits."""
    if most is None:
        return ()
    short = np.atleast_1d(need) - most
    share = float(np.mean(short > 0))
    if share == 0:
        return ()
    up_to = "" if share == 1 and short.size == 1 else "up to "
    text = f"{where}: {what}, short by {up_to}{told(float(np.max(short)))}{in_draws(share)}"
    return (Finding(where, text, share),)


def doubtful(likeliest: Iterable[Finding], over_draws: Iterable[Finding]) -> tuple[str, ...]:
    """What holds with every input at its likeliest, and does not in more than :data:`OFTEN` of the draws."""
    said = {finding.where for finding in likeliest}
    return tuple(found.text for found in over_draws if found.where not in said and found.share > OFTEN)
