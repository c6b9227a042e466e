"""A finding of one row of evidence under one criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perwatt.results.accept import causes
from perwatt.results.accept.criteria import Band, Criterion, Limit
from perwatt.results.accept.verdict import Finding, Status

Reason = tuple[Status, str, causes.Hint]


def finding(
    criterion: Criterion,
    row: Mapping[Any, Any],
    reason: Reason,
    rule: str,
    bound: Limit | Band,
    *,
    value: float | None,
    u: float | None,
    limit: float | None,
) -> Finding:
    """The finding: its numbers in the unit of ``bound``, which also says where the limit comes from."""
    status, why, (cause, todo) = reason
    return Finding(
        status=status,
        scope=criterion.scope,
        subject=str(row["subject"]),
        criterion=criterion.name,
        case=f"{row['kernel']} {row['label']}".strip(),
        metric=criterion.metric,
        rule=rule,
        value=value,
        u=u,
        limit=limit,
        unit=bound.unit,
        source=f"{bound.source} ({bound.date})",
        why=why,
        cause=cause,
        todo=todo,
        warning=criterion.severity == "warn",
    )
