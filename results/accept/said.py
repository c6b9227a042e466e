"""What a run said itself of its nodes, links and switches, and which of several runs has the last word.

What its screening and its group tests found is evidence of its own: it counts whatever the criteria speak of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from perwatt.results.accept.causes import Hint
from perwatt.results.accept.verdict import Finding, Status

# What was tested: (its machine, HOST), (its records, HOST), (its clock, HOST), (in a group, HOST), (in pairs, HOST),
# (link, PAIR), (leaf, LEAF).
Key = tuple[str, str]
ALONE = ("its machine", "its records", "its clock")  # in the order in which a screening looks at them
TOGETHER = ("in a group", "in pairs")


class Told(NamedTuple):
    """A finding, and what a later run must have tested to have the last word on it."""

    finding: Finding
    of: frozenset[Key]


def noted(
    status: Status, scope: str, subject: str, criterion: str, case: str, source: str, why: str, hint: Hint, *,
    warning: bool = False,
) -> Finding:  # fmt: skip
    """A finding without a value and a limit, that ``source`` has."""
    none = None, None, None, ""
    return Finding(status, scope, subject, criterion, case, "", "", *none, source, why, *hint, warning=warning)


@dataclass(frozen=True)
class Said:
    """``told``: what did not pass; ``tested``: all that was tested."""

    told: tuple[Told, ...] = ()
    tested: frozenset[Key] = frozenset()

    def __add__(self, other: Said) -> Said:
        return Said(self.told + other.told, self.tested | other.tested)

    @property
    def findings(self) -> list[Finding]:
        """What did not pass."""
        return [one.finding for one in self.told]

    @property
    def checked(self) -> dict[tuple[str, str], int]:
        """By scope and subject how often each was looked at: nodes alone, nodes with others, and all that is told."""
        times: Counter[tuple[str, str]] = Counter()
        for kinds in (ALONE[:1], TOGETHER):  # what each screening looks at, and no run of one machine
            times.update({("node", name) for kind, name in self.tested if kind in kinds})
        return {(f.scope, f.subject): 1 for f in self.findings} | dict(sorted(times.items()))


def newest(runs: Iterable[Said]) -> Said:
    """Of several runs, the oldest first: of each node, link and leaf what the last run says that tested it so."""
    whole = Said()
    for run in runs:
        whole = Said(tuple(one for one in whole.told if not one.of <= run.tested), whole.tested) + run
    return whole
