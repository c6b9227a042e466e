"""What a figure may truly be, as draws: the scatter of its repetitions and what no repetition removes, together.

A draw is the natural logarithm of the true value over the stated one: ratios are differences, and a ratio and its
reciprocal mirror each other. Fewer than ten values are taken as normal and give Student's t; ten or more are
resampled, and the bootstrap is studentised, because a plain one is too narrow for tens (Efron and Tibshirani, An
Introduction to the Bootstrap, chapter 12). The gain of a sensor is rectangular unless a calibration fitted it (JCGM
101: distributions are propagated, not only widths).

Each cause has a seed of its own, made from its name: the gain of one instrument is the same in every figure that it
gave, so that it cancels in a ratio and does not average out over cases, and no order of runs changes anything.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

DRAWS = 10_000
RESAMPLED_FROM = 10  # values; fewer are too few to stand for the others that there might have been
RESAMPLED_TO = 200  # beyond it the mean is normal, and Student's t is too


def scatter(values: Sequence[float], *cause: object) -> Floats | None:
    """Draws for the mean of ``values``, shape (DRAWS,); None for fewer than two, whose scatter nobody knows."""
    import numpy as np

    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    if n < 2:
        return None
    spread, mean = float(x.std(ddof=1)), float(x.mean())
    rng = _generator("scatter", *cause)
    if spread == 0:
        return np.zeros(DRAWS)
    if not RESAMPLED_FROM <= n <= RESAMPLED_TO:
        pivots = rng.standard_t(n - 1, DRAWS)
    else:
        again = x[rng.integers(0, n, (DRAWS, n))]
        spreads = again.std(axis=1, ddof=1)
        pivots = (again.mean(axis=1) - mean) * math.sqrt(n) / np.where(spreads > 0, spreads, spread)
    return np.asarray(-pivots * spread / mean / math.sqrt(n))


def normal(u: float, *cause: object) -> Floats:
    """Draws of a term of relative standard uncertainty ``u``, shape (DRAWS,)."""
    return u * _generator(*cause).standard_normal(DRAWS)


def rectangular(u: float, *cause: object) -> Floats:
    """Draws of a term that lies anywhere within plus or minus sqrt(3) ``u``, shape (DRAWS,)."""
    return u * math.sqrt(3) * _generator(*cause).uniform(-1.0, 1.0, DRAWS)


def triangular(low: float, mode: float, high: float, *cause: object) -> Floats:
    """Draws of a figure itself that is likeliest at ``mode``, shape (DRAWS,)."""
    import numpy as np

    if low == high:
        return np.full(DRAWS, mode)
    return _generator(*cause).triangular(low, mode, high, DRAWS)


def interval(log_draws: Floats, confidence: float) -> tuple[float, float]:
    """The factors between which the true value lies with that confidence, equal parts left out at both ends."""
    import numpy as np

    low, high = np.quantile(log_draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return math.exp(low), math.exp(high)


def _generator(*cause: object) -> np.random.Generator:
    import numpy as np

    name = "\0".join(map(str, cause)).encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()))
