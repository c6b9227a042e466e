"""The table that a data centre reports under Delegated Regulation (EU) 2024/1364, as rows, in the order of its annexes.

Annex I is what the centre is, Annex II what is measured, Annex III the four indicators that the database derives. A
sizing knows some of it before anything is built: those rows hold a projection, and the reporter replaces it by the
calendar year's measurement. What a sizing cannot know stays empty, and its row says why; nothing is ever 0 for want of
an answer. Texts are paraphrases of the Regulation as published (OJ L, 2024/1364, 17.5.2024), with the point they are
from. Two quantities share the symbol TIN there: the intake air's set point, and incoming traffic.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import NamedTuple

from perwatt.results.size.elementwise import within
from perwatt.results.size.indicator import INDICATORS
from perwatt.results.size.kpi import J_PER_KWH, Annual, eres_tot_j, indicators

W_PER_KW = 1e3
OPERATOR = "the operator's to state"
METERED = "known only when metered"
WEATHER = "of the year's weather, from an open source"
CLOSE = 1e-6  # relative, by which a sum may miss the total that is stated beside it
HEADER = ("point", "symbol", "name", "unit", "value", "basis or reason")


class Field(NamedTuple):
    """A line of the form. ``key`` names the value given to :func:`report`, in SI; ``per_si`` turns it into ``unit``;
    ``absent``: why a sizing has no value."""

    key: str
    point: str
    symbol: str
    name: str
    unit: str
    absent: str
    per_si: float = 1.0


class Row(NamedTuple):
    """A line filled in. ``note``: what the value rests on, or why there is none."""

    point: str
    symbol: str
    name: str
    unit: str
    value: float | str | None
    note: str


KWH = 1 / J_PER_KWH
FIELDS: tuple[Field, ...] = (
    Field("name", "Annex I 1(a)", "", "data centre name", "", OPERATOR),
    Field("owner_operator", "Annex I 1(b)", "", "owner and operator, with contacts", "", OPERATOR),
    Field("lau", "Annex I 1(c)", "", "location: Local Administrative Unit code", "", OPERATOR),
    Field("type", "Annex I 1(d)", "", "enterprise, colocation or co-hosting; structure or group", "", OPERATOR),
    Field("in_operation", "Annex I 1(e)", "", "year and month of entry into operation", "", OPERATOR),
    Field("redundancy_hv", "Annex I 2(a)", "", "electrical redundancy, high voltage", "", OPERATOR),
    Field("redundancy_lv", "Annex I 2(a)", "", "electrical redundancy, low voltage (line-up)", "", OPERATOR),
    Field("redundancy_rack", "Annex I 2(a)", "", "electrical redundancy, rack", "", OPERATOR),
    Field("redundancy_room_cooling", "Annex I 2(b)", "", "cooling redundancy, room", "", OPERATOR),
    Field("redundancy_rack_cooling", "Annex I 2(b)", "", "cooling redundancy, rack", "", OPERATOR),
    Field("pdit_w", "Annex II 1(a)", "PDIT", "installed IT power demand (nominal)", "kW", OPERATOR, 1 / W_PER_KW),
    Field("pdit_metric", "Annex II 1(a)", "", "PDIT is the installed or the rated demand", "", OPERATOR),
    Field("sdc_m2", "Annex II 1(b)", "SDC", "total floor area", "m2", "no building is modelled"),
    Field("scr_m2", "Annex II 1(c)", "SCR", "computer room floor area", "m2", "no building is modelled"),
    Field("edc_j", "Annex II 1(d)", "EDC", "total energy, before the transfer switchgear", "kWh", METERED, KWH),
    Field("edc_bg_j", "Annex II 1(d)", "EDC-BG", "of it from back-up generators", "kWh", METERED, KWH),
    Field("eit_j", "Annex II 1(e)", "EIT", "energy of IT equipment, at the UPS outputs", "kWh", METERED, KWH),
    Field("eit_point", "Annex II 1(e)", "", "where EIT is measured if not at a UPS", "", "else empty"),
    Field("grid_functions", "Annex II 1(f)", "", "functions offered to the grid", "", OPERATOR),
    Field("cbtg_w", "Annex II 1(g)", "CBtG", "battery capacity offered to the grid", "kW", OPERATOR, 1 / W_PER_KW),
    Field("win_m3", "Annex II 1(h)", "WIN", "total water input", "m3", METERED),
    Field("wue_category", "Annex II 1(h)", "", "category of WUE that WIN is of (2, else 1)", "", OPERATOR),
    Field("win_pot_m3", "Annex II 1(i)", "WIN-POT", "potable water input", "m3", "the supply is not modelled"),
    Field("ereuse_j", "Annex II 1(j)", "EREUSE", "waste heat reused, at the handover", "kWh", METERED, KWH),
    Field("twh_c", "Annex II 1(k)", "TWH", "fluid's mean temperature into the room's heat exchanger", "C", METERED),
    Field("tin_c", "Annex II 1(l)", "TIN", "mean set point of the intake air", "C", OPERATOR),
    Field("refrigerants", "Annex II 1(m)", "", "types of refrigerants", "", "no refrigerant is modelled"),
    Field("cdd21", "Annex II 1(n)", "CDD", "cooling degree days of the year, base 21 C", "K d", WEATHER),
    Field("eres_tot_j", "Annex II 1(o)", "ERES-TOT", "renewable energy: the next three", "kWh", OPERATOR, KWH),
    Field("eres_goo_j", "Annex II 1(p)", "ERES-GOO", "from retired guarantees of origin", "kWh", OPERATOR, KWH),
    Field("eres_ppa_j", "Annex II 1(q)", "ERES-PPA", "from power purchase agreements", "kWh", OPERATOR, KWH),
    Field("eres_os_j", "Annex II 1(r)", "ERES-OS", "from on-site renewables", "kWh", OPERATOR, KWH),
    Field("cserv", "Annex II 2(a)", "CSERV", "sum of the servers' SERT active state performance", "1",
          "declared by manufacturers; the rating has no metric for accelerators"),
    Field("cserv_coverage", "Annex II 2(a)", "", "share of the floor area that CSERV covers", "%", OPERATOR, 100.0),
    Field("cstor_pb", "Annex II 2(b)", "CSTOR", "raw capacity of storage equipment", "PB", "no storage is modelled"),
    Field("cstor_coverage", "Annex II 2(b)", "", "share of the floor area that CSTOR covers", "%", OPERATOR, 100.0),
    Field("bin_gb_s", "Annex II 3(a)", "BIN", "provisioned incoming bandwidth", "GB/s", "no traffic is modelled"),
    Field("bout_gb_s", "Annex II 3(b)", "BOUT", "provisioned outgoing bandwidth", "GB/s", "no traffic is modelled"),
    Field("traffic_in_eb", "Annex II 3(c)", "TIN", "incoming data traffic", "EB", "no traffic is modelled"),
    Field("traffic_out_eb", "Annex II 3(d)", "TOUT", "outgoing data traffic", "EB", "no traffic is modelled"),
)  # fmt: skip
PARTS = (("edc_bg_j", "edc_j"), ("eit_j", "edc_j"), ("win_pot_m3", "win_m3"), ("scr_m2", "sdc_m2"))
RENEWABLE = ("eres_goo_j", "eres_ppa_j", "eres_os_j")
TEMPERATURES = ("twh_c", "tin_c")
SIZES: tuple[tuple[float, str], ...] = (
    (100e3, "very small (100-500 kW)"),
    (500e3, "small (500-1 000 kW)"),
    (1e6, "medium (1-2 MW)"),
    (2e6, "large (2-10 MW)"),
)
VERY_LARGE_W = 10e6


def report(values: Mapping[str, float | str | None], notes: Mapping[str, str]) -> tuple[Row, ...]:
    """The whole form. ``values``: by the keys of :data:`FIELDS`, in SI (J, W, m3, m2, C; shares as fractions);
    ``notes``: by the same keys, what a value rests on, or why it is missing. ERES-TOT is summed if its three parts are
    given and it is not. A figure is one number: of a band give its likeliest.

    Raises ValueError, naming the key, for an unknown one, for a figure that is negative or not finite, for a value
    without a note, for a part above its whole, and for an ERES-TOT that is not the sum of its parts.
    """
    known = {field.key for field in FIELDS}
    for key in (*values, *notes):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3)
            raise ValueError(f"{key}: found no such line of the form; allowed {', '.join(near or sorted(known))}")
    filled, said = _renewables(values, notes)
    for key, value in filled.items():
        if isinstance(value, int | float) and not (math.isfinite(value) and (value >= 0 or key in TEMPERATURES)):
            raise ValueError(f"{key}: found {value:g}; allowed a finite number of 0 or more")
        if value is not None and not said.get(key):
            raise ValueError(f"{key}: found a value without a note; allowed what it rests on")
    for part, whole in PARTS:
        low, high = filled.get(part), filled.get(whole)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high * (1 + CLOSE):
            raise ValueError(f"{part}: found {low:g}; allowed {high:g} at most, which {whole} is")
    rows = [_row(field, filled.get(field.key), said.get(field.key, "")) for field in FIELDS]
    return (*rows, *_derived(filled), _category(filled.get("pdit_w")))


def cells(rows: tuple[Row, ...]) -> list[tuple[str, ...]]:
    """The rows as text under :data:`HEADER`, ready to be written as CSV; a missing value is an empty cell."""
    return [
        HEADER,
        *(
            (row.point, row.symbol, row.name, row.unit, _text(row.value), row.note)
            for row in rows
        ),
    ]  # fmt: skip


def size_class(pdit_w: float) -> str | None:
    """The category of Annex IV for an installed IT power in W; None below the smallest. The text lets neighbours share
    their bound: 500 kW is small since reporting begins there, 1 MW medium, 2 MW large; 10 MW is large, as very large is
    above it. Raises ValueError for a power that is not finite or negative."""
    within("pdit_w", pdit_w, 0)
    if pdit_w > VERY_LARGE_W:
        return "very large (> 10 MW)"
    return next((name for least, name in reversed(SIZES) if pdit_w >= least), None)


def _renewables(
    values: Mapping[str, float | str | None], notes: Mapping[str, str]
) -> tuple[dict[str, float | str | None], dict[str, str]]:
    """ERES-TOT filled in, or checked, from its three parts."""
    filled, said = dict(values), dict(notes)
    parts = [number for key in RENEWABLE if isinstance(number := filled.get(key), int | float)]
    if len(parts) == len(RENEWABLE):
        total = float(eres_tot_j(*parts))
        stated = filled.get("eres_tot_j")
        if stated is None:
            filled["eres_tot_j"], said["eres_tot_j"] = total, "ERES-GOO + ERES-PPA + ERES-OS"
        elif isinstance(stated, int | float) and not math.isclose(stated, total, rel_tol=CLOSE):
            raise ValueError(f"eres_tot_j: found {stated:g}; allowed {total:g}, the sum of its three parts")
    return filled, said


def _row(field: Field, value: float | str | None, note: str) -> Row:
    shown = value * field.per_si if isinstance(value, int | float) else value
    return Row(field.point, field.symbol, field.name, field.unit, shown, note or field.absent)


def _category(pdit_w: object) -> Row:
    """The size by which Annex IV publishes."""
    name = size_class(float(pdit_w)) if isinstance(pdit_w, int | float) else None
    note = "by the installed IT power" if name else "PDIT is missing, or below the smallest category, 100 kW"
    return Row("Annex IV", "", "size category", "", name, note)


def _derived(filled: Mapping[str, float | str | None]) -> list[Row]:
    """Annex III, from the figures above."""

    def number(key: str) -> float | None:
        value = filled.get(key)
        return float(value) if isinstance(value, int | float) else None

    edc_j, eit_j = number("edc_j"), number("eit_j")
    found: Mapping[str, object] = {}
    if edc_j and eit_j:
        found = indicators(Annual(edc_j, eit_j, number("win_m3"), number("ereuse_j"), number("eres_tot_j")))
    rows = []
    for item in INDICATORS:
        if item.regulation:
            value = found.get(item.key)
            note = item.formula if isinstance(value, float) else f"{item.formula}: a term is missing"
            rows.append(
                Row(
                    item.regulation,
                    item.symbol,
                    item.name,
                    item.unit,
                    value if isinstance(value, float) else None,
                    note,
                )
            )
    return rows


def _text(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"
