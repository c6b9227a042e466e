"""A sizing as a workbook that is signed: inputs to edit, the chain with live formulas, every line of the report.

Sheets: Summary (what to provide, the report beside what the formulas say now, who signs), Inputs (what a formula refers
to is yellow and may be changed; every other input of the report stands there with its range and source, grey), Chain
(the formulas), Year (a row a bin of the weather) and Curves where the sizing tells its weather, Beside (other sites,
where there are any), Lines (the report as it was). SI with number formats for people; energies of a year in MWh.
XlsxWriter is imported on use.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any, get_args

from perwatt.results.optional import library
from perwatt.results.reports.sizing_cells import Book, Computed, Given
from perwatt.results.reports.sizing_chain import build
from perwatt.results.reports.sizing_tables import KINDS, decision, headlines
from perwatt.results.reports.sizing_values import first_upper, spoken, text
from perwatt.results.reports.sizing_xlsx_lines import beside, lines
from perwatt.results.reports.sizing_xlsx_sheets import FREE, MUTED, TINTS, WARNING, Sheets
from perwatt.results.reports.sizing_xlsx_year import curves, year
from perwatt.results.size.loop import PLANTS
from perwatt.results.size.site import Topology
from perwatt.results.size.sizing import Sizing

# How far a formula may be from the report before the workbook says so.
TOLERANCE = 0.001
SIGNED = ("worked out", "checked", "approved")
# Widths in characters: across the Summary, of its bases, of labels and sources of the Inputs, of the Chain's formulas.
ACROSS, BASIS, LABEL, SOURCE, FORMULA = 145, 66, 44, 78, 92


def render(sizing: Sizing, others: Sequence[Sizing] = ()) -> bytes:
    """The workbook; ``others`` stand on a sheet beside it. Raises ValueError where XlsxWriter is not installed."""
    xlsxwriter = library("xlsxwriter", "sizing")
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    workbook.set_properties({"title": sizing.title, "comments": "written by perwatt size"})
    workbook.set_calc_mode("auto")
    sheets, book = Sheets(workbook, sizing.title), build(sizing)
    _summary(sheets, sizing, book)
    _inputs(sheets, sizing, book)
    _computed(sheets, book)
    if book.bins:
        year(sheets, book)
    if book.curves:
        curves(sheets, book)
    if others:
        beside(sheets, [sizing, *others])
    lines(sheets, sizing)
    workbook.close()
    return buffer.getvalue()


def _summary(sheets: Sheets, sizing: Sizing, book: Book) -> None:
    sheet = sheets.sheet("Summary", (36, 19, 26, 13, BASIS), ())
    sheet.fit_to_pages(1, 1)
    sheet.write_string(0, 0, sizing.title, sheets.format(bold=True, font_size=16))
    row = 1
    wrapped = sheets.format(text_wrap=True, valign="top", font_size=12)
    alarm = sheets.format(text_wrap=True, valign="top", font_color=WARNING)
    for words, style in ((decision(sizing), wrapped), *((warning, alarm) for warning in sizing.warnings)):
        if words:
            sheets.tall(sheet, row, (words, ACROSS))
            sheet.merge_range(row, 0, row, 4, "", style)
            sheet.write_string(row, 0, words, style)
            row += 1
    row += 1
    sheets.heads(sheet, row, ("figure", "report", "5, 50, 95 %", "kind", "what it rests on"))
    for caption, line in headlines(sizing):
        row += 1
        figure = text(line)
        sheets.tall(sheet, row, (line.basis, BASIS))
        sheet.write_string(row, 0, first_upper(caption), sheets.format(valign="top"))
        sheet.write_string(row, 1, figure.whole, sheets.format(bold=True, align="right", valign="top"))
        sheet.write_string(row, 2, figure.band, sheets.format(align="right", font_color=MUTED, valign="top"))
        sheet.write_string(row, 3, line.kind, sheets.kind(line.kind))
        sheet.write_string(row, 4, line.basis, sheets.format(font_color=MUTED, text_wrap=True, valign="top"))
    row = _live(sheets, sheet, row + 2, book)
    said = "Yellow cells (Inputs, Year, Curves) may be changed: all else follows. Grey ones stand in no formula."
    sheet.write_string(row, 0, said, sheets.format(italic=True))
    for kind, meaning in KINDS.items():
        row += 1
        sheet.write_string(row, 0, kind, sheets.kind(kind))
        sheet.write_string(row, 1, meaning, sheets.format(font_color=MUTED))
    row += 1
    for who in SIGNED:
        row += 1
        sheet.set_row(row, 26)
        for column, words in enumerate((first_upper(who), "name", "signature", "", "date")):
            style = sheets.format(bottom=1, font_color=MUTED, valign="bottom", bold=column == 0)
            sheet.write_string(row, column, words, style)


def _live(sheets: Sheets, sheet: Any, row: int, book: Book) -> int:
    """What the formulas say now beside the report; the next row that is free."""
    live = [cell for cell in book.computed if cell.title or cell in book.figures]
    if not live:
        return row
    sheets.heads(sheet, row, ("with the Inputs as they are now", "now", "report", "change"))
    for cell in live:
        row += 1
        sheet.write_string(row, 0, first_upper(cell.label), sheets.format())
        sheet.write_formula(row, 1, f"={cell.name}", sheets.number(cell.unit, bold=True), cell.value)
        if isinstance(cell.reported, int | float):
            sheet.write_number(row, 2, cell.reported, sheets.number(cell.unit, font_color=MUTED))
            if cell.reported:
                now = cell.value if isinstance(cell.value, int | float) else 0.0
                change = sheets.format(num_format="+0.0%;-0.0%;0.0%", align="right")
                moved = f"=ROUND({cell.name}/C{row + 1}-1,6)"
                sheet.write_formula(row, 3, moved, change, round(now / cell.reported - 1, 6))
    return row + 2


def _inputs(sheets: Sheets, sizing: Sizing, book: Book) -> None:
    heads = ("input", "value", "unit", "min", "max", "kind", "source", "name in formulas", "path")
    sheet = sheets.sheet("Inputs", (LABEL, 17, 11, 13, 13, 12, SOURCE, 28, 46), heads)
    row, driving = 1, book.driving
    still: dict[str, object] = {"font_color": MUTED}
    for cell in book.given:
        style = FREE if cell.name in driving else still
        sheets.tall(sheet, row, (cell.label, LABEL), (cell.source, SOURCE))
        sheet.write_string(row, 0, first_upper(cell.label), sheets.format(valign="top", text_wrap=True))
        if isinstance(cell.value, str):
            sheet.write_string(row, 1, cell.value, sheets.format(align="right", valign="top", **style))
            _choices(sheet, row, cell)
        else:
            sheet.write_number(row, 1, cell.value, sheets.number(cell.unit, **style))
        _about(sheets, sheet, row, cell.unit, cell.kind, cell.source)
        row = _defined(sheets, sheet, row, cell.name)
    for group, members in groupby(sizing.inputs, key=lambda entry: entry[0].rpartition(".")[0]):
        row += 1
        sheet.write_string(row, 0, group, sheets.format(bold=True, font_color=MUTED))
        row += 1
        for path, low, mode, high, unit, kind, source in members:
            own = book.names.get(path, "")
            style = FREE if own in driving else still
            sheets.tall(sheet, row, (source, SOURCE))
            sheet.write_string(row, 0, first_upper(spoken(path)), sheets.format(valign="top"))
            sheet.write_number(row, 1, mode, sheets.number(unit, **style))
            if low != high:
                sheet.write_number(row, 3, low, sheets.number(unit, font_color=MUTED))
                sheet.write_number(row, 4, high, sheets.number(unit, font_color=MUTED))
            _about(sheets, sheet, row, unit, kind, source)
            sheet.write_string(row, 8, path, sheets.format(font_color=MUTED, valign="top"))
            row = _defined(sheets, sheet, row, own) if own in driving else row + 1
    sheet.print_area(0, 0, row, 6)


def _choices(sheet: Any, row: int, cell: Given) -> None:
    """A list to choose from, for a cell of words."""
    allowed = PLANTS if cell.value in PLANTS else get_args(Topology)
    sheet.data_validation(row, 1, row, 1, {"validate": "list", "source": list(allowed)})


def _about(sheets: Sheets, sheet: Any, row: int, unit: str, kind: str, source: str) -> None:
    muted = sheets.format(font_color=MUTED, valign="top", text_wrap=True, align="left", indent=1)
    sheet.write_string(row, 2, "" if unit == "1" else unit, muted)
    sheet.write_string(row, 5, kind, sheets.kind(kind))
    sheet.write_string(row, 6, source, muted)


def _defined(sheets: Sheets, sheet: Any, row: int, name: str) -> int:
    """Name the value of ``row`` (its column B); the next row."""
    sheets.workbook.define_name(name, f"={sheet.get_name()}!$B${row + 1}")
    sheet.write_string(row, 7, name, sheets.format(font_color=MUTED, valign="top"))
    return row + 1


def _computed(sheets: Sheets, book: Book) -> None:
    heads = ("quantity", "value", "report", "check", "name", "formula")
    sheet = sheets.sheet("Chain", (LABEL + 6, 18, 18, 13, 28, FORMULA), heads)
    row = 1
    blocks = (("From the machines to the grid", book.chain), ("Cooling at the design hour", book.cooling),
              ("Circuits", book.circuits), ("The year", book.year), ("Key figures", book.figures))  # fmt: skip
    for title, cells in blocks:
        if cells:
            row += row > 1
            sheet.write_string(row, 0, title, sheets.format(bold=True, font_size=13))
            row += 1
        for cell in cells:
            row = _formula(sheets, sheet, row, cell)


def _formula(sheets: Sheets, sheet: Any, row: int, cell: Computed) -> int:
    bold = {"bold": True} if cell.title else {}
    muted = sheets.format(font_color=MUTED, valign="top", text_wrap=True)
    sheets.tall(sheet, row, (cell.formula, FORMULA), (cell.label, LABEL + 6))
    sheet.write_string(row, 0, first_upper(cell.label), sheets.format(valign="top", text_wrap=True, **bold))
    sheet.write_formula(row, 1, f"={cell.formula}", sheets.number(cell.unit, **bold), cell.value)
    if isinstance(cell.reported, int | float) and isinstance(cell.value, int | float):
        sheet.write_number(row, 2, cell.reported, sheets.number(cell.unit, font_color=MUTED))
        here = f"ABS(B{row + 1}-C{row + 1})<={TOLERANCE:g}*ABS(C{row + 1})"
        same = abs(cell.value - cell.reported) <= TOLERANCE * abs(cell.reported)
        said = sheets.format(align="center", font_color=MUTED, valign="top")
        sheet.write_formula(row, 3, f'=IF({here},"as reported","changed")', said, "as reported" if same else "changed")
        sheet.conditional_format(row, 3, row, 3, {"type": "cell", "criteria": "==", "value": '"changed"',
                                                  "format": sheets.format(bg_color=TINTS["assumed"])})  # fmt: skip
    sheet.write_string(row, 4, cell.name, muted)
    sheet.write_string(row, 5, cell.formula, muted)
    sheets.workbook.define_name(cell.name, f"={sheet.get_name()}!$B${row + 1}")
    return row + 1
