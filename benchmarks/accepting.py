"""``perwatt accept``: a run held against criteria, and the verdicts in files beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from perwatt.benchmarks import documents, folder
from perwatt.benchmarks.cluster import topology
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import only
from perwatt.results.accept.criteria import Criteria, Unfit, from_plain
from perwatt.results.accept.positions import Positions, of_groups
from perwatt.results.fleet.layout import NODES
from perwatt.results.store import RECORDS, write_atomically

if TYPE_CHECKING:
    from perwatt.results.accept.evidence import Evidence
    from perwatt.results.accept.verdict import Judgement

CHOICES = (
    "run=RUN, before=RUN or [RUN,...], criteria=NAME or FILE.yaml, topology=NAME or FILE.yaml, out=DIR, runs_dir=DIR, "
    "config_dir=DIR"
)
OUT = "accept"  # in the run's folder


def accept(arguments: Sequence[str]) -> int:
    """Judge a run, or a merged fleet. Returns 0 if all passed, 1 for a failure, 4 for what is not decided."""
    from perwatt.results.reports.verdict_files import FILES
    from perwatt.results.reports.verdicts import console

    keys = ("before", "criteria", "topology", "out", "config_dir")
    asked = only(arguments, CHOICES, run="latest", runs_dir="results/runs", **dict.fromkeys(keys, ""))
    directories = [asked["config_dir"]] if asked["config_dir"] else []
    file = criteria_file(asked["criteria"], directories)
    criteria = criteria_in(file)
    run = folder.find(asked["run"], Path(asked["runs_dir"]))
    where = positions_named(asked["topology"], directories) if asked["topology"] else None
    before = earlier(asked["before"], run, Path(asked["runs_dir"]))
    judgement = judged(run, before, criteria, where, str(run), str(file))[1]
    sys.stdout.write(console(judgement))
    out = Path(asked["out"]) if asked["out"] else run / OUT
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, render in FILES.items():
            write_atomically(out / name, render(judgement))
        if before:
            from perwatt.results.reports import verdict_html

            write_atomically(out / "verdict.html", verdict_html.render(judgement, criteria))
    except OSError as error:
        raise BadRequest(f"out={out}: cannot be written: {error.strerror}") from None
    last_line(run=str(run), criteria=criteria.name, verdict=judgement.status, out=str(out), exit=judgement.exit_code)
    return judgement.exit_code


def judged(
    run: Path, before: Sequence[Path], criteria: Criteria, where: Positions | None, name: str, file: str
) -> tuple[Evidence, Judgement]:
    """What is judged, and the judgement of ``run``, by its ``name``: with the runs ``before`` it, the oldest first, and
    the positions ``where`` it does not know its own. BadRequest for criteria, of ``file``, that are not of it."""
    from perwatt.results.accept import evidence
    from perwatt.results.accept.again import combined, with_again
    from perwatt.results.accept.judge import judge

    new = _placed(evidence.read(run), where)
    try:
        if not before:
            return new, judge(new, criteria, name)
        old = _placed(combined([evidence.read(path) for path in before]), where)
        found = _placed(combined([old, new]), where)
        return found, with_again(judge(found, criteria, name), new, old, judge(old, criteria, name), criteria)
    except Unfit as error:
        raise BadRequest(f"{file}: {error}") from None


def _placed(found: Evidence, where: Positions | None) -> Evidence:
    return found if where is None else dataclasses.replace(found, positions=where)


def earlier(text: str, run: Path, runs_dir: Path) -> list[Path]:
    """The runs that were before, the oldest first. BadRequest for one of an id that another has."""
    paths = [folder.find(name.strip(), runs_dir, "before") for name in text.strip("[]").split(",") if name.strip()]
    seen = {_id(run): run}
    for path in paths:
        if (other := seen.setdefault(name := _id(path), path)) is not path:
            raise BadRequest(f"before={path}: found run {name}, as in {other}; allowed runs that are not the same")
    return paths


def _id(run: Path) -> str:
    """The id that a run's first record has, of its nodes if it has none of its own; its path if there is none."""
    for path in (run / RECORDS, *sorted(run.glob(f"{NODES}/*/{RECORDS}"))[:1]):
        with contextlib.suppress(OSError, msgspec.MsgspecError), path.open("rb") as file:
            return str(msgspec.json.decode(file.readline())["run"])
    return str(run.resolve())


def criteria_named(text: str, directories: Sequence[str | Path] = ()) -> Criteria:
    """Criteria by the path of a YAML or by name, a user's before those that ship. BadRequest if there are none."""
    return criteria_in(criteria_file(text, directories))


def criteria_in(file: Traversable) -> Criteria:
    """Those of a file. BadRequest for one that holds none."""
    return from_plain(documents.read(file), str(file))


def criteria_file(text: str, directories: Sequence[str | Path] = ()) -> Traversable:
    """Where they lie. BadRequest if nowhere."""
    return named("criteria", text, directories)


def positions_named(text: str, directories: Sequence[str | Path] = ()) -> Positions:
    """Where hosts stand, by a topology's YAML or name, for a run that did not know it. BadRequest if there is none."""
    given = documents.read(found := named("topology", text, directories))
    if not isinstance(given, dict):
        raise BadRequest(f"{found}: found no topology; allowed leaves, rails, racks")
    try:
        return of_groups(topology.found(given).levels)
    except BadRequest as error:
        raise BadRequest(f"{found}: {error}") from None


def named(key: str, text: str, directories: Sequence[str | Path]) -> Traversable:
    """The YAML of that path, or of that name among those that ship and a user's."""
    known = documents.among(directories, key)
    found = Path(text) if text.endswith((".yaml", ".yml")) else known.get(text)
    if found is None or not found.is_file():
        raise BadRequest(f"{key}={text}: found no such file; choices: {', '.join(sorted(known))}, or FILE.yaml")
    return found
