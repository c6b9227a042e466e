"""``perwatt accept``: a run held against criteria, and the verdicts in files beside it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

from perwatt.benchmarks import documents, folder
from perwatt.benchmarks.cluster import topology
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import only
from perwatt.results.accept.criteria import Criteria, from_plain
from perwatt.results.accept.positions import Positions, of_groups
from perwatt.results.store import write_atomically

CHOICES = "run=RUN, criteria=NAME or FILE.yaml, topology=NAME or FILE.yaml, out=DIR, runs_dir=DIR, config_dir=DIR"
OUT = "accept"  # in the run's folder


def accept(arguments: Sequence[str]) -> int:
    """Judge a run, or a merged fleet. Returns 0 if all passed, 1 for a failure, 4 for what is not decided."""
    from perwatt.results.accept import evidence
    from perwatt.results.accept.judge import judge
    from perwatt.results.reports.verdict_files import FILES
    from perwatt.results.reports.verdicts import console

    keys = ("criteria", "topology", "out", "config_dir")
    asked = only(arguments, CHOICES, run="latest", runs_dir="results/runs", **dict.fromkeys(keys, ""))
    directories = [asked["config_dir"]] if asked["config_dir"] else []
    criteria = criteria_named(asked["criteria"], directories)
    run = folder.find(asked["run"], Path(asked["runs_dir"]))
    found = evidence.read(run)
    if asked["topology"]:
        found = dataclasses.replace(found, positions=positions_named(asked["topology"], directories))
    judgement = judge(found, criteria, str(run))
    sys.stdout.write(console(judgement))
    out = Path(asked["out"]) if asked["out"] else run / OUT
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, render in FILES.items():
            write_atomically(out / name, render(judgement))
    except OSError as error:
        raise BadRequest(f"out={out}: cannot be written: {error.strerror}") from None
    last_line(run=str(run), criteria=criteria.name, verdict=judgement.status, out=str(out), exit=judgement.exit_code)
    return judgement.exit_code


def criteria_named(text: str, directories: Sequence[str | Path] = ()) -> Criteria:
    """Criteria by the path of a YAML or by name, a user's before those that ship. BadRequest if there are none."""
    found = criteria_file(text, directories)
    return from_plain(documents.read(found), str(found))


def criteria_file(text: str, directories: Sequence[str | Path] = ()) -> Traversable:
    """Where they lie. BadRequest if nowhere."""
    return _named("criteria", text, directories)


def positions_named(text: str, directories: Sequence[str | Path] = ()) -> Positions:
    """Where hosts stand, by a topology's YAML or name, for a run that did not know it. BadRequest if there is none."""
    given = documents.read(found := _named("topology", text, directories))
    if not isinstance(given, dict):
        raise BadRequest(f"{found}: found no topology; allowed leaves, rails, racks")
    return of_groups(topology.found(given).levels)


def _named(key: str, text: str, directories: Sequence[str | Path]) -> Traversable:
    """The YAML of that path, or of that name among those that ship and a user's."""
    known = documents.among(directories, key)
    found = Path(text) if text.endswith((".yaml", ".yml")) else known.get(text)
    if found is None or not found.is_file():
        raise BadRequest(f"{key}={text}: found no such file; choices: {', '.join(sorted(known))}, or FILE.yaml")
    return found
