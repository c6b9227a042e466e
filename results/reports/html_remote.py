"""The section of a fleet's report on the meters that its leader read: whether each follows the nodes behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from perwatt.results.fleet.layout import MERGED
from perwatt.results.fleet.nodesets import some
from perwatt.results.fleet.remote import FOUND, NAMED
from perwatt.results.reports.html_cases import table
from perwatt.results.reports.layout import ABSENT
from perwatt.results.reports.units import quantity

# The worst first. Each as it is told, and whether its readings are those of its nodes.
VERDICTS = {
    "other": "follows another",
    "no_step": "does not follow",
    "no_load": "does not follow",
    "early": "early",
    "late": "late",
    "unknown": "undecided",
    "ok": "follows",
}
MOST = 200  # rows: those that follow come last, and the rest of them are counted


def meters(run: Path) -> str:
    """The section, from what ``perwatt merge`` left; empty where the leader read no meters.

    Raises ValueError for a file that cannot be read.
    """
    path = run / MERGED / FOUND
    try:
        told: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        found = sorted(told, key=lambda one: list(VERDICTS).index(one["verdict"]))
        body = [(escape(one["meter"]), _cells(one)) for one in found[:MOST]]
    except FileNotFoundError:
        return ""
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not readable as meters ({error}); perwatt merge run={run}") from None
    wrong = sum(one["verdict"] not in ("ok", "unknown") for one in found)
    said = f"{wrong} of {len(found)} do not" if wrong else f"None of {len(found)} is seen not to"
    more = f"<p>{len(found) - MOST} more: RUN/{MERGED}/{FOUND}</p>" if len(found) > MOST else ""
    heads = ["", "of", "steps after the load", "should", "goes along with its nodes", ""]
    return (
        "<section>\n<h2>Meters beside the nodes</h2>\n"
        f"<p>Whether each meter that the leader read follows the nodes behind it. {said}.</p>\n"
        + table("Meters beside the nodes", "meter", heads, body)
        + f"{more}</section>"
    )


def _cells(of: Mapping[str, Any]) -> list[str]:
    delay_s, expected_s, match = of["delay_s"], of["expected_s"], of["match"]
    should = "" if expected_s is None else f"{quantity(expected_s, 's', 3)} ± {quantity(of['allowed_s'], 's', 2)}"
    instead = f"goes along with {some(of['instead'], NAMED)}; " if of["instead"] else ""
    return [
        f"<b>{VERDICTS[of['verdict']]}</b>",
        escape(some(of["nodes"], NAMED)),
        ABSENT if delay_s is None else quantity(delay_s, "s", 3),
        should or ABSENT,
        ABSENT if match is None else f"{match:.2f}",
        f"<small>{escape(instead + of['reason'])}</small>",
    ]
