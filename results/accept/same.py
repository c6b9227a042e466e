"""What all nodes of a fleet should have alike, and which differ from most of them: drivers, VBIOS, firmware, libraries.

Only nodes of the same devices are held against each other. Most are more than half; where no version has so many,
nobody is blamed, and it is the fleet that is not decided. What a node does not tell is no version of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from perwatt.results.accept.causes import Hint
from perwatt.results.accept.criteria import Same
from perwatt.results.accept.verdict import Finding, Status
from perwatt.results.fleet.versions import Machine, read_all
from perwatt.results.run import ENVIRONMENT

OTHER: Hint = (
    "it was set up apart from the others: an older image, a repair, a board that was swapped",
    "bring it to the version of the others, or waive it; test it again",
)
SPLIT: Hint = (
    "the fleet was set up in parts, or an update is half done",
    "decide which version counts and bring all nodes to it; test again",
)
SILENT: Hint = (
    "its meter or its driver does not tell, or it ended before it could",
    "perwatt doctor on the node says what is missing; test it again",
)
NAMED = 3  # nodes of a version, where none has most

Node = tuple[str, Machine]


def machines(paths: Mapping[str, Path]) -> dict[str, Machine | None]:
    """What each node says of itself. Raises ValueError for a file that cannot be understood."""
    return dict(zip(paths, read_all(paths.values()), strict=True))


def differing(same: Same, nodes: Mapping[str, Machine | None]) -> Iterator[Finding]:
    """A finding for each node that differs, that does not tell, and for versions of which none has most nodes."""
    if len(nodes) < 2:
        return  # one node is like itself
    known = [(host, machine) for host, machine in nodes.items() if machine is not None]
    if not known:
        why = f"none of {len(nodes)} nodes says what it runs ({ENVIRONMENT})"
        yield _finding(same, "INCONCLUSIVE", "cluster", why, SILENT)
        return
    for host in nodes.keys() - dict(known).keys():
        yield _finding(same, "INCONCLUSIVE", host, f"it does not say what it runs ({ENVIRONMENT})", SILENT)
    alike: dict[tuple[str, ...], list[Node]] = {}
    for host, machine in known:
        alike.setdefault(tuple(sorted(set(machine.devices))), []).append((host, machine))
    for group in alike.values():
        yield from _among(same, group)


def _among(same: Same, nodes: Sequence[Node]) -> Iterator[Finding]:
    """Of nodes with the same devices."""
    other: dict[str, list[str]] = {}
    silent: dict[str, list[str]] = {}
    for kind in same.of:
        for name in sorted({name for _, machine in nodes for name in machine.versions.get(kind, ())}):
            found = [machine.versions.get(kind, {}).get(name) for _, machine in nodes]
            counts = Counter(found)
            usual, n = counts.most_common(1)[0]
            what = name if kind in (name, "packages") else f"{kind} {name}"
            if len(counts) == 1:
                continue
            if 2 * n <= len(nodes):
                told = f"no version has most of {len(nodes)} nodes: {what} {_shares(counts, nodes, found)}"
                yield _finding(same, "INCONCLUSIVE", "cluster", told, SPLIT)
                continue
            for (host, _), version in zip(nodes, found, strict=True):
                if version is None and kind != "packages":  # a package that is not there is not installed
                    silent.setdefault(host, []).append(what)
                elif version != usual:
                    most = f"{n} of {len(nodes)} nodes: {usual or 'none'}"
                    other.setdefault(host, []).append(f"{what} {version or 'none'} ({most})")
    for host, differs in other.items():
        yield _finding(same, "FAIL", host, f"other than most nodes: {'; '.join(differs)}", OTHER)
    for host, unknown in silent.items():
        if host not in other:
            yield _finding(same, "INCONCLUSIVE", host, f"it does not tell its {', '.join(unknown)}", SILENT)


def _shares(counts: Counter[str | None], nodes: Sequence[Node], found: Sequence[str | None]) -> str:
    """Each version with how many nodes have it, and the first of them."""
    hosts: dict[str | None, list[str]] = {}
    for (host, _), version in zip(nodes, found, strict=True):
        hosts.setdefault(version, []).append(host)
    return "; ".join(
        f"{version or 'none'} on {n} ({', '.join(hosts[version][:NAMED])}{', ...' if n > NAMED else ''})"
        for version, n in counts.most_common()
    )


def _finding(same: Same, status: Status, subject: str, why: str, hint: Hint) -> Finding:
    scope, (cause, todo) = "cluster" if subject == "cluster" else "node", hint
    warning = same.severity == "warn"
    return Finding(
        status, scope, subject, same.name, "", "", "", None, None, None, "", ENVIRONMENT, why, cause, todo, "", warning
    )
