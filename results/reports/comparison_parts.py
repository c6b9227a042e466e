"""What all parts of a comparison's text are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perwatt.results.compare.ratio import Ratio
from perwatt.results.reports.units import number

ABSENT = "\u2013"
NOT_KNOWN = "not known"
UNITS = {"FLOP": "FLOP", "byte": "B", "bus byte": "B", "sample": "sample", "nothing": ""}


@dataclass(frozen=True)
class Section:
    """One table: ``head`` names the columns, the first of which is words."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()


def ratio_text(ratio: Ratio | None) -> str:
    """``1.234 (1.211 to 1.257)``, set with a dash, to two digits of the interval's half width."""
    if ratio is None:
        return ABSENT
    if ratio.low is None or ratio.high is None:
        return f"{number(ratio.value, 4)} ({NOT_KNOWN})"
    half = (ratio.high - ratio.low) / 2
    decimals = 3 if half <= 0 else max(0, min(3, 1 - math.floor(math.log10(half))))
    return f"{ratio.value:.{decimals}f} ({ratio.low:.{decimals}f}{ABSENT}{ratio.high:.{decimals}f})"
