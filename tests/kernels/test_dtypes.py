"""Formats: their sizes and roundoffs agree with torch's, and what a device lacks is said in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perwatt.kernels import dtypes
from perwatt.kernels.workload import Place, Unsupported

CPU = Place("cpu")


@pytest.mark.parametrize("name", dtypes.NAMES)
def test_sizes_and_roundoffs_are_those_of_torch(name: str) -> None:
    kind = dtypes.torch_dtype(name)
    assert dtypes.itemsize(name) == kind.itemsize
    expected = 2.0**-11 if name == "tf32" else torch.finfo(kind).eps / 2
    assert dtypes.unit_roundoff(name) == expected


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no\n  such kernel\nException raised from here"),
        NotImplementedError("no such kernel"),
        TypeError("no"),
    ],
)
def test_a_refused_probe_is_unsupported_in_one_line(error: Exception) -> None:
    def probe() -> None:
        raise error

    with pytest.raises(Unsupported, match=r"^thing on cpu: no") as caught:
        dtypes.supported(CPU, "thing", probe)
    assert "\n" not in str(caught.value)
    assert "raised from" not in str(caught.value)


def test_a_broken_device_is_no_unsupported_feature() -> None:
    def probe() -> None:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        dtypes.supported(CPU, "thing", probe)
    with pytest.raises((RuntimeError, AssertionError)):  # not Unsupported: there is no such device at all
        dtypes.supported(Place("xpu:7"), "thing", lambda: None)


def test_reasons_that_torch_warns_of_are_kept() -> None:
    def probe() -> None:
        import warnings

        warnings.warn("flash wants fp16 (Triggered internally at sdp.cpp:1)", stacklevel=1)
        raise RuntimeError("No viable backend.")

    with pytest.raises(Unsupported, match=r"^x on cpu: No viable backend\.; flash wants fp16$"):
        dtypes.supported(CPU, "x", probe)


@pytest.mark.parametrize(
    ("flags", "fp16", "bf16"),
    [
        ("flags\t\t: fpu avx2 f16c fma", False, False),
        ("flags : avx512f avx512_bf16", False, True),
        ("flags : amx_bf16 avx512_fp16", True, True),
        ("Features : fp asimd asimdhp fphp", True, False),
        ("Features : asimdhp bf16", True, True),
        ("processor : 0", None, None),
    ],
)
def test_native_arithmetic_is_read_from_the_processors_flags(
    tmp_path: Path, flags: str, fp16: bool | None, bf16: bool | None
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    found = dtypes.cpu_flags(str(tmp_path / "cpuinfo"))
    assert dtypes.native("fp16", found) is fp16
    assert dtypes.native("bf16", found) is bf16
    assert dtypes.native("fp32", found) is True
    assert dtypes.cpu_flags(str(tmp_path / "absent")) == frozenset()


def spent(seconds: dict[str, float]) -> Callable[[str], Callable[[], object]]:
    """A probe that pretends to have taken this long."""

    def probe(dtype: str) -> Callable[[], object]:
        def call() -> None:
            clock[0] += seconds[dtype]

        return call

    return probe


clock = [0.0]


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perwatt.kernels.dtypes.time.perf_counter", lambda: clock[0])


@pytest.mark.usefixtures("fake_clock")
def test_emulation_is_refused_and_conversion_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = spent({"bf16": 1.0, "fp16": 1.0, "fp32": 0.02}), spent({"bf16": 1.0, "fp16": 1.0, "fp32": 0.5})
    monkeypatch.setattr(dtypes, "cpu_flags", lambda: frozenset({"avx2"}))
    with pytest.raises(Unsupported, match="no native bf16 arithmetic that torch uses: emulated, about 50 times slower"):
        dtypes.not_emulated(CPU, "bf16", slow)
    assert "converted to fp32" in dtypes.not_emulated(CPU, "bf16", fast)
    with pytest.raises(Unsupported, match="no native fp16 arithmetic: emulated, up to about 100 times slower"):
        dtypes.not_emulated(CPU, "fp16", fast)
    assert dtypes.not_emulated(Place("cuda:0"), "fp16", slow) == ""
    assert dtypes.not_emulated(CPU, "fp32", slow) == ""
    monkeypatch.setattr(dtypes, "cpu_flags", lambda: frozenset({"avx512_bf16", "avx512_fp16"}))
    assert dtypes.not_emulated(CPU, "bf16", slow) == ""
    assert dtypes.not_emulated(CPU, "fp16", slow) == ""
    monkeypatch.setattr(dtypes, "cpu_flags", frozenset)  # a system that does not tell: time decides
    assert dtypes.not_emulated(CPU, "fp16", fast) == ""
    with pytest.raises(Unsupported, match="about 50 times slower"):
        dtypes.not_emulated(CPU, "fp16", slow)


def test_timing_a_probe_leaves_the_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    assert dtypes.slowdown(lambda _: lambda: None, "bf16") >= 0
    assert torch.get_num_threads() == threads
