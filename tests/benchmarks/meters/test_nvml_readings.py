"""Single readings of the NVML meters: ways to ask, scopes, boards and slices, return codes and faults."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_nvml
import pytest

PROBE = Path(__file__).with_name("nvml_probe.py")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    from conftest import require

    compiler = shutil.which("gcc") or shutil.which("cc") or ""
    require("compiler", bool(compiler))
    return fake_nvml.build(compiler, tmp_path_factory.mktemp("nvml"))


def probe(library: Path, meter: str, asked: dict[str, Any] | None = None, **board: object) -> dict[str, Any]:
    env = fake_nvml.environment(library, **board)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(fake_nvml.__file__).parent), env.get("PYTHONPATH")]))
    argv = [sys.executable, str(PROBE), json.dumps({"meter": meter, "at_s": [0.0], **(asked or {})})]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def probes(library: Path, asked: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Several at once: most of their time they wait."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda each: probe(library, each[0], each[1], **each[2]), asked))


def call(found: dict[str, Any]) -> str:
    return str(found["about"]["facts"]["call"])


# -- the stand-in itself: its truth against sums made here -------------------------------------------------------------

TRUTH = """
import ctypes, json, sys
truth = ctypes.CDLL("libnvidia-ml.so.1").fake_nvml_true_energy_j
truth.restype, truth.argtypes = ctypes.c_double, [ctypes.c_longlong] * 2
print(json.dumps([truth(*span) for span in json.loads(sys.argv[1])]))
"""


def square_w(t: float) -> float:
    return 450.0 if t % 0.104 < 0.25 * 0.104 else 150.0


def steps_w(t: float) -> float:
    return 600.0 if t >= 2.5 else 300.0 if t >= 1 else 150.0


def lines_w(t: float) -> float:
    return 100.0 if t < 0.5 else 700.0 if t > 1.5 else 100 + 600 * (t - 0.5)


@pytest.mark.parametrize(
    ("curve", "watts"),
    [("square:150:450:0.104:0.25", square_w), ("steps:0:150:1:300:2.5:600", steps_w), ("csv", lines_w)],
)
def test_the_truth_is_the_integral_of_the_curve(
    library: Path, tmp_path: Path, curve: str, watts: Callable[[float], float]
) -> None:
    if curve == "csv":
        (tmp_path / "p.csv").write_text("time_s,power_w\n0.5,100\n1.5,700\n")
        curve = f"csv:{tmp_path / 'p.csv'}"
    spans = [(0.0, 3.0), (0.313, 0.377), (0.9, 2.7), (-0.2, 0.4)]
    argv = [sys.executable, "-c", TRUTH, json.dumps([[round(a * 1e9), round(b * 1e9)] for a, b in spans])]
    env = fake_nvml.environment(library, curve=curve, origin_ns=0)
    found = json.loads(subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout)
    step = 1e-5
    for (start, end), joules in zip(spans, found, strict=True):
        summed = math.fsum(watts(start + (n + 0.5) * step) for n in range(round((end - start) / step))) * step
        assert joules == pytest.approx(summed, rel=1e-4)


def test_a_live_load_drives_power_and_counter(library: Path, tmp_path: Path) -> None:
    load = tmp_path / "load"
    fake_nvml.LoadFile(load).set(0.0)
    asked = {"at_s": [0.0, 0.2, 0.4, 0.6], "load": [str(load), [[0.1, 1.0], [0.4, 0.5]]]}
    found = probe(library, "NvmlEnergy", asked, curve=f"load:{load}:100:600", counter_s=0.001)
    # 0.1 s at 100 W, 0.3 s at 600 W, 0.2 s at 350 W; the load is switched by a sleeping process, hence the margin
    assert found["true_j"] == pytest.approx([0, 70, 190, 260], abs=12)
    said = [value - found["values"][0] for value in found["values"]]
    assert said == pytest.approx(found["true_j"], abs=3)


# -- the counter -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", ["square:100:600:0.02:0.5", "steps:0:100:0.2:600"])
def test_the_counter_is_the_truth_to_its_own_period(library: Path, curve: str) -> None:
    found = probe(library, "NvmlEnergy", {"at_s": [0.0, 0.13, 0.31, 0.4]}, curve=curve, counter_s=0.001)
    said = [value - found["values"][0] for value in found["values"]]
    assert said == pytest.approx(found["true_j"], abs=2 * 0.6)


def test_a_counter_of_samples_sees_what_the_sensor_sees(library: Path) -> None:
    """A wave of the sensor's own period: 25 ms of each 100 ms are seen, all of them high."""
    wave = {"curve": "square:100:500:0.1:0.5", "phase_s": 0.03, "window_s": 0.025}
    found = probe(library, "NvmlEnergy", {"at_s": [0.05, 0.85]}, counter_sampled=1, **wave)
    assert (found["values"][1] - found["values"][0]) / 0.8 == pytest.approx(500, abs=65)  # a sample more or less
    assert found["true_j"][1] == pytest.approx(300 * 0.8, rel=0.1)


@pytest.mark.parametrize(
    ("board", "way"),
    [
        ({}, "nvmlDeviceGetTotalEnergyConsumption"),
        ({"energy_code": 3}, "field 83"),
        ({"energy_code": 13, "field_83": 3}, "field 191"),
    ],
)
def test_the_counter_is_asked_in_the_way_that_answers(library: Path, board: dict[str, int], way: str) -> None:
    found = probe(library, "NvmlEnergy", {"at_s": [0.0, 0.2]}, counter_s=0.001, **board)
    assert call(found) == way
    assert found["values"][1] - found["values"][0] == pytest.approx(found["true_j"][1], abs=1)


def test_a_library_without_the_counters_symbol_has_the_field(compiler: str, tmp_path: Path) -> None:
    assert call(probe(fake_nvml.build(compiler, tmp_path, "-DNO_ENERGY_CALL"), "NvmlEnergy")) == "field 83"


def test_a_library_without_fields_has_counter_and_usage(compiler: str, tmp_path: Path) -> None:
    library = fake_nvml.build(compiler, tmp_path, "-DNO_FIELD_VALUES")
    assert call(probe(library, "NvmlEnergy")) == "nvmlDeviceGetTotalEnergyConsumption"
    average = probe(library, "NvmlAverage", w=250)
    assert (call(average), average["values"], average["about"]["averaging_s"]) == (
        "nvmlDeviceGetPowerUsage",
        [250],
        1.0,
    )
    assert average["snapshot"]["throttle_ns"] == {}
    assert average["snapshot"]["temperature_c"] == {"gpu": 60}
    missing = probe(library, "NvmlInstant")
    assert "(unsupported)" in missing["reason"]
    assert "nvml_average" in missing["remedy"]


def test_a_counter_that_began_again_says_no_more(library: Path) -> None:
    """Also when it has passed its old height: at 0.5 s it shows 120 J, more than the 60 J that it had shown before."""
    asked = {"at_s": [0.05, 0.15, 0.25, 0.5, 0.7]}
    found = probe(library, "NvmlEnergy", asked, counter_j=0, counter_s=0.001, reset_after_s=0.2)
    assert found["statuses"] == ["ok", "ok", "lost", "lost", "lost"]
    assert found["values"][2:] == [None] * 3


@pytest.mark.parametrize(
    ("at_s", "statuses"),
    [
        ([0.1, 0.25, 0.6], ["ok", "out_of_range", "ok"]),
        ([0.1, 0.22, 0.28, 0.6], ["ok", "out_of_range", "out_of_range", "lost"]),
    ],
)
def test_a_leap_is_not_believed(library: Path, at_s: list[float], statuses: list[str]) -> None:
    found = probe(library, "NvmlEnergy", {"at_s": at_s}, counter_s=0.001, garbage_after_s=0.2, garbage_until_s=0.4)
    assert found["statuses"] == statuses
    if statuses[-1] == "ok":
        assert found["values"][-1] - found["values"][0] == pytest.approx(found["true_j"][-1], abs=1)


def test_a_counter_that_stood_still_and_catches_up_is_no_leap(library: Path) -> None:
    board = {"w": 690, "limit_w": 350, "max_w": 350, "counter_s": 2.0}
    found = probe(library, "NvmlEnergy", {"at_s": [0.1, 1.0, 1.8, 2.1]}, **board)
    assert found["statuses"] == ["ok"] * 4
    assert found["values"][-1] - found["values"][0] == pytest.approx(2 * 690, rel=1e-3)


# -- power -------------------------------------------------------------------------------------------------------------


def test_what_averages_a_second_is_told_by_the_part(library: Path) -> None:
    """A step from 100 to 500 W half a second ago: a mean of a second lies between, the power of the moment does not."""
    # the step comes 0.3 s after the library was initialised
    board = {"curve": "steps:0:100:0.3:500", "period_s": 0.02, "window_s": 0.02}
    expected = {
        "7.0": ("nvmlDeviceGetPowerUsage", 0.0, None),
        "8.0": ("nvmlDeviceGetPowerUsage", 0.0, 0.25),
        "8.6": ("field 185, scope gpu", 1.0, None),
        "9.0": ("field 185, scope gpu", 1.0, None),
    }
    asked = [("NvmlAverage", {"at_s": [0.8]}, {**board, "capability": part}) for part in expected]
    for found, (part, said) in zip(probes(library, asked), expected.items(), strict=True):
        about = found["about"]
        assert (call(found), about["averaging_s"], about["attention"]) == said
        assert found["values"][0] == (pytest.approx(300, abs=60) if said[1] else pytest.approx(500))
        assert about["facts"]["compute_capability"] == part


def test_attention_of_the_sensor_by_part(library: Path) -> None:
    expected = {"8.0": 0.25, "9.0": 0.25, "8.9": None, "10.0": None}
    found = probes(library, [("NvmlInstant", {}, {"capability": part}) for part in expected])
    assert [each["about"]["attention"] for each in found] == list(expected.values())


def test_a_field_that_an_older_driver_refuses(library: Path) -> None:
    usage = probe(library, "NvmlAverage", field_185=2, w=250)
    assert (call(usage), usage["values"]) == ("nvmlDeviceGetPowerUsage", [250])
    assert "(unsupported)" in probe(library, "NvmlInstant", field_186=2)["reason"]


def test_gain_and_offset_reach_the_reading(library: Path) -> None:
    assert probe(library, "NvmlInstant", w=400, gain=0.95, offset_w=7)["values"] == [pytest.approx(387)]


def test_no_watts_at_all_is_no_reading(library: Path) -> None:
    assert "(out_of_range)" in probe(library, "NvmlInstant", w=0)["reason"]


@pytest.mark.parametrize("kind", [6, 9])
def test_a_value_of_an_unknown_type_is_no_reading(library: Path, kind: int) -> None:
    found = probe(library, "NvmlInstant", w=400, type=kind)
    # 6 is a short: 400 000 mW do not fit, what remains is still a number of watts; 9 is nothing
    assert found.get("values") == [pytest.approx((400_000 % 65_536) / 1000)] if kind == 6 else "reason" in found


# -- scopes ------------------------------------------------------------------------------------------------------------


def test_a_superchip_that_answers_for_both(library: Path) -> None:
    board = {"c2c": 1, "w": 400, "module_w": 250, "module_limit_w": 1000, "counter_s": 0.001}
    energy = probe(library, "NvmlEnergy", {"at_s": [0.0, 0.4]}, **board)
    assert (energy["about"]["boundary"], energy["about"]["limit_w"]) == ("module", 1000)
    assert (energy["values"][1] - energy["values"][0]) / energy["true_j"][1] == pytest.approx(650 / 400, rel=0.01)
    for of, watts, boundary, limit_w in (
        (None, 400, "gpu", 700),
        ("module", 650, "module", 1000),
        ("memory", 80, "gpu_memory", None),
    ):
        found = probe(library, "NvmlInstant", {"settings": {"of": of}}, **board)
        about = found["about"]
        assert (found["values"], about["boundary"], about["limit_w"]) == ([watts], boundary, limit_w)
        assert about["facts"]["scope"] == boundary
        assert about["instrument"] == f"nvml:GPU-fake-0:{boundary}"


def test_a_superchip_that_has_no_gpu_scope_and_maybe_no_call_to_tell_it(library: Path) -> None:
    for told in ({}, {"no_c2c_call": 1}):
        board = {"module_only": 1, "w": 400, "module_w": 250, **told}
        energy, instant = probe(library, "NvmlEnergy", **board), probe(library, "NvmlInstant", **board)
        assert energy["about"]["boundary"] == instant["about"]["boundary"] == "module"
        assert instant["values"] == [650]
        assert call(instant) == "field 186, scope module"


def test_an_ordinary_board_has_no_module(library: Path) -> None:
    missing = probe(library, "NvmlInstant", {"settings": {"of": "module"}})
    assert "(unsupported)" in missing["reason"]


# -- boards, slices, state ---------------------------------------------------------------------------------------------


def test_boards_are_found_by_uuid_and_index(library: Path) -> None:
    board = {"boards": 8, "share_5": 0.5, "w": 400}
    for part, setting in ((["cuda", 0, "fake-5"], {}), (["cuda", 5], {}), (["cpu"], {"board": 5})):
        found = probe(library, "NvmlInstant", {"part": part, "settings": setting}, **board)
        assert (found["about"]["packages"], found["values"]) == (["GPU-fake-5"], [200])
    missing = probe(library, "NvmlInstant", {"part": ["cuda", 8]}, **board)
    assert "does not know the board 8" in missing["reason"]
    assert "nvidia-smi -L" in missing["remedy"]


def test_a_slice_is_its_whole_board(library: Path) -> None:
    found = probe(library, "NvmlEnergy", {"part": ["cuda", 0, "MIG-fake-1-2"]}, mig=1)
    assert found["about"]["packages"] == ["GPU-fake-1"]
    assert found["about"]["facts"]["mig"] == "on"
    assert found["statuses"] == ["ok"]
    assert probe(library, "NvmlEnergy", mig=0)["about"]["facts"]["mig"] == "off"
    assert "mig" not in probe(library, "NvmlEnergy")["about"]["facts"]


def test_facts_and_state(library: Path) -> None:
    board = {"limit_w": 450, "default_w": 600, "min_w": 150, "max_w": 650, "gpu_c": 41, "memory_c": 52, "sm_mhz": 1200}
    found = probe(library, "NvmlInstant", power_brake=1.0, ecc_after_s=0, **board)
    assert found["about"]["facts"] == {
        "board": "Fake H100",
        "compute_capability": "9.0",
        "vbios": "96.00.01",
        "driver": "999.01",
        "persistence": "on",
        "ecc": "on",
        "compute_mode": "exclusive_process",
        "limit_enforced_w": "450.0",
        "limit_default_w": "600.0",
        "limit_min_w": "150.0",
        "limit_max_w": "650.0",
        "call": "field 186, scope gpu",
        "scope": "gpu",
    }
    assert found["about"]["limit_w"] == 450
    snapshot = found["snapshot"]
    assert snapshot["temperature_c"] == {"gpu": 41, "memory": 52}
    assert snapshot["clock_hz"] == {"sm": 1200e6, "memory": 2619e6}
    assert snapshot["limit_w"] == {"enforced": 450, "default": 600}
    assert snapshot["ecc"] == {"corrected": 2, "uncorrected": 1}
    assert len(snapshot["processes"]) == 1
    assert snapshot["throttle_ns"].pop("hw_power_brake") > 1e6
    assert set(snapshot["throttle_ns"].values()) == {0}


# -- return codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("meter", ["NvmlEnergy", "NvmlInstant", "NvmlAverage"])
def test_a_return_code_is_a_status(library: Path, meter: str) -> None:
    statuses = {1: "lost", 4: "no_permission", 10: "stale", 15: "lost", 16: "lost", 21: "stale", 999: "stale"}
    asked = [(meter, {"at_s": [0.0, 0.6]}, {"code": code, "code_after_s": 0.5}) for code in statuses]
    for found, status in zip(probes(library, asked), statuses.values(), strict=True):
        assert found["statuses"] == ["ok", status]
        assert found["values"][1] is None
        assert found["snapshot"]["ecc"] == {}  # absent, not 0


@pytest.mark.parametrize("meter", ["NvmlEnergy", "NvmlInstant"])
def test_an_unknown_error_is_asked_once_more(library: Path, meter: str) -> None:
    found = probe(library, meter, {"at_s": [0.01 * n for n in range(9)]}, unknown_every=2)
    assert found["statuses"] == ["ok"] * 9


def test_a_board_that_comes_back_goes_on(library: Path) -> None:
    asked = {"at_s": [0.05, 0.25, 0.5]}
    found = probe(library, "NvmlEnergy", asked, lost_after_s=0.2, back_after_s=0.4, counter_s=0.001)
    assert found["statuses"] == ["ok", "lost", "ok"]
    assert found["values"][2] - found["values"][0] == pytest.approx(found["true_j"][2], abs=1)


def test_what_cannot_be_opened_says_what_would_help(library: Path) -> None:
    assert "/dev/nvidia" in probe(library, "NvmlInstant", field_186=4)["remedy"]
    assert "driver" in probe(library, "NvmlInstant", init_code=9)["remedy"]
    assert "nvidia-smi" in probe(library, "NvmlEnergy", code=15)["remedy"]
