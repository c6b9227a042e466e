"""The values behind a verdict, test by test: what a picture of a fleet shows, and a table of every device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from perwatt.results.accept.criteria import Criteria, Criterion, si
from perwatt.results.accept.evidence import KNOWN, Evidence
from perwatt.results.accept.fleetwise import ALL
from perwatt.results.accept.verdict import Judgement, Status

MOST_READ = 5_000  # records that are opened for one picture: a fleet's index does not have every metric


@dataclass(frozen=True)
class Spread:
    """One metric of one case over all who measured it, in SI units, as they stand in the records.

    ``marked``: of those with a finding its status; ``limits``: the absolute ones by their key.
    """

    criterion: str
    case: str
    metric: str
    kind: str
    values: dict[str, float]
    marked: dict[str, Status]
    limits: dict[str, float]


def spreads(evidence: Evidence, criteria: Criteria, judgement: Judgement) -> list[Spread]:
    """One of each criterion and case of devices or nodes, those with most findings first; each metric of a case once,
    however many criteria speak of it."""
    found: dict[tuple[str, str], Spread] = {}
    marked: dict[tuple[str, str], dict[str, Status]] = {}
    for finding in judgement.findings:
        if finding.counts:
            marked.setdefault((finding.criterion, finding.case), {})[finding.subject] = finding.status
    for criterion in criteria.criteria:
        for one in _of(criterion, evidence, marked):
            known = found.setdefault((one.case, one.metric), one)
            known.limits.update(one.limits)
            known.marked.update(one.marked)
    return sorted(found.values(), key=lambda one: -len(one.marked))


def _of(
    criterion: Criterion, evidence: Evidence, marked: Mapping[tuple[str, str], Mapping[str, Status]]
) -> Iterator[Spread]:
    """``marked``: the status of each subject with a finding, by the finding's criterion and case."""
    rows = evidence.chosen(criterion)
    rows = rows[rows["outcome"] == "measured"]
    limits = {key: si(criterion.metric, limit, criterion.name)[0] for key, limit in criterion.limits.items()}
    for (kernel, label), part in rows.groupby(["kernel", "label"], sort=False, observed=True):
        case = f"{kernel} {label}".strip()
        known = part if criterion.metric in KNOWN else evidence.full(part.head(MOST_READ))
        told = zip(known["subject"], known[criterion.metric], strict=True)
        values = {str(subject): float(value) for subject, value in told if math.isfinite(value)}
        if values:
            of_all = (marked.get((criterion.name, name), {}) for name in (ALL, case))
            own = {subject: status for one in of_all for subject, status in one.items() if subject in values}
            kind = str(known["kind"].iloc[0])
            yield Spread(criterion.name, case, criterion.metric, kind, values, own, dict(limits))
