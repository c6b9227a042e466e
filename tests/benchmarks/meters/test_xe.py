"""The kernel's sensors of Intel cards, on a tree of files that looks like theirs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from intel_cards import card
from pytest_benchmark.fixture import BenchmarkFixture

from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.xe import Xe

START_UJ = 5_000_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "drm"


@contextmanager
def drawing(file: Path, watts: float) -> Iterator[None]:
    """Keep a counter running; written beside it and moved, so that no reading meets an empty file."""
    stop, began = threading.Event(), time.monotonic_ns()

    def count() -> None:
        while not stop.wait(0.0005):
            passed_s = (time.monotonic_ns() - began) * 1e-9
            beside = file.with_name("beside")
            beside.write_text(f"{START_UJ + int(watts * passed_s * 1e6)}\n")
            beside.replace(file)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_known_power_of_the_card_and_not_of_its_package(root: Path) -> None:
    card(root, 0, energy1_input=START_UJ)
    hwmon = card(root, 1, energy1_input=START_UJ, energy2_input=7, power1_max=300_000_000)
    meter = Xe(str(root))
    with drawing(hwmon / "energy1_input", 240):
        told = meter.open(Part("xpu", 1))
        first = meter.read()
        time.sleep(2)  # beside it, what the counter may be late by is small
        last = meter.read()
    assert first.value is not None
    assert last.value is not None
    assert (last.value - first.value) / (last.mono_ns - first.mono_ns) * 1e9 == pytest.approx(240, rel=0.01)
    assert first.value < 50
    assert (told.boundary, told.packages, told.limit_w) == ("gpu", ("0000:31:00",), 300.0)
    assert told.facts == {"driver": "xe", "card": "card1", "file": "energy1_input"}


def test_a_package_alone_is_named_so(root: Path) -> None:
    card(root, 0, energy2_input=5, power1_max=300_000_000)
    told = Xe(str(root)).open(Part("xpu"))
    assert (told.boundary, told.limit_w) == ("gpu_package", None)


def test_other_cards_are_not_counted(root: Path) -> None:
    card(root, 0, "amdgpu", energy1_input=5)
    card(root, 1, "i915")  # the processor's own graphics, without a counter
    for number in (10, 9):
        card(root, number, "i915" if number == 9 else "xe", energy1_input=5)
    assert Xe(str(root)).open(Part("xpu", 0)).facts["card"] == "card9"
    assert Xe(str(root)).open(Part("xpu", 1)).facts["card"] == "card10"
    with pytest.raises(Unavailable, match="there is no card 2"):
        Xe(str(root)).open(Part("xpu", 2))


def test_the_state_beside_the_power_leaves_out_what_is_not_there(root: Path) -> None:
    hwmon = card(root, 0, energy1_input=5, temp2_input=61_000, power1_rated_max=250_000_000)
    meter = Xe(str(root))
    assert meter.open(Part("xpu")).limit_w is None
    found = meter.snapshot()
    assert found is not None
    assert (found.temperature_c, found.limit_w) == ({"gpu": 61.0}, {"default": 250.0})
    (hwmon / "temp2_input").write_text("N/A\n")
    assert meter.snapshot().temperature_c == {}


def test_a_reset_is_lost_for_good(root: Path) -> None:
    hwmon = card(root, 0, energy1_input=START_UJ)
    meter = Xe(str(root))
    meter.open(Part("xpu"))
    (hwmon / "energy1_input").write_text("0\n")
    assert (meter.read().value, meter.read().status) == (None, "lost")
    (hwmon / "energy1_input").write_text(f"{START_UJ + 1}\n")
    assert meter.read().status == "lost"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PermissionError(13, "denied"), "no_permission"),
        (OSError(95, "not supported"), "unsupported"),
        (OSError(19, "gone"), "lost"),
    ],
)
def test_an_error_of_the_kernel_is_a_status(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, status: str
) -> None:
    card(root, 0, energy1_input=START_UJ)
    meter = Xe(str(root))
    meter.open(Part("xpu"))
    true_open = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if Path(path).name.startswith("energy"):
            raise error
        return true_open(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert (meter.read().value, meter.read().status) == (None, status)
    with pytest.raises(Unavailable, match=f"does not tell its energy \\({status}\\)") as found:
        Xe(str(root)).open(Part("xpu"))
    assert ("chmod" in found.value.remedy) == (status == "no_permission")


def test_what_is_no_number_is_not_0(root: Path) -> None:
    hwmon = card(root, 0, energy1_input=START_UJ)
    meter = Xe(str(root))
    meter.open(Part("xpu"))
    (hwmon / "energy1_input").write_text("\n")
    assert (meter.read().value, meter.read().status) == (None, "out_of_range")


def test_a_foreign_part_and_a_bare_machine_are_refused(root: Path) -> None:
    with pytest.raises(Unavailable, match="not an Intel GPU"):
        Xe(str(root)).open(Part("cuda"))
    with pytest.raises(Unavailable, match="has sensors of xe or i915"):
        Xe(str(root)).open(Part("xpu"))
    card(root, 0, energy1_input=5)
    assert Xe(str(root), board=0).open(Part("cpu", 3)).packages == ("0000:30:00",)


@pytest.mark.parametrize("setting", [{"poll_s": 0.0}, {"poll_s": "x"}, {"board": -1}, {"board": True}, {"root": ""}])
def test_a_wrong_setting_is_named(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"meter\.xe\."):
        Xe(**setting)


def test_cost_of_a_read(root: Path, benchmark: BenchmarkFixture) -> None:
    card(root, 0, energy1_input=START_UJ)
    meter = Xe(str(root))
    meter.open(Part("xpu"))
    benchmark.pedantic(meter.read, rounds=200, iterations=10)
    if benchmark.stats is not None:  # None where benchmarks are disabled
        assert benchmark.stats.stats.median < 500e-6
