"""Devices against the rest of their fleet, or nodes against nodes: what differs, by how much, and how it looks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perwatt.results.accept import causes, classes, splits
from perwatt.results.accept.criteria import METRICS, Criterion, effect
from perwatt.results.accept.finding import Reason, finding
from perwatt.results.accept.limits import PER_ENERGY, of_uncertainty, unusable, validity
from perwatt.results.accept.outliers import LEAST, Deviations, Floats, Signs, deviations
from perwatt.results.accept.positions import Positions
from perwatt.results.accept.surroundings import Surroundings, around
from perwatt.results.accept.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

ALL = "all its cases"
CLASSES = 0.2  # of the false alarms go to racks, slots and switches
FEW: Reason = (
    "INCONCLUSIVE",
    f"fewer than {LEAST} can be compared with each other",
    ("the fleet is too small to tell what is usual", "judge it by at_least"),
)
# A centre holds with fewer than half of the devices bad, and faults only slow: where so many are off, or so many better
# than what is taken for usual, the bad ones may be the majority. Nobody can tell then, whatever the numbers say.
MOST_OFF, MOST_TOO_GOOD = 0.45, 0.2
SICK: Reason = (
    "INCONCLUSIVE",
    f"more than {MOST_OFF:.0%} of the fleet are off, or more than {MOST_TOO_GOOD:.0%} better than the rest",
    (
        "the fleet is too sick to tell which part of it is sound",
        "judge it by at_least, or beside a fleet that is sound",
    ),
)


@dataclass(frozen=True, eq=False)
class Told:
    """The findings of one criterion, and how often each class of positions was compared with the others."""

    findings: list[Finding]
    groups: dict[str, int]


def fleetwise(criterion: Criterion, rows: pd.DataFrame, false_alarms: float, where: Positions) -> Told:
    """A finding for each device that is off over all its cases, else for each case in which it is, and for each rack,
    slot or switch of which all is; INCONCLUSIVE for values that cannot be used, and where too few can be compared."""
    assert criterion.within_fleet is not None
    metric = criterion.metric
    good = (rows["outcome"] == "measured") & rows[metric].notna()
    usable = (good & (rows[column] == "") if (column := validity(metric)) else good).to_numpy()
    findings = [
        _finding(criterion, row, reason)
        # with limits they have said so already
        for row in ([] if criterion.limits else rows[~usable].to_dict("records"))
        if (reason := unusable(metric, row, strict=False)) is not None
    ]
    if not usable.any():
        return Told(findings, {})
    fleet = _Fleet(criterion, rows[usable], false_alarms, where)
    if fleet.sick(fleet.found.whole) or fleet.halved():
        return Told([*findings, *fleet.undecided()], fleet.compared())
    return Told([*findings, *fleet.devices(), *fleet.groups(), *fleet.small()], fleet.compared())


class _Fleet:
    """The values of one criterion by subject and test, and what stands out of them."""

    def __init__(self, criterion: Criterion, rows: pd.DataFrame, false_alarms: float, where: Positions) -> None:
        assert criterion.within_fleet is not None
        self.criterion, self.rows = criterion, rows
        self.least, self.absolute = effect(criterion.metric, criterion.within_fleet, criterion.name)
        kind = METRICS[criterion.metric]
        self.bad = -1 if kind.high_is_good else 1
        self.told = (-1, 1) if kind.too_good else (self.bad,)
        at, subjects = _numbered(rows["subject"])
        case, tests = _numbered(rows["test"])
        self.shape = len(subjects), len(tests)
        values = _matrix(rows[criterion.metric], self.shape, at, case)
        self.row_of = _matrix(np.arange(len(rows)), self.shape, at, case)
        # how well energies are known is mostly the gain of a sensor, which the spread of the fleet has in it already
        known = "" if criterion.metric in PER_ENERGY else of_uncertainty(criterion.metric)
        self.u = _matrix(rows[known], self.shape, at, case) if known in rows else np.full(self.shape, np.nan)
        levels = where.classes(rows[~rows["subject"].duplicated()], criterion.scope)
        share = false_alarms * (1 - CLASSES) if levels else false_alarms
        self.found: Deviations = deviations(values, self.least, share, self.absolute)
        self.levels: list[classes.Compared] = []
        if levels:
            off, self.levels = classes.within(self.found, levels, self.least, false_alarms * CLASSES, self.bad)
            if off is not self.found.off:
                self.found = deviations(off if self.absolute else 1 + off, self.least, share, self.absolute)
        off_at_all = (self.found.single == self.bad).any(axis=1) | (self.found.whole == self.bad)
        power = _power_off(rows, self.shape, at, case)
        heat = criterion.scope == "device"
        self.around: Surroundings = around(rows, self.row_of, off_at_all, power, self.levels, heat)

    def sick(self, signs: Signs) -> bool:
        """Whether so many are off that nobody can tell which of them are good."""
        share = [float((signs == sign).mean()) for sign in (self.bad, -self.bad)]
        return share[0] > MOST_OFF or share[1] > MOST_TOO_GOOD

    def halved(self) -> bool:
        """Whether it is two fleets, of which neither is usual."""
        known = self.found.overall[np.isfinite(self.found.overall)]
        return len(known) >= LEAST and splits.halved(known, self.least, MOST_OFF)

    def undecided(self) -> Iterator[Finding]:
        """A finding for each device of a sick fleet."""
        for row_of in self.row_of:
            row = self.rows.iloc[int(row_of[np.isfinite(row_of)][0])].to_dict()
            yield _finding(self.criterion, {**row, "kernel": ALL, "label": ""}, SICK)

    def devices(self) -> Iterator[Finding]:
        """What is off over all its cases, else each case in which it is."""
        found = self.found
        for i in map(int, np.flatnonzero(np.isin(found.whole, self.told))):
            last = int(np.flatnonzero(np.isfinite(self.row_of[i]))[-1])
            off, limit = float(found.overall[i]), found.overall_limit
            yield self._told(i, last, None, int(found.whole[i]), off, limit, kernel=ALL, label="")
        sick = [self.sick(column) for column in found.single.T]
        for i, j in zip(*np.nonzero(np.isfinite(self.row_of) & sick), strict=True):
            yield _finding(self.criterion, self.rows.iloc[int(self.row_of[i, j])].to_dict(), SICK)
        for i, j in zip(*map(np.ndarray.tolist, np.nonzero(np.isin(found.single, self.told))), strict=True):
            if found.single[i, j] != found.whole[i] and not sick[j]:
                yield self._told(i, j, j, int(found.single[i, j]), float(found.off[i, j]), float(found.limit[j]))

    def _told(self, i: int, j: int, test: int | None, sign: int, off: float, limit: float, **changes: str) -> Finding:
        row: dict[Any, Any] = {**self.rows.iloc[int(self.row_of[i, j])].to_dict(), **changes}
        scope = self.criterion.scope
        bad = sign == self.bad
        hint = causes.of(self.criterion.metric, scope, self.around.of(i, test)) if bad else causes.TOO_GOOD
        why = f"{'below' if off < 0 else 'above'} its fleet"
        u = self._uncertainty(i, test)
        if bad and abs(off) - u < limit:  # what is too good fails closed
            reason: Reason = ("INCONCLUSIVE", f"{why}, but its uncertainty reaches over the limit", causes.STRADDLES)
            return _finding(self.criterion, row, reason, off, sign * limit, self.absolute, u)
        return _finding(self.criterion, row, ("FAIL", why, hint), off, sign * limit, self.absolute)

    def _uncertainty(self, i: int, test: int | None) -> float:
        """Half of the 95 % interval of its value in a test, or of the median over all of its tests: absolute of a fall,
        of others a share; 0 for what is not known."""
        of = self.u[i] if test is None else self.u[i, [test]]
        known = of[np.isfinite(of)]
        of_median = math.sqrt(math.pi / 2 / len(known)) if len(known) > 2 else 1.0  # over a mean's: root of pi / 2
        return float(np.median(known)) * of_median if len(known) else 0.0

    def groups(self) -> Iterator[Finding]:
        """Racks, slots and switches of which all is off: over all cases, else in some."""
        for one in self.levels:
            for number in map(int, np.flatnonzero(one.whole | one.bad.any(axis=1))):
                members = np.flatnonzero(one.classes.codes == number)
                test = None if one.whole[number] else int(np.flatnonzero(one.bad[number])[0])
                off = float(one.overall[number] if test is None else one.off[number, test])
                limit = one.overall_limit if test is None else float(one.limit[test])
                j = int(np.flatnonzero(np.isfinite(self.row_of[members[0]]))[0]) if test is None else test
                i = next(int(i) for i in members if np.isfinite(self.row_of[i, j]))
                row: dict[Any, Any] = self.rows.iloc[int(self.row_of[i, j])].to_dict()
                row |= {"subject": one.classes.name(number)} | ({"kernel": ALL, "label": ""} if test is None else {})
                hint = causes.of(self.criterion.metric, self.criterion.scope, self.around.of(i, test))
                why = f"most of its {len(members)} are {'below' if off < 0 else 'above'} the others"
                told = _finding(self.criterion, row, ("FAIL", why, hint), off, self.bad * limit, self.absolute)
                yield replace(told, scope="group")

    def small(self) -> Iterator[Finding]:
        """Cases that too few have."""
        small = [j for j, centre in enumerate(self.found.centres) if centre is None]
        for i, j in zip(*np.nonzero(np.isfinite(self.row_of[:, small])), strict=True):
            yield _finding(self.criterion, self.rows.iloc[int(self.row_of[i, small[j]])].to_dict(), FEW)

    def compared(self) -> dict[str, int]:
        """How many tests each class was compared in."""
        return {
            one.classes.name(number): int(times)
            for one in self.levels
            for number, times in enumerate(np.isfinite(one.off).sum(axis=1))
            if times
        }


def _numbered(names: pd.Series[str]) -> tuple[Any, Any]:
    """The number of each name, and the names by their numbers: by hashing, as sorting a large fleet takes minutes."""
    codes, found = names.factorize()  # in the order in which they appear
    return codes, np.asarray(found)


def _matrix(values: Any, shape: tuple[int, int], at: Any, case: Any) -> Floats:
    """Values by subject and test, NaN where there is none."""
    out = np.full(shape, np.nan)
    out[at, case] = np.asarray(values, dtype=np.float64)
    return out


def _power_off(rows: pd.DataFrame, shape: tuple[int, int], at: Any, case: Any) -> Floats:
    """How far each power is from its test's median, as a share; NaN where it is not known."""
    power = _matrix(rows["power"], shape, at, case)
    known = np.isfinite(power).any(axis=0)
    out = np.full(shape, np.nan)
    out[:, known] = power[:, known] / np.nanmedian(power[:, known], axis=0) - 1
    return out


def _finding(
    criterion: Criterion,
    row: Mapping[Any, Any],
    reason: Reason,
    off: float | None = None,
    limit: float | None = None,
    absolute: bool = False,
    u: float | None = None,
) -> Finding:
    """The finding of a row: its deviation and what it may be, both in per cent of what is usual unless absolute."""
    band = criterion.within_fleet
    assert band is not None
    scale = 1.0 if absolute and band.unit != "%" else 100.0
    value, edge, half = (None if number is None else scale * number for number in (off, limit, u))
    return finding(criterion, row, reason, "within_fleet", band, value=value, u=half, limit=edge)
