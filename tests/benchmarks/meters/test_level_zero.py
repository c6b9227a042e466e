"""Level Zero's sysman through a loader library whose truth is known, named by the meter's ``path``."""

from __future__ import annotations

import ctypes
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from perwatt.benchmarks.meters.level_zero import LevelZero
from perwatt.benchmarks.meters.meter import Capabilities, Part, Unavailable

SOURCE = Path(__file__).parent / "fake_ze.c"
Opened = tuple[LevelZero, Capabilities]


@pytest.fixture
def library(compiler: str, tmp_path: Path) -> Path:
    out = tmp_path / "libze_loader.so.1"
    subprocess.run([compiler, "-O1", "-w", "-shared", "-fPIC", "-o", str(out), str(SOURCE)], check=True)
    return out


XPU = Part("xpu")


@pytest.fixture
def opened(library: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Opened]:
    """Open the meter on a board that is set up so."""
    monkeypatch.delenv("ZE_AFFINITY_MASK", raising=False)

    def open_(part: Part = XPU, meter: dict[str, Any] | None = None, **settings: object) -> Opened:
        for name, value in settings.items():
            monkeypatch.setenv(f"FAKE_ZE_{name.upper()}", str(value))
        found = LevelZero(str(library), **(meter or {}))
        return found, found.open(part)

    return open_


def watts(meter: LevelZero, seconds: float = 0.5) -> float:
    first = meter.read()
    time.sleep(seconds)
    last = meter.read()
    assert first.value is not None
    assert last.value is not None
    assert first.meter_ns is not None
    assert last.meter_ns is not None
    assert last.meter_ns - first.meter_ns == pytest.approx(last.mono_ns - first.mono_ns, rel=0.01)
    return (last.value - first.value) / (last.mono_ns - first.mono_ns) * 1e9


def test_a_known_power_of_the_card_alone(opened: Callable[..., Opened]) -> None:
    meter, told = opened(Part("xpu", 1))
    assert watts(meter) == pytest.approx(301, rel=0.01)  # and not 2.33 times as much, which is all domains added
    assert (told.boundary, told.packages, told.limit_w) == ("gpu", ("0000:3b:00",), 450.0)
    assert told.instrument == "level_zero:0000:3b:00:gpu"
    assert told.facts["domain"] == "card"


def test_energy_is_counted_from_the_opening(opened: Callable[..., Opened]) -> None:
    reading = opened()[0].read()
    assert reading.value is not None
    assert 0 <= reading.value < 50


def test_without_a_card_domain_the_package_is_metered_and_named_so(opened: Callable[..., Opened]) -> None:
    meter, told = opened(domains="tmp")
    assert watts(meter, 0.2) == pytest.approx(270, rel=0.02)
    assert (told.boundary, told.limit_w) == ("gpu_package", None)


def test_the_parts_of_a_card_do_not_stand_for_it(opened: Callable[..., Opened]) -> None:
    with pytest.raises(Unavailable, match="none of the whole card"):
        opened(domains="tm")


def test_an_old_driver_tells_only_what_lies_on_a_tile(opened: Callable[..., Opened]) -> None:
    meter, told = opened(domains="tc", old=1)
    assert watts(meter, 0.2) == pytest.approx(300, rel=0.02)
    assert told.facts["domain"] == "not told"


def test_no_domain_is_no_meter(opened: Callable[..., Opened]) -> None:
    with pytest.raises(Unavailable, match="no power domain") as found:
        opened(domains="")
    assert "render" in found.value.remedy


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [(0x78000003, "unsupported", ""), (0x70010000, "no_permission", "render"), (0x70000001, "lost", "")],
)
def test_an_error_of_the_driver_is_told(opened: Callable[..., Opened], code: int, status: str, remedy: str) -> None:
    with pytest.raises(Unavailable, match=f"does not tell its energy \\({status}\\)") as found:
        opened(code=code)
    assert remedy in found.value.remedy
    meter, _ = opened(code=code, code_after_s=0.1)
    assert meter.read().value is not None
    time.sleep(0.15)
    assert (meter.read().value, meter.read().status) == (None, status)


def test_a_counter_that_began_again_is_lost_for_good(opened: Callable[..., Opened]) -> None:
    meter, _ = opened(reset_after_s=0.1)
    assert meter.read().status == "ok"
    time.sleep(0.15)
    assert [(meter.read().value, meter.read().status) for _ in range(2)] == [(None, "lost")] * 2


def test_refusals_at_the_door(opened: Callable[..., Opened]) -> None:
    with pytest.raises(Unavailable, match="zesDeviceEnumPowerDomains answers 0x70010000") as found:
        opened(enum=0x70010000)
    assert "render" in found.value.remedy
    with pytest.raises(Unavailable, match="zesInit answers 0x78000001"):
        opened(init=0x78000001)


def test_which_device(opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="not an Intel GPU"):
        opened(Part("cuda"))
    with pytest.raises(Unavailable, match="there is no device 2"):
        opened(Part("xpu", 2))
    assert opened(Part("cpu"), {"board": 1})[1].packages == ("0000:3b:00",)
    monkeypatch.setenv("ZE_AFFINITY_MASK", "1")
    assert opened()[1].packages == ("0000:3b:00",)
    monkeypatch.setenv("ZE_AFFINITY_MASK", "0.1")  # a tile: which card torch means is not certain
    with pytest.raises(Unavailable, match="ZE_AFFINITY_MASK"):
        opened()


def test_without_the_library_the_reason_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Level Zero") as found:
        LevelZero(str(tmp_path / "libze_loader.so.1")).open(Part("xpu"))
    assert "apt install libze1" in found.value.remedy


def test_the_structures_have_the_sizes_of_the_header() -> None:
    from perwatt.benchmarks.meters import level_zero

    sizes = [ctypes.sizeof(kind) for kind in (level_zero._Pci, level_zero._Extended, level_zero._Power)]
    assert sizes == [56, 32, 40]


@pytest.mark.parametrize("setting", [{"poll_s": 0.0}, {"poll_s": "x"}, {"board": -1}, {"board": True}, {"path": ""}])
def test_a_wrong_setting_is_named(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"meter\.level_zero\."):
        LevelZero(**setting)


def test_cost_of_a_read(opened: Callable[..., Opened], benchmark: BenchmarkFixture) -> None:
    meter, _ = opened()
    benchmark.pedantic(meter.read, rounds=200, iterations=10)
    if benchmark.stats is not None:  # None where benchmarks are disabled
        assert benchmark.stats.stats.median < 200e-6
