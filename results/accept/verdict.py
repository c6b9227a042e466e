"""What a judgement consists of: findings, verdicts made of them, and the exit code of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["PASS", "INCONCLUSIVE", "MISSING", "FAIL"]
STATUSES: tuple[Status, ...] = ("PASS", "INCONCLUSIVE", "MISSING", "FAIL")  # from the best to the worst


@dataclass(frozen=True)
class Finding:
    """One criterion on one case of a device, node, group or the fleet, where it did not pass.

    ``value`` +- ``u`` (k = 2) against ``limit``, all in ``unit``, None where there is none; ``rule`` is the key of the
    limit. ``waived``: by whom and why, empty if nobody does. ``warning``: it is told and decides nothing.
    """

    status: Status
    scope: str
    subject: str
    criterion: str
    case: str
    metric: str
    rule: str
    value: float | None
    u: float | None
    limit: float | None
    unit: str
    source: str
    why: str
    cause: str
    todo: str
    waived: str = ""
    warning: bool = False

    @property
    def counts(self) -> bool:
        """Whether it decides anything."""
        return not self.waived and not self.warning


@dataclass(frozen=True)
class Verdict:
    """Of one device, node, group, or of the cluster: the worst of its checks, and how many of them passed. ``waived``:
    it has no record at all, and somebody answers for that: it is MISSING, and decides nothing."""

    scope: str
    subject: str
    status: Status
    checks: int
    passed: int
    waived: bool = False


@dataclass(frozen=True)
class Change:
    """One metric of one case before and after, in ``unit`` without a prefix; None where it was not measured."""

    case: str
    metric: str
    unit: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Again:
    """A device or node that was tested again: its verdict before (None if it had none), its verdict now, its values."""

    scope: str
    subject: str
    before: Status | None
    after: Status
    values: tuple[Change, ...]


@dataclass(frozen=True)
class Judgement:
    """A run against criteria. ``verdicts`` has everything that was there or should have been; ``findings`` only what
    did not pass, the worst first; ``notes`` what a reader must know of the criteria themselves; ``again`` what was
    tested again, if earlier runs were laid beside it."""

    run: str
    criteria: str
    status: Status
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    again: tuple[Again, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if all passed, 1 if anything failed, 4 if something is not decided."""
        return {"PASS": 0, "FAIL": 1}.get(self.status, 4)

    def count(self, scope: str) -> dict[Status, int]:
        """How many of this scope have each verdict."""
        found = [verdict.status for verdict in self.verdicts if verdict.scope == scope]
        return {status: found.count(status) for status in STATUSES}
