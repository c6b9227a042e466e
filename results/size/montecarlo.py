"""How far the inputs' ranges carry: draws of all of them at once, bands of each line, and which inputs dominate.

Every input is drawn from its triangular distribution, in a stream of its own (by seed and name), so that one more input
changes no other's draws. A line's band is its 5 and 95 % quantile over the draws. What dominates it is told twice: by
the squared rank correlation over the draws (the share of variance that goes with an input, whatever the others do), and
by the line's value at the input's own 5 and 95 % points with all others at their mode (the bars of a tornado).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from perwatt.results.size.parameter import Floats, Parameter, Values
from perwatt.results.size.sizing import Driver

LOW, MIDDLE, HIGH = 0.05, 0.5, 0.95
# What a line is after the model: one value a draw, by the line's key; None where the line has none.
Evaluate = Callable[[Mapping[str, Values]], Mapping[str, Values | None]]


def modes(parameters: Mapping[str, Parameter]) -> dict[str, Values]:
    """Every parameter at its most likely value."""
    return {path: parameter.mode for path, parameter in parameters.items()}


def drawn(parameters: Mapping[str, Parameter], draws: int, seed: int) -> dict[str, Values]:
    """``draws`` values of each parameter, shape (draws,); a float for one that is exact."""
    return {
        path: p.mode if p.low == p.high else p.draw(np.random.default_rng([seed, zlib.crc32(path.encode())]), draws)
        for path, p in parameters.items()
    }


def bands(lines: Mapping[str, Values | None]) -> dict[str, tuple[float, float, float]]:
    """The 5, 50 and 95 % quantile of each line over its draws, all alike for one that no input moves; none for a line
    that is not finite in every draw."""
    found = {}
    for key, value in lines.items():
        if value is not None and np.all(np.isfinite(value)):
            low, middle, high = np.quantile(np.atleast_1d(value), [LOW, MIDDLE, HIGH])
            found[key] = float(low), float(middle), float(high)
    return found


def drivers(
    keys: Sequence[str],
    parameters: Mapping[str, Parameter],
    values: Mapping[str, Values],
    lines: Mapping[str, Values | None],
    evaluate: Evaluate,
    most: int = 10,
) -> dict[str, tuple[Driver, ...]]:
    """For each of ``keys`` the inputs that move it, the widest bar first, at most ``most``. ``values`` and ``lines``
    are the draws and what they came to."""
    moving = [path for path, p in parameters.items() if p.low < p.high]
    ends = {path: (_quantile(parameters[path], LOW), _quantile(parameters[path], HIGH)) for path in moving}
    # one evaluation of all: row 2i has input i at its low end, row 2i + 1 at its high end
    rows: dict[str, Values] = modes(parameters)
    for index, path in enumerate(moving):
        column = np.full(2 * len(moving), parameters[path].mode)
        column[2 * index : 2 * index + 2] = ends[path]
        rows[path] = column
    bars = evaluate(rows)
    ranks = {path: _ranks(np.asarray(values[path])) for path in moving}
    found = {}
    for key in keys:
        bar, draws = bars.get(key), lines.get(key)
        if bar is None or draws is None or not moving:
            continue
        spread = np.broadcast_to(np.asarray(bar, dtype=np.float64), (2 * len(moving),))
        own = np.asarray(draws)
        outcome = _ranks(own) if own.ndim and np.ptp(own) > 0 else None
        all_of_it = [
            Driver(
                path=path,
                low=ends[path][0],
                high=ends[path][1],
                at_low=float(spread[2 * i]),
                at_high=float(spread[2 * i + 1]),
                share=0.0 if outcome is None else float(np.mean(ranks[path] * outcome)) ** 2,
            )
            for i, path in enumerate(moving)
        ]
        moved = [d for d in all_of_it if d.at_low != d.at_high]
        found[key] = tuple(sorted(moved, key=lambda d: -abs(d.at_high - d.at_low))[:most])
    return found


def _ranks(values: Floats) -> Floats:
    """Ranks with mean 0 and variance 1, so that the mean of a product is a correlation; ties in order of appearance."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return np.asarray((ranks - ranks.mean()) / ranks.std())


def _quantile(parameter: Parameter, probability: float) -> float:
    """Of the triangular distribution, by its inverse."""
    low, mode, high = parameter.low, parameter.mode, parameter.high
    at_mode = (mode - low) / (high - low)
    if probability < at_mode:
        return low + math.sqrt(probability * (high - low) * (mode - low))
    return high - math.sqrt((1 - probability) * (high - low) * (high - mode))
