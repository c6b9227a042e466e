"""What a fleet's screening said of its nodes: the verdicts of ``screening.json`` as findings.

A node that came through its own tests with a failure, whose devices or software are not those of most nodes, or whose
clock is off, is FAIL as in ``failing_nodes.txt``; one whose run never ended is MISSING, whatever it had measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

import msgspec

from perwatt.results.accept import causes
from perwatt.results.accept.said import ALONE, Said, Told, noted
from perwatt.results.accept.verdict import Status
from perwatt.results.fleet.layout import BY, SCREENING
from perwatt.results.fleet.plain import decoded

NAME = "screening"  # as a criterion is named, for waivers too
STATUS: dict[str, Status] = {"failed": "FAIL", "missing": "MISSING", "passed": "INCONCLUSIVE"}
What = Literal["its records", "its clock", "its machine", ""]  # did not pass
AGAIN = "once it is well measure it again, and judge that run with before= this one"
HINTS: dict[What, causes.Hint] = {
    "its records": (
        "the node itself: it failed with no other node beside it",
        f"read its log; {AGAIN}",
    ),
    "its clock": (
        "its clock is not kept by NTP or PTP, or by another server than the others'",
        f"look at chronyc tracking on it; {AGAIN}",
    ),
    "its machine": (
        "it was delivered or set up otherwise than most nodes",
        "compare it with the others; make it alike, or waive it",
    ),
    "": ("the node itself", f"read its log; {AGAIN}"),
}
ENDED: causes.Hint = ("its run did not come to an end", causes.ABSENT[1])


class Screened(msgspec.Struct, frozen=True):
    """How a node came through: ``reason`` says why it did not pass; of one that did, what is to be known of it.
    ``by``: what the reason speaks of; empty for a node that is missing."""

    status: Literal["passed", "failed", "missing"]
    reason: str = ""
    by: What = ""


def read(run: Path, missing: Collection[str]) -> Said:
    """What the screening of a fleet said; nothing where none was made. ``missing``: the hosts that are told to have no
    record at all. Raises ValueError, one line, for a file that cannot be understood."""
    if (found := decoded(run / SCREENING, dict[str, Screened], BY)) is None:
        return Said()
    told = [_told(host, one) for host, one in found.items() if one.reason and host not in missing]
    return Said(tuple(told), frozenset((kind, host) for host, one in found.items() for kind in _tested(one)))


def alone(hosts: Iterable[str]) -> Said:
    """What a run without a screening tests of its machines: their records speak for themselves."""
    return Said(tested=frozenset(("its records", host) for host in hosts))


def _tested(one: Screened) -> tuple[str, ...]:
    """Who failed by one thing was not looked at for what comes after it."""
    if one.status == "failed" and one.by:
        return ALONE[: ALONE.index(one.by) + 1]
    return ALONE if one.status != "missing" else ()


def _told(host: str, one: Screened) -> Told:
    hint = ENDED if one.status == "missing" else HINTS[one.by]
    warns = one.status == "passed"
    said = noted(STATUS[one.status], "node", host, NAME, "", SCREENING, one.reason, hint, warning=warns)
    return Told(said, frozenset((kind, host) for kind in ((one.by,) if one.by else ALONE)))
