"""``perwatt merge``: what the nodes of a fleet wrote, made one, and who of it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perwatt.benchmarks import folder
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import only


def merge(arguments: Sequence[str]) -> int:
    """Merge the node files of a run; MISSING and DAMAGED lines on stdout, the tables in RUN/merged."""
    from perwatt.results.fleet import merge as merging

    options = only(arguments, "run=RUN, runs=[A,B], runs_dir=DIR", run="", runs="", runs_dir="results/runs")
    if options["run"] and options["runs"]:
        raise BadRequest("run= and runs=: found both; allowed one of them")
    names = options["runs"].strip("[]").split(",") if options["runs"] else [options["run"] or "latest"]
    first, *others = [folder.find(name.strip(), Path(options["runs_dir"])) for name in names]
    out = merging.merge(first, others)
    found = merging.load(first)
    for line in (*found.missing, *(f"DAMAGED {line}" for line in found.damaged)):
        print(line)
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
