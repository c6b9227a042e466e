"""Devices against the rest of their fleet, or nodes against nodes: what differs, by how much, and how it looks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from perwatt.results.accept import causes
from perwatt.results.accept.criteria import METRICS, Criterion, effect
from perwatt.results.accept.finding import Reason, finding
from perwatt.results.accept.limits import PER_ENERGY, unusable
from perwatt.results.accept.outliers import LEAST, Floats, deviations
from perwatt.results.accept.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

ALL = "all its cases"
FEW: Reason = (
    "INCONCLUSIVE",
    f"fewer than {LEAST} can be compared with each other",
    ("the fleet is too small to tell what is usual", "judge it by at_least"),
)


def fleetwise(criterion: Criterion, rows: pd.DataFrame, false_alarms: float) -> Iterator[Finding]:
    """A finding for each device that is off over all its cases, else for each case in which it is; INCONCLUSIVE for
    values that cannot be used, and where too few can be compared."""
    assert criterion.within_fleet is not None
    metric = criterion.metric
    least, absolute = effect(metric, criterion.within_fleet, criterion.name)
    invalid = rows["invalid_energy" if metric in PER_ENERGY else "invalid"]
    usable = ((rows["outcome"] == "measured") & rows[metric].notna() & (invalid == "")).to_numpy()
    for row in [] if criterion.limits else rows[~usable].to_dict("records"):  # with limits they have said so already
        if (reason := unusable(metric, row, strict=False)) is not None:
            yield _finding(criterion, row, reason)
    rows = rows[usable]
    if rows.empty:
        return
    at, subjects = _numbered(rows["subject"])
    case, tests = _numbered(rows["test"])
    shape = len(subjects), len(tests)
    found = deviations(_matrix(rows[metric], shape, at, case), least, false_alarms, absolute)
    power = _power_off(rows, shape, at, case)
    row_of = _matrix(np.arange(len(rows)), shape, at, case)
    bad = -1 if METRICS[metric].high_is_good else 1
    node_off = _whole_nodes(subjects, (found.single == bad).any(axis=1) | (found.whole == bad))

    def told(i: int, j: int, sign: int, off: float, limit: float, beside: float, **changes: str) -> Finding:
        row: dict[Any, Any] = {**rows.iloc[int(row_of[i, j])].to_dict(), **changes}
        hint = causes.of(metric, row, beside, bool(node_off[i])) if sign == bad else causes.TOO_GOOD
        why = f"{'below' if off < 0 else 'above'} its fleet"
        return _finding(criterion, row, ("FAIL", why, hint), float(off), float(sign * limit), absolute)

    for i in map(int, np.flatnonzero(found.whole)):
        last = int(np.flatnonzero(np.isfinite(row_of[i]))[-1])
        beside = float(np.nanmedian(power[i])) if np.isfinite(power[i]).any() else math.nan
        sign = int(found.whole[i])
        yield told(i, last, sign, found.overall[i], found.overall_limit, beside, kernel=ALL, label="")
    for i, j in zip(*np.nonzero(found.single), strict=True):
        if found.single[i, j] != found.whole[i]:
            yield told(i, j, int(found.single[i, j]), found.off[i, j], found.limit[j], power[i, j])
    small = [j for j, centre in enumerate(found.centres) if centre is None]
    for i, j in zip(*np.nonzero(np.isfinite(row_of[:, small])), strict=True):
        yield _finding(criterion, rows.iloc[int(row_of[i, small[j]])].to_dict(), FEW)


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


def _whole_nodes(subjects: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Whether all devices of a subject's node are off, of nodes with two or more of them."""
    hosts = np.array([str(subject).rpartition(":")[0] for subject in subjects])
    _, node = np.unique(hosts, return_inverse=True)
    devices, bad = np.bincount(node), np.bincount(node, weights=off)
    return np.asarray(((devices > 1) & (bad == devices))[node])


def _finding(
    criterion: Criterion,
    row: Mapping[Any, Any],
    reason: Reason,
    off: float | None = None,
    limit: float | None = None,
    absolute: bool = False,
) -> Finding:
    """The finding of a row: its deviation and what it may be, both in per cent of what is usual unless absolute."""
    band = criterion.within_fleet
    assert band is not None
    scale = 1.0 if absolute and band.unit != "%" else 100.0
    value, edge = (None if number is None else scale * number for number in (off, limit))
    return finding(criterion, row, reason, "within_fleet", band, value=value, u=None, limit=edge)
