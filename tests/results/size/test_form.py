"""The EU's form filled in from a sizing: values in the form's units, and empty cells that say why."""

from __future__ import annotations

import pytest

from perwatt.results.size.form import form
from perwatt.results.size.model import size
from perwatt.results.size.request import Request
from tests.fleets_of import bins, changed_site, entry, measured, request

SITE = changed_site(
    electrical={"ups_topology": "4N3R", "transformer_topology": "2N"},
    reuse={"fraction": {"mode": 0.25, "unit": "1", "source": "test"}},
    grid={"renewable": {"mode": 0.5, "unit": "1", "source": "test"}},
    cooling={"plant": "tower"},
)


def rows(asked: Request) -> dict[str, tuple[str, ...]]:
    """By symbol, or by name where there is none."""
    sizing = size(asked, bins(asked.climate))
    header, *found = form(asked, sizing)
    assert header == ("point", "symbol", "name", "unit", "value", "basis or reason")
    assert {len(row) for row in found} == {6}
    return {f"{row[0]} {row[1] or row[2]}": row for row in found}


def value(found: dict[str, tuple[str, ...]], key: str) -> str:
    return next(row[4] for name, row in found.items() if name.endswith(f" {key}"))


def test_energies_water_and_heat_are_those_of_the_sizing() -> None:
    asked = request(entry("gb200_nvl72", units=100), site=SITE)
    found = rows(asked)
    sizing = size(asked, bins(asked.climate))
    for symbol, key, per_unit in (
        ("EDC", "year.edc", 3.6e6),
        ("EIT", "year.eit", 3.6e6),
        ("WIN", "year.water", 1.0),
        ("EREUSE", "kpi.heat.handed_over", 3.6e6),
        ("TWH", "cooling.facility_return", 1.0),
    ):
        line = sizing.line(key).value
        assert line
        assert float(value(found, symbol)) == pytest.approx(line / per_unit, rel=1e-4), symbol
    assert float(value(found, "PDIT")) == pytest.approx(1.08 * 13_200)
    assert float(value(found, "ERES-TOT")) == pytest.approx(float(value(found, "EDC")) / 2, rel=1e-4)
    assert float(value(found, "CDD")) == pytest.approx(asked.climate.cdd21)
    for symbol in ("PUE", "WUE", "ERF"):
        line = sizing.line(f"kpi.{symbol.lower()}").value
        assert line
        assert float(value(found, symbol)) == pytest.approx(line, rel=1e-3), symbol


def test_renewable_energy_that_nobody_stated_is_no_answer() -> None:
    found = rows(request(entry("gb200_nvl72", units=100), site=changed_site()))
    assert value(found, "ERES-TOT") == value(found, "REF") == ""
    none_of_it = changed_site(grid={"renewable": {"mode": 0.0, "unit": "1", "source": "the request", "kind": "given"}})
    found = rows(request(entry("gb200_nvl72", units=100), site=none_of_it))
    assert value(found, "ERES-TOT") == value(found, "REF") == "0"


def test_redundancy_is_told_in_the_forms_own_words() -> None:
    found = rows(request(entry("gb200_nvl72", units=100), site=SITE))
    assert value(found, "electrical redundancy, high voltage") == "2N"
    assert value(found, "electrical redundancy, low voltage (line-up)") == "N+1"  # 4N3R
    assert value(found, "electrical redundancy, rack") == "2N"
    assert value(found, "cooling redundancy, rack") == "N+1"


def test_two_spares_are_told_as_one_for_want_of_a_word() -> None:
    site = changed_site(electrical={"transformer_topology": "N+2", "ups_topology": "N"})
    found = rows(request(entry("gb200_nvl72", units=100), site=site))
    assert value(found, "electrical redundancy, high voltage") == "N+1"
    assert value(found, "electrical redundancy, low voltage (line-up)") == "N"


def test_a_rack_whose_supplies_do_not_outlive_a_path_has_no_redundancy() -> None:
    # of 4+2 supplies on two paths three are left: a DGX H100 goes down
    key = "electrical redundancy, rack"
    assert value(rows(request(entry(units=8), site=SITE)), key) == "N"
    assert value(rows(request(entry("gb200_nvl72", units=8), entry(units=8), site=SITE)), key) == "N"


def test_what_a_sizing_cannot_know_is_empty_and_says_why() -> None:
    found = rows(request(entry("gb200_nvl72", units=100), site=SITE))
    for symbol in ("SDC", "CSERV", "EDC-BG", "WIN-POT"):
        assert value(found, symbol) == "", symbol
    empty = [row for row in found.values() if not row[4]]
    assert len(empty) > 15
    assert all(row[5] for row in found.values())


def test_a_fleet_in_air_has_no_coolant_to_report() -> None:
    found = rows(request(entry(units=64, load=measured())))
    assert value(found, "cooling redundancy, rack") == ""
    # water of the air handlers comes back at 21 + 8; nothing of its heat is handed over
    assert float(value(found, "TWH")) == 29
    assert float(value(found, "EREUSE")) == 0
