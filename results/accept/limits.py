"""Values against absolute limits: better than the limit by more than their uncertainty, worse, or not to be told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perwatt.results.accept import causes, health
from perwatt.results.accept.criteria import METRICS, Criterion, Limit, Unfit, si
from perwatt.results.accept.falling import FALL, LEAST, U_FALL
from perwatt.results.accept.finding import Reason, finding
from perwatt.results.accept.soaked import flagged
from perwatt.results.accept.verdict import Finding, Status
from perwatt.results.recheck import WRONG_OUTPUT

if TYPE_CHECKING:
    import pandas as pd

PER_ENERGY = {"rate_per_watt", "power"}


def absolute(criterion: Criterion, rows: pd.DataFrame) -> Iterator[Finding]:
    """A finding for each row that does not meet the limits of ``criterion``, the worst of them.

    Raises Unfit for a limit in a unit that counts other work than the case does.
    """
    if not criterion.limits:
        return
    told = [(key, limit, *si(criterion.metric, limit, criterion.name)) for key, limit in criterion.limits.items()]
    for key, limit, _, counts in told:
        other = rows[(rows["kind"] != counts) & (rows["kind"] != "")] if counts else rows[:0]
        if len(other):
            case = f"{other['kernel'].iloc[0]} {other['label'].iloc[0]}"
            kind = other["kind"].iloc[0]
            units = ", ".join(unit for unit, of in METRICS[criterion.metric].units.items() if of == kind)
            found = f"{criterion.name}: {key}: unit: found {limit.unit}; {case} counts {kind}"
            raise Unfit(f"{found}; allowed {units or 'no rate'}, with or without a prefix")
    if criterion.scope == "fleet":
        out = (rows["outcome"] != "measured").to_numpy()
        if criterion.metric not in health.METRICS:
            out = out | flagged(rows["flags"], {WRONG_OUTPUT})
        for row in rows[out].to_dict("records"):  # a median of those that are left says nothing of them
            if (reason := unusable(criterion.metric, row, strict=True)) is not None:
                yield replace(_finding(criterion, row, reason, next(iter(criterion.limits)), None), scope="device")
        rows = _median(criterion, rows[~out] if not out.all() else rows)
    # of a large fleet almost all pass: only the others are looked at one by one
    for row in rows[~_passing(criterion.metric, rows, [(key, least) for key, _, least, _ in told])].to_dict("records"):
        if (reason := unusable(criterion.metric, row, strict=True)) is not None:
            yield _finding(criterion, row, reason, next(iter(criterion.limits)), None)
            continue
        value, u = row[criterion.metric], _uncertainty(criterion.metric, row)
        held = [(_status(key, value, u, least), key, limit) for key, limit, least, _ in told]
        bad = [one for one in held if one[0] != "PASS"]
        if bad:
            status, key, limit = max(bad, key=lambda one: one[0] == "FAIL")
            yield _finding(criterion, row, (status, *_why(key, status, row, criterion.metric)), key, limit)


def unusable(metric: str, row: Mapping[Any, Any], strict: bool) -> Reason | None:
    """Why nothing can be told of this row; None if something can. ``strict``: per watt only what may be quoted."""
    if row["outcome"] == "failed":
        return "FAIL", f"the case failed: {row['reason']}", causes.FLEET if row["scope"] == "fleet" else causes.ITSELF
    if row["outcome"] != "measured":
        return "MISSING", f"the case was skipped: {row['reason']}", causes.SKIPPED
    if WRONG_OUTPUT in row["flags"].split() and metric not in health.METRICS:
        return "FAIL", "its output was wrong", health.CAUSES["sdc"]
    energy = metric in PER_ENERGY
    if energy and (unknown := row.get("unknown")):
        return "INCONCLUSIVE", str(unknown), causes.UNMETERED
    if (column := validity(metric)) and (invalid := row.get(column)):
        return "INCONCLUSIVE", f"the window is not valid: {invalid}", causes.INVALID
    if metric == FALL and not math.isfinite(row[metric]):
        return "INCONCLUSIVE", f"fewer than {LEAST} rounds measured it", causes.BRIEF
    if not math.isfinite(row[metric]):
        hint = causes.UNCHECKED if metric == "sdc" else causes.UNMETERED
        return "INCONCLUSIVE", "not metered" if energy else f"{metric} was not recorded", hint
    if strict and energy and row.get("indicative"):
        return (
            "INCONCLUSIVE",
            "indicative: windows too short for its meter; profile=standard has longer",
            causes.INVALID,
        )
    return None


def validity(metric: str) -> str:
    """Which column says why a value does not count. Empty for what a driver counted, and an output that was wrong: they
    hold however long the window was; and for what is of all rounds, whatever the last of them was."""
    if metric in PER_ENERGY:
        return "invalid_energy"
    return "" if metric in health.METRICS or metric == FALL else "invalid"


def _passing(metric: str, rows: pd.DataFrame, limits: Sequence[tuple[str, float]]) -> npt.NDArray[np.bool_]:
    """Of which rows :func:`unusable` says nothing, and which meet all ``limits``."""
    value = rows[metric].to_numpy(float)
    good: npt.NDArray[np.bool_] = (rows["outcome"] == "measured").to_numpy() & np.isfinite(value)
    if column := validity(metric):
        good &= (rows[column] == "").to_numpy()
    if metric not in health.METRICS:
        good &= ~flagged(rows["flags"], {WRONG_OUTPUT})
    if metric in PER_ENERGY:
        good &= (rows["unknown"] == "").to_numpy() & ~rows["indicative"].to_numpy(bool)
    known = rows[name].to_numpy(float) if (name := of_uncertainty(metric)) in rows else np.zeros(len(rows))
    u = _half(metric, value, np.where(np.isfinite(known), known, 0.0))
    for key, limit in limits:
        good &= _margin(key, value, limit) >= (0.0 if key == "plausible_max" else u)
    return good


def of_uncertainty(metric: str) -> str:
    """Which column has the metric's uncertainty; empty for what is counted or read once."""
    if metric == FALL:
        return U_FALL
    return "u_energy" if metric in PER_ENERGY else "u_rate" if metric in ("rate", "busbw") else ""


def _half(metric: str, value: Any, known: Any) -> Any:
    """Half of the 95 % interval of a value, or of each of many: of a fall it is absolute, of others relative."""
    return known if metric == FALL else abs(value) * known


def _uncertainty(metric: str, row: Mapping[Any, Any]) -> float:
    """Half of the 95 % interval, in the metric's unit; 0 for what is counted or read once."""
    known = row.get(of_uncertainty(metric), 0.0)
    return float(_half(metric, row[metric], known)) if math.isfinite(known) else 0.0


def _margin(key: str, value: Any, limit: float) -> Any:
    """How far a value, or each of many, is on the right side of its limit."""
    return value - limit if key == "at_least" else limit - value


def _status(key: str, value: float, u: float, limit: float) -> Status:
    margin = float(_margin(key, value, limit))
    if key == "plausible_max":  # fails closed: what is above it is no record but a mistake
        u = 0.0
    return "PASS" if margin >= u else "FAIL" if margin < -u else "INCONCLUSIVE"


def _why(key: str, status: Status, row: Mapping[Any, Any], metric: str) -> tuple[str, causes.Hint]:
    if status == "INCONCLUSIVE":
        return "its uncertainty reaches over the limit", causes.STRADDLES
    if key == "plausible_max":
        return "above what is plausible", causes.TOO_GOOD
    why = "below the limit" if key == "at_least" else "above the limit"
    if metric in health.CAUSES:
        cause, todo = health.CAUSES[metric]
        cause = f"{row['xids']}: {cause}" if metric == "xid" and row.get("xids") else cause
        return why, (cause, todo)
    around = causes.Around(throttled=row.get("throttled", math.nan))
    return why, causes.of(metric, row["scope"], around)


def _finding(criterion: Criterion, row: Mapping[Any, Any], reason: Reason, rule: str, limit: Limit | None) -> Finding:
    """The finding of a row; its numbers in the unit of the limit, which is the first absolute one unless given."""
    shown = limit or next(iter(criterion.limits.values()))
    scale = si(criterion.metric, shown, criterion.name)[0] / shown.value if shown.value else 1.0
    value = row.get(criterion.metric, math.nan)
    # of a burn-in that failed in one round the others have values, which are not what is told
    known = row["outcome"] == "measured" and isinstance(value, float) and math.isfinite(value)
    u = _uncertainty(criterion.metric, row) / scale if known else None
    value = value / scale if known else None
    return finding(criterion, row, reason, rule, shown, value=value, u=u, limit=shown.value)


def _median(criterion: Criterion, rows: pd.DataFrame) -> pd.DataFrame:
    """One row a case: the median over its devices, known as well as one of them is."""
    out = []
    for _, part in rows.groupby("test", sort=False):
        row = part.iloc[0].to_dict()
        row[criterion.metric] = (
            float(np.nanmedian(part[criterion.metric])) if part[criterion.metric].notna().any() else math.nan
        )
        for name in ("invalid", "invalid_energy", "unknown"):  # of most of them
            row[name] = part[name].iloc[0] if (part[name] != "").mean() > 0.5 else ""
        out.append({**row, "subject": "fleet", "scope": "fleet"})
    return type(rows)(out)
