"""What could stand under a limit, side by side: every candidate with what it takes, its work, and what binds it.

The rows come from the lines ``limit.NAME.KEY`` of a sizing, the most work first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from perwatt.results.reports.sizing_values import text
from perwatt.results.size.sizing import Line, Sizing

COLUMNS = {
    "units": "units",
    "gpus": "GPUs",
    "site": "from the grid",
    "heat": "heat",
    "water": "water",
    "work": "work a year",
    "work_per_w": "work per W",
}
BEST = "best cap"


@dataclass(frozen=True)
class Candidate:
    """``name`` of the hardware with its cap, its lines by column, what ``binds`` it, and whether its cap is the best
    of those that its system was recorded at."""

    name: str
    lines: dict[str, Line]
    binds: str
    best: bool

    def cells(self) -> list[str]:
        """The texts of :data:`COLUMNS`, then what binds and whether the cap is the best: a dash for what is absent."""
        told = [text(self.lines[key]).whole for key in COLUMNS]
        return [*told, self.binds, BEST if self.best else ""]


def candidates(sizing: Sizing) -> list[Candidate]:
    """The rows; none where no limit was asked for."""
    by: dict[str, dict[str, Line]] = {}
    for line in sizing.lines:
        if line.key.startswith("limit."):
            _, name, key = line.key.split(".")
            by.setdefault(name, {})[key] = line
    found = []
    for lines in by.values():
        binds = re.search(r"(\w+) binds \((.*?)\)", lines["units"].basis)
        name = lines["units"].label.rpartition(":")[0]
        found.append(Candidate(name, lines, f"{binds[1]}: {binds[2]}" if binds else "", "best_cap" in lines))
    return sorted(found, key=lambda c: -(c.lines["work"].value or 0.0))
