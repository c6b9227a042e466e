"""Meters that are files: hwmon, Cray's pm_counters, and the stated constant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from perwatt.benchmarks.meters.constant import Constant
from perwatt.benchmarks.meters.cray import Cray
from perwatt.benchmarks.meters.hwmon import Hwmon
from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.window import Window

CPU = Part("cpu")


def put(root: Path, **files: object) -> Path:
    """A folder with these files."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(f"{text}\n")
    return root


def grace(root: Path, socket: int, part: str, watts: float, number: int) -> Path:
    info = f"{part} Power Socket {socket}"
    uw = round(watts * 1e6)
    return put(root / f"hwmon{number}" / "device", power1_oem_info=info, power1_average=uw, power1_average_interval=50)


def test_graces_sockets_of_one_part_are_summed_and_parts_never_mixed(tmp_path: Path) -> None:
    for number, (socket, part, watts) in enumerate(
        [(0, "Module", 600.0), (0, "Grace", 150.0), (0, "CPU", 90.0), (1, "Module", 580.0), (1, "Grace", 140.0)]
    ):
        grace(tmp_path, socket, part, watts, number)
    meter = Hwmon("Grace", root=str(tmp_path))
    about = meter.open(CPU)
    assert (about.boundary, about.packages, about.averaging_s) == ("cpu_package", ("Grace-0", "Grace-1"), 0.05)
    assert meter.read().value == pytest.approx(290)
    module = Hwmon("Module", root=str(tmp_path))
    assert module.open(CPU).boundary == "module"
    assert module.read().value == pytest.approx(1180)


def test_graces_sentinel_is_no_power_and_a_file_comes_back(tmp_path: Path) -> None:
    device = grace(tmp_path, 0, "Grace", 150.0, 0)
    meter = Hwmon("Grace", root=str(tmp_path))
    meter.open(CPU)
    for text, status in (
        ("4294967295000", "out_of_range"),
        ("", "out_of_range"),
        ("x", "out_of_range"),
        ("-5", "out_of_range"),
    ):
        put(device, power1_average=text)
        reading = meter.read()
        assert (reading.value, reading.status) == (None, status)
    (device / "power1_average").unlink()
    assert meter.read().status == "lost"
    put(device, power1_average=160_000_000)
    assert meter.read().value == pytest.approx(160)


def test_any_chip_by_name_and_label(tmp_path: Path) -> None:
    put(
        tmp_path / "hwmon3",
        name="pmbus",
        power1_input=800_000_000,
        power1_label="pin",
        power2_input=7e8,
        power2_label="pout",
    )
    put(tmp_path / "hwmon4", name="other", power1_input=1)
    meter = Hwmon(chip="pmbus", label="pin", boundary="node_ac", root=str(tmp_path))
    assert meter.open(CPU).packages == ("hwmon3:pin",)
    assert meter.read().value == pytest.approx(800)
    with pytest.raises(Unavailable, match="no power of a chip nct"):
        Hwmon(chip="nct", boundary="node_ac", root=str(tmp_path)).open(CPU)


def cray(root: Path, joules: int, freshness: int = 1) -> Path:
    stamp = f"{joules} J 1700000000000000 us"
    return put(root, energy=stamp, accel0_energy=stamp, accel1_energy=stamp, cpu_energy=stamp, freshness=freshness)


def test_crays_counters(tmp_path: Path) -> None:
    cray(tmp_path, 1000)
    node, accels = Cray(root=str(tmp_path)), Cray("accel", str(tmp_path))
    assert node.open(CPU).boundary == "node_dc"
    about = accels.open(CPU)
    assert (about.boundary, about.packages) == ("gpu", ("accel0", "accel1"))
    cray(tmp_path, 1500)
    assert node.read().value == pytest.approx(500)
    assert accels.read().value == pytest.approx(1000)


def test_a_reading_that_a_renewal_cuts_in_two_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cray(tmp_path, 1000)
    meter = Cray("accel", str(tmp_path))
    meter.open(CPU)
    fresh = iter("12" + "33")
    monkeypatch.setattr(meter, "_freshness", lambda: next(fresh))
    assert meter.read().value == pytest.approx(0)
    assert next(fresh, "used") == "used"
    counts = iter(range(1000))
    monkeypatch.setattr(meter, "_freshness", lambda: str(next(counts)))
    assert meter.read().status == "out_of_range"


def test_a_counter_that_goes_back_is_lost(tmp_path: Path) -> None:
    cray(tmp_path, 1000)
    meter = Cray(root=str(tmp_path))
    meter.open(CPU)
    cray(tmp_path, 10)
    assert (meter.read().value, meter.read().status) == (None, "lost")


def test_a_constant_is_a_model() -> None:
    with pytest.raises(Unavailable, match="no power was stated"):
        Constant().open(CPU)
    channels, _ = open_meters({"stated": Constant(700.0, "node_ac", 0.01)}, CPU, host=True)
    with Sampler(channels) as sampler:
        window = Window(sampler)
        window.open()
        import time

        time.sleep(0.2)
        window.close()
    (energy,) = window.energies()
    assert energy.energy_j == pytest.approx(700 * window.seconds)
    assert (energy.source, energy.accuracy_class, "gain" in energy.terms) == ("modelled", "E", False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hwmon("GPU"), r"meter\.hwmon\.part: found 'GPU', allowed Module, Grace"),
        (lambda: Hwmon(chip="x"), r"meter\.hwmon\.boundary"),
        (lambda: Hwmon(label="("), r"meter\.hwmon\.label"),
        (lambda: Cray("rack"), r"meter\.cray\.what: found 'rack'"),
        (lambda: Cray(poll_s=0), r"meter\.cray\.poll_s: found 0"),
        (lambda: Constant(-1), r"meter\.constant\.power_w: found -1"),
        (lambda: Constant(True), r"meter\.constant\.power_w: found True"),
    ],
)
def test_a_wrong_setting_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_missing_trees_say_what_would_help(tmp_path: Path) -> None:
    for meter, remedy in ((Hwmon(root=str(tmp_path)), "force_cap_on"), (Cray(root=str(tmp_path)), "Cray EX")):
        with pytest.raises(Unavailable) as missing:
            meter.open(CPU)
        assert remedy in missing.value.remedy


@pytest.mark.root
def test_a_file_that_may_not_be_read_is_no_permission_and_never_zero(tmp_path: Path) -> None:
    cray(tmp_path, 1000)
    code = (
        "import os, sys; from perwatt.benchmarks.meters.cray import Cray\n"
        "from perwatt.benchmarks.meters.meter import *\n"
        "meter = Cray(root=sys.argv[1]); meter.open(Part('cpu')); os.chmod(sys.argv[1] + '/energy', 0)\n"
        "os.seteuid(65534); r = meter.read(); print(r.value, r.status)\n"
        "try: Cray(root=sys.argv[1]).open(Part('cpu'))\nexcept Unavailable as error: print(error.reason)\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["None no_permission", f"no permission to read {tmp_path / 'energy'}"], (
        done.stderr
    )


@pytest.mark.parametrize("kind", [Cray, Hwmon])
def test_cost_of_a_read(kind: type[Cray] | type[Hwmon], tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    cray(tmp_path / "cray", 1000)
    grace(tmp_path / "hwmon", 0, "Grace", 100.0, 0)
    meter = kind(root=str(tmp_path / kind.__name__.lower()))
    meter.open(CPU)
    benchmark.pedantic(meter.read, rounds=200, iterations=10)
    if benchmark.stats is not None:  # None where benchmarks are disabled
        assert benchmark.stats.stats.median < 2e-3
