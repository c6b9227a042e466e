"""What a position costs: classes of devices (one rack, one slot of all nodes) beside each other, before devices are.

A class may differ a little from the others without anything being wrong: the last slot in the stream of air, the rack
at the end of the row. Such a shift is taken off, test by test, where the class is large enough, the shift is certain
(:data:`CERTAIN` standard errors) and less than the effect that matters: devices are then compared within their class. A
shift that matters is left in, so that the devices fail for it, and the class is told: classes are held against each
other as devices are, with a centre that a bad one does not move.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np

from perwatt.results.accept.outliers import CUT, LEAST, START, Centre, Deviations, Floats, centre, reach
from perwatt.results.accept.positions import Classes

LARGE = 8  # devices: of fewer, a class's own centre says little
CERTAIN = 3.0
# Of a class lies round its centre, or it is no shift of the class: some of its devices are off. Where many of the fleet
# are, so are some of every class: then as much is asked of it as the fleet has, and of a small one, of which a half may
# be bad by chance, more than HALF.
WHOLE, HALF = 0.75, 0.5
SPARE = 1.5  # over that of a mean: variance of the centre of a class, of which a half may be bad


@dataclass(frozen=True, eq=False)
class Compared:
    """Classes of one level beside each other: ``off`` (classes, tests) is the centre of each class's deviations;
    ``bad`` those that are off the other classes in the bad direction in a test, ``whole`` over all their tests, both by
    the given limits."""

    classes: Classes
    off: Floats
    bad: np.ndarray
    whole: np.ndarray
    overall: Floats
    limit: Floats
    overall_limit: float


def within(
    found: Deviations, levels: tuple[Classes, ...], effect: float, false_alarms: float, bad: int
) -> tuple[Floats, list[Compared]]:
    """The deviations of ``found`` without what positions cost, and the classes of each level beside each other.

    ``bad``: the sign of a bad deviation; ``effect`` in the unit of the deviations; ``false_alarms`` among the classes.
    """
    off, compared = found.off, []
    scale = np.array([_scale(centre, found, test) for test, centre in enumerate(found.centres)])
    for level in levels:
        shift, count = _shifts(off, level, scale)
        if np.isfinite(shift).any(axis=1).sum() > 1:
            error = scale * np.sqrt(SPARE / np.maximum(count, 1))[:, None]
            compared.append(_beside(level, shift, error, effect, false_alarms / len(levels), bad))
            with np.errstate(invalid="ignore"):
                small = (np.abs(shift) > CERTAIN * error) & (np.abs(shift) < effect)
            if small.any():
                taken = np.vstack([np.where(small, shift, 0.0), np.zeros(off.shape[1])])  # the last: of no class
                off = off - taken[level.codes]
    return off, compared


def _scale(centre: Centre | None, found: Deviations, test: int) -> float:
    """The spread of a test in the unit of its deviations."""
    return math.nan if centre is None else centre.scale / found.units[test]


def _shifts(off: Floats, level: Classes, scale: Floats) -> tuple[Floats, np.ndarray]:
    """The centre of each class (classes, tests), NaN of those that are not large or lie round no centre, and how many
    are in each class."""
    count = np.bincount(level.codes[level.codes >= 0], minlength=len(level.names))
    order = np.argsort(level.codes, kind="stable")[int((level.codes < 0).sum()) :]
    shift = np.full((len(level.names), off.shape[1]), np.nan)
    with np.errstate(invalid="ignore"):  # the share of the fleet that lies round its centre
        usual = (np.abs(off) <= CUT * scale).sum(axis=0) / np.maximum(np.isfinite(off).sum(axis=0), 1)
    for number, members in enumerate(np.split(order, np.cumsum(count)[:-1])):
        if len(members) >= LARGE:
            values = off[members]
            middle = _middles(values)
            with np.errstate(invalid="ignore"):
                near = (np.abs(values - middle) <= CUT * scale).sum(axis=0)
            known = np.isfinite(values).sum(axis=0)
            least = HALF + (WHOLE - HALF) * np.sqrt(LARGE / np.maximum(known, LARGE))
            shift[number] = np.where(near >= np.maximum(WHOLE * usual, least) * known, middle, np.nan)
    return shift, count


def _middles(values: Floats) -> Floats:
    """Of each column what :func:`perwatt.results.accept.outliers.centre` gives, its spread left as it starts: all
    columns at once, as there are thousands of classes."""
    x = np.sort(values, axis=0)  # what is absent comes last
    half = len(x) // 2 + 1
    widths = x[half - 1 :] - x[: len(x) - half + 1]
    low = np.where(np.isnan(widths), np.inf, widths).argmin(axis=0)
    at = np.arange(x.shape[1])
    width = widths[low, at]
    reached = np.maximum(CUT * width / (2 * START), width / 2)
    location = (x[low, at] + x[low + half - 1, at]) / 2
    for _ in range(3):
        with np.errstate(invalid="ignore"):
            kept = np.abs(x - location) <= reached * (1 + 1e-9)
        location = np.where(kept, x, 0.0).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
    return np.where(np.isfinite(width), location, np.nan)


def _beside(level: Classes, shift: Floats, error: Floats, effect: float, false_alarms: float, bad: int) -> Compared:
    """Classes against each other where there are enough to tell what is usual of them, else against all devices.

    A half of the false alarms goes to their tests, a half to the median over them, as with devices. What classes differ
    by cannot be less than the error of their centres: hence the floor of the spread, without which a few of them would
    tell next to nothing.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # classes without a value
        overall = np.nanmedian(shift, axis=1)
        floor = np.nanmedian(error, axis=0)
        usual = [_usual(column, least) for column, least in zip(shift.T, floor, strict=True)]
        of_all = _usual(overall, float(np.nanmedian(floor)))
    singles, large = max(int(np.isfinite(shift).sum()), 1), max(int(np.isfinite(overall).sum()), 2)
    times, times_all = (reach(false_alarms / 2 / n, large, large - 1) for n in (singles, large))
    centres, scales = (np.array(part) for part in zip(*usual, strict=True))
    off, limit = shift - centres, np.fmax(effect, times * scales)
    overall, overall_limit = overall - of_all[0], max(effect, times_all * of_all[1])
    with np.errstate(invalid="ignore"):
        return Compared(level, off, bad * off > limit, bad * overall > overall_limit, overall, limit, overall_limit)


def _usual(values: Floats, least: float) -> tuple[float, float]:
    """Centre and spread of the classes; 0, that of all devices, where they are too few."""
    known = values[np.isfinite(values)]
    if len(known) < LEAST:
        return 0.0, least
    found = centre(known)
    return found.location, max(found.scale, least)
