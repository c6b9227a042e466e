"""Tokens in the reports: columns where a kernel counts them, and nowhere else; joules per token by hand."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pandas as pd
import pytest

from perwatt.results.record import Record, Work
from perwatt.results.reports import console, text
from perwatt.results.reports.html_cases import cases
from perwatt.results.reports.layout import groups
from perwatt.results.reports.table import rows


def step(made: Any, tokens: int = 4096, seconds: float = 0.01, label: str = "bf16 train", **measured: Any) -> Record:
    """4096 tokens and 4 TFLOP in 10 ms: 409.6 thousand tokens and 400 TFLOP a second."""
    work = Work(flops=4 * 10**12, bytes=10**9, headline="flops", tokens=tokens)
    return made.record(made.measured(work, seconds, **measured), "step", label)


def test_derived_by_hand(made: Any) -> None:
    record = step(made, power_w=500.0)
    assert record.tokens_per_s == pytest.approx(409600)
    assert record.joules_per_token == pytest.approx(500.0 * 0.01 / 4096)
    # one work, one energy: whichever way it is counted
    assert record.joules_per_token == pytest.approx(4e12 / 4096 / record.work_per_joule)
    assert step(made, power_w=None).joules_per_token is None
    assert made.matmul(1000).tokens_per_s is None
    assert made.matmul(1000).joules_per_token is None
    assert made.all_reduce(2**20).joules_per_token is None


def test_a_record_without_the_field_counts_none(made: Any) -> None:
    plain = msgspec.to_builtins(made.matmul(1000))
    del plain["outcome"]["work"]["tokens"]
    old = msgspec.convert(plain, Record)
    assert old.measured is not None
    assert old.measured.work.tokens == 0
    assert rows([old])[0].tokens_per_s is None


def test_columns_only_where_tokens_are_counted(made: Any) -> None:
    found = {g.kernel: g for g in groups([step(made, power_w=500.0), made.matmul(1000)])}
    titles = {c.key: (c.title, c.unit) for c in found["step"].columns}
    assert titles["tokens"] == ("tokens", "ktoken/s")
    assert titles["per_token"] == ("per token", "µJ")
    cells = found["step"].lines[0].cells
    assert cells["tokens"].text == "409.6"
    assert cells["per_token"].text == "1221"
    assert {"tokens", "per_token"}.isdisjoint(c.key for c in found["matmul"].columns)


def test_a_row_without_tokens_or_meter_says_so(made: Any) -> None:
    (group,) = groups([step(made, power_w=500.0), step(made, tokens=0, label="bf16 other"), step(made, power_w=None)])
    texts = [(line.cells["tokens"].text, line.cells["per_token"].text) for line in group.lines]
    assert texts == [("409.6", "1221"), ("\u2013", "\u2013"), ("409.6", "not metered")]


def test_joules_per_token_are_as_well_known_as_the_rate_per_watt(made: Any) -> None:
    record = step(made, power_w=500.0, **made.known())
    (row,) = rows([record])
    assert row.budget is not None
    assert row.budget.relative is not None
    (group,) = groups([record])
    cell = group.lines[0].cells["per_token"]
    assert float(cell.u) / float(cell.text) == pytest.approx(row.budget.relative, rel=0.1)


def test_every_format_has_them(made: Any) -> None:
    records = [step(made, power_w=500.0), made.matmul(1000)]
    for out in (console.render(records), text.markdown(records), cases(groups(records))):
        assert "ktoken/s" in out
        assert "409.6" in out
        assert "per token" in out
    frame = pd.read_csv(io.StringIO(text.csv(records)))
    assert frame.token_per_s[0] == pytest.approx(409600)
    assert frame.joule_per_token[0] == pytest.approx(500.0 * 0.01 / 4096)
    assert frame.work_token[0] == 4096
    assert frame[["token_per_s", "joule_per_token", "work_token"]].iloc[1].isna().all()
    first, second = json.loads(text.json(records))
    assert first["derived"]["tokens_per_s"] == pytest.approx(409600)
    assert first["derived"]["joules_per_token"] == pytest.approx(500.0 * 0.01 / 4096)
    assert second["derived"]["tokens_per_s"] is None


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits(made: Any, width: int) -> None:
    known = made.known()
    wide = console.render([step(made, power_w=500.0, **known), step(made, power_w=None, label="bf16 decode")], width)
    assert max(map(len, wide.splitlines())) <= width
    assert "409.6" in wide
