"""The workbook: its formulas are there, refer to the inputs, and come to what the report says."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import sizings

from perwatt.results.reports import sizing_cells, sizing_chain, sizing_xlsx
from perwatt.results.size.model import size
from perwatt.results.size.request import Request
from perwatt.results.size.sizing import Sizing
from tests.fleets_of import bins, changed_site, entry, figures, measured, request

openpyxl = pytest.importorskip("openpyxl")
pytest.importorskip("xlsxwriter")


@functools.lru_cache(maxsize=8)
def loaded(data: bytes, values: bool) -> Any:
    """The workbook with its formulas, or with the values beside them."""
    return openpyxl.load_workbook(io.BytesIO(data), data_only=values)


class Calculated:
    """A workbook, its formulas evaluated: the few operators and functions that it uses, names and cells resolved."""

    def __init__(self, data: bytes, changed: Mapping[str, float | str] | None = None) -> None:
        self.book, self.cached = loaded(data, False), loaded(data, True)
        self.changed = dict(changed or {})

    def named(self, name: str) -> Any:
        if name in self.changed:
            return self.changed[name]
        sheet, _, address = self.book.defined_names[name].attr_text.partition("!")
        return self.cell(sheet, address.replace("$", ""))

    def cell(self, sheet: str, address: str) -> Any:
        value = self.book[sheet][address].value
        return self.formula(value, sheet) if isinstance(value, str) and value.startswith("=") else value

    def formula(self, text: str, sheet: str) -> Any:
        from openpyxl.formula import Tokenizer

        python = []
        for token in Tokenizer(text).items:
            if token.type == "OPERAND" and token.subtype == "RANGE":
                known = token.value in self.changed or token.value in self.book.defined_names
                python.append(f"named({token.value!r})" if known else f"cell({sheet!r}, {token.value!r})")
            elif token.type == "OPERATOR-INFIX" and token.value == "=":
                python.append("==")
            elif token.type == "OPERATOR-INFIX" and token.value == "^":
                python.append("**")
            elif token.type == "FUNC" and token.subtype == "OPEN":
                python.append(f"{token.value[:-1]}_(")
            else:
                python.append(token.value)
        functions = {
            "IF_": lambda test, yes, no: yes if test else no,
            "SQRT_": math.sqrt,
            "ABS_": abs,
            "MAX_": max,
            "ROUNDUP_": lambda value, digits: math.ceil(round(value * 10**digits, 12)) / 10**digits,
            "named": self.named,
            "cell": self.cell,
        }
        return eval("".join(python), {"__builtins__": {}}, functions)


@pytest.fixture(scope="module")
def data() -> bytes:
    return sizing_xlsx.render(sizings.whole())


@pytest.fixture(scope="module")
def whole_model() -> tuple[bytes, Request]:
    """191 nodes with published ratios: the workbook, and what was asked."""
    asked = request(entry(units=191))
    return sizing_xlsx.render(size(asked, bins(asked.climate))), asked


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


def mixed() -> Request:
    """Measured nodes and published racks of two kinds in one place, some of each alone, heat handed over."""
    site = changed_site(reuse={"fraction": {"mode": 0.2, "unit": "1", "kind": "given", "source": "test"}})
    return request(
        entry("dgx_h100", 64, measured(), training=0.5), entry("gb200_nvl72", 9), entry("dgx_b200", 30), site=site
    )


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(entry(units=191, load=measured())),
        request(entry("gb200_nvl72", 100), site="phoenix"),
        mixed(),
    ],
    ids=["published", "measured", "racks", "mixed"],
)
def test_what_the_model_says_the_formulas_say(asked: Request) -> None:
    sizing = size(asked, bins(asked.climate))
    book, calculated = sizing_chain.build(sizing), Calculated(sizing_xlsx.render(sizing))
    reported = {cell.name: cell.reported for cell in book.computed if isinstance(cell.reported, int | float)}
    assert {"it_w", "site_in_w", "ups_units", "transformer_units", "it_mean_w", "edc_mwh", "pue"} <= reported.keys()
    for name, value in reported.items():
        assert calculated.named(name) == pytest.approx(value, rel=1e-3), name


@pytest.mark.parametrize(
    ("end", "own", "value"),
    [
        ("mean_fraction", "mean_fraction", 0.7),
        ("peak_over_mean", "peak_over_mean", 1.1),
        ("electrical.margin", "margin", 0.2),
        ("electrical.growth", "growth_share", 0.1),
        ("electrical.coincidence", "coincidence", 0.95),
        ("electrical.distribution_loss", "distribution_loss", 0.03),
        ("ups_efficiency", "ups_efficiency", 0.94),
        ("transformer_efficiency", "transformer_efficiency", 0.98),
        ("utilisation", "utilisation", 0.5),
        ("idle_w", "idle_w", 3000.0),
        ("carbon_g_kwh", "carbon_g_kwh", 300.0),
        ("feed.power_factor", "power_factor", 0.9),
        ("electrical.other", "other", 0.02),
    ],
)
def test_an_edited_input_moves_the_workbook_as_it_moves_the_model(
    end: str, own: str, value: float, whole_model: tuple[bytes, Request]
) -> None:
    data, asked = whole_model
    model, calculated, before = figures(asked, **{end: value}), Calculated(data, {own: value}), Calculated(data)
    pairs = {"site_in_w": "power.site.recommended", "ups_in_w": "power.ups.recommended", "it_mean_w": "year.it_power",
             "edc_mwh": "year.edc", "pue": "kpi.pue", "co2_kg": "kpi.co2", "rack_a": "feeds.rack.failover",
             "row_a": "feeds.row.failover"}  # fmt: skip
    moved = 0
    for name, key in pairs.items():
        now, expected = calculated.named(name), model[key] / (3.6e9 if name == "edc_mwh" else 1)
        # the part-load curve of the UPS stays that of the report
        assert now == pytest.approx(expected, rel=2e-2 if end == "utilisation" else 5e-3), name
        moved += abs(now / before.named(name) - 1) > 5e-3
    assert moved


def test_only_what_a_formula_refers_to_is_yellow_and_all_of_that_moves_something(data: bytes) -> None:
    book, before = openpyxl.load_workbook(io.BytesIO(data)), Calculated(data)
    names = [cell.name for cell in sizing_chain.build(sizings.whole()).computed]
    was = {name: before.named(name) for name in names}
    yellow = grey = 0
    for row in book["Inputs"].iter_rows(min_row=2):
        if row[1].value is None:
            continue
        if row[1].fill.fgColor.rgb != "FFFFF7D6":
            grey += 1
            assert row[7].value is None
            continue
        yellow += 1
        value = row[1].value
        if row[7].value == "heat_per_mwh":
            continue  # times a fraction of 0 here
        tried = ("N",) if isinstance(value, str) else (value * 1.3 + 0.1, value * 0.3)
        after = [Calculated(data, {row[7].value: changed}) for changed in tried]
        assert any(one.named(name) != was[name] for name in names for one in after), row[7].value
    assert yellow > 25
    assert grey >= 3


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
