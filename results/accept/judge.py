"""Records against criteria: a verdict for each device, node and group that was there or should have been.

Absence is no pass: who has no record is MISSING, and so is a criterion that speaks to no case. A value whose
uncertainty straddles its limit, an invalid window, and energy that nothing metered are INCONCLUSIVE.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from perwatt.results.accept import causes, health, same
from perwatt.results.accept.criteria import Criteria, Criterion, Unfit
from perwatt.results.accept.evidence import Evidence
from perwatt.results.accept.fleetwise import fleetwise
from perwatt.results.accept.limits import absolute
from perwatt.results.accept.verdict import STATUSES, Finding, Judgement, Status, Verdict

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str]  # scope and subject


def judge(evidence: Evidence, criteria: Criteria, run: str, today: datetime.date | None = None) -> Judgement:
    """The judgement of ``evidence``, with the waivers that hold on ``today``.

    Raises Unfit if no criterion speaks to any case, for limits of other hardware, and for a unit that counts other work
    than the cases do.
    """
    _hardware(evidence, criteria)
    chosen: dict[tuple[str, str, bool], pd.DataFrame] = {}
    for criterion in criteria.criteria:
        if criterion.rows not in chosen:
            chosen[criterion.rows] = evidence.chosen(criterion)
    if all(rows.empty for rows in chosen.values()):
        names = evidence.rows["kernel"].astype(str) + " " + evidence.rows["label"].astype(str)
        has = ", ".join(names.unique()[:3])
        raise Unfit(f"criteria: found none that speaks to a case of the run, which has {has}, ...")
    findings = [_absent(_scope(name), name, reason, evidence.damaged) for name, reason in evidence.missing.items()]
    checks: Counter[Key] = Counter(dict.fromkeys(map(_key, findings), 0) | evidence.said.checked)
    findings += evidence.said.findings
    tested = {criterion.name for criterion in criteria.criteria if not chosen[criterion.rows].empty}  # in any scope
    compared = sum(criterion.within_fleet is not None for criterion in criteria.criteria)
    read: tuple[object, pd.DataFrame] | None = None  # the last rows whose records were: many ask for the same
    for criterion in criteria.criteria:
        found = chosen[criterion.rows]
        if found.empty:
            if criterion.name not in tested:
                findings.append(_untested(criterion))
                tested.add(criterion.name)
            continue
        rows = found
        if evidence.lacks(criterion):
            ask = evidence.healthy if criterion.metric in health.METRICS else evidence.full
            if read is None or read[0] != (criterion.rows, ask):
                read = (criterion.rows, ask), ask(found)
            rows = read[1]
        lacking = list(_lacking(criterion, rows, evidence))
        held = list(absolute(criterion, rows))
        findings += lacking + held
        # of no row that is counted below
        checks.update(map(_key, (*lacking, *(finding for finding in held if finding.scope != criterion.scope))))
        if criterion.within_fleet is not None:
            told = fleetwise(criterion, rows, criteria.false_alarms / compared, evidence.positions)
            findings += told.findings
            for group, times in told.groups.items():
                checks["group", group] += times
        of_each = bool(criterion.limits) + (criterion.within_fleet is not None)
        subjects = _times(rows) if criterion.scope != "fleet" else {"fleet": rows["test"].nunique()}
        for subject, times in subjects.items():
            checks[criterion.scope, subject] += times * of_each
    nodes = same.machines(evidence.machines) if criteria.same and len(evidence.machines) > 1 else {}
    for one in criteria.same:
        findings += same.differing(one, nodes)
        checks.update(("node", host) for host in nodes)
    slow = {f.subject.rpartition(":")[0] for f in findings if f.scope == "device" and f.status == "FAIL"}
    findings = [_switch(finding, slow, evidence) for finding in findings]
    day = today or datetime.date.today()
    findings = [_waived(finding, criteria, day) for finding in findings]
    verdicts = _verdicts(findings, checks)
    findings.sort(key=lambda f: (not f.counts, -_rank(f.status)))
    asked: list[Status] = [v.status for v in verdicts if not v.waived]
    whole: Status = max(asked, key=_rank, default="MISSING")
    return Judgement(run, criteria.name, whole, verdicts, tuple(findings), _notes(criteria, day, findings))


def _hardware(evidence: Evidence, criteria: Criteria) -> None:
    other = evidence.targets - set(criteria.targets) if criteria.targets else ()
    if other:
        found = ", ".join(sorted((name or "hardware that is no known target") + _on(evidence, name) for name in other))
        raise Unfit(f"targets: found {found}; allowed {', '.join(criteria.targets)}")


def _on(evidence: Evidence, target: str) -> str:
    """Some of the nodes that have it, of a fleet."""
    hosts = evidence.nodes.get(target, ())
    return f" on {', '.join(hosts[:3])}{' ...' if len(hosts) > 3 else ''}" if hosts else ""


def _lacking(criterion: Criterion, rows: pd.DataFrame, evidence: Evidence) -> Iterable[Finding]:
    """Devices and nodes of the run without a record of a case that others have; of the fleet's median its devices."""
    if criterion.scope == "group":
        return
    scope = criterion.rows[0]
    among = evidence.rows[evidence.rows["scope"] == scope]
    everyone = dict.fromkeys(map(str, among["subject"].unique()))
    if scope == "node":  # also who measured nothing together
        everyone |= dict.fromkeys(map(str, evidence.rows.loc[evidence.rows["scope"] == "device", "host"].unique()))
    times = _times(rows)
    tests = rows["test"].nunique()
    short = [subject for subject in everyone if times.get(subject, 0) < tests]
    each = rows.drop_duplicates("test")
    have = rows[rows["subject"].isin(short)].groupby("subject", observed=True)["test"].agg(set).to_dict()
    for subject in short:
        lost = each[~each["test"].isin(have.get(subject, set()))]
        for kernel, label in zip(lost["kernel"], lost["label"], strict=True):
            reason = "others have a record of this case, and it has none"
            told = _absent(scope, subject, reason, evidence.damaged)
            told = replace(told, criterion=criterion.name, case=f"{kernel} {label}", metric=criterion.metric)
            yield replace(told, warning=criterion.severity == "warn")


def _times(rows: pd.DataFrame) -> dict[str, int]:
    """How many rows each subject has that has any."""
    return {str(subject): int(n) for subject, n in rows["subject"].value_counts().items() if n}


def _switch(finding: Finding, slow: set[str], evidence: Evidence) -> Finding:
    """A switch is not to be blamed where the devices of most nodes behind it are ``slow`` themselves."""
    if finding.scope != "group" or not finding.cause.startswith(causes.SWITCH[0].partition(":")[0]):
        return finding
    behind = set(evidence.positions.members(finding.subject))
    if 2 * len(behind & slow) <= len(behind):
        return finding
    cause, todo = (text.format(place=finding.subject) for text in causes.SLOW_NODES)
    return replace(finding, cause=cause, todo=todo)


def _absent(scope: str, subject: str, reason: str, damaged: Mapping[str, str]) -> Finding:
    """What has no record: never tested, unless something of its node's was ``damaged``."""
    cause, todo = causes.ABSENT
    if line := damaged.get(subject.rpartition(":")[0] if scope == "device" else subject):
        reason = f"{reason}; {line} is damaged"
        cause, todo = causes.DAMAGED[0].format(line=line), causes.DAMAGED[1]
    return Finding("MISSING", scope, subject, "", "", "", "", None, None, None, "", "", reason, cause, todo)


def _untested(criterion: Criterion) -> Finding:
    told = _absent("cluster", "cluster", f"no case of the run is {criterion.cases!r}", {})
    warning = criterion.severity == "warn"
    return replace(told, criterion=criterion.name, metric=criterion.metric, todo="run a suite with it", warning=warning)


def _waived(finding: Finding, criteria: Criteria, day: datetime.date) -> Finding:
    for waiver in criteria.waivers:
        if waiver.holds(finding.subject, finding.criterion, day):
            return replace(finding, waived=f"{waiver.who} until {waiver.until}: {waiver.why}")
    return finding


def _verdicts(findings: Sequence[Finding], checks: dict[Key, int]) -> tuple[Verdict, ...]:
    """Of all that was checked; a node is no better than its devices. Who has no record did not pass, waived or not."""
    worst: dict[Key, Status] = dict.fromkeys(checks, "PASS")
    # who has no record at all, and the whole where a case has none
    absent = {
        _key(f) for f in findings if f.waived and (not f.criterion or (f.scope, f.status) == ("cluster", "MISSING"))
    }
    failed: dict[Key, int] = {}
    for finding in findings:
        if finding.counts:
            key = _key(finding)
            failed[key] = failed.get(key, 0) + 1
            worst[key] = max(worst.get(key, "PASS"), finding.status, key=_rank)
    absent -= set(failed)
    for (scope, subject), status in list(worst.items()):
        if scope == "device" and (scope, subject) not in absent:
            node = "node", subject.rpartition(":")[0]
            worst[node] = max(worst.get(node, "PASS"), status, key=_rank)
    for scope, subject in [*absent]:
        if scope == "device" and (node := ("node", subject.rpartition(":")[0])) not in worst:
            absent.add(node)
    worst |= dict.fromkeys(sorted(absent), "MISSING")
    # a device that is off over all its cases is one finding: what it passed is no less than nothing
    return tuple(
        Verdict(*key, status, n := checks.get(key, 0), max(n - failed.get(key, 0), 0), key in absent)
        for key, status in worst.items()
    )


def _notes(criteria: Criteria, day: datetime.date, findings: Sequence[Finding]) -> tuple[str, ...]:
    told = [criteria.status] if criteria.status else []
    for waiver in criteria.waivers:
        if datetime.date.fromisoformat(waiver.until) < day:
            told.append(f"waiver of {waiver.subject} by {waiver.who} ended on {waiver.until}")
        elif not any(waiver.holds(finding.subject, finding.criterion, day) for finding in findings):
            told.append(
                f"waiver of {waiver.subject} ({waiver.criterion}) by {waiver.who} covers nothing that was found"
            )
    return tuple(told)


def _scope(subject: str) -> str:
    return "device" if ":" in subject else "node"


def _key(finding: Finding) -> Key:
    return finding.scope, finding.subject


def _rank(status: Status) -> int:
    return STATUSES.index(status)
