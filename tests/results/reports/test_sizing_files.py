"""The reports that go to other programs and to paper: CSV, JSON, PDF; and the terminal."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
import sizings

from perwatt.results.reports import paper, sizing_console, sizing_csv, sizing_html, sizing_json
from perwatt.results.size.sizing import Sizing


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_the_lines_in_full_precision() -> None:
    found = {row["key"]: row for row in rows(sizing_csv.lines(sizings.whole()))}
    line = sizings.whole().line("power.site.recommended")
    row = found[line.key]
    assert (float(row["value"]), float(row["p5"]), float(row["p95"])) == (line.value, line.low, line.high)
    assert (row["unit"], row["kind"], row["basis"]) == (line.unit, line.kind, line.basis)


def test_csv_tells_absent_from_nothing() -> None:
    found = {row["key"]: row["value"] for row in rows(sizing_csv.lines(sizings.whole()))}
    assert found["cooling.ride_through"] == ""
    assert found["kpi.heat.handed_over"] == "0.0"


def test_csv_has_inputs_flows_and_every_point() -> None:
    whole = sizings.whole()
    assert [row["path"] for row in rows(sizing_csv.inputs(whole))] == [entry[0] for entry in whole.inputs]
    assert sum(float(row["energy_j"]) for row in rows(sizing_csv.flows(whole))) == sum(f.energy_j for f in whole.flows)
    assert len(rows(sizing_csv.series(whole))) == sum(len(s.x) * len(s.y) for s in whole.series)


@pytest.mark.parametrize("sizing", [sizings.whole(), sizings.bare()], ids=["whole", "bare"])
def test_json_reads_back_as_itself(sizing: Sizing) -> None:
    assert sizing_json.load(sizing_json.render(sizing)) == sizing


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', b"\xff"])
def test_json_that_is_no_sizing_is_refused_in_one_line(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"^a\.json: found ") as refused:
        sizing_json.load(text, "a.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_console_keeps_to_its_width_and_cuts_no_number(width: int) -> None:
    told = sizing_console.render(sizings.whole(), width)
    assert max(map(len, told.splitlines())) <= width
    assert "\u2026" not in told
    for number in ("2.000 MW", "48.00 kW", "1.094", "1.880 \u2013 2.120", "12.51 GWh"):
        assert number in told


def test_console_names_the_kind_of_every_line_that_is_in_no_other_table() -> None:
    told = sizing_console.render(sizings.whole(), 160)
    pump = next(line for line in told.splitlines() if line.startswith("pump head"))
    assert "assumed" in pump
    assert "hardest path" in pump


def test_console_says_what_does_not_fit() -> None:
    assert "! feeds: a rack of 48.0 kW does not fit" in sizing_console.render(sizings.whole(), 160)


def test_console_is_plain_on_a_stream_that_is_not_utf8() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    sizing_console.show(sizings.whole(), stream)
    stream.flush()
    told = raw.getvalue().decode("ascii")
    assert "?" not in told
    assert "1.880 - 2.120" in told


def test_console_of_the_least_sizing() -> None:
    assert "1.000 MW" in sizing_console.render(sizings.bare())


@pytest.mark.slow
def test_pdf_is_a_document_of_pages() -> None:
    pytest.importorskip("weasyprint")
    made = paper.pdf(sizing_html.render(sizings.whole()))
    assert made.startswith(b"%PDF")
    assert len(made) > 30_000


def test_paper_has_written_out_colours_and_nothing_folded() -> None:
    page = paper.on_paper(sizing_html.render(sizings.whole()))
    drawings = page[page.index("<body") :]
    assert "var(--plot" not in drawings
    assert "#0b62b0" in drawings
    assert "<details>" not in page


def test_a_missing_library_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ValueError, match=r"perwatt\[sizing\]") as refused:
        paper.pdf("<html></html>")
    assert "\n" not in str(refused.value)


def test_a_comparison_is_a_table_to_compute_with_and_stands_on_the_console() -> None:
    whole = sizings.whole()
    other = msgspec.structs.replace(whole, title="elsewhere", request={**whole.request, "plant": "tower"})
    rows = list(csv.DictReader(io.StringIO(sizing_csv.beside([whole, other]))))
    found = {row["figure"]: row for row in rows}
    assert (found["plant"][whole.title], found["plant"]["elsewhere"]) == ("dry", "tower")
    assert found["ERF"]["elsewhere"] == "0.0"
    assert float(found["PUE of the year"]["elsewhere: p95"]) == pytest.approx(1.094 * 1.011)
    told = sizing_console.render(whole, 100, [other])
    assert "Beside each other" in told
    plant = next(line for line in told.splitlines() if line.startswith("plant"))
    assert plant.split() == ["plant", "dry", "tower"]
    assert max(map(len, told.splitlines())) <= 100
