"""A burn-in over time: first and last, slope per hour, and what happened, as a table on a page and as plain lines."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from perwatt.results.drift import Drift, Trend, drifts, events
from perwatt.results.record import Record
from perwatt.results.reports.table import one_line
from perwatt.results.reports.units import number

MOST = 50  # events that are told one by one
HEAD = (
    "case",
    "device",
    "rounds",
    "hours",
    "rate, last over first",
    "per hour",
    "temperature",
    "per hour",
    "power",
    "per hour",
)
NOTE = (
    "First and last are medians of a tenth of the rounds each. Per hour: the slope of a straight line with its 95 % "
    "interval; rounds near each other resemble each other, so that it is rather too narrow."
)


def table(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """A line for each case and device, in the columns of :data:`HEAD`; empty for a run without rounds."""
    return [_cells(one) for one in drifts(records)]


def _cells(one: Drift) -> tuple[str, ...]:
    rate = one.rate
    if rate and rate.first:
        share = Trend(1.0, rate.last / rate.first, *_over(rate))
        rates = f"{number(100 * (share.last - 1), 2)} %", _slope(share, 100.0, "%")
    else:
        rates = "", ""
    return (
        f"{one.kernel} {one_line(one.label)}",
        f"{one.host}:{one.device}",
        str(one.rounds),
        number(one.hours, 3),
        *rates,
        *_absolute(one.temperature, "\u00b0C", "K"),
        *_absolute(one.power, "W", "W"),
    )


def _over(rate: Trend) -> tuple[float | None, float | None]:
    slope, half = rate.slope_per_h, rate.half
    return (None if slope is None else slope / rate.first), (None if half is None else half / rate.first)


def _slope(found: Trend, times: float, unit: str) -> str:
    if found.slope_per_h is None or found.half is None:
        return ""
    return f"{number(times * found.slope_per_h, 2)} \u00b1 {number(times * found.half, 2)} {unit}/h"


def _absolute(found: Trend | None, unit: str, per_hour: str) -> tuple[str, str]:
    if found is None:
        return "", ""
    return f"{number(found.first, 3)} to {number(found.last, 3)} {unit}", _slope(found, 1.0, per_hour)


def happened(records: Sequence[Record]) -> list[str]:
    """What a sound machine does not show, at most :data:`MOST` lines, and how many more there are."""
    found = events(records)
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return found[:MOST] + more


def lines(records: Sequence[Record]) -> list[str]:
    """Both as plain text; empty for a run without rounds."""
    rows = table(records)
    if not rows:
        return []
    out = [f"over {max(int(row[2]) for row in rows)} rounds (last over first; slope per hour, 95 %):"]
    for row in rows:
        told = [row[4] and f"rate {row[4]}", row[5], row[6], row[7], row[8], row[9]]
        out.append(f"  {row[0]}, {row[1]}: " + ", ".join(text for text in told if text))
    return out + ([f"  {text}" for text in happened(records)] or ["  no health event"])


def section(records: Sequence[Record]) -> str:
    """The section of a page; empty for a run without rounds and without events."""
    rows, told = table(records), happened(records)
    if not rows and not told:
        return ""
    used = [at for at in range(len(HEAD)) if at < 4 or any(row[at] for row in rows)]
    body = "".join("<tr>" + "".join(f"<td>{escape(row[at])}</td>" for at in used) + "</tr>\n" for row in rows)
    head = "".join(f"<th>{HEAD[at]}</th>" for at in used)
    drawn = (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'
        * bool(rows)
    )
    listed = "".join(f"<li>{escape(text)}</li>" for text in told or ["no health event"])
    note = f'<p class="note">{NOTE}</p>\n' * bool(rows)
    title = "Over the rounds" if rows else "Health"
    return f'<section>\n<h2>{title}</h2>\n{drawn}{note}<ul class="notes">{listed}</ul>\n</section>'
