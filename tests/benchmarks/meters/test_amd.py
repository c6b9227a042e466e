"""AMD SMI through the unmodified binding and a library whose truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_amd
import pytest
from conftest import require

from perwatt.benchmarks.meters.amd import AmdEnergy, AmdPower
from perwatt.benchmarks.meters.amd_board import number

# Opens both meters for each part of argv[1] and reads them at the edges of argv[2] seconds.
PROGRAM = """
import dataclasses, json, sys, time
from perwatt.benchmarks.meters.amd import AmdEnergy, AmdPower
from perwatt.benchmarks.meters.meter import Part, Unavailable
settings = json.loads(sys.argv[3])
out = []
for part in json.loads(sys.argv[1]):
    for meter in (AmdEnergy(**settings), AmdPower(**settings)):
        try:
            told = dataclasses.asdict(meter.open(Part(*part)))
        except Unavailable as error:
            out.append({"missing": error.reason, "remedy": error.remedy})
            continue
        first = meter.read(); time.sleep(float(sys.argv[2])); last = meter.read(); again = meter.read()
        out.append({"told": told, "first": dataclasses.asdict(first), "last": dataclasses.asdict(last),
                    "again": again.status, "snapshot": dataclasses.asdict(meter.snapshot())})
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    require("amdsmi", fake_amd.installed() is not None)
    compiler = shutil.which("gcc") or shutil.which("cc") or ""
    require("compiler", bool(compiler))
    return fake_amd.build(compiler, tmp_path_factory.mktemp("amd"))


def run(
    library: Path,
    *parts: list[Any],
    seconds: float = 0.0,
    meter: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    **settings: object,
) -> list[dict[str, Any]]:
    """Energy and power of each part, in turn."""
    argv = [sys.executable, "-c", PROGRAM, json.dumps(parts or [["cuda", 0]]), str(seconds), json.dumps(meter or {})]
    env = {**fake_amd.environment(library, **settings), **(environment or {})}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # and nothing else: the import must not print into a result
    assert isinstance(found, list)
    return found


def packages(found: list[dict[str, Any]]) -> list[str]:
    return [one["told"]["packages"][0] for one in found]


def test_a_known_power(library: Path) -> None:
    energy, power = run(library, ["cuda", 1], seconds=0.5)
    passed_s = (energy["last"]["mono_ns"] - energy["first"]["mono_ns"]) * 1e-9
    joules = energy["last"]["value"] - energy["first"]["value"]
    assert joules / passed_s == pytest.approx(751, rel=0.01)
    assert energy["last"]["meter_ns"] - energy["first"]["meter_ns"] == pytest.approx(passed_s * 1e9, rel=0.01)
    assert 0 <= energy["first"]["value"] < 50  # since it was opened, not since the driver was loaded
    assert power["last"]["value"] == 751
    told = energy["told"]
    assert told["packages"] == ["0000:11:00"] == list(power["told"]["packages"])
    assert told["instrument"] == power["told"]["instrument"]
    assert told["quantum"] == pytest.approx(15.259e-6)
    assert (told["limit_w"], told["period_s"], told["accuracy_class"]) == (900.0, 0.001, "D")
    assert told["facts"]["call"] == "energy_accumulator"
    assert told["facts"]["board"] == "Fake Instinct"


def test_the_state_beside_the_power_leaves_out_what_is_not_known(library: Path) -> None:
    energy, _ = run(library, partitions=2)
    assert energy["snapshot"]["temperature_c"] == {"hotspot": 65, "memory": 55}
    assert energy["snapshot"]["clock_hz"] == {"gfx": 2100e6}
    assert energy["snapshot"]["limit_w"] == {"enforced": 900.0, "default": 1000.0}
    assert energy["snapshot"]["ecc"] == {}
    assert energy["snapshot"]["processes"] == [100, 101]  # of every partition


def test_eight_partitions_are_one_package(library: Path) -> None:
    found = run(library, *[["cuda", index] for index in range(8)], ["cuda", 8], partitions=8)
    assert packages(found) == ["0000:10:00"] * 16 + ["0000:11:00"] * 2
    assert {one["told"]["facts"]["partitions"] for one in found} == {"8"}
    assert {one["last"]["value"] for one in found[1:16:2]} == {750}


def test_hip_numbers_devices_its_own_way(library: Path) -> None:
    assert packages(run(library, ["cuda", 0], hip_reversed=1)) == ["0000:11:00"] * 2
    assert packages(run(library, ["cuda", 1], no_hip=1)) == ["0000:11:00"] * 2
    masked = run(library, ["cuda", 0], boards=3, environment={"HIP_VISIBLE_DEVICES": "2"})
    assert packages(masked) == ["0000:12:00"] * 2
    nested = {"HIP_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "0,2"}
    assert packages(run(library, ["cuda", 0], boards=3, environment=nested)) == ["0000:12:00"] * 2


@pytest.mark.parametrize(
    "uuid",
    ["GPU-00000000000000a1", "00000000000000a1", b"00000000000000a1".hex(), "0000:11:00.0"],
)
def test_a_uuid_goes_before_every_number(library: Path, uuid: str) -> None:
    assert packages(run(library, ["cuda", 0, uuid])) == ["0000:11:00"] * 2


def test_the_second_die_is_metered_through_the_first_and_never_0(library: Path) -> None:
    energy, power = run(library, ["cuda", 3], boards=4, dies=1)
    assert packages([energy, power]) == ["0000:12:00"] * 2
    assert energy["told"]["detail"] == "0000:13:00 is the second die of 0000:12:00"
    assert energy["last"]["value"] > 0
    assert power["last"]["value"] == 752
    alone = run(library, ["cuda", 3], boards=4, dies=1, no_serial=1)
    for one in alone:
        assert "0000:13:00 does not tell its" in one["missing"]
        assert "MI250X" in one["remedy"]


def test_an_older_board_tells_an_average(library: Path) -> None:
    _, power = run(library, average=1)
    assert power["told"]["facts"]["call"] == "average_socket_power"
    assert power["last"]["value"] == 750


def test_what_is_not_known_is_not_0(library: Path) -> None:
    energy, power = run(library, no_power=1, no_energy=1)
    assert "does not tell its energy (unsupported)" in energy["missing"]
    assert "does not tell its power (unsupported)" in power["missing"]
    energy, power = run(library, seconds=0.2, unknown_after_s=0.1)
    assert (energy["last"]["value"], energy["last"]["status"]) == (None, "unsupported")
    assert [number(value) for value in ("N/A", None, 0xFFFF, 0xFFFFFFFF, 0.0, 7)] == [None, None, None, None, 0.0, 7.0]


@pytest.mark.parametrize(("code", "status"), [(10, "no_permission"), (2, "unsupported"), (30, "stale"), (31, "lost")])
def test_an_error_of_the_driver_is_a_status(library: Path, code: int, status: str) -> None:
    energy, power = run(library, seconds=0.4, code=code, code_after_s=0.2)
    assert (energy["last"]["value"], energy["last"]["status"]) == (None, status)
    assert f"does not tell its power ({status})" in power["missing"]


def test_a_counter_that_began_again_is_lost_for_good(library: Path) -> None:
    energy, _ = run(library, seconds=0.3, reset_after_s=0.15)
    assert (energy["last"]["value"], energy["last"]["status"], energy["again"]) == (None, "lost", "lost")


def test_a_board_by_its_index_whatever_runs_the_load(library: Path) -> None:
    assert packages(run(library, ["cpu", 0], meter={"board": 1}, partitions=8)) == ["0000:11:00"] * 2
    assert "not an AMD GPU" in run(library, ["cpu", 0])[0]["missing"]
    other = "f00dbabe-1234-5678-9abc-def012345678"  # sixteen raw bytes: the form of another vendor
    assert "not an AMD GPU" in run(library, ["cuda", 0, other])[0]["missing"]
    assert "no package 7" in run(library, ["cpu", 0], meter={"board": 7})[0]["missing"]
    assert "does not know HIP device 9" in run(library, ["cuda", 9])[0]["missing"]


def test_without_library_or_driver_the_reason_is_told(library: Path, tmp_path: Path) -> None:
    bare = run(tmp_path)[0]
    assert "libamd_smi.so is missing" in bare["missing"]
    assert "pip install" in bare["remedy"]
    assert "amdgpu driver" in run(library, no_driver=1)[0]["remedy"]


@pytest.mark.parametrize("setting", [{"poll_s": 0.0}, {"poll_s": "x"}, {"board": -1}, {"board": True}])
def test_a_wrong_setting_is_named(setting: dict[str, Any]) -> None:
    for kind in (AmdEnergy, AmdPower):
        with pytest.raises(ValueError, match=r"meter\.amd_(energy|power)\."):
            kind(**setting)


def test_the_older_name_of_the_count() -> None:
    """Releases before ROCm 6.4 call it ``power``."""

    class Smi:
        class AmdSmiException(Exception):
            pass

        AmdSmiLibraryException = AmdSmiException

    class Old:
        smi = Smi

        def ask(self, call: str) -> dict[str, float]:
            return {"power": 1000, "counter_resolution": 15.3, "timestamp": 5}

    meter = AmdEnergy()
    meter._board, meter._zero, meter._last, meter._lost = Old(), 0.0, float("-inf"), False
    reading = meter.read()
    assert reading.value == pytest.approx(1000 * 15.3e-6)
    assert (reading.status, reading.meter_ns) == ("ok", 5)
