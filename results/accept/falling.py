"""How far a rate fell over the rounds of a burn-in: from the median of its first tenth to that of its last.

What a single step, or a slow decline, leaves at the end is the same number. How well it is known comes from how much
one round differs from the next, which neither of them changes much: a standard deviation is the median difference of
neighbours over 0.954 (0.6745 sqrt 2, of a normal distribution), and that of a median of n values 1.2533 / sqrt n of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FALL, U_FALL = "rate_fall", "u_rate_fall"
LEAST = 10  # rounds that measured it: with fewer one of them is more than a tenth


def falls(rates: Floats | Sequence[float], starts: npt.NDArray[np.int64] | Sequence[int] = (0,)) -> dict[str, Floats]:
    """Of each case :data:`FALL`, a share of its first rates (negative: it rose), and :data:`U_FALL`, half of its 95 %
    interval; NaN for fewer than :data:`LEAST` rounds.

    ``rates``: of all cases one after the other, each in order of time, NaN for a round that does not count. ``starts``:
    where the rounds of each begin.
    """
    rates, begins = np.asarray(rates, float), np.asarray(starts, np.int64)
    groups = len(begins)
    of = np.repeat(np.arange(groups), np.diff(np.append(begins, len(rates))))
    known = np.isfinite(rates)
    rates, of = rates[known], of[known]
    rounds = np.bincount(of, minlength=groups)
    at = np.arange(len(rates)) - (np.cumsum(rounds) - rounds)[of]
    part = np.maximum(rounds // 10, 1)
    first = _medians(rates, of, at < part[of], groups)
    last = _medians(rates, of, at >= (rounds - part)[of], groups)
    steps = np.abs(np.diff(rates, prepend=np.nan))
    deviation = _medians(steps, of, at > 0, groups) / (0.6745 * np.sqrt(2))
    of_median = deviation * np.minimum(1.0, 1.2533 / np.sqrt(part))
    enough = rounds >= LEAST
    found = {FALL: 1 - last / first, U_FALL: 1.96 * np.sqrt(2) * of_median / first}
    return {name: np.where(enough, values, np.nan) for name, values in found.items()}


def _medians(values: Floats, of: npt.NDArray[np.int64], taken: npt.NDArray[np.bool_], groups: int) -> Floats:
    """The median of what is ``taken`` of each group, NaN for none."""
    import pandas as pd

    return np.asarray(pd.Series(values[taken]).groupby(of[taken]).median().reindex(range(groups)), float)
