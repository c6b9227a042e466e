"""A sizing on a terminal: the decision, power level by level, every section as a table, what dominates.

Plain text when the stream is no terminal. Kinds have a colour and a word. A narrow terminal wraps what a line rests on;
numbers are never cut. rich is imported on use.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from perwatt.results.reports.console import LEAST_WIDTH, PLAIN, WIDTH
from perwatt.results.reports.sizing_beside import compared
from perwatt.results.reports.sizing_candidates import COLUMNS, Candidate, candidates
from perwatt.results.reports.sizing_tables import decision, headlines, kinds, levels, sections, tabled
from perwatt.results.reports.sizing_values import ABSENT, NARROW, shown, text
from perwatt.results.size.sizing import Line, Sizing

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STYLES = {"measured": "green", "published": "blue", "modelled": "magenta", "assumed": "yellow", "given": "dim"}
# Signs of the figures that a terminal without UTF-8 does not have.
SIGNS = PLAIN | str.maketrans({NARROW: " ", "\u2212": "-", "\u00b3": "3", "\u00b0": " ", "\u00d7": "x"})
# Columns of power by level that a narrow terminal does without, and below which width.
EXPENDABLE = {"p50": 110, "p95": 120, "p999": 120, "p99": 100}
MOST_DRIVERS = 5


def render(sizing: Sizing, width: int = WIDTH, others: Sequence[Sizing] = ()) -> str:
    """The sizing as plain text, at most ``width`` (and at least 80) characters wide; ``others`` beside it."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=max(width, LEAST_WIDTH), color_system=None, force_terminal=False, highlight=False
    )
    with console.capture() as capture:
        _print(console, sizing, others)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def show(sizing: Sizing, stream: TextIO | None = None, width: int | None = None, others: Sequence[Sizing] = ()) -> None:
    """Print the sizing on ``stream`` (standard output by default), ``others`` beside it: in colour on a terminal, plain
    text elsewhere."""
    from rich.console import Console

    stream = stream or sys.stdout
    if not stream.isatty():
        told = render(sizing, width or WIDTH, others)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            told.encode(encoding)
        except UnicodeEncodeError:
            told = told.translate(SIGNS).encode(encoding, "replace").decode(encoding)
        stream.write(told)
        return
    terminal = Console(file=stream, width=width, highlight=False)
    terminal.width = max(terminal.width, LEAST_WIDTH)
    _print(terminal, sizing, others)


def _print(console: Console, sizing: Sizing, others: Sequence[Sizing]) -> None:
    from rich.text import Text

    console.print(Text(sizing.title, style="bold"))
    if said := decision(sizing):
        console.print(Text(said))
    for warning in sizing.warnings:
        console.print(Text(f"! {warning}", style="red"))
    if top := headlines(sizing):
        console.print()
        console.print(_headlines(top))
    if others:
        console.print()
        console.print(_beside([sizing, *others]))
    if rows := candidates(sizing):
        console.print()
        console.print(_candidates(rows))
    if table := _levels(sizing, console.width):
        console.print()
        console.print(table)
    side_by_side = tabled(sizing)
    for _, title, lines in sections(sizing):
        rest = [line for line in lines if line.key not in side_by_side]
        if rest:
            console.print()
            console.print(_section(title, rest, console.width))
    for key, drivers in sizing.drivers.items():
        line = next((line for line in sizing.lines if line.key == key), None)
        if line is None or not drivers:
            continue
        console.print()
        console.print(Text(f"What moves: {line.label}", style="bold"))
        for driver in drivers[:MOST_DRIVERS]:
            ends = f"{shown(driver.at_low, line.unit, key)} to {shown(driver.at_high, line.unit, key)}"
            console.print(Text(f"  {100 * driver.share:3.0f} %  {driver.path}: {ends}"))
    console.print()
    counted = ", ".join(f"{n} {kind}" for kind, n in kinds(sizing.lines).items())
    drawn = f"; bands: 5-95 % of {sizing.draws} draws, seed {sizing.seed}" if sizing.draws else ""
    console.print(Text(f"{len(sizing.lines)} lines: {counted}{drawn}.", style="dim"))


def _headlines(top: Sequence[tuple[str, Line]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=False)
    for caption, line in top:
        told = text(line)
        table.add_row(
            caption, Text(told.whole, style="bold", justify="right"), Text(told.band, style="dim"), _kind(line)
        )
    return table


def _beside(sizings: Sequence[Sizing]) -> Table:
    """Several sites by the same figures; what is not known of one is a dash, nothing of it is 0."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(Text("Beside each other", style="bold"), overflow="fold")
    for sizing in sizings:
        table.add_column(Text(sizing.title, style="dim"), justify="right", overflow="fold")
    for row in compared(sizings):
        words = [word or ABSENT for word in row.words]
        words += [text(line).whole if line else ABSENT for line in row.lines]
        table.add_row(row.caption, *(Text(word) for word in words))
    return table


def _candidates(rows: Sequence[Candidate]) -> Table:
    """What could stand under the limit: a row each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column(Text("Under the limit", style="bold"), overflow="fold")
    for title in COLUMNS.values():
        table.add_column(Text(title, style="dim"), justify="right", overflow="fold")
    table.add_column(Text("binds", style="dim"), overflow="fold")
    table.add_column("")
    for row in rows:
        table.add_row(row.name, *map(Text, row.cells()))
    return table


def _kind(line: Line) -> Text:
    from rich.text import Text

    return Text(line.kind, style=STYLES.get(line.kind, ""))


def _levels(sizing: Sizing, width: int) -> Table | None:
    from rich.table import Table
    from rich.text import Text

    columns, rows = levels(sizing)
    if not rows:
        return None
    keys = [key for key in columns if width >= EXPENDABLE.get(key, 0)]
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column(Text("Power by level", style="bold"), overflow="fold")
    for key in keys:
        table.add_column(Text(columns[key], style="dim"), justify="right", no_wrap=True)
    table.add_column(Text("5, 50, 95 %", style="dim"), justify="right", no_wrap=True)
    for row in rows:
        cells = []
        for key in keys:
            line = row.lines.get(key)
            style = "bold" if key == "recommended" else STYLES.get(line.kind, "") if line else ""
            cells.append(Text(text(line).whole if line else ABSENT, style=style))
        final = row.lines.get("recommended")
        table.add_row(row.name, *cells, Text(text(final).band if final else "", style="dim"))
    return table


def _section(title: str, lines: Sequence[Line], width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column(Text(title, style="bold"), max_width=round(0.4 * width), overflow="fold")
    table.add_column(Text("value", style="dim"), justify="right", no_wrap=True)
    table.add_column(Text("5, 50, 95 %", style="dim"), justify="right", no_wrap=True)
    table.add_column(Text("kind", style="dim"), no_wrap=True)
    table.add_column(Text("what it rests on", style="dim"), overflow="fold")
    for line in lines:
        told = text(line)
        table.add_row(
            Text(line.label), told.whole, Text(told.band, style="dim"), _kind(line), Text(line.basis, style="dim")
        )
    return table
