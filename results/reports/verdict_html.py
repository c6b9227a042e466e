"""A judgement as one HTML file that needs nothing else: what a contract meeting looks at, and what is signed.

The first screen is the verdict, who has which, and the map of the fleet. Then what did not pass with its numbers, its
limit, the plausible cause and what to do next; waivers; the values behind it; what was asked, with the source of every
limit. Text from outside is escaped wherever it is put.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from perwatt.results.accept.criteria import Criteria, Criterion, Same
from perwatt.results.accept.spread import Spread
from perwatt.results.accept.verdict import STATUSES, Finding, Judgement
from perwatt.results.reports import verdict_plots
from perwatt.results.reports.document import captioned, document
from perwatt.results.reports.html_about import environment
from perwatt.results.reports.html_cases import table
from perwatt.results.reports.verdicts import SCOPES, changes, maybe, status, told, turned
from perwatt.results.run import ENVIRONMENT

FINDINGS, PICTURES = 200, 12  # on the page; the others are in findings.csv, and in no picture


def render(
    judgement: Judgement,
    criteria: Criteria,
    spreads: Sequence[Spread] = (),
    facts: Mapping[str, str] | None = None,
    machine: Mapping[str, Any] | None = None,
) -> str:
    """The page. ``facts``: of the run, by their names; ``machine``: its environment; ``spreads``: what is drawn."""
    body = "\n".join(part for part in _parts(judgement, criteria, spreads, facts or {}, machine or {}) if part)
    return document(f"perwatt accept: {judgement.run}", ["report.css", "verdict.css"], body, "verdict")


def _parts(
    judgement: Judgement,
    criteria: Criteria,
    spreads: Sequence[Spread],
    facts: Mapping[str, str],
    machine: Mapping[str, Any],
) -> Iterator[str]:
    yield _header(judgement, facts)
    yield _first(judgement)
    yield _findings(judgement)
    yield _again(judgement)
    yield _values(spreads)
    yield _asked(criteria)
    yield _waivers(criteria)
    yield environment(machine)
    yield _signatures()


def _header(judgement: Judgement, facts: Mapping[str, str]) -> str:
    shown = {"criteria": judgement.criteria, **facts}
    cells = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in shown.items() if v)
    title = f'<h1><span class="{judgement.status.lower()}">{judgement.status}</span> {escape(judgement.run)}</h1>'
    notes = "".join(f'<p class="warning">{escape(note)}.</p>\n' for note in judgement.notes)
    return f'<header>\n<p class="brand">perwatt accept</p>\n{title}\n<dl class="facts">{cells}</dl>\n{notes}</header>'


def _first(judgement: Judgement) -> str:
    """Who has which verdict, and the map."""
    rows = []
    for scope, title in SCOPES.items():
        counts = judgement.count(scope)
        if any(counts.values()):
            cells = [f'<b class="{s.lower()}">{n}</b>' if n and s != "PASS" else str(n) for s, n in counts.items()]
            rows.append((escape(title), cells))
    counted = table("Verdicts", "", [s.lower() for s in STATUSES], rows, "counts")
    drawing = verdict_plots.fleet(judgement)
    picture = captioned(drawing) if drawing else ""
    return f'<section class="first">\n<div>{counted}{_legend()}</div>\n{picture}</section>'


def _legend() -> str:
    signs = "".join(f'<span><i class="{s.lower()}"></i>{s.lower()}</span>' for s in STATUSES)
    return f'<p class="legend">{signs}</p>\n'


def _findings(judgement: Judgement) -> str:
    if not judgement.findings:
        return "<section>\n<h2>Findings</h2>\n<p>None: everything that was asked was shown.</p>\n</section>"
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for f in judgement.findings:
        alike.setdefault((f.scope, f.subject, f.criterion, f.status, f.waived, f.rule, f.cause), []).append(f)
    rows = [(_who(same[0]), _finding(same)) for same in list(alike.values())[:FINDINGS]]
    listed = table("Findings", "who", ["verdict", "criterion", "found", "maybe", "next"], rows, "findings")
    more = len(alike) - FINDINGS
    rest = f"<p>{more} more are in findings.csv.</p>\n" if more > 0 else ""
    return f"<section>\n<h2>Findings</h2>\n{listed}{rest}</section>"


def _again(judgement: Judgement) -> str:
    if not judgement.again:
        return ""
    rows = [
        (f"{escape(one.subject)}<small>{escape(turned(one))}</small>", list(map(escape, cells)))
        for one in judgement.again
        for cells in changes(one)
    ]
    listed = table("Tested again", "who", ["case", "before", "after"], rows[:FINDINGS], "asked")
    more = len(rows) - FINDINGS
    rest = f"<p>{more} more are in again.csv.</p>\n" if more > 0 else ""
    return f"<section>\n<h2>Tested again</h2>\n{listed}{rest}</section>"


def _who(finding: Finding) -> str:
    return f"{escape(finding.subject)}<small>{escape(SCOPES[finding.scope].rstrip('s'))}</small>"


def _finding(same: Sequence[Finding]) -> list[str]:
    """The cells of findings of one subject by one criterion: the first of them, and how many more."""
    first = same[0]
    more = f" and {len(same) - 1} more" if len(same) > 1 else ""
    case = f"<small>{escape(first.case + more)}</small>" if first.case else ""
    source = f"<small>{escape(first.source)}</small>" if first.source else ""
    state = f'<b class="{first.status.lower()}">{escape(status(first))}</b>'
    asked, found = f"{escape(first.criterion)}{case}", f"{escape(told(first))}{source}"
    return [state, asked, found, escape(maybe(first)), escape(first.todo)]


def _values(spreads: Sequence[Spread]) -> str:
    drawn = (verdict_plots.values(one, f"v{at}") for at, one in enumerate(spreads[:PICTURES]))
    figures = "".join(captioned(drawing) for drawing in drawn if drawing)
    if not figures:
        return ""
    more = len(spreads) - PICTURES
    rest = f"; {more} more cases are in measurements.csv" if more > 0 else ""
    intro = f'<p class="intro">Crosses: with a finding. Dashed: absolute limits, where they are near{rest}.</p>'
    return f'<section>\n<h2>Values</h2>\n{intro}\n<div class="figures">\n{figures}</div>\n</section>'


def _asked(criteria: Criteria) -> str:
    scopes: dict[tuple[str, ...], list[str]] = {}
    for criterion in criteria.criteria:
        for cells in _criterion(criterion):
            scopes.setdefault((escape(criterion.name), *cells), []).append(criterion.scope)
    rows = [(name, [cases, metric, ", ".join(of), *rest]) for (name, cases, metric, *rest), of in scopes.items()]
    rows += [(escape(one.name), _same(one)) for one in criteria.same]
    heads = ["cases", "metric", "of each", "limit", "severity", "source"]
    return f"<section>\n<h2>Criteria</h2>\n{table('Criteria', 'criterion', heads, rows, 'asked')}</section>"


def _criterion(criterion: Criterion) -> Iterator[list[str]]:
    """A row of each limit, but for whose it is."""
    plain = [escape(criterion.cases), criterion.metric.replace("_", " ")]
    for key, limit in criterion.limits.items():
        told = f"{key.replace('_', ' ')} {limit.value:g} {escape(limit.unit)}"
        yield [*plain, told, criterion.severity, f"{escape(limit.source)} ({escape(limit.date)})"]
    if (band := criterion.within_fleet) is not None:
        told = f"within {band.effect:g} {escape(band.unit)} of the fleet"
        yield [*plain, told, criterion.severity, f"{escape(band.source)} ({escape(band.date)})"]


def _same(same: Same) -> list[str]:
    return ["", ", ".join(same.of), "node", "as more than half of the nodes", same.severity, ENVIRONMENT]


def _waivers(criteria: Criteria) -> str:
    if not criteria.waivers:
        return ""
    rows = [(escape(w.subject), list(map(escape, (w.criterion, w.who, w.why, w.until)))) for w in criteria.waivers]
    listed = table("Waivers", "of", ["criterion", "who answers", "why", "until"], rows, "asked")
    return f"<section>\n<h2>Waivers</h2>\n{listed}</section>"


def _signatures() -> str:
    """Room to sign on paper; on a screen it is not shown."""
    lines = "".join(f"<div><span></span><small>{who}: name, date, signature</small></div>" for who in ("for", "for"))
    return f'<section class="signatures">\n{lines}\n</section>'
