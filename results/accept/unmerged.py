"""What a run that is no fleet says of itself: whether it came to its end, and who of an import has no figure.

A run that was stopped leaves cases that nobody finds among its records. What another tool measured of several nodes
lies in one folder: its nodes and devices are looked for as a fleet's are, and a test that failed as a whole fails its
node, whatever the criteria speak of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from perwatt.results.accept import causes, screened
from perwatt.results.accept.said import Said, Told, noted
from perwatt.results.accept.verdict import Status
from perwatt.results.fleet.plain import decoded
from perwatt.results.record import Failed, Record
from perwatt.results.run import ENVIRONMENT
from perwatt.results.store import RECORDS, cut_off

NAME = "the run itself"  # as a criterion is named, for waivers too
STOPPED: causes.Hint = (
    "it was stopped, killed, or is still going on",
    "perwatt run resume= finishes it; then judge again",
)

CUT_OFF: causes.Hint = (
    "it was killed while it wrote, or the file was not copied whole",
    "copy the run again, or finish it with perwatt run resume=; then judge again",
)


class _Allocation(msgspec.Struct, frozen=True):
    end: Any = None
    whole: bool = True


class _Clock(msgspec.Struct, frozen=True):
    allocations: tuple[_Allocation, ...] = ()


class _Imported(msgspec.Struct, frozen=True):
    hosts: tuple[str, ...] = ()


class _Environment(msgspec.Struct, frozen=True):
    clock: _Clock = _Clock()
    imported: _Imported = _Imported()


def read(run: Path, records: Sequence[Record]) -> tuple[dict[str, str], Said]:
    """Who of an import of several nodes has no figure, and why: nodes, and devices (``HOST:INDEX``) that most have. And
    what decides whatever the criteria speak of. ``records``: the newest of each case."""
    try:
        about = decoded(run / ENVIRONMENT, _Environment, "what a run writes of its machine") or _Environment()
    except ValueError:  # the records are what is judged: nothing is known besides
        about = _Environment()
    hosts = list(dict.fromkeys(record.host for record in records))
    told = [*_unended(about.clock, hosts), *_failed(records)]
    if cut_off(run / RECORDS):
        why = f"the last line of {RECORDS} is cut off: the case in it is not judged"
        told += [_told("INCONCLUSIVE", host, ("node", host), "", RECORDS, why, CUT_OFF) for host in hosts]
    lost = _missing(dict.fromkeys([*about.imported.hosts, *hosts]), records)
    return lost, Said(tuple(told)) + screened.alone(hosts)


def of_whom(record: Record) -> tuple[str, str]:
    """The scope and the subject of a record: a device, a node, or several nodes, as an import may have them."""
    case = record.case
    if case.over is not None and len(case.over.hosts) > 1:
        return "group", f"{case.over.kind} {case.over.name}"
    return ("node", record.host) if case.collective else ("device", f"{record.host}:{case.device_index}")


def _missing(named: Collection[str], records: Sequence[Record]) -> dict[str, str]:
    have: dict[str, set[int]] = defaultdict(set)
    for record in records:
        if not record.case.collective:
            have[record.host].add(record.case.device_index)
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


def _unended(clock: _Clock, hosts: Sequence[str]) -> Iterator[Told]:
    if not clock.allocations or (clock.allocations[-1].end is not None and clock.allocations[-1].whole):
        return
    for host in hosts:
        why = "the run did not come to its end: what it did not measure is not among its records"
        yield _told("INCONCLUSIVE", host, ("node", host), "", ENVIRONMENT, why, STOPPED)


def _failed(records: Sequence[Record]) -> Iterator[Told]:
    for record in records:
        if isinstance(record.outcome, Failed) and record.case.collective and record.source == "imported":
            case = f"{record.case.kernel} {record.case.label}"
            why = f"the case failed: {record.outcome.error}"
            whom = of_whom(record)
            hint = causes.ITSELF if whom[0] == "node" else causes.NETWORK
            yield _told("FAIL", record.host, whom, case, "imported", why, hint)


def _told(
    status: Status, host: str, whom: tuple[str, str], case: str, source: str, why: str, hint: causes.Hint
) -> Told:
    found = noted(status, *whom, NAME, case, source, why, hint)
    return Told(found, frozenset({("its records", host)}))
