"""What every report of a sizing shares: the figures as text, their order, the headline, and power level by level.

Console, HTML, PDF and workbook print these same texts, so that no two of them disagree. Inside, a sizing is SI; here
W becomes kW or MW, an annual energy in J becomes Wh, m3/s becomes L/min or m3/h, because these are read and signed by
people who think in them. A band is printed in the unit and to the place of its value. What is absent is a dash, and
its basis says why: it is never 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from perwatt.results.reports.units import FACTORS, number, prefix, rounded
from perwatt.results.size.sizing import Line, Section, Sizing

ABSENT = "\u2013"
NARROW = "\u202f"  # a narrow blank that does not break: between groups of three digits

SECTIONS: dict[Section, str] = {
    "fleet": "What stands there",
    "power": "Power, level by level",
    "feeds": "Feeds and breakers",
    "redundancy": "Units and redundancy",
    "cooling": "Cooling at the design hour",
    "year": "The year",
    "transients": "Transients",
    "kpi": "Key figures by EU 2024/1364 and ISO 30134",
    "work": "Work per facility energy",
    "savings": "What the measurement is worth",
}
LEVELS = ("gpu", "unit", "rack", "row", "ups", "transformer", "site")
# The columns of power by level that are always set side by side, in this order; others come before the last.
COLUMNS = {
    "nameplate": "nameplate",
    "vendor_max": "vendor max",
    "p50": "p50",
    "p95": "p95",
    "p99": "p99",
    "p999": "p99.9",
    "max": "max",
    "recommended": "recommended",
}
KINDS = {
    "measured": "metered: by perwatt or in the log of a meter",
    "published": "stated by a vendor, an authority or a paper",
    "modelled": "computed from the others by the model",
    "assumed": "practice: a default with a range",
    "given": "said in the request",
}
# What a person asks first, each by the first key that the sizing has.
HEADLINES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("grid connection", ("power.site.recommended", "power.site.max")),
    ("IT load at its peak", ("power.ups.recommended", "power.it.recommended", "power.row.recommended")),
    ("one rack", ("power.rack.recommended", "power.rack.max")),
    ("breaker of a rack", ("feeds.rack.breaker", "feeds.rack.rating", "feeds.breaker")),
    ("PUE of the year", ("kpi.pue", "year.pue")),
    ("PUE in the design hour", ("cooling.pue_peak", "year.pue_peak", "kpi.pue_peak")),
    ("water of the year", ("year.water", "kpi.win", "kpi.water")),
    ("coolant", ("cooling.liquid.flow", "cooling.rack.liquid_flow", "cooling.flow")),
    ("heat that can be handed over", ("year.heat_available", "kpi.heat_available", "year.reuse", "kpi.ereuse")),
)
_SUPERSCRIPT = {"m3": "m\u00b3", "degC": "\u00b0C", "C": "\u00b0C", "1": "", "count": ""}
# Units whose prefix follows the value.
_PREFIXED = (
    "W",
    "VA",
    "J",
    "Wh",
    "Wh/K",
    "J/K",
    "W/s",
    "FLOP",
    "FLOP/J",
    "FLOP/s",
    "token",
    "token/s",
    "Pa",
    "FLOP/Wh",
)
_UNIT_END = re.compile(r"_(w|va|v|a|k|c|pa|j_k|m_s|m3_s|m3|kg|g_kwh)$")


@dataclass(frozen=True)
class Text:
    """A figure as it is printed: ``number`` and ``unit`` apart, and its band in the same unit, empty without one."""

    number: str
    unit: str
    band: str

    @property
    def whole(self) -> str:
        """Number and unit."""
        return f"{self.number}{NARROW if self.unit == '%' else ' '}{self.unit}".rstrip() if self.unit else self.number


@dataclass(frozen=True)
class Level:
    """A row of power by level: the lines by column, absent where the sizing has none."""

    name: str
    lines: dict[str, Line]


def scale(value: float, unit: str, hint: str = "") -> tuple[float, str]:
    """The divisor that brings ``value`` into the unit that people read, and that unit. ``hint``, a key, tells air from
    liquid."""
    if unit == "J" and abs(value) >= 3.6e9:
        symbol = prefix(value / 3600)
        return 3600 * FACTORS[symbol], f"{symbol}Wh"
    if unit in _PREFIXED:
        symbol = prefix(value) if abs(value) >= 1 or unit in ("J", "FLOP/J") else ""
        return FACTORS[symbol], symbol + unit
    if unit == "m3/s":
        liquid = "air" not in hint and abs(value) < 1
        return (1 / 60000, "L/min") if liquid else (1 / 3600, "m\u00b3/h")
    if unit == "m" and 0 < abs(value) < 1:
        return 1e-3, "mm"
    if unit in ("kg", "g"):
        grams = abs(value) * (1000 if unit == "kg" else 1)
        for least, name in ((1e10, "kt"), (1e7, "t"), (1e4, "kg")):
            if grams >= least:
                return {"kt": 1e9, "t": 1e6, "kg": 1e3}[name] / (1000 if unit == "kg" else 1), name
    first, slash, rest = unit.partition("/")
    return 1.0, _SUPERSCRIPT.get(first, first) + slash + _SUPERSCRIPT.get(rest, rest)


def grouped(text: str) -> str:
    """``text``, a plain number, with its digits in threes from 10,000 on."""
    sign = "-" if text.startswith("-") else ""
    whole, point, decimals = text.lstrip("-").partition(".")
    if len(whole) > 4 and whole.isdecimal():
        head = len(whole) % 3 or 3
        whole = NARROW.join([whole[:head], *(whole[at : at + 3] for at in range(head, len(whole), 3))])
    return ("\u2212" if sign else "") + whole + point + decimals


def plain(value: float, digits: int = 4) -> str:
    """``value`` with ``digits`` significant digits, one less below 1, whole numbers without decimals, in threes."""
    if value == round(value) and abs(value) < 10**digits:
        return grouped(f"{value:.0f}")
    return _decimal(value, digits)


def _decimal(value: float, digits: int = 4) -> str:
    return grouped(number(rounded(value, digits), digits - (abs(value) < 1)))


def shown(value: float | None, unit: str, hint: str = "", digits: int = 4) -> str:
    """A value with its unit as people read it; a dash if it is absent."""
    if value is None or not math.isfinite(value):
        return ABSENT
    divisor, name = scale(value, unit, hint)
    return Text(_told(value, divisor, unit, digits), name, "").whole


def _told(value: float, divisor: float, unit: str, digits: int = 4) -> str:
    """Counts are exact, whatever their size; a figure that got a prefix has all its digits, to be read downwards."""
    if unit in ("", "count") and value == round(value):
        return grouped(f"{value:.0f}")
    return _decimal(value / divisor, digits) if unit in _PREFIXED and value else plain(value / divisor, digits)


def text(line: Line) -> Text:
    """The line as it is printed; its band to the same place."""
    value = line.value
    if value is None or not math.isfinite(value):
        return Text(ABSENT, "", "")
    divisor, unit = scale(value, line.unit, line.key)
    told = _told(value, divisor, line.unit)
    if line.low is None or line.high is None or line.low == line.high:
        return Text(told, unit, "")
    decimals = len(told.partition(".")[2])
    if decimals == 0 and (line.high - line.low) / divisor < 10:
        decimals = 1
    largest = max(abs(line.low), abs(line.high)) / divisor
    digits = max(4, math.floor(math.log10(largest)) + 1 if largest >= 10_000 and line.unit in ("", "count") else 4)
    low, high = (grouped(f"{_rounded(bound / divisor, digits):.{decimals}f}") for bound in (line.low, line.high))
    return Text(told, unit, f"{low} \u2013 {high}")


def _rounded(value: float, digits: int) -> float:
    return rounded(value, digits) if abs(value) >= 10 ** (digits - 1) else value


def sections(sizing: Sizing) -> Iterator[tuple[Section, str, tuple[Line, ...]]]:
    """The sections that have lines, in the order in which they are read, each with its title."""
    for section, title in SECTIONS.items():
        lines = tuple(line for line in sizing.lines if line.section == section)
        if lines:
            yield section, title, lines


def headlines(sizing: Sizing) -> list[tuple[str, Line]]:
    """What stands at the top, in order: a caption and its line; what is absent or 0 is not at the top."""
    found = {line.key: line for line in sizing.lines}
    out = []
    for caption, keys in HEADLINES:
        line = next((found[k] for k in keys if k in found and found[k].value), None)
        if line is not None:
            out.append((caption, line))
    return out


def levels(sizing: Sizing) -> tuple[dict[str, str], list[Level]]:
    """Power by level: the columns that any level has (key, title), and the levels from the chip up.

    From keys ``power.<level>.<column>``; what stands between the two (the name of a part of the fleet) is in the row.
    """
    rows: dict[tuple[str, str], dict[str, Line]] = {}
    for line in sizing.lines:
        parts = line.key.split(".")
        if line.section == "power" and len(parts) >= 3 and parts[1] in LEVELS:
            rows.setdefault((parts[1], " ".join(parts[2:-1])), {})[parts[-1]] = line
    rows = {name: row for name, row in rows.items() if set(row) & set(COLUMNS)}
    present = [key for key in COLUMNS if any(key in row for row in rows.values())]
    order = sorted(rows, key=lambda name: LEVELS.index(name[0]))
    names = {"ups": "UPS", "gpu": "GPU"}
    made = [Level(" ".join((names.get(lv, lv), mid)).strip(), rows[lv, mid]) for lv, mid in order]
    return {key: COLUMNS[key] for key in present}, made


def decision(sizing: Sizing) -> str:
    """One sentence: what to provide, and what nameplates would have asked for."""
    found = {line.key: line for line in sizing.lines if line.value is not None}
    site = found.get("power.site.recommended") or found.get("power.site.max")
    if site is None or site.value is None:
        return ""
    said = f"Provide {shown(site.value, site.unit, digits=3)} at the grid connection"
    if text(site).band:
        said += f" (5\u201395 %: {text(site).band} {text(site).unit})"
    other = found.get("power.site.nameplate")
    if other is not None and other.value and site.value:
        less = 1 - site.value / other.value
        said += f"; nameplates would ask for {shown(other.value, other.unit, digits=3)}"
        if less >= 0.005:
            said += f", {shown(other.value - site.value, site.unit, digits=3)} more than is needed"
    return said + "."


def spoken(path: str) -> str:
    """The last part of an input's path in words, without the unit that ends its name: that has a column."""
    words = _UNIT_END.sub("", path.rpartition(".")[2]).split("_")
    return " ".join(word.upper() if word in ("ups", "gpu", "cdu", "psu", "hx") else word for word in words)


def exact(value: float, digits: int = 4) -> str:
    """An input as it was stated: no more digits than it has."""
    told = _decimal(value, digits) if value else "0"
    return told.rstrip("0").rstrip(".") if "." in told else told


def kinds(lines: Sequence[Line]) -> dict[str, int]:
    """How many of ``lines`` are of each kind, in the order of :data:`KINDS`, kinds without any left out."""
    counted = {kind: sum(line.kind == kind for line in lines) for kind in KINDS}
    return {kind: n for kind, n in counted.items() if n}
