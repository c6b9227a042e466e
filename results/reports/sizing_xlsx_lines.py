"""The sheets of the workbook that nothing computes on: sites beside each other, and every line of the report.

Energies of a year are in MWh, as people bill them; everything else is in SI with the number formats of the workbook.
"""

from __future__ import annotations

from collections.abc import Sequence

from perwatt.results.reports.sizing_beside import compared
from perwatt.results.reports.sizing_values import ABSENT, text
from perwatt.results.reports.sizing_xlsx_sheets import MUTED, Sheets
from perwatt.results.size.kpi import J_PER_MWH
from perwatt.results.size.sizing import Sizing

# Widths in characters, the column of the figure as people read it, and the format of those that computers do.
LABEL, BASIS, AS_READ = 46, 66, 5
PLAIN = "[>=1000]#,##0;[<=-1000]-#,##0;0.#####"


def beside(sheets: Sheets, sizings: Sequence[Sizing]) -> None:
    """The sheet of several sites by the same figures."""
    heads = ["", *(sizing.title for sizing in sizings)]
    sheet = sheets.sheet("Beside", (34, *(30 for _ in sizings)), heads)
    for at, row in enumerate(compared(sizings), start=1):
        sheet.write_string(at, 0, row.caption, sheets.format())
        for column, word in enumerate(row.words, start=1):
            sheet.write_string(at, column, word or ABSENT, sheets.format(align="right"))
        for column, line in enumerate(row.lines, start=1):
            if line is None or line.value is None:
                sheet.write_string(at, column, ABSENT, sheets.format(align="right"))
                continue
            value, unit = line.value, line.unit
            value, unit = (value / J_PER_MWH, "MWh") if unit == "J" else (value, unit)
            sheet.write_number(at, column, value, sheets.number(unit))


def lines(sheets: Sheets, sizing: Sizing) -> None:
    """The sheet of every line of the report."""
    heads = ("figure", "value", "unit", "5 %", "95 %", "as read", "kind", "what it rests on", "section", "level", "key")
    sheet = sheets.sheet("Lines", (LABEL, 18, 12, 18, 18, 17, 12, BASIS, 13, 12, 38), heads)
    for row, line in enumerate(sizing.lines, start=1):
        sheets.tall(sheet, row, (line.label, LABEL), (line.basis, BASIS))
        sheet.write_string(row, 0, line.label, sheets.format(text_wrap=True, valign="top"))
        # energies of a year; those of a storage stay in J
        annual = line.unit == "J" and line.section in ("year", "kpi")
        divisor, unit = (J_PER_MWH, "MWh") if annual else (1.0, line.unit)
        for column, value in ((1, line.value), (3, line.low), (4, line.high)):
            if value is not None:
                sheet.write_number(
                    row, column, value / divisor, sheets.format(num_format=PLAIN, align="right", valign="top")
                )
        told = (
            (2, unit),
            (AS_READ, text(line).whole),
            (7, line.basis),
            (8, line.section),
            (9, line.level),
            (10, line.key),
        )
        for column, words in told:
            side = "right" if column == AS_READ else "left"
            style = sheets.format(font_color=MUTED, text_wrap=True, valign="top", align=side, indent=int(column == 2))
            sheet.write_string(row, column, words, style)
        sheet.write_string(row, 6, line.kind, sheets.kind(line.kind))
    if sizing.lines:
        sheet.autofilter(0, 0, len(sizing.lines), len(heads) - 1)
