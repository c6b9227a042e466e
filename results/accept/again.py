"""What was tested again, before and after: the newest value of each case counts, and the old one stands beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from perwatt.results.accept.criteria import METRICS, Criteria, Criterion
from perwatt.results.accept.evidence import INDEXED, Evidence
from perwatt.results.accept.positions import Positions
from perwatt.results.accept.verdict import Again, Change, Judgement, Status

if TYPE_CHECKING:
    import pandas as pd

SAME = ["scope", "subject", "test"]


def combined(runs: Sequence[Evidence]) -> Evidence:
    """One fleet of several runs, the oldest first: of each case of a device the newest record counts, whatever came of
    it; who has a record in one of them is missing in none."""
    import pandas as pd

    rows = pd.concat([_absolute(run) for run in runs], ignore_index=True)
    rows = rows.drop_duplicates(SAME, keep="last").reset_index(drop=True)
    known = set(rows["subject"].unique()) | set(rows["host"].unique())
    missing = {who: why for run in runs for who, why in run.missing.items() if who not in known}
    levels: dict[str, dict[str, str]] = {}
    for run in runs:
        for level, names in run.positions.levels.items():
            levels.setdefault(level, {}).update(names)
    targets = frozenset(target for run in runs for target in run.targets)
    return Evidence(rows, missing, targets, runs[-1].folder, Positions(levels))


def with_again(judgement: Judgement, new: Evidence, old: Evidence, before: Judgement, criteria: Criteria) -> Judgement:
    """The judgement with what of ``old`` was tested again in ``new``."""
    was = {(v.scope, v.subject): v.status for v in before.verdicts}
    values: dict[tuple[str, str], list[Change]] = {}
    for criterion in criteria.criteria:
        for subject, change in _changes(criterion, old, new):
            found = values.setdefault((criterion.scope, subject), [])
            if change not in found:  # several criteria may ask for one value
                found.append(change)
    now: dict[tuple[str, str], Status] = {(v.scope, v.subject): v.status for v in judgement.verdicts}
    again = [Again(*key, was.get(key), now[key], tuple(found)) for key, found in values.items() if key in now]
    return replace(judgement, again=tuple(again))


def _absolute(run: Evidence) -> pd.DataFrame:
    """The rows, their files by whole paths; of a run that was read as a whole none."""
    if "file" not in run.rows:
        return run.rows.assign(file="", offset=0)
    paths = {name: str(run.folder.resolve() / name) if name else "" for name in run.rows["file"].unique()}
    return run.rows.assign(file=run.rows["file"].map(paths))


def _changes(criterion: Criterion, old: Evidence, new: Evidence) -> Iterator[tuple[str, Change]]:
    """By subject the values before and after of each case that the criterion speaks of and that is in both."""
    if criterion.scope == "fleet":
        return
    metric = criterion.metric
    first, then = (evidence.chosen(criterion) for evidence in (old, new))
    first = first[first.set_index(SAME).index.isin(then.set_index(SAME).index)]
    then = then[then.set_index(SAME).index.isin(first.set_index(SAME).index)]
    if then.empty:
        return
    if metric not in INDEXED:
        first, then = old.full(first), new.full(then)
    kinds = new.full(then.drop_duplicates("test")).set_index("test")["kind"].to_dict()
    before = first.set_index(SAME)[metric].to_dict()
    units = METRICS[metric].units
    for row in then.to_dict("records"):
        unit = next((unit for unit, counts in units.items() if counts in ("", kinds[row["test"]])), next(iter(units)))
        case = f"{row['kernel']} {row['label']}".strip()
        numbers = (_known(before[tuple(row[key] for key in SAME)]), _known(row[metric]))
        yield str(row["subject"]), Change(case, metric, unit, *numbers)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
