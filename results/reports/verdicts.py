"""A judgement for people: a few lines on a terminal, a page of Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perwatt.results.accept.verdict import STATUSES, Again, Finding, Judgement
from perwatt.results.reports.units import number, quantity, stated

SCOPES = {"device": "devices", "node": "nodes", "group": "groups", "fleet": "fleet", "cluster": "cluster"}
SHOWN = 20  # findings on a terminal
MARKDOWN_SHOWN = 200  # of which a pull request shows as many


def numbers(finding: Finding) -> str:
    """``748.2 ± 1.2 TFLOP/s, at least 760``; empty where nothing was measured or asked."""
    if finding.value is None:
        return ""
    if finding.rule == "within_fleet":
        return f"{finding.value:+.1f} {finding.unit}, limit {finding.limit:+.1f} {finding.unit}"
    value = " ± ".join(stated(finding.value, finding.u)) if finding.u else number(finding.value)
    rule = {"plausible_max": "plausible up to"}.get(finding.rule, finding.rule.replace("_", " "))
    return f"{value} {finding.unit}, {rule} {number(finding.limit)}"


def told(finding: Finding) -> str:
    """What was found, in one line: why, and the numbers."""
    return ": ".join(filter(None, (finding.why, numbers(finding))))


def status(finding: Finding) -> str:
    """The status with what takes its weight."""
    return f"{finding.status}{' (waived)' if finding.waived else ' (warning)' if finding.warning else ''}"


def counts(judgement: Judgement) -> list[tuple[str, ...]]:
    """A row a scope: its name, then how many have each verdict."""
    found = [(title, judgement.count(scope)) for scope, title in SCOPES.items()]
    return [(title, *(str(n) for n in count.values())) for title, count in found if any(count.values())]


def changes(again: Again) -> list[tuple[str, ...]]:
    """Of what was tested again each case and metric, and both values: absent is told as such. Of group tests the
    verdicts are all there is."""
    if not again.values:
        return [("group tests", again.before or "no verdict", again.after)]
    return [
        (
            f"{one.case} {one.metric.replace('_', ' ')}",
            *(quantity(v, one.unit) or "none" for v in (one.before, one.after)),
        )
        for one in again.values
    ]


def turned(again: Again) -> str:
    """Its verdict before and after."""
    return f"{again.before or 'no verdict'} → {again.after}"


def console(judgement: Judgement) -> str:
    """The verdict, who has which, and the worst findings with their cause and what to do."""
    lines = [f"{judgement.status}: {judgement.run} by {judgement.criteria}", *judgement.notes, ""]
    lines += columns([("", *(s.lower() for s in STATUSES)), *counts(judgement)])
    for finding in judgement.findings[:SHOWN]:
        where = " ".join(
            filter(None, (finding.subject, finding.criterion, f"[{finding.case}]" if finding.case else ""))
        )
        lines += ["", f"{status(finding)}  {where}", f"  {told(finding)}"]
        if finding.waived:
            lines.append(f"  waived by {finding.waived}")
        else:
            lines += [f"  maybe: {finding.cause}", f"  next: {finding.todo}"]
    if (more := len(judgement.findings) - SHOWN) > 0:
        lines += ["", f"and {more} more in findings.csv"]
    lines += ["", "tested again"] if judgement.again else []
    lines += [f"{turned(one)}  {one.subject}" for one in judgement.again[:SHOWN]]
    if (more := len(judgement.again) - SHOWN) > 0:
        lines.append(f"and {more} more")
    lines += ["the values before and after are in again.csv"] if judgement.again else []
    return "\n".join([*lines, ""])


def markdown(judgement: Judgement) -> str:
    """The same as a page."""
    lines = [f"# {judgement.status}: {judgement.run}", "", f"Criteria: {judgement.criteria}.", ""]
    lines += [*(f"{note}." for note in judgement.notes), ""] if judgement.notes else []
    lines += table(("", *(s.lower() for s in STATUSES)), counts(judgement))
    if judgement.findings:
        rows = [
            (
                status(f),
                f.subject,
                f.criterion,
                f.case,
                told(f),
                maybe(f),
                f.todo,
            )
            for f in judgement.findings[:MARKDOWN_SHOWN]
        ]
        header = ("verdict", "who", "criterion", "case", "found", "maybe", "next")
        lines += ["", *table(header, rows)]
    if (more := len(judgement.findings) - MARKDOWN_SHOWN) > 0:
        lines += ["", f"{more} more in findings.csv."]
    if judgement.again:
        rows_again = [(one.subject, turned(one), *cells) for one in judgement.again for cells in changes(one)]
        lines += ["", "## Tested again", ""]
        lines += table(("who", "verdict", "case", "before", "after"), rows_again[:MARKDOWN_SHOWN])
        if (more := len(rows_again) - MARKDOWN_SHOWN) > 0:
            lines += ["", f"{more} more in again.csv."]
    return "\n".join([*lines, ""])


def maybe(finding: Finding) -> str:
    """The plausible cause, or who answers for it."""
    return f"waived by {finding.waived}" if finding.waived else finding.cause


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as lines of aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A table in Markdown."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    return [line(header), line(["---"] * len(header)), *map(line, escaped)]
