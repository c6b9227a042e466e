"""Numbers for people: SI prefixes, significant digits, decimal alignment.

Everything inside perwatt is SI without prefixes; this is the one place where prefixes appear. Rates are decimal
(GB = 1e9 byte), as the field prints bandwidths; only sizes of memories are binary (GiB = 2**30 byte). What is absent
or not finite has no text here: the caller says in words why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

PREFIXES: tuple[tuple[float, str], ...] = (
    (1e18, "E"),
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
)
FACTORS = {symbol: factor for factor, symbol in PREFIXES}


def finite(value: float | None) -> float | None:
    """``value``, or None if it is not a finite number."""
    return value if value is not None and math.isfinite(value) else None


def rounded(value: float, digits: int) -> float:
    """``value`` to ``digits`` significant digits."""
    return float(f"{value:.{digits - 1}e}")


def prefix(value: float, digits: int = 4) -> str:
    """The symbol of the SI prefix with which ``value`` reads as 1 to 999, after rounding to ``digits``."""
    size = abs(rounded(value, digits))
    for factor, symbol in PREFIXES:
        if size >= factor:
            return symbol
    return "" if size == 0 else PREFIXES[-1][1]


def common_prefix(values: Iterable[float | None], digits: int = 4) -> str:
    """One prefix for a whole column, so that it can be read downwards: its largest value reads as 10 to 9999."""
    known = [abs(v) for v in values if v is not None and math.isfinite(v)]
    return prefix(max(known) / 10, digits) if known else ""


def number(value: float | None, digits: int = 4) -> str:
    """``value`` with ``digits`` significant digits, no exponent, and every digit before the decimal point.

    Empty if it is absent or not finite.
    """
    if value is None or not math.isfinite(value):
        return ""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(rounded(value, digits))))
    return f"{value:.{max(0, decimals)}f}"


def quantity(value: float | None, unit: str, digits: int = 4) -> str:
    """``value`` with the prefix that suits it and its unit: ``812.4 TFLOP/s``; empty if absent."""
    if value is None or not math.isfinite(value):
        return ""
    symbol = prefix(value, digits)
    return f"{number(value / FACTORS[symbol], digits)} {symbol}{unit}".rstrip()


def stated(value: float, u: float, most_decimals: int = 12) -> tuple[str, str]:
    """``value`` and its uncertainty ``u``, in the same unit, as texts for ``value ± u``: ``u`` with two significant
    digits, ``value`` to the same place. With more decimals than ``most_decimals``, ``u`` is rounded up to those."""
    if u <= 0 or not math.isfinite(u):
        return number(value, 4), "0"
    place = math.floor(math.log10(rounded(u, 2))) - 1
    if -place > most_decimals:
        place = -most_decimals
        u = max(math.ceil(u * 10.0**most_decimals - 1e-9), 1) / 10.0**most_decimals
    return f"{round(value, -place):.{max(0, -place)}f}", f"{round(u, -place):.{max(0, -place)}f}"


def percent(ratio: float | None, digits: int = 3) -> str:
    """A ratio as a percentage without its sign: 0.7134 is ``71.3``."""
    return number(None if ratio is None else 100 * ratio, digits)


def binary(size_bytes: float | None) -> str:
    """The size of a memory: ``80 GiB``; trailing zeros are left out, because such sizes are exact."""
    if size_bytes is None or not math.isfinite(size_bytes):
        return ""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size_bytes >= 2**power:
            text = number(size_bytes / 2**power, 4)
            return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"
    return f"{size_bytes:g} B"


def numeric(text: str) -> bool:
    """Whether ``text`` is a plain number as :func:`number` writes it."""
    return bool(text) and text.lstrip("-").replace(".", "", 1).isdecimal()


def align(texts: Sequence[str], digit: str = " ", point: str = " ") -> list[str]:
    """Pad the numbers among ``texts`` on the right so that, set flush right, their decimal points stand in line.

    ``digit`` and ``point`` are blanks as wide as a digit and as a point in the font at hand. Words stay as they are.
    """
    numbers = [t for t in texts if numeric(t)]
    longest = max((len(t.partition(".")[2]) for t in numbers), default=0)
    padded = []
    for text in texts:
        if numeric(text):
            decimals = text.partition(".")[2]
            missing = point if longest and not decimals else ""
            padded.append(text + missing + digit * (longest - len(decimals)))
        else:
            padded.append(text)
    return padded
