"""What a run that is no fleet says of itself: whether it came to its end, and who of an import has no figure.

A run that was stopped leaves cases that nobody finds among its records. What another tool measured of several nodes
lies in one folder: its nodes and devices are looked for as a fleet's are, and a test that failed as a whole fails its
node, whatever the criteria speak of.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perwatt.results.accept import causes, screened
from perwatt.results.accept.said import Said, Told
from perwatt.results.accept.verdict import Finding, Status
from perwatt.results.record import Failed, Record
from perwatt.results.run import ENVIRONMENT

NAME = "the run itself"  # as a criterion is named, for waivers too
STOPPED: causes.Hint = (
    "it was stopped, killed, or is still going on",
    "perwatt run resume= finishes it; then judge again",
)


def said(run: Path, records: Sequence[Record]) -> Said:
    """What decides whatever the criteria speak of. ``records``: the newest of each case."""
    hosts = list(dict.fromkeys(record.host for record in records))
    told = [*_unended(run, hosts), *_failed(records)]
    return Said(tuple(told)) + screened.alone(hosts)


def missing(run: Path, records: Sequence[Record]) -> dict[str, str]:
    """Who of an import of several nodes has no figure, and why: nodes, and devices (``HOST:INDEX``) that most have."""
    have: dict[str, set[int]] = defaultdict(set)
    for record in records:
        if not record.case.collective:
            have[record.host].add(record.case.device_index)
    named = dict.fromkeys([*_imported(run).get("hosts", ()), *(record.host for record in records)])
    if len(named) < 2 or not have:
        return {}
    usual = Counter(map(len, have.values())).most_common()
    most = max(n for n, times in usual if times == usual[0][1])
    lost = {host: "the file has no figure of one of its devices" for host in named if host not in have}
    return lost | {
        f"{host}:{index}": f"the file has figures of {len(own)} devices of this node, of most {most}"
        for host, own in have.items()
        if len(own) < most
        for index in sorted(set(range(most)) - own)
    }


def _unended(run: Path, hosts: Sequence[str]) -> Iterator[Told]:
    allocations = _environment(run).get("clock", {}).get("allocations")
    if not allocations or ("end" in allocations[-1] and allocations[-1].get("whole", True)):
        return
    for host in hosts:
        why = "the run did not come to its end: what it did not measure is not among its records"
        yield _told("INCONCLUSIVE", host, "", ENVIRONMENT, why, STOPPED)


def _failed(records: Sequence[Record]) -> Iterator[Told]:
    for record in records:
        if isinstance(record.outcome, Failed) and record.case.collective and record.source == "imported":
            case = f"{record.case.kernel} {record.case.label}"
            yield _told(
                "FAIL", record.host, case, "imported", f"the case failed: {record.outcome.error}", causes.ITSELF
            )


def _told(status: Status, host: str, case: str, source: str, why: str, hint: causes.Hint) -> Told:
    none = None, None, None, ""  # no value, no limit
    finding = Finding(status, "node", host, NAME, case, "", "", *none, source, why, *hint)
    return Told(finding, frozenset({("its records", host)}))


def _imported(run: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _environment(run).get("imported", {})
    return found


def _environment(run: Path) -> dict[str, Any]:
    try:
        found = json.loads((run / ENVIRONMENT).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
