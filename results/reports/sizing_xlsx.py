"""A sizing as a workbook that is signed: inputs to edit, the chain with live formulas, every line of the report.

Sheets: Summary (what to provide, the report beside what the formulas say now), Inputs (what a formula refers to is
yellow and may be changed; every other input of the report stands there with its range and source, grey), Chain (the
formulas), Beside (other sites, where there are any), Lines (the report as it was). SI with number formats for people;
energies of a year in MWh. XlsxWriter is imported on use.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from perwatt.results.reports.sizing_cells import Book, Computed
from perwatt.results.reports.sizing_chain import build
from perwatt.results.reports.sizing_tables import KINDS, decision, headlines
from perwatt.results.reports.sizing_values import spoken, text
from perwatt.results.reports.sizing_xlsx_lines import beside, lines
from perwatt.results.size.optional import library
from perwatt.results.size.sizing import Sizing

COLOURS = {
    "measured": "#007D63",
    "published": "#0B62B0",
    "modelled": "#5F4FB8",
    "assumed": "#C24A00",
    "given": "#59636C",
}
# How far a formula may be from the report before the workbook says so.
TOLERANCE = 0.001
# The number format of a unit; W and J in the prefix that suits their size.
FORMATS = {
    "W": '[>=999500]0.000,," MW";[>=999.5]0.00," kW";0.0" W"',
    "VA": '[>=999500]0.000,," MVA";[>=999.5]0.00," kVA";0.0" VA"',
    "J": '0.000E+00" J"',
    "MWh": '#,##0.0" MWh"',
    "m3": '#,##0.0" m3"',
    "kg": '#,##0" kg"',
    "kg/kWh": '0.0000" kg/kWh"',
    "m3/MWh": '0.0000" m3/MWh"',
    "A": '0.0" A"',
    "1": "0.0000",
    "": "#,##0.####",
}


class Sheets:
    """The workbook while it is written, with its formats and the address of every name."""

    def __init__(self, workbook: Any) -> None:
        self.workbook = workbook
        self.formats: dict[tuple[tuple[str, object], ...], Any] = {}

    def format(self, **properties: object) -> Any:
        """The format with these properties, made once."""
        key = tuple(sorted(properties.items()))
        if key not in self.formats:
            self.formats[key] = self.workbook.add_format({"font_name": "Calibri", "font_size": 11, **properties})
        return self.formats[key]

    def number(self, unit: str, **more: object) -> Any:
        """The format of a number in ``unit``."""
        return self.format(num_format=FORMATS.get(unit, "General"), align="right", **more)

    def kind(self, kind: str) -> Any:
        """The format of the word for a kind."""
        return self.format(font_color=COLOURS.get(kind, "#59636C"))

    def sheet(self, name: str, widths: Sequence[float], heads: Sequence[str], row: int = 0) -> Any:
        """A sheet with its columns' widths and a heading row that stays in sight."""
        made = self.workbook.add_worksheet(name)
        for column, width in enumerate(widths):
            made.set_column(column, column, width)
        for column, head in enumerate(heads):
            made.write_string(row, column, head, self.format(bold=True, bottom=1, font_color="#5B656E"))
        made.freeze_panes(row + 1, 1)
        made.hide_gridlines(2)
        made.set_landscape()
        made.set_paper(9)
        made.fit_to_pages(1, 0)
        made.repeat_rows(row)
        return made


def render(sizing: Sizing, others: Sequence[Sizing] = ()) -> bytes:
    """The workbook; ``others`` stand on a sheet beside it. Raises ValueError where XlsxWriter is not installed."""
    xlsxwriter = library("xlsxwriter")
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    workbook.set_properties({"title": sizing.title, "comments": "written by perwatt size"})
    workbook.set_calc_mode("auto")
    sheets, book = Sheets(workbook), build(sizing)
    _summary(sheets, sizing, book)
    _inputs(sheets, sizing, book)
    _computed(sheets, book)
    if others:
        beside(sheets, [sizing, *others])
    lines(sheets, sizing)
    workbook.close()
    return buffer.getvalue()


def _summary(sheets: Sheets, sizing: Sizing, book: Book) -> None:
    sheet = sheets.sheet(
        "Summary", (34, 18, 22, 13, 60), ("figure", "report", "5, 50, 95 %", "kind", "what it rests on"), 4
    )
    sheet.write_string(0, 0, sizing.title, sheets.format(bold=True, font_size=16))
    sheet.write_string(1, 0, decision(sizing), sheets.format(font_size=12))
    row = 2
    if sizing.warnings:
        sheet.write_string(row, 0, "; ".join(sizing.warnings), sheets.format(font_color="#B3261E"))
    row = 5
    for caption, line in headlines(sizing):
        told = text(line)
        sheet.write_string(row, 0, caption, sheets.format())
        sheet.write_string(row, 1, told.whole, sheets.format(bold=True, align="right"))
        sheet.write_string(row, 2, told.band, sheets.format(align="right", font_color="#5B656E"))
        sheet.write_string(row, 3, line.kind, sheets.kind(line.kind))
        sheet.write_string(row, 4, line.basis, sheets.format(font_color="#5B656E"))
        row += 1
    live = [cell for cell in book.computed if cell.title or cell in book.figures]
    if live:
        row += 1
        for column, head in enumerate(("with the Inputs as they are now", "now", "report", "change")):
            sheet.write_string(row, column, head, sheets.format(bold=True, bottom=1, font_color="#5B656E"))
    for cell in live:
        row += 1
        sheet.write_string(row, 0, cell.label, sheets.format())
        sheet.write_formula(row, 1, f"={cell.name}", sheets.number(cell.unit, bold=True), cell.value)
        if isinstance(cell.reported, int | float):
            sheet.write_number(row, 2, cell.reported, sheets.number(cell.unit, font_color="#5B656E"))
            if cell.reported:
                now = cell.value if isinstance(cell.value, int | float) else 0.0
                change = sheets.format(num_format="+0.0%;-0.0%;0.0%", align="right")
                sheet.write_formula(row, 3, f"={cell.name}/C{row + 1}-1", change, now / cell.reported - 1)
    row += 2
    sheet.write_string(
        row,
        0,
        "Yellow cells on the sheet Inputs may be changed: Chain follows. Grey ones the report was made with.",
        sheets.format(italic=True),
    )
    for kind, told_of in KINDS.items():
        row += 1
        sheet.write_string(row, 0, kind, sheets.kind(kind))
        sheet.write_string(row, 1, told_of, sheets.format(font_color="#5B656E"))


def _inputs(sheets: Sheets, sizing: Sizing, book: Book) -> None:
    heads = ("input", "value", "unit", "min", "max", "kind", "source", "name in formulas", "path")
    sheet = sheets.sheet("Inputs", (40, 16, 10, 12, 12, 12, 60, 30, 44), heads)
    row, driving = 1, book.driving
    free, still = {"bg_color": "#FFF7D6", "locked": False}, {"font_color": "#5B656E"}
    for cell in book.given:
        style = free if cell.name in driving else still
        sheet.write_string(row, 0, cell.label, sheets.format())
        if isinstance(cell.value, str):
            sheet.write_string(row, 1, cell.value, sheets.format(align="right", **style))
        else:
            sheet.write_number(row, 1, cell.value, sheets.number(cell.unit, **style))
        _about(sheets, sheet, row, cell.unit, cell.kind, cell.source)
        row = _defined(sheets, sheet, row, cell.name)
    row += 1
    for path, low, mode, high, unit, kind, source in sizing.inputs:
        own = book.names.get(path, "")
        sheet.write_string(row, 0, spoken(path), sheets.format())
        sheet.write_number(row, 1, mode, sheets.number(unit, **(free if own in driving else still)))
        if low != high:
            sheet.write_number(row, 3, low, sheets.number(unit, font_color="#5B656E"))
            sheet.write_number(row, 4, high, sheets.number(unit, font_color="#5B656E"))
        _about(sheets, sheet, row, unit, kind, source)
        sheet.write_string(row, 8, path, sheets.format(font_color="#5B656E"))
        row = _defined(sheets, sheet, row, own) if own in driving else row + 1


def _about(sheets: Sheets, sheet: Any, row: int, unit: str, kind: str, source: str) -> None:
    sheet.write_string(row, 2, "" if unit == "1" else unit, sheets.format(font_color="#5B656E"))
    sheet.write_string(row, 5, kind, sheets.kind(kind))
    sheet.write_string(row, 6, source, sheets.format(font_color="#5B656E"))


def _defined(sheets: Sheets, sheet: Any, row: int, name: str) -> int:
    """Name the value of ``row`` (its column B); the next row."""
    sheets.workbook.define_name(name, f"={sheet.get_name()}!$B${row + 1}")
    sheet.write_string(row, 7, name, sheets.format(font_color="#5B656E"))
    return row + 1


def _computed(sheets: Sheets, book: Book) -> None:
    heads = ("quantity", "value", "report", "check", "name", "formula")
    sheet = sheets.sheet("Chain", (40, 18, 18, 10, 24, 90), heads)
    row = 1
    blocks = (("From the machines to the grid", book.chain), ("Circuits", book.circuits),
              ("The year", book.year), ("Key figures of the year", book.figures))  # fmt: skip
    for title, cells in blocks:
        if cells:
            row += row > 1
            sheet.write_string(row, 0, title, sheets.format(bold=True))
            row += 1
        for cell in cells:
            row = _formula(sheets, sheet, row, cell)


def _formula(sheets: Sheets, sheet: Any, row: int, cell: Computed) -> int:
    bold = {"bold": True} if cell.title else {}
    sheet.write_string(row, 0, cell.label, sheets.format(**bold))
    sheet.write_formula(row, 1, f"={cell.formula}", sheets.number(cell.unit, **bold), cell.value)
    if isinstance(cell.reported, int | float) and isinstance(cell.value, int | float):
        sheet.write_number(row, 2, cell.reported, sheets.number(cell.unit, font_color="#5B656E"))
        here = f"ABS(B{row + 1}-C{row + 1})<={TOLERANCE:g}*ABS(C{row + 1})"
        same = abs(cell.value - cell.reported) <= TOLERANCE * abs(cell.reported)
        said = sheets.format(align="center", font_color="#5B656E")
        sheet.write_formula(row, 3, f'=IF({here},"as reported","changed")', said, "as reported" if same else "changed")
    sheet.write_string(row, 4, cell.name, sheets.format(font_color="#5B656E"))
    sheet.write_string(row, 5, cell.formula, sheets.format(font_color="#5B656E"))
    sheets.workbook.define_name(cell.name, f"={sheet.get_name()}!$B${row + 1}")
    return row + 1
