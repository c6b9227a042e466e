"""The form of Delegated Regulation (EU) 2024/1364, its size classes, and the rules that a centre meets."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import msgspec
import pytest

from perwatt.results.size.eed import FIELDS, HEADER, Row, cells, report, size_class
from perwatt.results.size.eed_duties import UNION, duties
from perwatt.results.size.kpi import J_PER_MWH
from perwatt.results.size.model import size
from perwatt.results.size.sizing import Line
from tests.fleets_of import bins, entry, request

# Annex II as published, point by point
SYMBOLS = {
    "1(a)": "PDIT", "1(b)": "SDC", "1(c)": "SCR", "1(d)": "EDC EDC-BG", "1(e)": "EIT", "1(f)": "", "1(g)": "CBtG",
    "1(h)": "WIN", "1(i)": "WIN-POT", "1(j)": "EREUSE", "1(k)": "TWH", "1(l)": "TIN", "1(m)": "", "1(n)": "CDD",
    "1(o)": "ERES-TOT", "1(p)": "ERES-GOO", "1(q)": "ERES-PPA", "1(r)": "ERES-OS",
    "2(a)": "CSERV", "2(b)": "CSTOR", "3(a)": "BIN", "3(b)": "BOUT", "3(c)": "TIN", "3(d)": "TOUT",
}  # fmt: skip


def filled(**values: float | str | None) -> tuple[Row, ...]:
    return report(values, {key: "the sizing" for key, value in values.items() if value is not None})


def row(rows: tuple[Row, ...], symbol: str) -> Row:
    return next(line for line in rows if line.symbol == symbol)


def test_the_form_has_every_point_of_annex_ii_in_order() -> None:
    found: dict[str, list[str]] = {}
    for field in FIELDS:
        if field.point.startswith("Annex II "):
            found.setdefault(field.point.removeprefix("Annex II "), []).append(field.symbol)
    assert {point: " ".join(filter(None, symbols)) for point, symbols in found.items()} == SYMBOLS
    assert list(found) == list(SYMBOLS)


def test_units_are_those_of_the_regulation() -> None:
    units = {field.key: field.unit for field in FIELDS}
    for key in ("edc_j", "edc_bg_j", "eit_j", "ereuse_j", "eres_tot_j"):
        assert units[key] == "kWh"
    assert (units["pdit_w"], units["win_m3"], units["twh_c"], units["cdd21"]) == ("kW", "m3", "C", "K d")


def test_an_empty_form_is_empty_and_every_line_says_why() -> None:
    rows = report({}, {})
    assert all(line.value is None and line.note for line in rows)
    assert len(rows) == len(FIELDS) + 5


def test_figures_are_turned_into_the_forms_units_and_the_indicators_follow() -> None:
    rows = filled(
        pdit_w=2.5e6, edc_j=12e3 * J_PER_MWH, eit_j=10e3 * J_PER_MWH, win_m3=2e3, ereuse_j=3e3 * J_PER_MWH, twh_c=45.0,
        redundancy_lv="N+1",
    )  # fmt: skip
    assert row(rows, "PDIT").value == pytest.approx(2500)
    assert row(rows, "EDC").value == pytest.approx(12e6)
    assert row(rows, "TWH").value == 45.0
    assert [row(rows, name).value for name in ("PUE", "WUE", "ERF")] == pytest.approx([1.2, 0.2, 0.25])
    assert row(rows, "REF").value is None
    assert row(rows, "REF").note == "REF = ERES-TOT / EDC: a term is missing"
    assert next(line for line in rows if "low voltage" in line.name).value == "N+1"


def test_no_water_is_an_answer_and_unknown_water_is_none() -> None:
    dry = filled(edc_j=12.0, eit_j=10.0, win_m3=0.0)
    assert row(dry, "WIN").value == 0.0
    assert row(dry, "WUE").value == 0.0
    unknown = report({"edc_j": 12.0, "eit_j": 10.0}, {"edc_j": "a", "eit_j": "a", "win_m3": "no plant is chosen"})
    assert row(unknown, "WIN") == Row("Annex II 1(h)", "WIN", "total water input", "m3", None, "no plant is chosen")
    assert row(unknown, "WUE").value is None


def test_renewable_energy_is_the_sum_of_its_three_parts() -> None:
    parts = {"eres_goo_j": 5.0 * J_PER_MWH, "eres_ppa_j": 3.0 * J_PER_MWH, "eres_os_j": 1.0 * J_PER_MWH}
    assert row(filled(**parts), "ERES-TOT").value == pytest.approx(9000)
    with pytest.raises(ValueError, match=r"eres_tot_j: found .* the sum of its three parts"):
        filled(**parts, eres_tot_j=8.0 * J_PER_MWH)
    two = {key: parts[key] for key in ("eres_goo_j", "eres_ppa_j")}
    assert row(filled(**two), "ERES-TOT").value is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"edc_j": -1.0}, "edc_j: found -1; allowed a finite number of 0 or more"),
        ({"edc_j": float("inf")}, "edc_j: found inf"),
        ({"edc_j": 9.0, "eit_j": 10.0}, "eit_j: found 10; allowed 9 at most, which edc_j is"),
        ({"win_m3": 1.0, "win_pot_m3": 2.0}, "win_pot_m3: found 2; allowed 1 at most"),
        ({"edc_jj": 1.0}, "edc_jj: found no such line of the form; allowed edc_j"),
    ],
)
def test_impossible_figures_are_refused_in_one_line(values: dict[str, float | str | None], words: str) -> None:
    with pytest.raises(ValueError, match=f"^[^\n]*{re.escape(words)}[^\n]*$"):
        filled(**values)


def test_a_value_without_what_it_rests_on_is_refused() -> None:
    with pytest.raises(ValueError, match="edc_j: found a value without a note"):
        report({"edc_j": 1.0}, {})


def test_cells_are_a_table_with_empty_cells_for_what_is_missing() -> None:
    table = cells(filled(pdit_w=2.5e6))
    assert table[0] == HEADER
    assert all(len(line) == len(HEADER) for line in table)
    assert ("Annex II 1(a)", "PDIT", "installed IT power demand (nominal)", "kW", "2500", "the sizing") in table
    assert [line[4] for line in table if line[1] == "EDC"] == [""]


@pytest.mark.parametrize(
    ("pdit_w", "name"),
    [
        (99e3, None),
        (100e3, "very small (100-500 kW)"),
        (499e3, "very small (100-500 kW)"),
        (500e3, "small (500-1 000 kW)"),
        (1e6, "medium (1-2 MW)"),
        (2e6, "large (2-10 MW)"),
        (10e6, "large (2-10 MW)"),
        (10.1e6, "very large (> 10 MW)"),
    ],
)
def test_size_classes_of_annex_iv(pdit_w: float, name: str | None) -> None:
    assert size_class(pdit_w) == name


def applying(pdit_w: float, input_w: float, country: str) -> dict[str, bool | None]:
    return {
        duty.rule.partition(" Art. ")[2].partition(",")[0]: duty.applies for duty in duties(pdit_w, input_w, country)
    }


def test_reporting_begins_at_500_kw_and_heat_reuse_above_1_mw_of_input() -> None:
    assert applying(499e3, 900e3, "DK") == {"12(1)": False, "12(4)": False, "26(6)": False, "26(7)": False}
    assert applying(500e3, 1e6, "DK") == {"12(1)": True, "12(4)": False, "26(6)": False, "26(7)": False}
    assert applying(999e3, 1.1e6, "DK") == {"12(1)": True, "12(4)": False, "26(6)": True, "26(7)": True}
    assert applying(1e6, 1.3e6, "dk")["12(4)"] is True
    # nominal IT power is more than a centre sized on measurement takes in
    assert applying(1.2e6, 0.9e6, "DK") == {"12(1)": True, "12(4)": True, "26(6)": False, "26(7)": False}


def test_the_unions_rules_do_not_apply_elsewhere_and_are_open_where_no_country_is_named() -> None:
    assert set(applying(5e6, 6e6, "US").values()) == {False}
    assert set(applying(5e6, 6e6, "").values()) == {None}
    assert applying(99e3, 1e5, "")["12(1)"] is False
    assert len(UNION) == 27


def test_germany_asks_for_more_the_later_a_centre_opens() -> None:
    def asked(day: datetime.date, pue: float | None = None, erf: float | None = None) -> list[tuple[str, bool | None]]:
        found = duties(5e6, 6e6, "DE", opening=day, pue=pue, erf=erf)[4:]
        return [(duty.text.partition(" at ")[0], duty.met) for duty in found]

    assert asked(datetime.date(2026, 7, 1), 1.2, 0.1) == [("PUE of 1.2", True), ("ERF of 0.1", True)]
    assert asked(datetime.date(2027, 12, 31), 1.21, 0.14) == [("PUE of 1.2", False), ("ERF of 0.15", False)]
    assert asked(datetime.date(2028, 7, 1)) == [("PUE of 1.2", None), ("ERF of 0.2", None)]
    assert asked(datetime.date(2026, 6, 30), pue=1.4) == [("PUE of 1.5", None)]
    assert len(duties(5e6, 6e6, "DK", opening=datetime.date(2028, 7, 1))) == 4
    assert duties(5e6, 6e6, "DE")[4].applies is None
    assert duties(200e3, 299e3, "DE")[4].applies is False


@pytest.mark.parametrize(
    ("pdit_w", "input_w", "country", "words"),
    [
        (-1.0, 1.0, "DK", "pdit_w: found -1"),
        (1e6, float("nan"), "DK", "rated_input_w: found nan"),
        (1e6, 2e6, "Denmark", "country: found 'Denmark'; allowed a two-letter code"),
    ],
)
def test_impossible_centres_are_refused(pdit_w: float, input_w: float, country: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        duties(pdit_w, input_w, country)


def test_a_site_says_which_rules_it_meets_and_of_which_size_it_is() -> None:
    def told(units: int, **changes: object) -> dict[str, str]:
        asked = request(entry(units=units))
        asked = msgspec.structs.replace(asked, site=msgspec.structs.replace(asked.site, **changes))
        lines = size(asked, bins(asked.climate)).lines
        found = [line for line in lines if line.section == "duties"]
        rated = (pytest.approx(1.08 * units * 10_200.0), lines_of(lines)["power.site.recommended"])
        assert all(line.value in rated for line in found)
        return {line.label.partition(": ")[0].rpartition("Art. ")[2]: line.label.partition(": ")[2] for line in found}

    # 50 x 10.2 kW: reported, with less than 1 MW from the grid
    small = told(50)
    assert {rule.partition(",")[0]: said for rule, said in small.items()} == {
        "12(1)": "applies", "12(4)": "does not apply", "26(6)": "does not apply", "26(7)": "does not apply"
    }  # fmt: skip
    assert set(told(200).values()) == {"applies"}
    assert set(told(200, country="").values()) == {"may apply"}
    assert told(200, country="US") == {}
    german = told(200, country="DE", opening=datetime.date(2028, 8, 1))
    assert german["EnEfG section 11(2) no. 2"] == "applies, not met"  # no heat is handed over
    assert told(200, country="DE")["EnEfG section 11"] == "may apply"


def lines_of(lines: Sequence[Line]) -> dict[str, float | None]:
    return {line.key: line.value for line in lines}


@pytest.mark.parametrize(("pdit_w", "name"), [(3e6, "large (2-10 MW)"), (50e3, None), (None, None)])
def test_the_form_tells_the_category_of_size(pdit_w: float | None, name: str | None) -> None:
    values = {} if pdit_w is None else {"pdit_w": pdit_w}
    row = report(values, dict.fromkeys(values, "said"))[-1]
    assert (row.point, row.value) == ("Annex IV", name)
