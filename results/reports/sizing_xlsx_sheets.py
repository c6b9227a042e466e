"""The workbook of a sizing while it is written: its number formats, the look of a kind, and sheets ready to print."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

MUTED, WARNING = "#5B656E", "#B3261E"
# The ink and the ground of a kind.
COLOURS = {
    "measured": "#00694F",
    "published": "#0B4F91",
    "modelled": "#4C3FA0",
    "assumed": "#9A3B00",
    "given": "#454D54",
}
TINTS = {
    "measured": "#DDF3EA",
    "published": "#DFECFA",
    "modelled": "#E9E6F8",
    "assumed": "#FCE7D6",
    "given": "#ECEEF0",
}
# The number format of a unit; W and J in the prefix that suits their size. What is not listed has its unit behind it.
FORMATS = {
    "W": '[>=999500]#,##0.000,," MW";[>=999.5]#,##0.00," kW";0.0" W"',
    "VA": '[>=999500]#,##0.000,," MVA";[>=999.5]#,##0.00," kVA";0.0" VA"',
    "Pa": '[>=999.5]#,##0.0," kPa";0" Pa"',
    "J": '0.000E+00" J"',
    "MW": '#,##0.000" MW"',
    "MWh": '#,##0.0" MWh"',
    "m3": '#,##0.0" m\u00b3"',
    "m3/MWh": '0.0000" m\u00b3/MWh"',
    "m3/h": '#,##0" m\u00b3/h"',
    "L/min": '#,##0.0" L/min"',
    "L/min/kW": '0.000" L/min/kW"',
    "CFM": '#,##0" CFM"',
    "kg": '#,##0" kg"',
    "kg/kWh": '0.0000" kg/kWh"',
    "kg/m3": '0.000" kg/m\u00b3"',
    "J/m3/K": '#,##0" J/m\u00b3/K"',
    "J/K": '#,##0" J/K"',
    "A": '#,##0.0" A"',
    "V": '0" V"',
    "degC": '0.0" \u00b0C"',
    "h": '#,##0" h"',
    "m": '#,##0" m"',
    "1": "0.0000",
    "": "#,##0.####",
}
# The look of a cell that may be changed.
FREE: dict[str, object] = {"bg_color": "#FFF3B8", "border": 1, "border_color": "#E2CF7A"}
# Columns of numbers have their heads at the right.
NUMBERS = ("value", "report", "now", "change", "min", "max", "5, 50, 95 %", "5 %", "95 %", "as read", "at", "slope",
           "worst from here up", "slope of the worst")  # fmt: skip
PAPER_A4, MOST_TITLE = 9, 100
# The height of a line in points, and how much of a width of digits an ordinary face fills with letters.
LINE_PT, FILLED = 15.0, 1.05


class Sheets:
    """The workbook while it is written, with its formats."""

    def __init__(self, workbook: Any, title: str) -> None:
        self.workbook = workbook
        self.title = title[:MOST_TITLE].replace("&", "&&")
        self.formats: dict[tuple[tuple[str, object], ...], Any] = {}

    def format(self, **properties: object) -> Any:
        """The format with these properties, made once."""
        key = tuple(sorted(properties.items()))
        if key not in self.formats:
            self.formats[key] = self.workbook.add_format({"font_name": "Calibri", "font_size": 11, **properties})
        return self.formats[key]

    def number(self, unit: str, **more: object) -> Any:
        """The format of a number in ``unit``."""
        own = f'#,##0.0##" {unit}"'
        return self.format(num_format=FORMATS.get(unit, own), align="right", valign="top", **more)

    def kind(self, kind: str) -> Any:
        """The format of the word for a kind."""
        ink, ground = COLOURS.get(kind, COLOURS["given"]), TINTS.get(kind, TINTS["given"])
        return self.format(font_color=ink, bg_color=ground, valign="top", align="left", indent=1)

    def tall(self, sheet: Any, row: int, *texts: tuple[str, float]) -> None:
        """Make the row as tall as its texts need, each with the width in characters that it has."""
        lines = max(len(wrap(words, max(int(width * FILLED), 1), break_on_hyphens=False)) for words, width in texts)
        if lines > 1:
            sheet.set_row(row, LINE_PT * lines)

    def heads(self, sheet: Any, row: int, heads: Sequence[str], *, numbers: bool = False) -> None:
        """A heading row; ``numbers``: over columns of numbers alone."""
        for column, head in enumerate(heads):
            side = "right" if numbers or head in NUMBERS else "left"
            style = self.format(bold=True, bottom=1, font_color=MUTED, bg_color="#F3F5F7", text_wrap=True, valign="top",
                                align=side)  # fmt: skip
            sheet.write_string(row, column, head, style)

    def sheet(self, name: str, widths: Sequence[float], heads: Sequence[str], left: int = 1) -> Any:
        """A sheet with its columns' widths, and a heading row and ``left`` columns that stay in sight, each page of it
        as wide as the paper."""
        made = self.workbook.add_worksheet(name)
        for column, width in enumerate(widths):
            made.set_column(column, column, width)
        if heads:
            self.heads(made, 0, heads)
            made.freeze_panes(1, left)
            made.repeat_rows(0)
        made.hide_gridlines(2)
        made.set_landscape()
        made.set_paper(PAPER_A4)
        made.set_margins(left=0.5, right=0.5, top=0.5, bottom=0.7)
        made.fit_to_pages(1, 0)
        made.set_footer(f"&L&8{self.title}&C&8&A&R&8&P / &N")
        return made
