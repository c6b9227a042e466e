"""Groups of real ranks over gloo, for tests: each number of ranks runs a script of scenarios; what each saw is read.

The script is one of those that ``gloo_ranks.py`` leads: it writes n-r.json for rank r of n.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DEADLINE_S = 600  # the ranks have shorter ones of their own

Outcomes = list[dict[str, Any]]


def outcomes_of(script: Path, folder: Path, sizes: Sequence[int]) -> dict[int, Outcomes]:
    """For each number of ranks, the outcomes by scenario of every rank."""
    command = [sys.executable, str(script), str(folder), *map(str, sizes)]
    search = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": search}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return {n: [json.loads((folder / f"{n}-{rank}.json").read_text()) for rank in range(n)] for n in sizes}


class Groups(dict[int, Outcomes]):
    """The same, each number of ranks when it is asked for first."""

    def __init__(self, script: Path, folder: Path) -> None:
        self.script, self.folder = script, folder

    def __missing__(self, ranks: int) -> Outcomes:
        self[ranks] = outcomes_of(self.script, self.folder, (ranks,))[ranks]
        return self[ranks]


def named(groups: dict[int, Outcomes], ranks: int, prefix: str) -> dict[str, list[dict[str, Any]]]:
    """The scenarios whose name starts so, with the outcome of each rank."""
    found = {name: [rank[name] for rank in groups[ranks]] for name in groups[ranks][0] if name.startswith(prefix)}
    assert found
    return found
