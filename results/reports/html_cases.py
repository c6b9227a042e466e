"""The tables of the HTML report: one a kernel, every case a row, what was skipped or failed with its reason.

Numbers are padded with blanks as wide as a digit, so that decimal points stand in line; the style sheet asks for digits
of one width. A cell that has no number says why in words, across all the columns that it concerns.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from perwatt.results.record import Failed
from perwatt.results.reports.layout import ABSENT, Cell, Column, Group, Line, notes
from perwatt.results.reports.units import align, numeric

# What a cell may say in place of a number.
WORDS = ("not metered", "not resolved", "is the peak", ABSENT)
FIGURE_SPACE, PUNCTUATION_SPACE = "\u2007", "\u2008"


def cases(tables: Sequence[Group]) -> str:
    """The section with all tables and the notes below them; empty if there is no record."""
    if not tables:
        return ""
    flagged = any(line.row.flags for group in tables for line in group.lines)
    parts = "".join(_table(group, flagged) for group in tables)
    remarks = "".join(
        f"<li>{f'<b>{escape(note.mark)}</b> ' if note.mark else ''}{escape(note.text)}</li>" for note in notes(tables)
    )
    listed = f'<ul class="notes">{remarks}</ul>\n' if remarks else ""
    return f"<section>\n<h2>Cases</h2>\n{parts}{listed}</section>"


def _table(group: Group, flagged: bool) -> str:
    # if any table has flags all have their column, so that the others stand in line from table to table
    columns = [column for column in group.columns if column.key != "flags" or flagged]
    if all(line.row.state != "measured" for line in group.lines):
        columns = [group.columns[0], Column("reason", "", numeric=False)]
    cells = {column.key: _cells(group, column) for column in columns}
    body = []
    for at, line in enumerate(group.lines):
        name = f'<th scope="row" class="case">{escape(line.cells["case"].text)}</th>'
        if line.row.state != "measured":
            body.append(_outcome(line, name, len(columns) - 1))
            continue
        spanned = line.row.words != ""
        row = []
        for column in columns[1:]:
            if not (spanned and column.key == "per_watt"):
                # the words in place of the power hold for the rate per watt as well
                span = ' colspan="2"' if spanned and column.key == "power" else ""
                row.append(f'<td class="{column.key}"{span}>{cells[column.key][at]}</td>')
        body.append(f'<tr id="case-{line.row.index}">{name}{"".join(row)}</tr>')
    return _scroll(f"Cases of {group.kernel}", "".join(_head(group, column) for column in columns), body)


def _scroll(label: str, heads: str, body: Sequence[str], css: str = "") -> str:
    """A table that scrolls where it is wider than the page."""
    lines = "\n".join(body)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">\n'
        f"<table{css}><thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody></table>\n</div>\n"
    )


def table(
    label: str, first: str, heads: Sequence[str], body: Sequence[tuple[str, Sequence[str]]], css: str = "terms"
) -> str:
    """A table of cells that are HTML already, each row under its name; ``first`` heads the names."""
    titles = "".join(f'<th scope="col">{head}</th>' if head else "<td></td>" for head in heads)
    rows = [
        f'<tr><th scope="row" class="case">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for name, cells in body
    ]
    return _scroll(label, f'<th scope="col" class="case">{escape(first)}</th>{titles}', rows, f' class="{css}"')


def _head(group: Group, column: Column) -> str:
    if not column.title or (column.key == "flags" and not any(line.row.flags for line in group.lines)):
        return f'<td class="{column.key}"></td>'
    title = escape(group.kernel) if column.key == "case" else escape(column.title)
    unit = f"<small>{escape(column.unit)}</small>" if column.unit else ""
    return f'<th scope="col" class="{column.key}">{title}{unit}</th>'


def _cells(group: Group, column: Column) -> list[str]:
    """The cells of one column as HTML, one a line of the group."""
    found = [line.cells.get(column.key, Cell("")) for line in group.lines]
    texts = [cell.text for cell in found]
    if column.key == "flags":
        return [" ".join(f'<span class="flag">{escape(f)}</span>' for f in t.split(", ") if f) for t in texts]
    if column.numeric:
        texts = align(texts, FIGURE_SPACE, PUNCTUATION_SPACE)
    out = []
    bounds = align([cell.u for cell in found], FIGURE_SPACE, PUNCTUATION_SPACE)
    widest = max((len(u) for u in bounds), default=0)
    for cell, text, u in zip(found, texts, bounds, strict=True):
        mark = f'<span class="mark">{escape(cell.mark)}</span>' if cell.mark else ""
        # of one width in a column, so that the values before it stand in line
        room = widest and (cell.u or numeric(cell.text))
        end = f'<span class="u" style="min-width:{widest + 2}ch">{f" ± {u}" if cell.u else ""}</span>' if room else ""
        out.append(f'<span class="muted">{escape(text)}</span>' if cell.text in WORDS else mark + escape(text) + end)
    return out


def _outcome(line: Line, name: str, span: int) -> str:
    row, outcome = line.row, line.row.record.outcome
    log = ""
    if isinstance(outcome, Failed) and outcome.log.strip():
        log = f"<details><summary>last lines of its log</summary><pre>{escape(outcome.log.strip())}</pre></details>"
    reason = f'<span class="badge">{row.state}</span> {escape(row.reason)}{log}'
    return f'<tr id="case-{row.index}" class="{row.state}">{name}<td colspan="{span}" class="reason">{reason}</td></tr>'
