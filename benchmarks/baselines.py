"""``perwatt baseline make``: criteria made of a fleet's own values, to be reviewed and used later."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import yaml

from perwatt.benchmarks import documents, folder
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import only
from perwatt.results.store import write_atomically

CHOICES = "run=RUN, out=FILE.yaml, runs_dir=DIR, config_dir=DIR"
RULES = "fleet"  # in conf/baseline
HEADER = """\
# Made by perwatt baseline make of {run}. Review it before it decides anything: each limit is what the good devices of
# that fleet showed, less what they differ by; whether that is what was bought, no fleet can say. Then: perwatt accept
# criteria={out}
"""


def baseline(arguments: Sequence[str]) -> int:
    """Write the criteria of a fleet. Returns 0; a fleet that cannot say what is usual is a wrong request."""
    from perwatt.results.accept import evidence
    from perwatt.results.accept.baseline import make, rules_of

    if not arguments or arguments[0] != "make":
        raise BadRequest(f"{arguments[0] if arguments else 'nothing'}: choices: make")
    asked = only(arguments[1:], CHOICES, run="latest", out="", runs_dir="results/runs", config_dir="")
    out = Path(asked["out"])
    if out.suffix not in (".yaml", ".yml"):
        raise BadRequest(f"out={asked['out']}: allowed a file .yaml, which criteria= takes")
    if out.exists():
        raise BadRequest(f"out={out}: found there already; allowed a new file: a baseline may have been reviewed")
    rules = documents.among([asked["config_dir"]] if asked["config_dir"] else [], "baseline")[RULES]
    run = folder.find(asked["run"], Path(asked["runs_dir"]))
    name = run.resolve().name
    found = make(evidence.read(run), rules_of(documents.read(rules), str(rules)), out.stem, name, datetime.date.today())
    text = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=1000)
    try:
        write_atomically(out, HEADER.format(run=name, out=out) + text)
    except OSError as error:
        raise BadRequest(f"out={out}: cannot be written: {error.strerror}") from None
    print(f"{out}: {len(found['criteria'])} criteria, to be reviewed")
    last_line(run=str(run), out=str(out), criteria=len(found["criteria"]), exit=0)
    return 0
