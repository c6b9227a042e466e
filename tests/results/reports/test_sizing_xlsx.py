"""The workbook: its formulas are there, refer to the inputs, and come to what the report says."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import sizings

from perwatt.results.reports import sizing_cells, sizing_chain, sizing_xlsx
from perwatt.results.size.sizing import Sizing

openpyxl = pytest.importorskip("openpyxl")
pytest.importorskip("xlsxwriter")


class Calculated:
    """A workbook, its formulas evaluated: the few operators and functions that it uses, names and cells resolved."""

    def __init__(self, data: bytes, changed: Mapping[str, float | str] | None = None) -> None:
        self.book = openpyxl.load_workbook(io.BytesIO(data))
        self.cached = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
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
            elif token.type == "FUNC" and token.subtype == "OPEN":
                python.append(f"{token.value[:-1]}_(")
            else:
                python.append(token.value)
        functions = {
            "IF_": lambda test, yes, no: yes if test else no,
            "SQRT_": math.sqrt,
            "ABS_": abs,
            "ROUNDUP_": lambda value, digits: math.ceil(round(value * 10**digits, 12)) / 10**digits,
            "named": self.named,
            "cell": self.cell,
        }
        return eval("".join(python), {"__builtins__": {}}, functions)


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
    cells = [*book.chain, *book.circuits, *book.figures]
    assert len(cells) > 20
    assert {"site_in_w", "ups_units", "rack_a", "breaker_verdict", "pue", "wue", "cue", "ere"} <= {
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
        ({"ups_at_this_load": 1.0}, "ups_loss_w", 0.0),
        ({"ups_module_w": 5e5}, "ups_units", 5),
        ({"ups_topology": "2N"}, "ups_units", 4),
        ({"ups_topology": "4N3R"}, "ups_units", 4),
        ({"unit_count": 382, "ups_topology": "4N3R"}, "ups_units", 8),
        ({"continuous_factor": 1.0, "breaker_a": 63.0}, "breaker_verdict", "too small"),
        ({"voltage_v": 480.0}, "rack_a", 48_000 / (math.sqrt(3) * 480 * 0.98)),
        ({"ereuse_j": sizings.whole().line("year.edc").value / 2}, "ere", 1.094 / 2),
    ],
)
def test_a_changed_input_moves_what_follows_from_it(
    data: bytes, changed: dict[str, float | str], name: str, expected: float | str
) -> None:
    now = Calculated(data, changed).named(name)
    assert now == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-9, abs=1e-6))


def test_the_sheets_hold_every_line_and_every_input(data: bytes) -> None:
    whole, book = sizings.whole(), openpyxl.load_workbook(io.BytesIO(data))
    assert book.sheetnames == ["Summary", "Inputs", "Chain", "Lines"]
    keys = {row[10].value: row[1].value for row in book["Lines"].iter_rows(min_row=2)}
    assert {k for k, v in keys.items() if v is None} == {line.key for line in whole.lines if line.value is None}
    known = {line.key: line.value for line in whole.lines if line.value is not None}
    # a workbook keeps 16 digits
    assert {k: v for k, v in keys.items() if v is not None} == pytest.approx(known, rel=1e-15)
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
    cells = {cell.name: cell.value for cell in sizing_chain.build(down_to_racks()).given}
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
