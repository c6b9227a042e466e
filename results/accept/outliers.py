"""Which devices of a fleet differ from the rest, when nobody knows beforehand which of them are good.

*Centre and spread* hold while fewer than half of the devices are bad: the start is the shortest half of the values
(Rousseeuw, 1984), the end the mean and standard deviation of what lies within :data:`CUT` of it, found again until it
stands still (a reweighted estimate: Rousseeuw and Leroy, 1987, section 4.1). Median and MAD, and a mean that drops what
it does not like and is taken again, are drawn towards the bad ones from some 20 % on.

*A device is told out* only if it is off in the bad direction both by what the spread allows and by an effect that
matters. What the spread allows follows from the number of false alarms that the whole fleet may have on average
(Bonferroni): all tests of all devices share it. A part of it, :data:`OVERALL`, goes to one test a device, of the median
over everything that was measured on it: a device that is a little slow at everything is found by that, one that is very
slow at one thing by the other.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from perwatt.results.accept import splits
from perwatt.results.stats import student_quantile

Floats = npt.NDArray[np.float64]
Signs = npt.NDArray[np.int8]

LEAST = 5  # devices: of fewer, no half tells what is usual
CUT = 2.5  # standard deviations within which a value takes part in the estimate
START = 1.383  # standard deviations that the shortest half reaches either way where it is five sixths of the good ones
ROUNDS = 30
OVERALL = 0.5  # of the false alarms
TESTS_OVERALL = 3  # that a device must have for a median over them
FREEDOM = 40.0  # n^1.5 / 40 degrees of freedom are what the estimate of a small fleet is worth, by simulation
MOST_FREEDOM = 1000  # from here on the normal distribution serves


def _kept_spread(cut: float) -> float:
    """The standard deviation of a standard normal cut off at +-``cut``."""
    density = math.exp(-cut * cut / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))


@dataclass(frozen=True)
class Centre:
    """What is usual: mean and standard deviation of the good ones, in the unit of the values, and how many they are."""

    location: float
    scale: float
    kept: int


def centre(values: npt.ArrayLike) -> Centre:
    """Centre and spread of ``values`` (one dimension, finite), fewer than half of which may be anything at all.

    Where two halves are equally short the greater counts. Raises ValueError for fewer than :data:`LEAST`.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    n = len(x)
    if n < LEAST:
        raise ValueError(f"what is usual needs {LEAST} values or more, not {n}")
    half = n // 2 + 1
    widths = x[half - 1 :] - x[: n - half + 1]
    low = len(widths) - 1 - int(np.argmin(widths[::-1]))
    high = low + half
    location, scale = float(np.median(x[low:high])), float(widths[low]) / (2 * START)
    # sums of deviations, so that each round costs two look-ups; from the location, so that no digits are lost
    off = x - location
    sums, squares = np.concatenate([[0.0], np.cumsum(off)]), np.concatenate([[0.0], np.cumsum(off * off)])
    mean, correction = 0.0, _kept_spread(CUT)
    for _ in range(ROUNDS):
        first = min(int(np.searchsorted(off, mean - CUT * scale, "left")), low)
        last = max(int(np.searchsorted(off, mean + CUT * scale, "right")), high)
        kept = last - first
        mean = float(sums[last] - sums[first]) / kept
        variance = (float(squares[last] - squares[first]) - kept * mean * mean) / (kept - 1)
        before, scale = scale, math.sqrt(max(variance, 0.0)) / correction
        if math.isclose(before, scale, rel_tol=1e-9):
            break
    return Centre(location + mean, scale, kept)


@functools.cache
def reach(p: float, n: int, freedom: int | None = None) -> float:
    """How many standard deviations off one of ``n`` good values lies with probability ``p`` on either side, centre and
    spread being estimated from the ``n`` themselves, with so many degrees of ``freedom`` (those of :func:`centre` if
    None)."""
    freedom = max(2, int(n**1.5 / FREEDOM)) if freedom is None else freedom
    beyond = -NormalDist().inv_cdf(p) if freedom > MOST_FREEDOM else student_quantile(1 - p, freedom)
    return beyond * math.sqrt(1 + 1 / n)


@dataclass(frozen=True, eq=False)
class Deviations:
    """How far each device (row) is from what is usual, in each test (column).

    ``centres``: of each test, None where too few devices have a value. ``off``: value minus usual, as a share of the
    usual one unless ``absolute``; NaN without a value or a centre. ``limit``: of each test, what ``off`` may be either
    way. ``overall`` and ``overall_limit``: the same of the median of a device's ``off``. ``units``: of each test, what
    a deviation of 1 is in the unit of the values.
    """

    centres: tuple[Centre | None, ...]
    units: Floats
    off: Floats
    limit: Floats
    overall: Floats
    overall_limit: float

    @functools.cached_property
    def single(self) -> Signs:
        """-1 where a device is too low in a test, 1 where it is too high, else 0."""
        return _signs(self.off, self.limit)

    @functools.cached_property
    def whole(self) -> Signs:
        """The same of each device over all its tests."""
        return _signs(self.overall, np.float64(self.overall_limit))


def deviations(values: Floats, effect: float, false_alarms: float, absolute: bool = False) -> Deviations:
    """What stands out of ``values`` (devices, tests; NaN where there is none).

    ``effect``: the least deviation that matters, a share of the usual value, or in its unit where ``absolute``.
    ``false_alarms``: good devices that may be called too low, on average over the whole matrix, and as many too high.
    """
    devices, tests = values.shape
    singles = int(np.isfinite(values).sum())
    centres: list[Centre | None] = []
    off, limit, units = np.full(values.shape, np.nan), np.full(tests, np.inf), np.ones(tests)
    for test in range(tests):
        column = values[:, test]
        known = column[np.isfinite(column)]
        if len(known) < LEAST:
            centres.append(None)
            continue
        found = centre(known)
        centres.append(found)
        unit = units[test] = 1.0 if absolute else abs(found.location)
        if unit > 0:
            off[:, test] = (column - found.location) / unit
            wide = reach(false_alarms * (1 - OVERALL) / singles, len(known)) * found.scale / unit
            limit[test] = max(effect, wide)
    overall, overall_limit = _overall(off, effect, false_alarms * OVERALL / max(devices, 1))
    return Deviations(tuple(centres), units, off, limit, overall, overall_limit)


def _overall(off: Floats, effect: float, p: float) -> tuple[Floats, float]:
    """The median over a device's tests, and what it may be."""
    enough = np.isfinite(off).sum(axis=1) >= TESTS_OVERALL
    median = np.full(len(off), np.nan)
    if enough.any():
        median[enough] = np.nanmedian(off[enough], axis=1)
    known = median[enough]
    if len(known) < LEAST:
        return median, math.inf
    found = centre(known)
    location, limit = found.location, max(effect, reach(p, len(known)) * found.scale)
    if len(known) <= splits.MOST:  # the gap to the bad ones tells more than the spread of few good ones
        for sign in (1, -1):
            if (parted := splits.gap(sign * known, p * len(known))) is not None:
                good, edge = sign * parted[0], abs(parted[0] - parted[1])
                location, limit = good, min(limit, max(effect, edge))
    return median - location, limit


def _signs(off: Floats, limit: Floats | np.float64) -> Signs:
    # what is absent is neither
    with np.errstate(invalid="ignore"):
        return (off > limit).astype(np.int8) - (off < -limit).astype(np.int8)
