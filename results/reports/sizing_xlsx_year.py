"""The tables of the workbook that its formulas name as a whole: the year bin by bin of the weather, and the curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perwatt.results.reports.sizing_cells import Book
from perwatt.results.reports.sizing_formula import LETTERS
from perwatt.results.reports.sizing_xlsx_sheets import FREE, Sheets
from perwatt.results.size.chain import never_better


def year(sheets: Sheets, book: Book) -> None:
    """The sheet of the year: a row a bin, recorded weather in yellow, all else computed in its row; each column has a
    name that the sums of the sheet Chain use."""
    heads = [column.head for column in book.bins]
    sheet = sheets.sheet("Year", [12.5] * len(heads), heads, 3)
    sheets.heads(sheet, 0, heads, numbers=True)
    sheet.set_row(0, 62)
    last = len(book.bins[0].values) + 1
    for at, column in enumerate(book.bins):
        form = sheets.number(column.unit, **({} if column.formula else FREE))
        for row, value in enumerate(column.values, start=2):
            if column.formula:
                sheet.write_formula(row - 1, at, f"={column.formula.replace('{row}', str(row))}", form, value)
            else:
                sheet.write_number(row - 1, at, value, form)
        letter = LETTERS[at]
        sheets.workbook.define_name(column.name, f"=Year!${letter}$2:${letter}${last}")


def curves(sheets: Sheets, book: Book) -> None:
    """The sheet of the curves, one below the other: points in yellow, and the slope from each to the next."""
    heads = ("curve", "at", "value", "worst from here up", "slope", "slope of the worst")
    sheet = sheets.sheet("Curves", (52, 18, 18, 20, 18, 20), heads)
    row = 2
    for name, (title, unit, points) in book.curves.items():
        sheet.write_string(row - 1, 0, f"{title} over {unit}", sheets.format(bold=True))
        _curve(sheets, sheet, row, name, points)
        row += len(points) + 1


def _curve(sheets: Sheets, sheet: Any, first: int, name: str, points: Sequence[tuple[float, float]]) -> None:
    """The points of a curve from the row ``first`` (counted from 1), and the names of its pieces."""
    last, worst = first + len(points) - 1, never_better(tuple(points))
    columns = [(name, "C", [value for _, value in points])]
    if name == "ups":
        columns.append(("ups_worst", "D", [value for _, value in worst]))
    number = sheets.number("")
    for row, (at, value) in enumerate(points, start=first):
        sheet.write_number(row - 1, 1, at, sheets.number("", **FREE))
        sheet.write_number(row - 1, 2, value, sheets.number("", **FREE))
    for own, letter, values in columns:
        slope = {"C": "E", "D": "F"}[letter]
        for row in range(first, last + 1):
            if letter == "D":
                sheet.write_formula(row - 1, 3, f"=MIN(C{row}:C${last})", number, values[row - first])
            if row < last:
                step = points[row - first + 1][0] - points[row - first][0]
                rise = (values[row - first + 1] - values[row - first]) / step
                formula = f"=({letter}{row + 1}-{letter}{row})/(B{row + 1}-B{row})"
                sheet.write_formula(row - 1, ord(slope) - ord("A"), formula, number, rise)
        for end, area in (
            ("from", f"$B${first}:$B${last - 1}"),
            ("to", f"$B${first + 1}:$B${last}"),
            ("slope", f"${slope}${first}:${slope}${last - 1}"),
            ("first", f"${letter}${first}"),
        ):
            if end == "first" or last > first:
                sheets.workbook.define_name(f"{own}_{end}", f"=Curves!{area}")
