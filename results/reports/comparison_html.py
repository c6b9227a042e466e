"""A comparison as one HTML file that needs nothing else: no script, no network, light or dark, on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape

from perwatt.results.compare.comparison import Comparison, Member, Pair
from perwatt.results.compare.ratio import VERDICTS
from perwatt.results.reports import comparison_plots as plots
from perwatt.results.reports.comparison import SPOKEN, headline, member_line, method, sections
from perwatt.results.reports.comparison_parts import Section
from perwatt.results.reports.document import captioned, document
from perwatt.results.reports.plots import Drawing

JUDGED = ("rate", "rate_per_watt")
MOST_CASES = 6  # whose caps are drawn


def render(found: Comparison) -> str:
    """The whole page."""
    title = "Comparison of " + ", ".join(member.name for member in found.members)
    parts = [_header(found), _tiles(found), _pictures(found), *map(_section, sections(found)), _method(found)]
    return document(title, ["report.css"], "\n".join(filter(None, parts)), "comparison")


def _header(found: Comparison) -> str:
    facts = "".join(
        f"<div><dt>{member.letter}{', the reference' if at == 0 else ''}</dt>"
        f"<dd>{escape(member_line(member, False).partition('  ')[2])}</dd></div>"
        for at, member in enumerate(found.members)
    )
    others = ", ".join(member.name for member in found.members[1:])
    title = f"{others} against {found.reference.name}" if others else found.reference.name
    return (
        f'<header>\n<p class="brand">perwatt compare</p>\n<h1>{escape(title)}</h1>\n'
        f'<p>{escape(headline(found))}.</p>\n<dl class="facts">{facts}</dl>\n</header>'
    )


def _tiles(found: Comparison) -> str:
    """The verdicts of each run by quantity."""
    tiles = []
    for member in found.members[1:]:
        for quantity in JUDGED:
            of = [p.ratios[quantity] for p in found.pairs if p.run == member.name and quantity in p.ratios]
            if not of:
                continue
            counted = Counter(ratio.verdict for ratio in of)
            first = max(VERDICTS, key=lambda v: counted[v])
            rest = ", ".join(f"{counted[v]} {v}" for v in VERDICTS if counted[v] and v != first)
            mean = next((m.ratios.get(quantity) for m in reversed(found.means) if m.run == member.name), None)
            small = f"geometric mean {mean.value:.3g}" if mean else ""
            tiles.append(
                f"<div><dt>{member.letter} against {found.reference.letter}: {SPOKEN[quantity]}</dt>"
                f'<dd><span class="value">{counted[first]} {first}</span>'
                f"<small>of {len(of)} cases{'; ' + rest if rest else ''}</small><small>{small}</small></dd></div>"
            )
    return f'<section>\n<h2>Verdicts</h2>\n<dl class="tiles">{"".join(tiles)}</dl>\n</section>' if tiles else ""


def _pictures(found: Comparison) -> str:
    drawings = [captioned(drawing) for drawing in _drawn(found)]
    if not drawings:
        return ""
    return f'<section>\n<h2>In pictures</h2>\n<div class="figures">\n{"".join(drawings)}</div>\n</section>'


def _drawn(found: Comparison) -> Iterator[Drawing]:
    letters = found.letters
    for member in found.members[1:]:
        mine = [pair for pair in found.pairs if pair.run == member.name]
        for kernel in dict.fromkeys(pair.kernel for pair in mine):
            of = [pair for pair in mine if pair.kernel == kernel]
            yield from _forests(found, member, kernel, of)
    for at, case in enumerate(found.limit.cases[:MOST_CASES] if found.limit else ()):
        for what in ("per_watt", "work"):
            if (drawing := plots.caps(case, letters, what, f"c{at}{what}")) is not None:
                yield drawing
    for at, key in enumerate(dict.fromkeys((one.kernel, one.quantity) for one in found.history)):
        courses = [one for one in found.history if (one.kernel, one.quantity) == key]
        if drawing := plots.course(courses, f"{key[0]}: {SPOKEN[key[1]]} from run to run", f"h{at}"):
            yield drawing


def _forests(found: Comparison, member: Member, kernel: str, of: list[Pair]) -> Iterator[Drawing]:
    over = f"{member.letter} over {found.reference.letter}"
    for quantity in JUDGED:
        title = f"{kernel}: {SPOKEN[quantity]}, {over}"
        prefix = f"f{member.letter}{kernel}{quantity}".replace("_", "")
        if (drawing := plots.forest(of, quantity, title, over, found.effect, prefix)) is not None:
            yield drawing


def _section(section: Section) -> str:
    head = "".join(
        f'<th scope="col"{" class=case" if at == 0 else ""}>{escape(cell)}</th>' for at, cell in enumerate(section.head)
    )
    wordy = section.title == "Not compared"
    rows = "".join(f"<tr>{''.join(_cell(at, cell, wordy) for at, cell in enumerate(row))}</tr>" for row in section.rows)
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in section.remarks)
    notes = f'<ul class="notes">{remarks}</ul>' if remarks else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return (
        f"<section>\n<h2>{escape(section.title)}</h2>\n"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(section.title)}">{table}</div>\n'
        f"{notes}\n</section>"
    )


def _cell(at: int, cell: str, wordy: bool) -> str:
    if at == 0:
        return f'<th scope="row" class="case">{escape(cell)}</th>'
    if cell in VERDICTS:
        css = ' class="failed"' if cell == "WORSE" else ""
        return f'<td{css}><span class="badge">{cell}</span></td>'
    return f"<td{' class=reason' if wordy else ''}>{escape(cell)}</td>"


def _method(found: Comparison) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in (*found.notes, *method(found)))
    return f'<section>\n<h2>How to read it</h2>\n<ul class="notes">{lines}</ul>\n</section>'
