"""What each indicator of a data centre is: its name, formula and unit, and the law and the standards that define it.

Annex III of Delegated Regulation (EU) 2024/1364 asks for four; ISO/IEC 30134 and EN 50600-4, whose parts bear the same
numbers, define those and others; ERE is of The Green Grid. Texts are paraphrases. The arithmetic is in
:mod:`perwatt.results.size.kpi`.
"""

from __future__ import annotations

from typing import NamedTuple

REGULATION = "Delegated Regulation (EU) 2024/1364"


class Indicator(NamedTuple):
    """What an indicator is. ``key`` as in :func:`perwatt.results.size.kpi.indicators`; ``unit`` as it is reported;
    ``regulation``: the point of Annex III that asks for it, empty if none does; ``iso`` and ``en``: the standards,
    empty where it is in none."""

    key: str
    symbol: str
    name: str
    unit: str
    formula: str
    text: str
    regulation: str
    iso: str
    en: str

    @property
    def basis(self) -> str:
        """Formula and where it stands, on one line."""
        asked = f"{REGULATION} {self.regulation}" if self.regulation else ""
        stands = "; ".join(filter(None, [asked, self.iso, self.en])) or "The Green Grid, white paper 29"
        return f"{self.formula} ({stands})"


def _standard(part: int) -> tuple[str, str]:
    return f"ISO/IEC 30134-{part}", f"EN 50600-4-{part}"


INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "pue", "PUE", "power usage effectiveness", "1", "PUE = EDC / EIT",
        "all energy at the centre's input over the energy at the UPS outputs that feed IT equipment",
        "Annex III(a)", *_standard(2),
    ),
    Indicator(
        "wue", "WUE", "water usage effectiveness", "m3/MWh", "WUE = WIN / EIT, EIT in MWh",
        "all water that enters the centre over the energy of the IT equipment; 1 m3/MWh = 1 L/kWh",
        "Annex III(b)", *_standard(9),
    ),
    Indicator(
        "erf", "ERF", "energy reuse factor", "1", "ERF = EREUSE / EDC",
        "heat handed over at the boundary, less what cools the centre itself, over all energy at its input",
        "Annex III(c)", *_standard(6),
    ),
    Indicator(
        "ref", "REF", "renewable energy factor", "1", "REF = ERES-TOT / EDC",
        "energy with retired guarantees of origin, of power purchase agreements and from the site, over all energy",
        "Annex III(d)", *_standard(3),
    ),
    Indicator(
        "cue", "CUE", "carbon usage effectiveness", "kg/kWh", "CUE = CO2 / EIT",
        "CO2 equivalent of the energy consumed in operation over the energy of the IT equipment",
        "", *_standard(8),
    ),
    Indicator(
        "ere", "ERE", "energy reuse effectiveness", "1", "ERE = (EDC - EREUSE) / EIT = PUE (1 - ERF)",
        "energy that is not handed on over the energy of the IT equipment; below 1 where more heat is handed over "
        "than the centre needs beside its IT equipment",
        "", "", "",
    ),
    Indicator(
        "cer", "CER", "cooling efficiency ratio", "1", "CER = heat removed / energy of the cooling system",
        "heat removed from the centre over the electrical energy of all that cools it; without meaning for cooling "
        "that is not driven by electricity",
        "", *_standard(7),
    ),
)  # fmt: skip
