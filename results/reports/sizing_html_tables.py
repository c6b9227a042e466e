"""The tables of the HTML report of a sizing: power level by level, the lines of a section, sites beside each other,
and the inputs with their sources."""

from __future__ import annotations

from collections.abc import Container, Sequence
from html import escape
from itertools import groupby, pairwise

from perwatt.results.reports.sizing_beside import compared
from perwatt.results.reports.sizing_candidates import COLUMNS, candidates
from perwatt.results.reports.sizing_tables import KINDS
from perwatt.results.reports.sizing_tables import levels as rows_of_levels
from perwatt.results.reports.sizing_values import ABSENT, exact, scale, spoken, text
from perwatt.results.size.sizing import Line, Section, Sizing

_NONE = f'<span class="muted">{ABSENT}</span>'


def kind_mark(kind: str) -> str:
    """A kind as a coloured square with its word: never the colour alone."""
    css = kind if kind in KINDS else "given"
    return f'<span class="kind"><i class="key {css}"></i>{escape(kind)}</span>'


def _scroll(label: str, table: str) -> str:
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>'


def levels(sizing: Sizing) -> str:
    """Power from the chip up: nameplate, vendor's maximum, what was measured, what is recommended, side by side."""
    columns, rows = rows_of_levels(sizing)
    if not rows:
        return ""
    heads = "".join(f'<th scope="col" class="{key}">{title}</th>' for key, title in columns.items())
    body = []
    for row in rows:
        cells = []
        for key in columns:
            line = row.lines.get(key)
            if line is None or line.value is None:
                why = f' title="{escape(line.basis)}"' if line else ""
                cells.append(f'<td class="{key}"{why}><span class="muted">{ABSENT}</span></td>')
                continue
            told = text(line)
            mark = f'<i class="key {line.kind}" title="{line.kind}"></i>'
            cells.append(f'<td class="{key}">{mark}{told.number} {escape(told.unit)}</td>')
        final = row.lines.get("recommended")
        band = text(final).band if final else ""
        cells.append(f'<td class="band">{band}</td>')
        body.append(f'<tr><th scope="row" class="case">{escape(row.name)}</th>{"".join(cells)}</tr>')
    heads += '<th scope="col">5, 50, 95 %</th>'
    table = (
        f'<table class="levels"><thead><tr><th scope="col" class="case">level</th>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    more = '<p class="more"><a href="#power">what each figure rests on</a></p>'
    return f"<section>\n<h2>Power, side by side</h2>\n{_scroll('Power by level', table)}\n{more}\n</section>"


def under_limit(sizing: Sizing) -> str:
    """What could stand under a limit, the most work first; nothing where no limit was asked for."""
    rows = candidates(sizing)
    if not rows:
        return ""
    heads = "".join(f'<th scope="col">{title}</th>' for title in (*COLUMNS.values(), "binds", ""))
    body = ""
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row.cells())
        body += f'<tr><th scope="row" class="case">{escape(row.name)}</th>{cells}</tr>'
    table = (
        f'<table class="levels"><thead><tr><th scope="col" class="case">candidate</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    more = '<p class="more"><a href="#work">what each figure rests on</a></p>'
    return (
        f"<section>\n<h2>Under the limit, the most work first</h2>\n{_scroll('Candidates', table)}\n{more}\n</section>"
    )


def section(name: Section, title: str, lines: Sequence[Line], seen: Container[str] = ()) -> str:
    """Every line of a section: value, unit, band, kind and basis. Those ``seen`` above, side by side, are folded."""
    first, again = ([line for line in lines if (line.key in seen) == folded] for folded in (False, True))
    parts = [_lines(title, first)] if first else []
    if again:
        head = f"<summary>each figure of the table above with what it rests on ({len(again)})</summary>"
        parts.append(f"<details>{head}{_lines(title, again)}</details>")
    return f'<section class="part" id="{name}">\n<h2>{escape(title)}</h2>\n{"".join(parts)}\n</section>'


def _lines(title: str, lines: Sequence[Line]) -> str:
    # a basis of many words stands once where the next lines rest on the same
    same = [before is not None and before.basis == line.basis for before, line in pairwise([None, *lines]) if line]
    body = "".join(_line(line, "as above" if again else line.basis) for line, again in zip(lines, same, strict=True))
    table = (
        '<table class="lines"><thead><tr><th scope="col" class="case">figure</th><th scope="col">value</th>'
        '<th scope="col" class="unit"></th><th scope="col">5, 50, 95 %</th><th scope="col" class="kindof">kind</th>'
        f'<th scope="col" class="basis">what it rests on</th></tr></thead><tbody>{body}</tbody></table>'
    )
    return _scroll(title, table)


def _line(line: Line, basis: str) -> str:
    told = text(line)
    number = f'<span class="muted">{ABSENT}</span>' if told.number == ABSENT else told.number
    return (
        f'<tr id="{escape(line.key)}"><th scope="row" class="case">{escape(line.label)}</th><td>{number}</td>'
        f'<td class="unit">{escape(told.unit)}</td><td class="band">{told.band}</td>'
        f'<td class="kindof">{kind_mark(line.kind)}</td><td class="basis">{escape(basis)}</td></tr>'
    )


def beside(sizings: Sequence[Sizing]) -> str:
    """Several sites by the same figures, a column each."""
    heads = "".join(f'<th scope="col">{escape(sizing.title)}</th>' for sizing in sizings)
    body = ""
    for row in compared(sizings):
        cells = "".join(f"<td>{escape(word) if word else _NONE}</td>" for word in row.words)
        cells += "".join(f"<td>{_beside(line)}</td>" for line in row.lines)
        body += f'<tr><th scope="row" class="case">{escape(row.caption)}</th>{cells}</tr>'
    table = (
        f'<table class="beside"><thead><tr><th scope="col" class="case"></th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    return f"<section>\n<h2>Beside each other</h2>\n{_scroll('Beside each other', table)}\n</section>"


def _beside(line: Line | None) -> str:
    if line is None:
        return _NONE
    told = text(line)
    band = f"<small>{told.band}</small>" if told.band else ""
    return f"{escape(told.whole)}{band}"


def inputs(sizing: Sizing) -> str:
    """What the sizing rests on: each input with its range, its kind and its source, by where it belongs."""
    if not sizing.inputs:
        return ""
    body = ""
    for group, members in groupby(sizing.inputs, key=lambda entry: entry[0].rpartition(".")[0]):
        body += f'<tr class="group"><th scope="rowgroup" colspan="6">{escape(group)}</th></tr>' if group else ""
        for path, low, mode, high, unit, kind, source in members:
            divisor, name = scale(mode or high, unit, path)
            spread = f"{exact(low / divisor)} \u2013 {exact(high / divisor)}" if low != high else ""
            label = escape(spoken(path))
            body += (
                f'<tr><th scope="row" class="case">{label}</th><td>{exact(mode / divisor)}</td>'
                f'<td class="unit">{escape(name)}</td><td class="band">{spread}</td>'
                f'<td class="kindof">{kind_mark(kind)}</td><td class="basis">{escape(source)}</td></tr>'
            )
    table = (
        '<table class="lines"><thead><tr><th scope="col" class="case">input</th><th scope="col">value</th>'
        '<th scope="col" class="unit"></th><th scope="col">range</th><th scope="col" class="kindof">kind</th>'
        f'<th scope="col" class="basis">source</th></tr></thead><tbody>{body}</tbody></table>'
    )
    return f'<section class="part">\n<h2>Inputs and their sources</h2>\n{_scroll("Inputs", table)}\n</section>'
