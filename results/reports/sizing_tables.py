"""What every report of a sizing shares: the order of its sections, the headline, the decision, and power by level.

Console, HTML, PDF and workbook print these in the texts of :mod:`sizing_values`, so that no two of them disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from perwatt.results.reports.sizing_candidates import candidates
from perwatt.results.reports.sizing_values import shown
from perwatt.results.size.sizing import Line, Section, Sizing

SECTIONS: dict[Section, str] = {
    "fleet": "What stands there",
    "power": "Power, level by level",
    "feeds": "Feeds and breakers",
    "redundancy": "Units and redundancy",
    "cooling": "Cooling at the design hour",
    "year": "The year",
    "transients": "Transients",
    "kpi": "Key figures by EU 2024/1364 and ISO 30134",
    "duties": "Rules of the EU and of Germany, to be checked",
    "work": "Work per facility energy",
    "savings": "What the measurement is worth",
}
LEVELS = ("gpu", "unit", "rack", "row", "support", "ups", "transformer", "site")
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
LIFTED = "The power of its GPUs was measured; all else is modelled from it."
LIFTED_DC = "Its power was measured behind its supplies; their losses are modelled."
UNMEASURED = "Nothing of it was measured here: published and assumed figures stand in."
# What a person asks first: a caption, and the line that answers it, whose key may name a part of the fleet besides.
HEADLINES: tuple[tuple[str, str], ...] = (
    ("grid connection", "power.site.recommended"),
    ("into the UPS", "power.ups.recommended"),
    ("racks", "fleet.racks"),
    ("one rack", "power.rack.recommended"),
    ("breaker of a rack", "feeds.rack.rating"),
    ("PUE of the year", "kpi.pue"),
    ("PUE in the design hour", "cooling.pue_peak"),
    ("energy of the year", "year.edc"),
    ("water of the year", "year.water"),
    ("coolant", "cooling.liquid_flow"),
    ("heat handed over", "kpi.heat.handed_over"),
)


@dataclass(frozen=True)
class Level:
    """A row of power by level: the lines by column, absent where the sizing has none."""

    name: str
    lines: dict[str, Line]


def sections(sizing: Sizing) -> Iterator[tuple[Section, str, tuple[Line, ...]]]:
    """The sections that have lines, in the order in which they are read, each with its title."""
    for section, title in SECTIONS.items():
        lines = tuple(line for line in sizing.lines if line.section == section)
        if lines:
            yield section, title, lines


def parts(sizing: Sizing, key: str) -> dict[str, Line]:
    """The lines of ``key`` by the part of the fleet that they are of: ``feeds.rack.rating`` finds itself (the part is
    empty) and ``feeds.h100.rack.rating``. Those without a value are left out."""
    wanted = key.split(".")
    found = {}
    for line in sizing.lines:
        names = line.key.split(".")
        extra = [name for name in names if name not in wanted]
        known = [name for name in names if name not in extra]
        if line.value is not None and known == wanted and names[0] == wanted[0] and len(extra) <= 1:
            found["".join(extra)] = line
    return found


def headlines(sizing: Sizing) -> list[tuple[str, Line]]:
    """What stands at the top, in order: a caption and its line; what is absent or 0 is not at the top, but for
    water: none is an answer."""
    return [
        (f"{caption}, {part}" if part and len(found) > 1 else caption, line)
        for caption, key in HEADLINES
        for found in (parts(sizing, key),)
        for part, line in found.items()
        if line.value or key == "year.water"
    ]


def levels(sizing: Sizing) -> tuple[dict[str, str], list[Level]]:
    """Power by level: the columns that any level has (key, title), and the levels from the chip up.

    A line of the section power is in the column that its key ends with; what else its key says beside the level, the
    name of a part of the fleet, is in the row where there are several.
    """
    rows: dict[tuple[str, str], dict[str, Line]] = {}
    for line in sizing.lines:
        _, *middle, column = line.key.split(".")
        if line.section == "power" and line.level in LEVELS and column in COLUMNS:
            part = " ".join(word for word in middle if word != line.level)
            rows.setdefault((line.level, part), {})[column] = line
    present = [key for key in COLUMNS if any(key in row for row in rows.values())]
    several = len({part for _, part in rows if part}) > 1
    names = {"ups": "UPS", "gpu": "GPU", "unit": "one unit", "rack": "one rack", "row": "one row",
             "support": "network, storage, management"}  # fmt: skip
    made = [
        Level(" ".join((names.get(level, level), part if several else "")).strip(), rows[level, part])
        for level, part in sorted(rows, key=lambda name: LEVELS.index(name[0]))
    ]
    return {key: COLUMNS[key] for key in present}, made


def tabled(sizing: Sizing) -> set[str]:
    """The keys of the lines that stand side by side in a table of their own, before the sections."""
    tables = [row.lines for row in candidates(sizing)] + [row.lines for row in levels(sizing)[1]]
    return {line.key for lines in tables for line in lines.values()}


def decision(sizing: Sizing) -> str:
    """Under a limit what does the most work; what to provide, what nameplates would have asked for, and whether
    anything of it was measured."""
    found = {line.key: line for line in sizing.lines if line.value is not None}
    site = found.get("power.site.recommended")
    if site is None or not site.value:
        return ""
    return f"{_most_work(found)}{_provided(site, found)}{_evidence(sizing)}"


def _most_work(found: Mapping[str, Line]) -> str:
    """Of what could stand under a limit, the most work and what comes next; nothing where no limit was asked for."""
    choices = [key.removesuffix(".units") for key in found if key.startswith("limit.") and key.endswith(".units")]
    ranked = sorted(choices, key=lambda key: -(_of(found, f"{key}.work") or 0.0))
    if not ranked or not _of(found, f"{ranked[0]}.units"):
        return ""
    best = found[f"{ranked[0]}.units"]
    limit = re.search(r"under (\S+ \S?W)\b", best.basis)
    under = f"under {limit[1]}" if limit else "under the limit"
    gpus = found.get(f"{ranked[0]}.gpus")
    said = _counted(best) + (f" ({shown(gpus.value, gpus.unit)} GPUs)" if gpus else "")
    if (work := found.get(f"{ranked[0]}.work")) is None:
        return f"{said} fit {under}; their work is not counted. "
    verb = "does" if best.value == 1 else "do"
    said += f" {verb} the most work {under}, {shown(work.value, work.unit, digits=3)} a year"
    rest = [
        f"{_counted(found[f'{key}.units'])} would do {shown(other.value, other.unit, digits=3)}"
        for key in ranked[1:3]
        if (other := found.get(f"{key}.work")) is not None
    ]
    return f"{said}{'; ' * bool(rest)}{', '.join(rest)}. "


def _counted(line: Line) -> str:
    """So many of what the label of the line is about."""
    return f"{shown(line.value, line.unit)} {line.label.partition(':')[0]}"


def _of(found: Mapping[str, Line], key: str) -> float | None:
    return found[key].value if key in found else None


def _provided(site: Line, found: Mapping[str, Line]) -> str:
    if site.high is None:
        said = f"Provide {shown(site.value, site.unit, digits=3)} at the grid connection"
    else:
        said = f"Provide {shown(site.high, site.unit, digits=3)} at the grid connection, enough in 95 of 100 draws of "
        said += f"what is not known ({shown(site.value, site.unit, digits=3)} with every input at its likeliest)"
    other = found.get("power.site.nameplate")
    if other is not None and other.value:
        asked, provided = other.high or other.value, site.high or site.value or 0.0
        said += f"; nameplates would ask for {shown(asked, other.unit, digits=3)}"
        if asked - provided >= 0.005 * asked:
            said += f", {shown(asked - provided, site.unit, digits=3)} more than is needed"
    return f"{said}."


def _evidence(sizing: Sizing) -> str:
    """What of it was measured, where not all of the loads are a unit's own."""
    if any(line.kind == "measured" and line.level != "gpu" for line in sizing.lines):
        return ""
    fleet = sizing.request.get("fleet")
    entries = [entry for entry in fleet if isinstance(entry, dict)] if isinstance(fleet, list | tuple) else []
    # without a measured figure a load that does not say that it was not measured was lifted to its input
    told = [str(e.get("load")) for e in entries if e.get("kind") == "modelled"]
    lifted = [load for load in told if "not measured" not in load]
    if not lifted:
        return f" {UNMEASURED}"
    return f" {LIFTED_DC if all('behind its supplies' in load for load in lifted) else LIFTED}"


def kinds(lines: Sequence[Line]) -> dict[str, int]:
    """How many of ``lines`` are of each kind, in the order of :data:`KINDS`, kinds without any left out."""
    counted = {kind: sum(line.kind == kind for line in lines) for kind in KINDS}
    return {kind: n for kind, n in counted.items() if n}
