"""Level Zero through ctypes on a stand-in loader whose truth is known."""

from __future__ import annotations

import subprocess
import time
import timeit
from pathlib import Path

import pytest

from perwatt.benchmarks.meters.level_zero import LevelZero
from perwatt.benchmarks.meters.meter import Part, Unavailable

SOURCE = Path(__file__).with_name("fake_ze.c")
XPU = Part("xpu", 1)


def build(compiler: str, folder: Path, *flags: str) -> str:
    out = folder / "libze_loader.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(out), *flags, str(SOURCE)], check=True)
    return str(out)


@pytest.fixture
def loader(compiler: str, tmp_path: Path) -> str:
    return build(compiler, tmp_path)


def test_the_card_is_read_and_its_tiles_are_not_added(loader: str) -> None:
    meter = LevelZero(library=loader)
    about = meter.open(XPU)
    assert (about.boundary, about.packages, about.limit_w) == ("gpu", ("0000:3b:00.0",), 600)
    first = meter.read()
    time.sleep(0.5)
    last = meter.read()
    assert first.value is not None
    assert last.value is not None
    assert last.meter_ns is not None
    assert first.meter_ns is not None
    assert last.value - first.value == pytest.approx(301 * (last.mono_ns - first.mono_ns) * 1e-9, rel=0.01)
    assert last.meter_ns - first.meter_ns == pytest.approx(last.mono_ns - first.mono_ns, rel=0.01)


def test_a_loader_without_zesinit(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZES_ENABLE_SYSMAN", raising=False)
    assert LevelZero(library=build(compiler, tmp_path, "-DOLD")).open(XPU).kind == "energy"


@pytest.mark.parametrize(
    ("code", "status"),
    [("0x70010000", "no_permission"), ("0x78000003", "unsupported"), ("0x70000001", "lost"), ("0x70010001", "stale")],
)
def test_an_error_is_a_status_and_never_zero(
    loader: str, monkeypatch: pytest.MonkeyPatch, code: str, status: str
) -> None:
    meter = LevelZero(library=loader)
    meter.open(XPU)
    monkeypatch.setenv("FAKE_ZE_ERROR", code)
    assert (meter.read().value, meter.read().status) == (None, status)
    with pytest.raises(Unavailable, match=status):
        LevelZero(library=loader).open(XPU)
    monkeypatch.delenv("FAKE_ZE_ERROR")
    assert meter.read().status == "ok"


def test_a_counter_that_begins_anew_is_lost(loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = LevelZero(library=loader)
    meter.open(XPU)
    monkeypatch.setenv("FAKE_ZE_RESET_AFTER_S", "0")
    assert (meter.read().value, meter.read().status) == (None, "lost")


def test_what_is_missing_says_so(loader: str) -> None:
    with pytest.raises(Unavailable, match="not an Intel GPU"):
        LevelZero(library=loader).open(Part("cuda"))
    with pytest.raises(Unavailable, match="knows 2 devices, not one of index 2"):
        LevelZero(2, loader).open(Part("cpu"))
    with pytest.raises(Unavailable) as missing:
        LevelZero(library="libze_absent.so").open(XPU)
    assert "meter=xe" in missing.value.remedy


def test_cost_of_a_read(loader: str) -> None:
    meter = LevelZero(library=loader)
    meter.open(XPU)
    cost_s = min(timeit.repeat(meter.read, number=500, repeat=3)) / 500
    print(f"a reading through Level Zero costs {cost_s * 1e6:.1f} us")
    assert cost_s < 200e-6
