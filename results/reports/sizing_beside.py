"""Sites, or plants, beside each other: the rows that page, console, workbook and table of a comparison share.

A site that has no water, no chiller or no heat to hand over has 0 of it, and 0 is a figure; only what a site says
nothing about is absent. The plant and the weather are named first, as most of what differs goes back to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from perwatt.results.reports.sizing_tables import parts
from perwatt.results.size.parameter import Kind
from perwatt.results.size.sizing import Line, Sizing

# Sites beside each other: what the request says, then a caption and its line. A row of what a site may not have at all
# ("used") is there if one of them has it; of all others 0 is a figure.
HANDED_OVER = "kpi.heat.handed_over"
WORDS = (("weather of", "station"), ("plant", "plant"))
COMPARED: tuple[tuple[str, str, str], ...] = (
    ("grid connection", "power.site.recommended", ""),
    ("nameplates would ask for", "power.site.nameplate", ""),
    ("into the UPS", "power.ups.recommended", ""),
    ("breaker of a rack", "feeds.rack.rating", ""),
    ("dry bulb of the design hour", "cooling.design_db", ""),
    ("PUE in the design hour", "cooling.pue_peak", ""),
    ("PUE of the year", "kpi.pue", ""),
    ("energy of the year (EDC)", "year.edc", ""),
    ("hours in which a chiller helps", "year.chiller_hours", ""),
    ("of them, hours in which it helps the coolant", "year.chiller_hours_liquid", ""),
    ("water of the year (WIN)", "year.water", ""),
    ("WUE", "kpi.wue", ""),
    ("heat handed over (EREUSE)", HANDED_OVER, "used"),
    ("ERF", "kpi.erf", ""),
    ("CO2 of the year", "kpi.co2", ""),
    ("CUE", "kpi.cue", ""),
)
CARBON = "site.grid.carbon_g_kwh"


@dataclass(frozen=True)
class Compared:
    """A row of sites beside each other: ``words`` or ``lines``, one a site; None: the site has none."""

    caption: str
    key: str
    words: Sequence[str | None]
    lines: Sequence[Line | None]


def compared(sizings: Sequence[Sizing]) -> list[Compared]:
    """What several sites are compared by: words of the request, then figures; rows that none of them has left out."""
    told = [(caption, [str(s.request.get(key) or "") or None for s in sizings]) for caption, key in WORDS]
    made = [Compared(caption, "", words, []) for caption, words in told if any(words)]
    for caption, key, reads in COMPARED:
        found = [_found(sizing, key) for sizing in sizings]
        for part in dict.fromkeys(name for one in found for name in one):
            title = f"{caption}, {part}" if part and sum(bool(name) for name in found[0]) > 1 else caption
            lines = [one.get(part) for one in found]
            if reads != "used" or any(line is not None and line.value for line in lines):
                own = key if not part else next(line.key for line in lines if line is not None)
                made.append(Compared(title, own, [], lines))
    carbon = [_carbon(sizing) for sizing in sizings]
    if any(carbon):
        made.append(Compared("carbon of the grid", CARBON, [], carbon))
    return made


def _found(sizing: Sizing, key: str) -> dict[str, Line]:
    """The lines of ``key`` by part; a site whose ERF is 0 hands over no heat, whether it says so or not."""
    found = parts(sizing, key)
    erf = parts(sizing, "kpi.erf").get("")
    if not found and key == HANDED_OVER and erf is not None and erf.value == 0:
        return {"": Line(key, "kpi", "", "heat handed over (EREUSE)", 0.0, "J", erf.kind, erf.basis)}
    return found


def _carbon(sizing: Sizing) -> Line | None:
    """The grid's carbon factor, an input, as a line."""
    for path, low, mode, high, unit, kind, source in sizing.inputs:
        if path == CARBON:
            spread = (low, high) if low != high else (None, None)
            return Line(path, "kpi", "", "carbon of the grid", mode, unit, cast(Kind, kind), source, *spread)
    return None
