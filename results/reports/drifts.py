"""A burn-in over time: first and last, slope per hour, and what happened, as pictures and a table on a page, and as
plain lines. Of a fleet those devices are listed that fell most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from perwatt.results.drift import Drift, Rounds, Trend, drift, events, tracks
from perwatt.results.fleet.tracks import read as merged
from perwatt.results.reports.document import captioned
from perwatt.results.reports.html_cases import table
from perwatt.results.reports.table import one_line
from perwatt.results.reports.units import number, stated
from perwatt.results.run import Run

MOST_EVENTS, MOST_LINES, MOST_CASES, MOST_DECIMALS = 50, 20, 8, 3
NO_BREAK = "\u00a0"
HEAD = {  # column and unit
    "case": "",
    "device": "",
    "rounds": "",
    "hours": "",
    "rate": "%, last over first",
    "rate per hour": "%/h",
    "temperature": "\u00b0C",
    "temperature per hour": "K/h",
    "power": "W",
    "power per hour": "W/h",
}
NOTE = (
    "First and last are medians of a tenth of the rounds each. Per hour: the slope of a straight line with its 95 % "
    "interval; rounds near each other resemble each other, so that it is rather too narrow."
)


def of(run: Run) -> Rounds:
    """The rounds of a run, or of all nodes of a merged fleet. Raises ValueError for an index that cannot be read."""
    return merged(run.path) or Rounds(tracks(run.rounds), events(run.rounds))


def _cells(one: Drift) -> tuple[str, ...]:
    """In the columns of :data:`HEAD`."""
    return (
        one_line(one.track.case),
        one.track.name,
        str(one.rounds),
        number(one.hours, 3),
        *_relative(one.rate),
        *_absolute(one.temperature),
        *_absolute(one.power),
    )


def _relative(found: Trend | None) -> tuple[str, str]:
    if found is None or not found.first:
        return "", ""
    return f"{100 * (found.last / found.first - 1):+.2f}", _slope(found, 100 / found.first)


def _absolute(found: Trend | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    return f"{number(found.first, 3)} to {number(found.last, 3)}", _slope(found, 1.0)


def _slope(found: Trend, times: float) -> str:
    if found.slope_per_h is None or found.half is None:
        return ""
    return " \u00b1 ".join(stated(times * found.slope_per_h, times * found.half, MOST_DECIMALS))


def lines(found: Rounds) -> list[str]:
    """A burn-in as plain text; empty for a run without rounds."""
    shown, left = _shown([drift(track) for track in found.tracks])
    if not shown:
        return []
    out = [f"over {max(one.rounds for one in shown)} rounds (last over first; slope per hour, 95 %):"]
    units = [unit.partition(",")[0] for unit in HEAD.values()]
    for cells in map(_cells, shown):
        told = [f"{cell} {unit}" if cell else "" for cell, unit in zip(cells, units, strict=True)][4:]
        told[0] = told[0] and f"rate {told[0]}"
        out.append(f"  {cells[0]}, {cells[1]}: " + ", ".join(filter(None, told)))
    return out + [f"  {text}" for text in (*left, *(_events(found) or ["no health event"]))]


def section(found: Rounds) -> str:
    """The section of a page; empty for a run without rounds and without events."""
    listed = "".join(f"<li>{escape(text)}</li>" for text in _events(found) or ["no health event"])
    events = f'<ul class="notes">{listed}</ul>\n'
    if not found.tracks:
        return f"<section>\n<h2>Health</h2>\n{events}</section>" * bool(found.events)
    drifts = [drift(track) for track in found.tracks]
    shown, left = _shown(drifts)
    rows = [_cells(one) for one in shown]
    used = [at for at in range(1, len(HEAD)) if any(row[at] for row in rows)]
    body = [(escape(row[0]), [escape(row[at]).replace(" ", NO_BREAK) for at in used]) for row in rows]
    heads = [f"{title}<small>{unit}</small>" for title, unit in HEAD.items()]
    drawn = table("Over the rounds", "case", [heads[at] for at in used], body, "states")
    notes = "".join(f'<p class="note">{escape(text)}</p>\n' for text in (*left, NOTE))
    figures = "".join(_figures(drifts))
    pictures = f'<div class="figures">\n{figures}</div>\n' * bool(figures)
    return f"<section>\n<h2>Over the rounds</h2>\n{pictures}{drawn}{notes}{events}</section>"


def _shown(drifts: list[Drift]) -> tuple[list[Drift], list[str]]:
    """What has a line of its own: everything, or of much those that fell most, and a line that says so."""
    if len(drifts) <= MOST_LINES:
        return drifts, []
    worst = sorted(drifts, key=_kept)[:MOST_LINES]
    return worst, [f"{MOST_LINES} of {len(drifts):,} are listed: those whose rate fell most"]


def _kept(one: Drift) -> float:
    """What is left of a rate, as a share; of none as much as there was."""
    return one.rate.last / one.rate.first if one.rate and one.rate.first else 1.0


def _events(found: Rounds) -> list[str]:
    """At most :data:`MOST_EVENTS` lines, and how many more there are."""
    more = len(found.events) - MOST_EVENTS
    return [*found.events[:MOST_EVENTS], *([f"and {more:,} more"] if more > 0 else [])]


def _figures(drifts: Iterable[Drift]) -> Iterator[str]:
    """Rate and temperature of each case; of many cases those first of which a device fell most."""
    from perwatt.results.reports.drift_plots import over_rounds

    cases: dict[str, list[Drift]] = {}
    for one in drifts:
        cases.setdefault(one.track.case, []).append(one)
    worst = sorted(cases.values(), key=lambda of: min(map(_kept, of)))
    for n, of in enumerate(worst[:MOST_CASES]):
        drawn = [drawing for what in ("rate", "temperature") if (drawing := over_rounds(of, what, f"d{n}")) is not None]
        for at, drawing in enumerate(drawn):  # a pair starts a row of its own
            yield captioned(drawing, "first" if at == 0 and len(drawn) > 1 else "")
