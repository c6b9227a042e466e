"""mamf-finder's report: a figure a shape, the dtype from its header, the summary where there is nothing else."""

from __future__ import annotations

import pytest
from foreign_files import mamf, shape
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.imports import formats
from perwatt.results.imports.figures import Read
from perwatt.results.imports.mamf import read
from perwatt.results.record import Measured


def tflops(found: Read) -> dict[str, float]:
    out = {}
    for figure in found.figures:
        assert isinstance(figure.outcome, Measured)
        out[figure.label] = figure.outcome.work.flops / figure.outcome.seconds.median / 1e12
    return out


def test_a_figure_a_shape() -> None:
    text = mamf(shape(1, 4096, 701.2), shape(2, 8192, 690.0))
    found = read(text)
    assert formats.told(text) == "mamf"
    assert not found.bad
    assert tflops(found) == pytest.approx({"bf16 4096x4096x4096": 701.2, "bf16 8192x4096x4096": 690.0})
    figure = found.figures[0]
    assert (figure.device.name, figure.time) == ("NVIDIA H100 80GB HBM3", "2026-05-04 10:20:30")
    assert (figure.statistic, figure.tool) == ("median of iterations (50)", "mamf-finder version 2")
    assert figure.outcome.seconds.mean == pytest.approx(2 * 4096**3 / 700.2e12)  # type: ignore[union-attr]
    assert figure.flags == ("unchecked",)


def test_lines_overwritten_on_a_terminal() -> None:
    text = mamf(shape(1, 4096, 701.2) + "\r" + shape(2, 8192, 690.0) + "\r\x1b[K")
    assert len(read(text).figures) == 2


def test_the_summary_alone_and_a_truncated_report() -> None:
    assert tflops(read(mamf())) == pytest.approx({"bf16 4096x4096x4096": 701.2})
    cut = mamf(shape(1, 4096, 701.2), shape(2, 8192, 690.0))
    found = read(cut[: cut.index("8192x") + 6])
    assert len(found.figures) == 1
    assert found.bad[0].line == len(cut[: cut.index("8192x")].splitlines())


def test_wrong_numbers_are_told_by_their_line() -> None:
    found = read(mamf(shape(1, 4096, 701.2).replace("701.2(median)", "  nan(median)", 1), shape(2, 8192, 690.0)))
    assert list(tflops(found)) == ["bf16 8192x4096x4096"]
    assert found.bad[0].told("mm.out").endswith("found median 'nan'; allowed a number above 0")


def test_a_dtype_that_is_said_nowhere() -> None:
    with pytest.raises(
        ValueError, match="found no '\\*\\* Dtype:' line above the results; allowed that, or dtype=bf16"
    ):
        read(shape(1, 4096, 701.2))
    assert list(tflops(read(shape(1, 4096, 701.2), "fp16"))) == ["fp16 4096x4096x4096"]


def test_reports_of_older_versions() -> None:
    text = mamf(
        "     1 |  720.3(max) /  701.2(median) TFLOPS @ 4096x4096x4096 | best:  720.3(max)/ 701.2(median) TFLOPS @ x"
    )
    assert formats.told(text) == "mamf"
    assert tflops(read(text)) == pytest.approx({"bf16 4096x4096x4096": 701.2})
    oldest = "     1 |  720.3 TFLOPS @ 4096x4096x4096 | best:  720.3 TFLOPS @ 4096x4096x4096"
    assert formats.told(oldest) == "mamf"
    found = read(oldest, "bf16")
    assert not found.figures  # of the quickest launch no rate is made
    assert found.bad[0].allowed == "a median: this version of mamf-finder printed the quickest launch only"


@settings(max_examples=50, deadline=None)
@given(m=st.integers(1, 90_000), median=st.floats(2.0, 9000.0))
def test_what_is_printed_is_read_back(m: int, median: float) -> None:
    assert tflops(read(mamf(shape(1, m, median)))) == pytest.approx({f"bf16 {m}x4096x4096": round(median, 1)})
