from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perwatt.results.record import Failed, Skipped
from perwatt.results.reports import console


@pytest.mark.parametrize("width", [80, 100, 120])
def test_fits_and_holds_every_case(whole: Any, width: int) -> None:
    text = console.render(whole.records, width)
    assert max(map(len, text.splitlines())) <= width
    for record in whole.records:
        # a long label may wrap, but only between words
        assert record.case.label in text or width < 120
        assert width < 100 or all(word in text for word in record.case.label.split())
    assert ("Left out at this width: 95 % CI" in text) == (width < 100)
    assert "indicative" in text
    assert "\x1b" not in text
    assert "\u2026" not in text
    for number in ("200.0", "40.00", "~571", "*80.0", "3.49", "27.79", "\u20211000"):
        assert number in text.split()


def test_flags_are_never_cut_on_a_narrow_terminal(made: Any) -> None:
    text = console.render([made.all_reduce(2**p, flags=("indicative",)) for p in (16, 20)], 80)
    assert text.count("indicative") >= 2
    assert max(map(len, text.splitlines())) <= 80


def test_numbers_are_never_cut_and_long_labels_wrap(made: Any) -> None:
    long = "bf16 " + "very-long-name-" * 8 + "end"
    records = [made.record(made.measured(made.flops(10**12), 1e12 / 4.567e14), label=long)]
    text = console.render(records, 100)
    assert max(map(len, text.splitlines())) <= 100
    assert "456.7" in text
    assert "\u2026" not in text


def test_decimal_points_stand_in_line(made: Any) -> None:
    text = console.render([made.matmul(1000, rate=rate) for rate in (5e14, 1.2345e13, 1.4e15)])
    lines = [line for line in text.splitlines() if line.startswith("bf16")]
    assert [line.split()[2] for line in lines] == ["500.0", "12.35", "1400"]
    assert lines[0].index("500.0") + 3 == lines[1].index("12.35") + 2 == lines[2].index("1400") + 4


def test_unmetered_is_said_in_words(made: Any) -> None:
    text = console.render([made.matmul(1000, power_w=None, unmetered="nothing to read")])
    row = next(line for line in text.splitlines() if line.startswith("bf16"))
    assert row.count("not metered") == 2
    assert " 0 " not in row
    assert "not metered: nothing to read." in text


def test_skipped_and_failed_only(made: Any) -> None:
    text = console.render([made.record(Skipped("no fp8 here"), label="a [b]"), made.record(Failed("boom"), label="c")])
    assert "skipped  a [b]: no fp8 here" in text
    assert "failed  c: boom" in text
    assert "TFLOP" not in text


def test_empty() -> None:
    assert "nothing has been measured" in console.render([])


def test_show_is_plain_where_there_is_no_terminal(made: Any) -> None:
    stream = io.StringIO()
    console.show([made.matmul(1000)], stream)
    assert "\x1b" not in stream.getvalue()
    assert "500.0" not in stream.getvalue()
    assert "800.0" in stream.getvalue()


def test_show_on_a_terminal_has_style(made: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    console.show([made.matmul(1000)], stream, width=100)
    assert "800.0" in stream.getvalue()


def test_a_stream_that_is_not_utf8_gets_ascii(made: Any) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console.show([made.matmul(1000, energy_changes={"source": "replayed"}), made.all_reduce(2**20, 1)], stream)
    stream.flush()
    assert "+/- %" in raw.getvalue().decode("ascii")


def test_the_table_loads_neither_matplotlib_nor_pandas(tmp_path: Path, whole: Any) -> None:
    from perwatt.results.reports import text

    (tmp_path / "r.json").write_text(text.json(whole.records[:3]))
    code = (
        "import sys, msgspec; from perwatt.results.record import Record; import perwatt.results.run;"
        "from perwatt.results.reports import console, text;"
        f"r = msgspec.json.decode(open({str(tmp_path / 'r.json')!r}).read(), type=list[Record]);"
        "assert 'bf16' in console.render(r); text.csv(r); text.markdown(r);"
        "bad = {'matplotlib', 'pandas', 'numpy', 'pyarrow', 'torch'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
