"""The section of a fleet's report on its groups: the links between nodes as a picture, and who is to blame."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from perwatt.results.fleet.layout import GROUPS
from perwatt.results.reports.document import captioned


def groups(run: Path) -> str:
    """The section, from ``groups.json`` of the run; empty where no groups were tested."""
    try:
        told: dict[str, Any] = json.loads((run / GROUPS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except ValueError as error:
        raise ValueError(f"{run / GROUPS}: not readable as JSON: {error}") from error
    lines = [
        f"<b>{escape(v['outcome'])}</b> {escape(v['kind'])} {escape('-'.join(v['names']))}: {escape(v['reason'])}"
        for v in told.get("verdicts", ())
    ]
    for group in told.get("failed_groups", ()):
        found = "; ".join(f"{', '.join(one['hosts'])} ({one['how']})" for one in group["findings"]) or "nobody"
        where = f"{group['kind']} {group['name']}".strip()
        lines.append(f"{escape(where)} failed {escape(group['case'])}: {escape(group['error'])}; {escape(found)}")
    figure = ""
    if told.get("normal"):
        from perwatt.results.reports.links import matrix

        shares = {(one["hosts"][0], one["hosts"][1]): one["share"] for one in told["links"]}
        slow = [(one["hosts"][0], one["hosts"][1]) for one in told["links"] if one["slow"]]
        if drawing := matrix(told["hosts"], shares, slow, "links"):
            figure = f'<div class="figures">\n{captioned(drawing)}</div>\n'
    if not figure and not lines:
        return ""
    listed = f'<ul class="notes">{"".join(f"<li>{line}</li>" for line in lines)}</ul>\n' if lines else ""
    return f"<section>\n<h2>Groups of nodes</h2>\n{figure}{listed}</section>"
