"""What was tested again, before and after: the newest value of each case counts, and the old one stands beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from perwatt.results.accept.criteria import METRICS, Criteria, Criterion
from perwatt.results.accept.evidence import KNOWN, Evidence
from perwatt.results.accept.positions import Positions
from perwatt.results.accept.said import newest
from perwatt.results.accept.verdict import Again, Change, Judgement, Status

if TYPE_CHECKING:
    import pandas as pd

SAME = ["scope", "subject", "test"]


def combined(runs: Sequence[Evidence]) -> Evidence:
    """One fleet of several runs, the oldest first: of each case of a device the newest record counts, whatever came of
    it; who was to be tested again and has no record then is missing, whatever was before."""
    import pandas as pd

    rows = pd.concat([_absolute(run.rows, run) for run in runs], ignore_index=True)
    rows = rows.drop_duplicates(SAME, keep="last")
    earlier = _earlier(runs, rows.index)
    rows = rows.reset_index(drop=True)
    missing: dict[str, str] = {}
    for run in runs:
        known = {*run.rows["subject"].unique(), *run.rows["host"].unique()}
        missing = {who: why for who, why in missing.items() if who not in known} | run.missing
    levels: dict[str, dict[str, str]] = {}
    for run in runs:
        for level, names in run.positions.levels.items():
            levels.setdefault(level, {}).update(names)
    targets = frozenset(target for run in runs for target in run.targets)
    said = newest(run.said for run in runs)
    machines = {host: path for run in runs for host, path in run.machines.items()}
    found = Evidence(rows, missing, targets, runs[-1].folder, Positions(levels), said=said, machines=machines)
    return replace(found, earlier=earlier, damaged={host: at for run in runs for host, at in run.damaged.items()})


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
    for told in old.said.told:
        if told.of <= new.said.tested:  # their verdicts have no values
            values.setdefault((told.finding.scope, told.finding.subject), [])
    again = [Again(*key, was.get(key), now[key], tuple(found)) for key, found in values.items() if key in now]
    return replace(judgement, again=tuple(again))


def _absolute(rows: pd.DataFrame, run: Evidence) -> pd.DataFrame:
    """Rows of ``run``, their files by whole paths; of a run that was read as a whole none."""
    if "file" not in rows:
        return rows.assign(file="", offset=0)
    paths = {name: str(run.folder.resolve() / name) if name else "" for name in rows["file"].unique()}
    return rows.assign(file=rows["file"].map(paths))


def _earlier(runs: Sequence[Evidence], kept: pd.Index[int]) -> pd.DataFrame | None:
    """The earlier rounds of the rows that are ``kept`` of all runs' together, by their place in it."""
    import pandas as pd

    before, out = 0, []
    for run in runs:
        if run.earlier is not None:
            of = kept.get_indexer(pd.Index(run.earlier["of"].to_numpy() + before))
            out.append(_absolute(run.earlier.assign(of=of), run))
        before += len(run.rows)
    found = pd.concat(out, ignore_index=True) if out else None
    return None if found is None else found[found["of"] >= 0]


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
    if metric not in KNOWN:
        first, then = old.full(first), new.full(then)
    kinds = then.drop_duplicates("test").set_index("test")["kind"].to_dict()
    before = first.set_index(SAME)[metric].to_dict()
    units = METRICS[metric].units
    for row in then.to_dict("records"):
        unit = next((unit for unit, counts in units.items() if counts in ("", kinds[row["test"]])), next(iter(units)))
        case = f"{row['kernel']} {row['label']}".strip()
        numbers = (_known(before[tuple(row[key] for key in SAME)]), _known(row[metric]))
        yield str(row["subject"]), Change(case, metric, unit, *numbers)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
