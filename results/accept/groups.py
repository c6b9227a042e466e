"""What a fleet's group tests said of its nodes, links and switches: the verdicts of ``groups.json`` as findings.

A node that was slow or failed with partners known to be good is FAIL; so is a link, which is no node: its finding is
the pair's, and both its ends are told. Whoever could not be tested again is INCONCLUSIVE, and who was cleared is not
told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from perwatt.results.accept import causes
from perwatt.results.accept.positions import SWITCHES, Positions
from perwatt.results.accept.said import Key, Said, Told, noted
from perwatt.results.accept.verdict import Finding, Status
from perwatt.results.fleet.layout import BY, GROUPS
from perwatt.results.fleet.plain import decoded

NAME = "group tests"  # as a criterion is named, for waivers too
STATUS: dict[str, Status] = {"blamed": "FAIL", "undecided": "INCONCLUSIVE"}
NODE: causes.Hint = (
    "its network: a card, cable, switch port or PCIe path; with the same partners other nodes are fast",
    "look at its cards, cables and ports; test it again in pairs with nodes that passed",
)
LINK: causes.Hint = (
    "what lies between {ends}, cable, port or route: each of them is fast with others",
    "look at the ports and the route between {ends}; test the pair again, with others beside it",
)
UNTESTED: causes.Hint = (
    "it was suspect, and nothing known to be good was left to test it with",
    "test it again in pairs with nodes that passed",
)
APART: causes.Hint = (
    "it was not there when the groups were tested, or nobody was left to test it with",
    "perwatt run resume= tests the groups that are missing; then merge and judge again",
)
ALONE: causes.Hint = (
    "the node itself: every group with it failed, and those without it passed",
    "read its log; test it again alone, then with a node that passed",
)
TOGETHER: causes.Hint = (
    "what only these nodes share: a switch, a route, or a limit that many ranks reach",
    "test them again in pairs, and look at what lies between them",
)
ONCE: causes.Hint = (
    "a failure that does not come each time: network or software",
    "read the log of the group; test it again, several times",
)

NO_PAIR: causes.Hint = (
    "the network as a whole, or how it was set up",
    "read the log of a pair; test the pairs again",
)
ALONE_ONLY = "it was tested with no other node"

How = Literal["alone", "only together", "not again", "undecided"]  # a part of a group that failed fails


class Part(Protocol):
    """What halving a failed group found: its hosts, and how they fail."""

    @property
    def hosts(self) -> Sequence[str]:
        """Those of the part."""

    @property
    def how(self) -> How:
        """As :class:`perwatt.benchmarks.cluster.bisection.Finding` has it."""


def blames(case: str, error: str, part: Part) -> tuple[Literal["FAIL", "INCONCLUSIVE"], str] | None:
    """What a part of a failed group says of each of its hosts; None for a failure that did not come again."""
    if part.how == "alone":
        return "FAIL", f"{case} fails wherever it is ({error})"
    if part.how == "not again":
        return None
    what = "fails only with these together" if part.how == "only together" else "could not be halved"
    return "INCONCLUSIVE", f"{case} {what}: {', '.join(part.hosts)}"


class _Verdict(msgspec.Struct):
    kind: Literal["node", "leaf", "link"]
    names: tuple[str, ...]
    outcome: Literal["blamed", "cleared", "undecided"]
    reason: str

    def __post_init__(self) -> None:
        if len(self.names) != (2 if self.kind == "link" else 1):
            raise ValueError(f"found {len(self.names)} names of a {self.kind}")


class _Part(msgspec.Struct):
    hosts: tuple[str, ...]
    how: How


class _Failed(msgspec.Struct):
    kind: str
    name: str
    case: str
    error: str
    findings: tuple[_Part, ...]


class _Link(msgspec.Struct):
    hosts: tuple[str, str]
    rate: float | None


class _File(msgspec.Struct):
    hosts: tuple[str, ...]
    failed_groups: tuple[_Failed, ...]
    leaf_of: dict[str, str] = {}
    case: str = ""
    links: tuple[_Link, ...] = ()
    verdicts: tuple[_Verdict, ...] = ()


def read(run: Path, where: Positions, together: Collection[str]) -> Said:
    """What the group tests of a fleet said; nothing where none were made. ``together``: the nodes that were tested with
    others. Raises ValueError, one line, for a file that cannot be understood."""
    if (found := decoded(run / GROUPS, _File, BY)) is None:
        return Said()
    level = next((level for level in SWITCHES if level in where.levels), "leaf")
    told = [*_pairs(found, level), *(one for failed in found.failed_groups for one in _failed(failed))]
    if together:  # else no group was to be tested
        told += [_of_node("INCONCLUSIVE", h, "", ALONE_ONLY, APART) for h in found.hosts if h not in together]
    return Said(tuple(told), frozenset(_tested(found, together)))


def _tested(found: _File, together: Collection[str]) -> Iterator[Key]:
    """A link that failed says nothing of its ends: both may be good."""
    yield from (("in a group", host) for host in together)
    for link in found.links:
        if link.rate is not None:
            a, b = link.hosts
            yield from (("in pairs", a), ("in pairs", b), ("link", _pair(link.hosts)))
            leaves = {found.leaf_of.get(a, ""), found.leaf_of.get(b, "")}
            if len(leaves) == 2:
                yield from (("leaf", leaf) for leaf in leaves)


def _pairs(found: _File, level: str) -> Iterator[Told]:
    """The verdicts on nodes, leaves and links."""
    if found.links and all(link.rate is None for link in found.links):
        why = f"all {len(found.links)} pairs failed: nobody can tell which node is to blame"
        of = frozenset(("link", _pair(link.hosts)) for link in found.links)
        yield Told(_finding("INCONCLUSIVE", "group", "pairs", found.case, why, NO_PAIR), of)
    for one in found.verdicts:
        if one.outcome == "cleared":
            continue
        status, name, blamed = STATUS[one.outcome], one.names[0], one.outcome == "blamed"
        if one.kind == "node":
            yield _of_node(status, name, found.case, one.reason, NODE if blamed else UNTESTED, "in pairs")
        elif one.kind == "leaf":
            place = f"{level} {name}"
            hint = _at(causes.SWITCH, place=place) if blamed else UNTESTED
            yield Told(_finding(status, "group", place, found.case, one.reason, hint), frozenset({("leaf", name)}))
        else:
            of = frozenset({("link", _pair(one.names))})
            hint = _at(LINK, ends=" and ".join(one.names)) if blamed else UNTESTED
            link = _finding(status, "group", f"pair {'-'.join(one.names)}", found.case, one.reason, hint)
            yield Told(link, of)
            for end, other in (one.names, one.names[::-1]):
                why = f"its link to {other} is {'slow' if blamed else 'not decided'}: {one.reason}"
                yield Told(replace(link, scope="node", subject=end, why=why, warning=True), of)


def _failed(failed: _Failed) -> Iterator[Told]:
    """What halving a failed group found."""
    for part in failed.findings:
        of = frozenset(("in a group", host) for host in part.hosts)
        if (said := blames(failed.case, failed.error, part)) is None:
            why = f"it failed, and passed when it was tested again ({failed.error})"
            name = f"{failed.kind} {failed.name}".strip()
            yield Told(_finding("INCONCLUSIVE", "group", name, failed.case, why, ONCE), of)
            continue
        hint = ALONE if part.how == "alone" else TOGETHER if part.how == "only together" else UNTESTED
        for host in part.hosts:
            yield _of_node(said[0], host, failed.case, said[1], hint)


def _of_node(
    status: Status,
    host: str,
    case: str,
    why: str,
    hint: causes.Hint,
    by: Literal["in a group", "in pairs"] = "in a group",
) -> Told:
    return Told(_finding(status, "node", host, case, why, hint), frozenset({(by, host)}))


def _finding(status: Status, scope: str, subject: str, case: str, why: str, hint: causes.Hint) -> Finding:
    return noted(status, scope, subject, NAME, case, GROUPS, why, hint)


def _at(hint: causes.Hint, **names: str) -> causes.Hint:
    cause, todo = hint
    return cause.format(**names), todo.format(**names)


def _pair(names: Sequence[str]) -> str:
    return " ".join(sorted(names))
