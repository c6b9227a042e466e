"""The figures of a sizing as text: the unit that people read, the digits that mean something, the band beside it.

Inside, a sizing is SI. Here W becomes kW or MW, an annual energy in J becomes Wh, m3/s becomes L/min or m3/h, because
these are read and signed by people who think in them. A band is printed in the unit and to the place of its value.
What is absent is a dash: it is never 0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from perwatt.results.reports.units import FACTORS, number, prefix, rounded
from perwatt.results.size.sizing import Line

ABSENT = "\u2013"
NARROW = "\u202f"  # a narrow blank that does not break: between groups of three digits

_SUPERSCRIPT = {"m3": "m\u00b3", "degC": "\u00b0C", "C": "\u00b0C", "1": "", "count": ""}
# Units whose prefix follows the value; work (FLOP, token, of a year or per something) has powers of ten beyond exa.
_PREFIXED = ("W", "VA", "J", "Wh", "J/K", "W/s", "Pa")
_WORK = re.compile(r"(FLOP|token)s?([/ ].*)?$")
BEYOND_PREFIXES = 1e21
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


def scale(value: float, unit: str, hint: str = "") -> tuple[float, str]:
    """The divisor that brings ``value`` into the unit that people read, and that unit. ``hint``, a key, tells air and
    water that is used up from what goes round."""
    if unit == "J" and abs(value) >= 3.6e9:
        symbol = prefix(value / 3600)
        return 3600 * FACTORS[symbol], f"{symbol}Wh"
    if unit in _PREFIXED:
        symbol = prefix(value) if abs(value) >= 1 else ""
        return FACTORS[symbol], symbol + unit
    if _WORK.match(unit):
        told = unit.replace("m3", "m\u00b3")
        if power := _power(value, unit):
            return 10.0**power, told
        return FACTORS[prefix(value)], prefix(value) + told
    if unit == "m3/s":
        if abs(value) >= 1e6 / 3600:
            return 1.0, "m\u00b3/s"
        liquid = not any(word in hint for word in ("air", "make_up", "blow_down")) and abs(value) < 1
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


def _power(value: float, unit: str) -> int:
    """The power of ten that work is told with where no prefix that people know is big enough; 0: none is needed."""
    most = rounded(abs(value), 4)
    return math.floor(math.log10(most)) if most >= BEYOND_PREFIXES and _WORK.match(unit) else 0


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
    if power := _power(value, unit):
        return f"{exact(value / divisor, digits)}e{power}"
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
    middle = (line.low + line.high) / 2 if line.middle is None else line.middle
    low, middle_told, high = (
        _told(bound, 10.0**power, line.unit, 3)
        if (power := _power(bound, line.unit))
        else grouped(f"{_rounded(bound / divisor, digits):.{decimals}f}")
        for bound in (line.low, middle, line.high)
    )
    told_band = (low, high) if line.middle is None else (low, middle_told, high)
    return Text(told, unit, " \u2013 ".join(told_band))


def _rounded(value: float, digits: int) -> float:
    return rounded(value, digits) if abs(value) >= 10 ** (digits - 1) else value


def first_upper(words: str) -> str:
    """``words`` as the start of a label."""
    return words[:1].upper() + words[1:]


def spoken(path: str) -> str:
    """The last part of an input's path in words, without the unit that ends its name: that has a column."""
    words = _UNIT_END.sub("", path.rpartition(".")[2]).split("_")
    return " ".join(word.upper() if word in ("ups", "gpu", "cdu", "psu", "hx") else word for word in words)


def exact(value: float, digits: int = 4) -> str:
    """An input as it was stated: no more digits than it has."""
    told = _decimal(value, digits) if value else "0"
    return told.rstrip("0").rstrip(".") if "." in told else told
