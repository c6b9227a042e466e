from __future__ import annotations

import io
from typing import Any

import msgspec
import pandas as pd
import pytest

from perwatt.results.record import Failed, Record, Skipped
from perwatt.results.reports import text


def test_csv_reads_back_through_pandas_in_full_precision(whole: Any) -> None:
    frame = pd.read_csv(io.StringIO(text.csv(whole.records)), dtype=str)
    assert len(frame) == len(whole.records)
    assert list(frame.columns) == list(text.COLUMNS)
    for record, (_, row) in zip(whole.records, frame.iterrows(), strict=True):
        assert row["label"] == record.case.label
        m = record.measured
        if m is None:
            assert row["outcome"] in ("skipped", "failed")
            assert pd.isna(row["median_s"])
            continue
        assert float(row["median_s"]) == m.seconds.median
        rates = row[["rate_flop_per_s", "rate_byte_per_s", "algbw_byte_per_s"]].dropna()
        assert [float(rate) for rate in rates] == [record.rate]
        if record.meter is None:
            assert pd.isna(row["power_w"])
            assert pd.isna(row["energy_j"])
        else:
            assert float(row["power_w"]) == record.power_w


def test_csv_numbers_worked_out_by_hand(made: Any) -> None:
    records = [made.matmul(1000, "bf16", 5e14, power_w=250.0), made.all_reduce(2**30, 8, 2e11, power_w=None)]
    frame = pd.read_csv(io.StringIO(text.csv(records)))
    first, second = frame.iloc[0], frame.iloc[1]
    assert first["flop_per_joule"] == pytest.approx(2e12)
    assert first["of_datasheet_peak_ratio"] == pytest.approx(0.5)
    assert first["energy_j"] == pytest.approx(750.0)
    assert first["metered_window_s"] == pytest.approx(3.0)
    assert second["busbw_byte_per_s"] == pytest.approx(3.5e11)
    assert second["bus_factor"] == 1.75
    assert second["no_energy_reason"] == "no meter was read"


def test_csv_absent_is_empty_and_never_zero(made: Any) -> None:
    lines = text.csv([made.matmul(1000, power_w=None)]).splitlines()
    fields = dict(zip(lines[0].split(","), lines[1].split(","), strict=False))
    for name in ("power_w", "flop_per_joule", "energy_j", "metered_window_s", "busbw_byte_per_s", "message_byte"):
        assert fields[name] == ""


def test_csv_of_nothing_has_its_header() -> None:
    assert text.csv([]).splitlines() == [",".join(text.COLUMNS)]


def test_csv_quotes_what_needs_it(made: Any) -> None:
    record = made.record(Skipped('says "no", and\nmore'), label="a,b")
    row = pd.read_csv(io.StringIO(text.csv([record]))).iloc[0]
    assert row["label"] == "a,b"
    assert row["reason"] == 'says "no", and more'


def test_json_is_the_records(whole: Any) -> None:
    assert msgspec.json.decode(text.json(whole.records), type=list[Record]) == whole.records
    assert msgspec.json.decode(text.json([])) == []


def test_markdown_is_rectangular_and_escaped(whole: Any, made: Any) -> None:
    records = [*whole.records, made.record(Failed("a | b <i>\nc"), label="x|y")]
    found = text.markdown(records)
    for block in found.split("### ")[1:]:
        lines = [line for line in block.splitlines() if line.startswith("|")]
        counts = {line.replace("\\|", "").count("|") for line in lines}
        assert len(counts) == 1
    assert "x\\|y" in found
    assert "failed: a \\| b &lt;i&gt; c" in found
    assert "not metered" in found
    for record in whole.records:
        assert record.case.label in found


def test_markdown_of_nothing() -> None:
    assert "nothing has been measured" in text.markdown([])
