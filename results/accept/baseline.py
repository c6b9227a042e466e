"""Criteria made of a fleet itself: what its good devices show, less what they may differ by, to be reviewed first.

That is the effect that matters, or what one of 1,000 good ones is off by if that is more, or the furthest of those that
are good in their fleet, at their position. A node that the run failed itself, alone or with others, is not one of them.
"""

from __future__ import annotations

import datetime
import glob
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from perwatt.results.accept.criteria import ABSOLUTE, METRICS, Criteria, from_plain
from perwatt.results.accept.evidence import Evidence
from perwatt.results.accept.judge import judge
from perwatt.results.accept.limits import PER_ENERGY
from perwatt.results.accept.outliers import LEAST, Centre, centre, reach
from perwatt.results.record import Quantity
from perwatt.results.reports.units import FACTORS, prefix, rounded

if TYPE_CHECKING:
    import pandas as pd

OF_SCOPE = {"device": ("rate", "rate_per_watt", "power"), "node": ("busbw",)}
JUDGED = ("rate", "rate_per_watt")  # within the fleet itself, before it says what is usual
DIGITS = 5
ONE_OF = 1e-3  # good devices may be further off than the limits of a baseline
STATUS = "a baseline made of run {run} on {date}, {devices} devices: to be reviewed before it decides anything"


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a fleet must be, and what is allowed from its centre: ``conf/baseline`` explains each."""

    least_devices: Quantity
    most_off: Quantity
    effect_rate: Quantity
    effect_energy: Quantity

    def effect(self, metric: str) -> float:
        """The least deviation that matters, as a share."""
        return (self.effect_energy if metric in PER_ENERGY else self.effect_rate).value / 100


def make(evidence: Evidence, rules: Rules, name: str, run: str, today: datetime.date) -> dict[str, Any]:
    """The criteria as a YAML has them. Raises ValueError for a fleet that is too small, or too sick, to say."""
    within = [_within(metric, rules, today) for metric in JUDGED]
    devices, off = _sound(evidence, rules, from_plain({"name": name, "criteria": within}, run), run, today)
    good = replace(evidence, rows=evidence.rows[~evidence.rows["host"].isin(_failed(evidence)).to_numpy()])
    found = [one for scope, metrics in OF_SCOPE.items() for one in _of(good, scope, metrics, rules, off, run, today)]
    told = {criterion["metric"] for criterion in found}
    return {
        "name": name,
        "status": STATUS.format(run=run, date=today, devices=devices),
        **({"targets": sorted(evidence.targets)} if evidence.targets and all(evidence.targets) else {}),
        "criteria": [*found, *(one for one in within if one["metric"] in told)],
    }


def _within(metric: str, rules: Rules, today: datetime.date) -> dict[str, Any]:
    rule = rules.effect_energy if metric in PER_ENERGY else rules.effect_rate
    band = {"effect": rule.value, "unit": rule.unit, "source": rule.source, "date": str(today)}
    return {
        "name": f"{metric.replace('_', ' ')} within the fleet",
        "cases": "*",
        "metric": metric,
        "within_fleet": band,
    }


def _sound(evidence: Evidence, rules: Rules, within: Criteria, run: str, today: datetime.date) -> tuple[int, set[str]]:
    """How many devices the fleet has, if they are enough, and which are off, if they are few enough."""
    devices = {str(s) for s in evidence.rows.loc[evidence.rows["scope"] == "device", "subject"].unique()}
    if len(devices) < (least := int(rules.least_devices.value)):
        raise ValueError(
            f"{run}: found {len(devices)} devices; allowed {least} and more: fewer do not say what is usual"
        )
    judged = judge(evidence, within, run, today)
    off = {f.subject for f in judged.findings if f.scope == "device" and f.status == "FAIL"}
    failed = _failed(evidence)
    off |= {device for device in devices if device.rpartition(":")[0] in failed}
    if len(off) > len(devices) * rules.most_off.value / 100:
        where = "off their fleet" + " or on nodes that it failed" * bool(failed)
        found = f"found {len(off)} of {len(devices)} devices {where}"
        raise ValueError(f"{run}: {found}; allowed {rules.most_off.value:g} %: repair them and measure again first")
    return len(devices), off


def _failed(evidence: Evidence) -> set[str]:
    """The nodes that their run failed itself."""
    return {f.subject for f in evidence.said.findings if f.scope == "node" and f.status == "FAIL"}


def _of(
    evidence: Evidence,
    scope: str,
    metrics: tuple[str, ...],
    rules: Rules,
    off: set[str],
    run: str,
    today: datetime.date,
) -> Iterator[dict[str, Any]]:
    """A criterion for each metric of each case that enough of this scope have measured."""
    rows = evidence.rows[(evidence.rows["scope"] == scope) & (evidence.rows["outcome"] == "measured")]
    for (kernel, label), part in rows.groupby(["kernel", "label"], sort=False, observed=True):
        known = part if scope == "node" else evidence.full(part)  # what per watt may be quoted, the records say
        case, kind = f"{kernel} {label}".strip(), str(known["kind"].iloc[0])
        for metric in metrics:
            values = _values(known, metric)
            if len(values) < max(LEAST, rules.least_devices.value) or (unit := _unit(metric, kind)) is None:
                continue
            found, share = centre(values.to_numpy()), rules.effect(metric)
            share = max(share, reach(ONE_OF, len(values), len(values) - 1) * found.scale / found.location)
            if metric in JUDGED:  # who is good as its position goes is good by the baseline as well
                share = max(share, *(abs(values[~values.index.isin(off)] / found.location - 1)))
            yield _criterion(case, metric, scope, found, len(values), unit, share, run, today)


def _values(rows: pd.DataFrame, metric: str) -> pd.Series[float]:
    """Those that may be used, by subject; per watt those that may be quoted."""
    good = rows["invalid_energy" if metric in PER_ENERGY else "invalid"] == ""
    if metric in PER_ENERGY:
        good &= (rows["unknown"] == "") & ~rows["indicative"].astype(bool)
    return rows[good & rows[metric].notna()].set_index("subject")[metric].astype(float)


def _unit(metric: str, kind: str) -> str | None:
    """The unit of what a case counts; None of work that no criterion speaks of."""
    return next((unit for unit, counts in METRICS[metric].units.items() if counts in ("", kind)), None)


def _criterion(
    case: str,
    metric: str,
    scope: str,
    found: Centre,
    n: int,
    unit: str,
    share: float,
    run: str,
    today: datetime.date,
) -> dict[str, Any]:
    """Limits either way, by a ``share`` of the centre."""
    assert metric not in ABSOLUTE
    symbol = prefix(found.location)
    told = {"unit": symbol + unit, "date": str(today)}
    told["source"] = f"measured: the centre of {n} of run {run}, and {100 * share:.3g} % from it"

    def at(times: float) -> dict[str, Any]:
        return {"value": rounded(found.location * times / FACTORS[symbol], DIGITS), **told}

    high = METRICS[metric].high_is_good
    least, most = at(1 - min(share, 0.99)), at(1 + share)
    return {
        "name": f"{metric.replace('_', ' ')} of {case}",
        "cases": glob.escape(case),
        "metric": metric,
        "scope": scope,
        **({"at_least": least, "plausible_max": most} if high else {"at_most": most}),
        "measured": {
            "centre": rounded(found.location / FACTORS[symbol], DIGITS),
            "spread": rounded(found.scale / FACTORS[symbol], DIGITS) if found.scale else 0.0,
            "n": n,
            "unit": symbol + unit,
        },
    }


def rules_of(plain: Any, where: str) -> Rules:
    """The rules of a parsed YAML. Raises ValueError, one line, for what they cannot be."""
    try:
        found = msgspec.convert(plain, Rules)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {error}") from None
    if found.least_devices.value < LEAST:
        raise ValueError(f"{where}: least_devices: found {found.least_devices.value:g}; allowed {LEAST} and more")
    if not 0 < found.most_off.value < 50:
        raise ValueError(f"{where}: most_off: found {found.most_off.value:g} %; allowed above 0 and below 50")
    for key in ("effect_rate", "effect_energy"):
        if not 0 < (value := getattr(found, key).value) < 100 or not math.isfinite(value):
            raise ValueError(f"{where}: {key}: found {value:g} %; allowed above 0 and below 100")
    return found
