"""``perwatt merge``: what the nodes of a fleet wrote, made one, who of it is missing, and what all drew together."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from perwatt.benchmarks import folder
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import only
from perwatt.results.fleet.layout import FLEET
from perwatt.results.store import write_atomically


def merge(arguments: Sequence[str]) -> int:
    """Merge the node files of a run; MISSING and DAMAGED lines on stdout, the tables in RUN/merged. Folders that hold
    the same records are told on stderr: merging them changes nothing, and is seldom what was meant."""
    from perwatt.results.fleet import merge as merging

    allowed = "run=RUN, runs=[A,B], runs_dir=DIR, meter=NAME, step_s=SECONDS"
    options = only(arguments, allowed, run="", runs="", runs_dir="results/runs", meter="", step_s="")
    if options["run"] and options["runs"]:
        raise BadRequest("run= and runs=: found both; allowed one of them")
    step_s = _seconds(options["step_s"])
    names = options["runs"].strip("[]").split(",") if options["runs"] else [options["run"] or "latest"]
    key = "runs" if options["runs"] else "run"
    paths = [folder.find(name.strip(), Path(options["runs_dir"]), key) for name in names]
    folder.once(paths)
    first, *others = paths
    out = merging.merge(first, others)
    found = merging.load(first)
    for line in merging.twice(found):
        print(f"perwatt merge: {line}", file=sys.stderr)
    for line in (*found.missing, *(f"DAMAGED {line}" for line in found.damaged)):
        print(line)
    for line in _power(first, options["meter"], step_s):
        print(line)
    print(_report(first))
    last_line(
        run=str(first),
        merged=str(out),
        records=found.records,
        devices=len(found.devices),
        missing=len(found.missing),
        damaged=len(found.damaged),
        exit=0,
    )
    return 0


def _report(run: Path) -> str:
    """Make the run's report again, with what was merged in it; a run that cannot be reported on was merged all the
    same."""
    from perwatt.results.reports.formats import render

    try:
        write_atomically(run / folder.REPORT, render(run, "html"))
    except (ValueError, OSError) as error:
        return f"NO REPORT: {error}"
    return f"report: {run / folder.REPORT}"


def _seconds(text: str) -> float | None:
    """The step of the summed power as it was asked for; None if it was not."""
    try:
        found = float(text) if text else None
    except ValueError:
        found = 0.0
    if found is not None and not 0 < found < math.inf:
        raise BadRequest(f"step_s: found {text}; allowed a number of seconds above 0")
    return found


def _power(run: Path, meter: str, step_s: float | None) -> list[str]:
    """The fleet's power and its start in lines; of no power the reason, which is refused only if it was asked for."""
    from perwatt.results.fleet import remote, stated

    hosts = json.loads((run / FLEET).read_text())["hosts"]
    try:
        begun = [*stated.began(run, hosts), *remote.state(run, meter)]
    except ValueError as error:
        raise BadRequest(str(error)) from None
    try:
        return [*stated.state(run, hosts, meter, step_s), *begun]
    except ValueError as error:
        if meter or step_s:
            raise BadRequest(str(error)) from None
        return [f"NO POWER: {error}", *begun]
