"""Work per euro, as a section of text."""

from __future__ import annotations

from perwatt.results.compare.comparison import Comparison
from perwatt.results.reports.comparison_parts import ABSENT, UNITS, Section, ratio_text
from perwatt.results.reports.units import quantity


def priced(found: Comparison) -> list[Section]:
    """A table of every case of every run, with what it rests on."""
    if found.bought is None:
        return []
    letters = found.letters
    currency = found.bought.currency
    rows = [
        (
            f"{letters[v.run]}: {v.kernel} {v.label}",
            *(quantity(x, f"{UNITS[v.unit]}/{currency}") for x in (v.ratio.reference_value, v.ratio.run_value)),
            ratio_text(v.ratio),
            v.ratio.verdict,
            f"{100 * v.energy_part[1]:.0f} %, {100 * v.energy_part[0]:.0f} %",
        )
        for v in found.bought.values
    ]
    if not rows and found.bought.left_out:
        rows = [("none of the cases", *[ABSENT] * 5)]
    where = sorted({v.boundary for v in found.bought.values})
    rest = "power at rest counts" if all(v.idle for v in found.bought.values) else "power at rest is not in it"
    remarks = [
        *(f"power at {boundary}; {rest}" for boundary in where),
        *found.bought.basis,
        *(f"left out: {text}" for text in found.bought.left_out),
    ]
    head = ("case", "reference", "run", "ratio", "", "energy's part of the cost")
    return [Section(f"Work per {currency} over the life of the hardware", head, tuple(rows), tuple(remarks))]
