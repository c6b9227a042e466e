"""The table on a terminal: one rich table a kernel, what was skipped or failed below it, the notes at the end.

Plain text when the stream is no terminal. rich is imported on use, matplotlib and pandas not at all: this is what
``perwatt run`` prints last, and nobody should wait for it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from perwatt.results.record import Record
from perwatt.results.reports.layout import Column, Group, Line, groups, notes
from perwatt.results.reports.table import Note
from perwatt.results.reports.units import align, numeric
from perwatt.results.run import NOTHING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH, LEAST_WIDTH = 120, 80
# The column of cases: columns are left out before it gets narrower than the first, and it never is than the second.
CASE_WIDTH, LEAST_CASE_WIDTH = 20, 12
# Columns that a narrow terminal does without, the first first; the last resort only before numbers would be cut.
EXPENDABLE = ("slowest", "apart", "ci", "spread")
LAST_RESORT = ("power", "per_token")
# Least widths; 9 for the other numbers.
NARROW = {"ranks": 5, "apart": 6, "spread": 6, "ci": 7}
# What a terminal that is not UTF-8 gets in place of the signs that the tables use.
PLAIN = str.maketrans({"\u2013": "-", "\u00b1": "+/-", "\u00b5": "u", "\u2021": "#", "\u00a7": "=", "\u2026": "..."})


def render(records: Sequence[Record], width: int = WIDTH, nothing: str = NOTHING) -> str:
    """The table as plain text, at most ``width`` (and at least 80) characters wide, or ``nothing`` without a record."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=max(width, LEAST_WIDTH), color_system=None, force_terminal=False, highlight=False
    )
    with console.capture() as capture:
        _print(console, records, nothing)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def show(
    records: Sequence[Record], stream: TextIO | None = None, width: int | None = None, nothing: str = NOTHING
) -> None:
    """Print the table on ``stream`` (standard output by default): in colour on a terminal, plain text elsewhere."""
    from rich.console import Console

    stream = stream or sys.stdout
    if not stream.isatty():
        text = render(records, width or WIDTH, nothing)
        try:
            text.encode(getattr(stream, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            encoding = stream.encoding
            text = text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
        stream.write(text)
        return
    terminal = Console(file=stream, width=width, highlight=False)
    # narrower than this the terminal breaks the lines: rich would cut numbers
    terminal.width = max(terminal.width, LEAST_WIDTH)
    _print(terminal, records, nothing)


def _print(console: Console, records: Sequence[Record], nothing: str) -> None:
    from rich.text import Text

    if not records:
        console.print(nothing)
        return
    found = groups(records)
    left_out: dict[str, None] = {}
    parts = [_measured(group) for group in found if any(line.row.state == "measured" for line in group.lines)]
    longest = max((part.widths["case"] for part in parts), default=0)
    # one width for all tables: labels wrap before a column is left out, but to shreds only when nothing else helps
    wide = max((part.beside_case() for part in parts), default=0)
    narrow = max((part.beside_case(EXPENDABLE) for part in parts), default=0)
    wanted = min(max(CASE_WIDTH, console.width - wide), console.width - narrow)
    case_width = min(longest, max(LEAST_CASE_WIDTH, wanted))
    tables = {part.group.kernel + part.group.headline: part for part in parts}
    for group in found:
        console.print()
        if part := tables.get(group.kernel + group.headline):
            table, without = _table(part, case_width, console.width)
            left_out |= dict.fromkeys(without)
            console.print(table)
        else:
            console.print(Text(group.kernel, style="bold"))
        for line in group.lines:
            if line.row.state != "measured":
                _print_outcome(console, line)
    remarks = notes(found)
    if left_out:
        remarks.append(Note("", f"Left out at this width: {', '.join(left_out)}."))
    if remarks:
        console.print()
    for note in remarks:
        console.print(Text(f"{note.mark} {note.text}" if note.mark else note.text, style="dim"))


@dataclass
class Measured:
    """The measured part of a group, ready to be set: the cells of each column as text, and how wide each has to be."""

    group: Group
    columns: list[Column]
    texts: dict[str, list[str]]
    widths: dict[str, int]

    def beside_case(self, without: Sequence[str] = ()) -> int:
        """The characters that all columns but the first take up, with the two blanks before each."""
        return sum(width + 2 for key, width in self.widths.items() if key not in ("case", *without))


def _measured(group: Group) -> Measured:
    lines = [line for line in group.lines if line.row.state == "measured"]
    columns = [c for c in group.columns if c.key != "flags" or any(line.cells["flags"].text for line in lines)]
    texts = {column.key: _texts(column, lines) for column in columns}
    widths = {c.key: max(map(len, (*texts[c.key], c.title, c.unit))) for c in columns}
    if "flags" in widths:
        # flags wrap, but never within a word
        widths["flags"] = max(len(word) for text in ("flags", *texts["flags"]) for word in text.split())
    return Measured(group, columns, texts, widths)


def _table(found: Measured, case_width: int, room: int) -> tuple[Table, list[str]]:
    """The table, within ``room`` characters, and the titles of the columns left out for that."""
    from rich.table import Table
    from rich.text import Text

    left_out = []
    for key in (*EXPENDABLE, *LAST_RESORT):
        if case_width + found.beside_case() > room and key in found.widths:
            left_out += [column.title for column in found.columns if column.key == key]
            del found.widths[key]
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    columns = [column for column in found.columns if column.key in found.widths]
    for column in columns:
        if column.numeric:
            # set flush right here: rich would take off the blanks that bring the decimal points in line
            width = found.widths[column.key]
            table.add_column(Text(f"{column.title:>{width}}\n{column.unit:>{width}}", style="dim"), no_wrap=True)
            found.texts[column.key] = [text.rjust(width) for text in found.texts[column.key]]
        elif column.key == "case":
            table.add_column(Text(found.group.kernel, style="bold"), width=case_width, overflow="fold")
        else:
            table.add_column(Text(column.title, style="dim"), min_width=found.widths[column.key], overflow="fold")
    for row in zip(*(found.texts[column.key] for column in columns), strict=True):
        table.add_row(*(Text(cell, style="dim" if cell.strip().startswith("not ") else "") for cell in row))
    return table, left_out


def _texts(column: Column, lines: Sequence[Line]) -> list[str]:
    cells = [line.cells[column.key] for line in lines]
    if not column.numeric:
        return [cell.text for cell in cells]
    aligned = align([cell.text for cell in cells])
    marked = [cell.mark + text for cell, text in zip(cells, aligned, strict=True)]
    if any(cell.u for cell in cells):
        # the uncertainties stand in line too, and what has none leaves their place free
        bounds = align([cell.u for cell in cells])
        width = max(map(len, bounds))
        ends = [f" ± {u:>{width}}" if cell.u else " " * (width + 3) for cell, u in zip(cells, bounds, strict=True)]
        marked = [
            text + end if cell.u or numeric(cell.text) else text
            for cell, text, end in zip(cells, marked, ends, strict=True)
        ]
    # no cell is narrower than this, so that columns stand in line from table to table
    return [text.rjust(NARROW.get(column.key, 9)) for text in marked]


def _print_outcome(console: Console, line: Line) -> None:
    from rich.padding import Padding
    from rich.text import Text

    row = line.row
    failed = row.state == "failed"
    text = Text.assemble(
        (row.state, "red" if failed else "dim"),
        "  ",
        line.cells["case"].text,
        ": ",
        (row.reason, "" if failed else "dim"),
    )
    console.print(Padding(text, (0, 0, 0, 2)))
