"""Several stretches of readings of one kind of load as one: statistics pooled by time, and bands from how they differ.

Readings of one run resemble each other: a second like this one follows this one. To draw readings at random would make
any band far too narrow. What is drawn, with replacement, is whole runs (the bootstrap by blocks; Efron 1979), and a
band is the 5 and 95 % points of a statistic over such draws. With one run there is no band. The maximum of a draw never
exceeds the maximum seen, so that its band says how steady the maximum is, and nothing of what might still come.

Units that are read at the same time rise and fall together or do not: the mean of Pearson's correlation over pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perwatt.results.size.load import NEAR
from perwatt.results.size.parameter import Floats
from perwatt.results.size.windows import (
    BINS,
    SHORTEST,
    Cells,
    Spread,
    cells,
    levels,
    pooled,
    readings,
    seconds_from,
    spread,
)

RESAMPLES = 1000
BAND = (0.05, 0.95)
COARSE = 256  # fine bins that make one of the bootstrap's
LEAST_POINTS = 30  # moments that a correlation is taken over
MOST_POINTS = 1 << 20
MOST_PAIRS = 64  # that are looked at; of more, as many evenly chosen


class Part(NamedTuple):
    """One stretch: ``t_ns`` and ``power_w`` of shape (n,) on one clock; ``run`` tells which stretches belong together
    in the bootstrap, ``unit`` which machine was read."""

    t_ns: npt.NDArray[np.int64]
    power_w: Floats
    run: str
    unit: str


class Pool(NamedTuple):
    """What :class:`perwatt.results.size.load.Load` says under the same names."""

    period_s: float
    seconds: float
    mean_w: float
    statistics: dict[tuple[float, float], float]
    bands: dict[tuple[float, float], tuple[float, float]]
    cdf: tuple[float, ...]
    correlation: float | None
    notes: tuple[str, ...]


def pool(
    parts: Sequence[Part], windows_s: Sequence[float], quantiles: Sequence[float], seed: int, banded: bool = True
) -> Pool:
    """All ``parts`` as one load; ``seed`` of the bootstrap, none unless ``banded``. Raises ValueError as
    ``cells`` does, and without a part."""
    if not parts:
        raise ValueError("load: found no readings; allowed one trace or more")
    low_w = min(float(np.min(p.power_w)) for p in parts)
    high_w = max(float(np.max(p.power_w)) for p in parts)
    made = [cells(seconds_from(p.t_ns), p.power_w) for p in parts]
    runs = list(dict.fromkeys(p.run for p in parts))
    member = np.array([runs.index(p.run) for p in parts])
    seconds = sum(c.seconds for c in made)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), RESAMPLES)
    statistics: dict[tuple[float, float], float] = {}
    bands: dict[tuple[float, float], tuple[float, float]] = {}
    notes = []
    for window_s in _with_readings(windows_s, max(c.period_s for c in made)):
        found = [spread(c, window_s, low_w, high_w) for c in made]
        have = [(f, m) for f, m in zip(found, member, strict=True) if f is not None]
        if not have:
            continue
        whole = pooled([f for f, _ in have])
        statistics.update(zip([(window_s, q) for q in quantiles], whole.quantiles(quantiles), strict=True))
        if len(have) < len(made):
            notes.append(f"{len(made) - len(have)} of {len(made)} stretches hold no window of {window_s:g} s")
        if banded and len(runs) > 1:
            bands.update({(window_s, q): b for q, b in _bands(have, counts, quantiles).items()})
    gaps = sum(c.gaps for c in made)
    if gaps:
        lost_s = sum(c.gap_s for c in made)
        notes.append(
            f"{gaps} gap{'s' if gaps > 1 else ''} of {lost_s:.4g} s in all of {lost_s + seconds:.4g} s, the longest "
            f"{max(c.longest_gap_s for c in made):.4g} s, not bridged"
        )
    return Pool(
        float(np.median([c.period_s for c in made])),
        seconds,
        sum(c.mean_w * c.seconds for c in made) / seconds,
        statistics,
        bands,
        levels(pooled([readings(c, low_w, high_w) for c in made])),
        correlation(parts, made),
        tuple(notes),
    )


def _with_readings(windows_s: Sequence[float], period_s: float) -> list[float]:
    """``windows_s`` and, if none of them is as long, the period of the coarsest meter, over which the means are its
    readings: else the highest reading of a meter of 15 s would count only as part of a minute."""
    if period_s < min(windows_s) or any(SHORTEST * period_s <= w <= period_s * (1 + NEAR) for w in windows_s):
        return list(windows_s)
    return sorted({*windows_s, round(period_s, 6)})


def _bands(
    have: Sequence[tuple[Spread, np.int64]], counts: npt.NDArray[np.int64], quantiles: Sequence[float]
) -> dict[float, tuple[float, float]]:
    """Bounds by quantile over draws of whole runs, ``counts`` of shape (draws, runs)."""
    runs = counts.shape[1]
    seconds, highest = np.zeros((runs, BINS // COARSE)), np.full(runs, -np.inf)
    for each, run in have:
        seconds[run] += each.seconds.reshape(-1, COARSE).sum(axis=1)
        highest[run] = max(highest[run], each.max_w)
    low_w, width_w = have[0][0].low_w, (have[0][0].high_w - have[0][0].low_w) / (BINS // COARSE)
    total = np.cumsum(counts @ seconds, axis=1)
    drawn = total[:, -1] > 0  # a draw of nothing but runs that are too short says nothing
    total, taken = total[drawn], counts[drawn] > 0
    most_w = np.where(taken, highest, -np.inf).max(axis=1)
    found = {}
    for q in quantiles:
        if q < 1:
            index = np.argmax(total >= q * total[:, -1:] * (1 - 1e-12), axis=1)
            value = np.minimum(low_w + (index + 0.5) * width_w, most_w)
        else:
            value = most_w
        found[q] = (float(np.quantile(value, BAND[0])), float(np.quantile(value, BAND[1])))
    return found


def correlation(parts: Sequence[Part], made: Sequence[Cells]) -> float | None:
    """Mean correlation of units that were read at the same time; None where no two were, or where power is steady."""
    pairs: list[tuple[int, int]] = []
    for a, b in itertools.combinations(range(len(parts)), 2):
        if parts[a].unit == parts[b].unit:
            continue
        common_ns = min(parts[a].t_ns[-1], parts[b].t_ns[-1]) - max(parts[a].t_ns[0], parts[b].t_ns[0])
        if common_ns * 1e-9 > LEAST_POINTS * max(made[a].period_s, made[b].period_s):
            pairs.append((a, b))
    pairs = pairs[:: max(-(-len(pairs) // MOST_PAIRS), 1)]
    found = [r for a, b in pairs if (r := _pearson(parts[a], made[a], parts[b], made[b])) is not None]
    return float(np.mean(found)) if found else None


def _pearson(part_a: Part, a: Cells, part_b: Part, b: Cells) -> float | None:
    """Of the means over the coarser period, where both have readings."""
    step_s = max(a.period_s, b.period_s)
    shift_s = float(part_b.t_ns[0] - part_a.t_ns[0]) * 1e-9  # exact: the difference of two integers
    start_s, end_s = max(0.0, shift_s), min(a.edges_s[-1], b.edges_s[-1] + shift_s)
    count = min(int((end_s - start_s) / step_s), MOST_POINTS)
    edges_s = np.asarray(start_s + np.arange(count + 1) * step_s, dtype=np.float64)
    if len(edges_s) <= LEAST_POINTS:
        return None
    power_a, seen_a = _means(a, edges_s)
    power_b, seen_b = _means(b, edges_s - shift_s)
    both = seen_a & seen_b
    if np.count_nonzero(both) < LEAST_POINTS:
        return None
    x, y = power_a[both], power_b[both]
    if np.ptp(x) < 1e-9 * np.max(np.abs(x)) or np.ptp(y) < 1e-9 * np.max(np.abs(y)):
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _means(of: Cells, edges_s: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Mean power between edges in W, and whether readings stand behind it."""
    left, right = edges_s[:-1], edges_s[1:]
    seen = right <= of.ends_s[of.part(left)] + 1e-9
    return np.diff(of.energy_at(edges_s)) / np.diff(edges_s), seen
