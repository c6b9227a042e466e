"""What a record derives, by hand-computed numbers: rates, energies and the boundary that speaks for a device."""

from __future__ import annotations

import math

import msgspec
import pytest
from records import energy, measured, record

from perwatt.results.accept.evidence import figures
from perwatt.results.origin import Origin
from perwatt.results.record import Device, Failed, Quantity, Record, Seconds, Skipped, Target, Work
from perwatt.results.reports.layout import groups, notes
from perwatt.results.reports.table import rows
from perwatt.results.reports.text import COLUMNS
from perwatt.results.store import decode


def test_a_rate_is_work_over_the_median_time() -> None:
    r = record(outcome=measured(median=0.01))
    assert r.rate == r.flops_per_s == pytest.approx(2e8)
    assert r.busbw is None


def test_without_a_meter_nothing_per_watt_exists() -> None:
    r = record(outcome=measured(unmetered="no meter"))
    assert r.power_w is None
    assert r.work_per_joule is None
    assert r.meter is None


def test_power_and_work_per_joule() -> None:
    r = record(outcome=measured(energy(joules=50.0)))
    assert r.power_w == pytest.approx(50.0)  # two windows of 1 s and 50 J
    assert r.work_per_joule == pytest.approx(100 * 2e6 / 50.0)


def test_the_counter_of_the_nearest_boundary_speaks() -> None:
    wall = energy("pdu", 300.0, boundary="node_ac")
    polled = energy("poll", 110.0, source="integrated")
    r = record(outcome=measured(wall, polled, energy("rapl", 100.0)))
    assert r.meter == "rapl"
    assert record(outcome=measured(wall, polled)).meter == "poll"
    assert record(outcome=measured(wall)).meter == "pdu"
    # a GPU's board says nothing of the CPU beside it
    assert record(outcome=measured(energy("nvml", 99.0, boundary="gpu"))).meter is None


def test_a_collective_counts_bus_bytes() -> None:
    work = Work(0, 0, "message", message_bytes=1_000_000, bus_factor=1.5)
    r = record(outcome=measured(energy(joules=10.0), median=0.001, work=work))
    assert r.rate == pytest.approx(1e9)
    assert r.busbw == pytest.approx(1.5e9)
    assert r.work_per_joule == pytest.approx(100 * 1.5e6 / 10.0)
    alone = Work(0, 0, "message", message_bytes=1_000_000, bus_factor=0.0)
    assert record(outcome=measured(work=alone)).busbw is None


def test_percent_of_peak_needs_a_target_with_that_dtype() -> None:
    target = Target("x", "y", {"fp32": Quantity(4e8, "FLOP/s", "a test")})
    r = msgspec.structs.replace(record(), target=target)
    assert r.of_peak == pytest.approx(0.5)
    assert msgspec.structs.replace(r, target=Target("x", "y")).of_peak is None
    assert record().of_peak is None


@pytest.mark.parametrize(("dtype", "elements"), [("mxfp8_e4m3", "fp8_e4m3"), ("mxfp4", "fp4"), ("nvfp4", "fp4")])
def test_a_block_scaled_format_has_the_peak_of_its_elements(dtype: str, elements: str) -> None:
    plain = record()
    case = msgspec.structs.replace(plain.case, params=plain.case.params | {"dtype": dtype})
    target = Target("x", "y", {elements: Quantity(4e8, "FLOP/s", "a test"), "fp32": Quantity(1.0, "FLOP/s", "a test")})
    assert msgspec.structs.replace(plain, case=case, target=target).of_peak == pytest.approx(0.5)


@pytest.mark.parametrize("outcome", [Skipped("no"), Failed("boom")])
def test_an_outcome_without_a_measurement_derives_nothing(outcome: Skipped | Failed) -> None:
    r = record(outcome=outcome)
    assert [r.measured, r.rate, r.power_w, r.work_per_joule, r.of_peak, r.spread, r.busbw] == [None] * 7


def test_a_record_survives_json() -> None:
    r = msgspec.structs.replace(record(outcome=measured(energy())), device=Device("cuda", "GPU", 3, "uuid"))
    assert msgspec.json.decode(msgspec.json.encode(r), type=Record) == r


def test_samples_of_a_served_model_are_work() -> None:
    r = record(outcome=measured(energy(joules=50.0), median=0.001, work=Work(0, 0, "samples", samples=2)))
    assert r.rate == pytest.approx(2000)
    assert r.work_per_joule == pytest.approx(100 * 2 / 50)
    assert {"rate_sample_per_s", "sample_per_joule"} <= {k for k, v in csv_of(r).items() if v is not None}
    assert " sample/s W sample/s/W" in console([r])


def test_a_single_figure_has_no_spread() -> None:
    one = Seconds(1, 0, 0.01, 0.01, 0.0, 0.01, 0.01, 0.01, 0.01)
    r = record(outcome=msgspec.structs.replace(measured(), seconds=one))
    assert r.spread is None
    assert math.isnan(float(str(figures(r)["u_rate"])))
    assert csv_of(r)["p95_s"] is None


def test_a_record_says_that_it_is_imported_and_from_where() -> None:
    origin = Origin("nccl", "all_reduce.txt", "ab" * 32, 17, "mean of 20 iterations")
    r = msgspec.structs.replace(record(flags=("imported",)), source="imported", origin=origin)
    line = msgspec.json.encode(r)
    assert b'"source":"imported"' in line
    assert msgspec.json.decode(line, type=Record) == r
    assert (csv_of(r)["source"], csv_of(r)["origin_line"]) == ("imported", 17)
    assert "measured by another tool" in console([r])


def test_a_record_of_an_older_schema_was_measured() -> None:
    plain = msgspec.to_builtins(record())
    for key in ("source", "origin"):
        del plain[key]
    old = decode(msgspec.json.encode({**plain, "schema": 5}), "x")
    assert (old.source, old.origin) == ("measured", None)


def csv_of(r: Record) -> dict[str, object]:
    (row,) = rows([r])
    return {name: field(row) for name, field in COLUMNS.items()}


def console(records: list[Record]) -> str:
    tables = groups(records)
    units = " ".join(column.unit for table in tables for column in table.columns)
    return " ".join([units, *(note.text for note in notes(tables))])
