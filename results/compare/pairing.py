"""Like with like: which case of one run answers to which of another, and by what the others differ.

Two cases are alike if kernel, shape, dtype, input data and every other parameter agree, the ranks and on how many
machines they ran, and the state of the cache. Software does not count: it is what is compared. What has no counterpart
is named with the nearest case of the other run, so that a reader sees what kept them apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from perwatt.results.compare.sample import SAME_CAP_W, Sample, cap_w, unit
from perwatt.results.fleet.layout import NODES
from perwatt.results.record import Failed, Record, Skipped
from perwatt.results.store import RECORDS, cut_off, load

MOST_DIFFERENCES = 3  # a case that differs in more is another case


class Refused(msgspec.Struct, frozen=True):
    """A case that was not compared, in full or in part: ``what`` (``case``, or ``power and per watt``), in which
    ``run``, and why."""

    kernel: str
    label: str
    run: str
    what: str
    why: str


class Cases:
    """The cases of one run by what makes them alike: measured ones as samples, the others with their reason.

    ``capped`` has the samples at each power limit of the cases that were measured at several; ``measured`` has those at
    the highest."""

    def __init__(self, name: str, records: Sequence[Record]) -> None:
        self.name, self.records = name, records
        by: dict[str, list[Record]] = {}
        for record in records:
            by.setdefault(key_of(record), []).append(record)
        self.about = {key: facts(found[0]) for key, found in by.items()}
        self.labels = {key: (found[0].case.kernel, found[0].case.label) for key, found in by.items()}
        self.measured: dict[str, Sample] = {}
        self.capped: dict[str, dict[float, Sample]] = {}
        self.unmeasured: dict[str, str] = {}
        for key, found in by.items():
            measured = [r for r in found if r.measured is not None]
            if not measured:
                self.unmeasured[key] = _reason(found[0])
                continue
            at = _by_cap(name, measured, _lost(found))
            known = {limit: sample for limit, sample in at.items() if limit is not None}
            if len(known) > 1:
                self.capped[key] = known
            self.measured[key] = known[max(known)] if known else at[None]


def read(run: Path) -> list[Record]:
    """The records of a run folder, and of its nodes' where it has some: of each case of each device at each power limit
    the latest. Raises ValueError for a file that cannot be read whole, and for a run that measured nothing."""
    files = [path for path in (run / RECORDS, *sorted(run.glob(f"{NODES}/*/{RECORDS}"))) if path.is_file()]
    found: dict[tuple[object, ...], Record] = {}
    for path in files:
        records = load(path)
        if cut_off(path):
            raise ValueError(
                f"{path}: the last line is cut off; finish the run (perwatt run resume={run}), or remove it"
            )
        for record in records:
            limit = cap_w(record)
            found[key_of(record), unit(record), limit and round(limit)] = record
    if not any(record.measured for record in found.values()):
        raise ValueError(f"{run}: found no measured case; allowed a run that measured something")
    return list(found.values())


def facts(record: Record) -> dict[str, object]:
    """What has to agree for two cases to be alike."""
    case, over = record.case, record.case.over
    where = {"over": over.kind, "hosts": len(over.hosts)} if over else {}
    return {"kernel": case.kernel, **case.params, "ranks": case.ranks, "cache": case.cache, **where}


def key_of(record: Record) -> str:
    """The same as one text."""
    return json.dumps(facts(record), sort_keys=True, default=str)


def differences(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    """``init is zeros here, normal there`` for each fact of ``a`` that ``b`` has otherwise."""
    names = dict.fromkeys([*a, *b])
    return [
        f"{name.replace('_', ' ')} is {_told(a, name)} here, {_told(b, name)} there"
        for name in names
        if _told(a, name) != _told(b, name)
    ]


def unmatched(cases: Cases, other: Cases) -> list[Refused]:
    """Every case of ``cases`` that was measured and has no measured counterpart in ``other``, and why."""
    out = []
    for key in cases.measured:
        if key in other.measured:
            continue
        kernel, label = cases.labels[key]
        if key in other.unmeasured:
            why = f"{other.unmeasured[key]} in {other.name}"
        else:
            why = _nearest(cases.about[key], other)
        out.append(Refused(kernel, label, cases.name, "case", why))
    return out


def _nearest(about: Mapping[str, object], other: Cases) -> str:
    """What keeps a case from the nearest of the other run."""
    same = [found for found in other.about.values() if found["kernel"] == about["kernel"]]
    if not same:
        return f"no {about['kernel']} in {other.name}"
    fewest = min((differences(about, found) for found in same), key=len)
    if len(fewest) > MOST_DIFFERENCES:
        return f"not in {other.name}"
    return f"not in {other.name}; of the nearest there {'; '.join(fewest)}"


def _told(facts: Mapping[str, object], name: str) -> str:
    return str(facts[name]) if name in facts else "absent"


def _reason(record: Record) -> str:
    if isinstance(record.outcome, Skipped):
        return f"skipped ({record.outcome.reason})"
    return f"failed ({record.outcome.error})" if isinstance(record.outcome, Failed) else "absent"


def _lost(records: Sequence[Record]) -> str:
    """How many devices of a case that others measured did not, and why the first of them did not."""
    measured = {unit(r) for r in records if r.measured is not None}
    others = {unit(r): r for r in records if unit(r) not in measured}
    if not others:
        return ""
    return f"{len(others)} of {len(others) + len(measured)} devices {_reason(next(iter(others.values())))}"


def _by_cap(run: str, records: Iterable[Record], lost: str) -> dict[float | None, Sample]:
    """A sample at each power limit; records whose limits differ by less than a step of the sensor are of one."""
    groups: dict[float | None, list[Record]] = {}
    for record in records:
        limit = cap_w(record)
        near = next((known for known in groups if _same(known, limit)), limit)
        groups.setdefault(near, []).append(record)
    return {limit: Sample(run, tuple(found), lost) for limit, found in groups.items()}


def _same(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else abs(a - b) <= SAME_CAP_W
