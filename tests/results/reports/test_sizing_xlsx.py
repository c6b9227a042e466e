"""The workbook: its formulas are there, refer to the inputs, and come to what the report says."""

from __future__ import annotations

import io
import math

import msgspec
import pytest
import sizings

from perwatt.results.reports import sizing_cells, sizing_chain, sizing_xlsx
from perwatt.results.size.sizing import Sizing
from tests.workbooks import Calculated

openpyxl = pytest.importorskip("openpyxl")
pytest.importorskip("xlsxwriter")


@pytest.fixture(scope="module")
def data() -> bytes:
    return sizing_xlsx.render(sizings.whole())


def two_parts() -> Sizing:
    """A fleet of two kinds of racks below one UPS."""
    whole = sizings.whole()
    rack, unit = whole.stages[-2:]
    half = [
        msgspec.structs.replace(stage, in_w=stage.in_w / 2, out_w=stage.out_w / 2, count=n)
        for stage, n in ((rack, 24), (unit, 95), (rack, 24), (unit, 96))
    ]
    return msgspec.structs.replace(whole, stages=(*whole.stages[:-2], *half))


def down_to_racks() -> Sizing:
    """A chain whose lowest box is that of the racks: the fleet's line says how many units are in them."""
    return msgspec.structs.replace(sizings.whole(), stages=sizings.stages()[:-1])


@pytest.mark.parametrize("sizing", [sizings.whole(), two_parts(), down_to_racks()], ids=["one", "two", "racks"])
def test_formulas_come_to_what_the_report_says(sizing: Sizing) -> None:
    calculated = Calculated(sizing_xlsx.render(sizing))
    site = sizing.line("power.site.recommended").value
    assert calculated.named("site_in_w") == pytest.approx(site, rel=1e-3)
    book = sizing_chain.build(sizing)
    cells = book.computed
    assert {"site_in_w", "ups_units", "rack_a", "rack_breaker_verdict", "edc_mwh", "pue", "wue", "cue", "ere"} <= {
        c.name for c in cells
    }
    for cell in cells:
        now = calculated.named(cell.name)
        assert now == pytest.approx(cell.value) if isinstance(cell.value, int | float) else now == cell.value
        if isinstance(cell.reported, int | float):
            assert now == pytest.approx(cell.reported, rel=1e-3), cell.name


def test_every_formula_has_a_cached_value_that_it_comes_to(data: bytes) -> None:
    calculated = Calculated(data)
    formulas = 0
    for sheet in calculated.book:
        for row in sheet.iter_rows():
            for cell in row:
                if isinstance(cell.value, str) and cell.value.startswith("="):
                    formulas += 1
                    now = calculated.formula(cell.value, sheet.title)
                    cached = calculated.cached[sheet.title][cell.coordinate].value
                    assert now == (pytest.approx(cached) if isinstance(cached, int | float) else cached)
    assert formulas > 50


def test_no_formula_of_the_chain_holds_a_figure_of_the_report(data: bytes) -> None:
    for cell in sizing_chain.build(sizings.whole()).chain:
        assert not any(len(word) > 4 and word.isdecimal() for word in cell.formula.replace(".", "").split("*"))


@pytest.mark.parametrize(
    ("changed", "name", "expected"),
    [
        ({"unit_count": 382}, "site_in_w", 2 * sizings.SITE_W),
        ({"margin": 0.21}, "it_w", 1.1 * sizings.CHAIN_W),
        ({"ups_efficiency": 1.0, "ups_relative": 1.0}, "ups_loss_w", 0.0),
        ({"ups_module_w": 5e5}, "ups_units", 5),
        ({"ups_topology": "2N"}, "ups_units", 4),
        ({"ups_topology": "4N3R"}, "ups_units", 4),
        ({"unit_count": 382, "ups_topology": "4N3R"}, "ups_units", 8),
        ({"continuous_factor": 1.0, "rack_breaker_a": 63.0}, "rack_breaker_verdict", "too small"),
        ({"voltage_v": 480.0}, "rack_a", 48_000 / (math.sqrt(3) * 480 * 0.98)),
        ({"reuse_fraction": 0.4}, "ere", sizings.PUE - 0.2 * sizings.DISTRIBUTION),
        ({"carbon_g_kwh": 200.0}, "cue", 0.2 * sizings.PUE),
        ({"renewable": 0.5}, "ref", 0.5),
        ({"distribution_loss": 0.0}, "row_loss_w", 0.0),
        ({"measured_mean_w": 2 * sizings.P50_W}, "rack_circuit_w", 4 * 2 * sizings.P999_W * 0.98 * 1.1),
    ],
)
def test_a_changed_input_moves_what_follows_from_it(
    data: bytes, changed: dict[str, float | str], name: str, expected: float | str
) -> None:
    now = Calculated(data, changed).named(name)
    assert now == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-9, abs=1e-6))


def test_other_sites_have_a_sheet() -> None:
    whole = sizings.whole()
    other = msgspec.structs.replace(whole, title="elsewhere", request={**whole.request, "plant": "tower"})
    sheet = openpyxl.load_workbook(io.BytesIO(sizing_xlsx.render(whole, [other])))["Beside"]
    rows = {row[0].value: [cell.value for cell in row[1:]] for row in sheet.iter_rows(min_row=2)}
    assert rows["plant"] == ["dry", "tower"]
    assert rows["ERF"] == [0, 0]
    assert rows["energy of the year (EDC)"] == pytest.approx([sizings.EDC_J / 3.6e9] * 2)


def test_the_sheets_hold_every_line_and_every_input(data: bytes) -> None:
    whole, book = sizings.whole(), openpyxl.load_workbook(io.BytesIO(data))
    assert book.sheetnames == ["Summary", "Inputs", "Chain", "Lines"]
    keys = {row[10].value: (row[1].value, row[2].value) for row in book["Lines"].iter_rows(min_row=2)}
    assert {k for k, (v, _) in keys.items() if v is None} == {i.key for i in whole.lines if i.value is None}
    for line in whole.lines:
        annual = line.unit == "J" and line.key != "transients.storage"
        assert (keys[line.key][1] or "") == ("MWh" if annual else line.unit)
        if line.value is not None:
            # a workbook keeps 16 digits
            assert keys[line.key][0] == pytest.approx(line.value / (3.6e9 if annual else 1), rel=1e-15)
    paths = {row[8].value: row[1].value for row in book["Inputs"].iter_rows(min_row=2) if row[8].value}
    assert paths == {path: mode for path, _, mode, *_ in whole.inputs}


def test_text_from_outside_is_never_a_formula() -> None:
    evil = '=HYPERLINK("http://x")'
    whole = sizings.whole()
    lines = tuple(msgspec.structs.replace(i, label=evil, basis=evil) for i in whole.lines)
    made = sizing_xlsx.render(msgspec.structs.replace(whole, title=evil, lines=lines, warnings=(evil,)))
    book = openpyxl.load_workbook(io.BytesIO(made))
    assert all(cell.data_type != "f" for row in book["Lines"].iter_rows() for cell in row)
    assert book["Summary"]["A1"].data_type != "f"


def test_of_racks_of_one_kind_the_units_are_counted() -> None:
    book = sizing_chain.build(down_to_racks())
    cells = {cell.name: cell.value for cell in (*book.given, *book.computed)}
    assert cells["unit_count"] == sizings.UNITS
    assert cells["unit_w"] == pytest.approx(sizings.P999_W)


def test_the_least_sizing_is_a_workbook_too() -> None:
    book = openpyxl.load_workbook(io.BytesIO(sizing_xlsx.render(sizings.bare())))
    assert book["Lines"]["B2"].value == 1e6


@pytest.mark.parametrize("text", ["growth", "a1", "XFD12", "r", "c3", "9 lives", "gb300"])
def test_names_are_no_addresses_and_no_functions(text: str) -> None:
    assert sizing_cells.name(text).startswith("x_")


def test_names_are_plain() -> None:
    assert sizing_cells.name("feed.voltage_v") == "feed_voltage_v"
