"""NVML through the unmodified nvidia-ml-py and a library whose truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_nvml
import pytest

from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.nvml import NvmlAverage, NvmlEnergy, NvmlInstant
from perwatt.results.record import Record
from perwatt.results.store import load

# Opens the meters, samples a window of argv[2] seconds, and prints what came out beside the truth.
PROGRAM = """
import ctypes, json, sys, time, dataclasses, msgspec
from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.meters.nvml import NvmlAverage, NvmlEnergy, NvmlInstant
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.window import Window
part = Part(*json.loads(sys.argv[1]))
meters = {"energy": NvmlEnergy(), "instant": NvmlInstant(), "average": NvmlAverage()}
meters["memory"] = NvmlInstant(of="memory")
channels, missing = open_meters(meters, part, host=True)
with Sampler(channels) as sampler:
    sampler.hurry(True); time.sleep(0.3)
    window = Window(sampler); window.open(); time.sleep(float(sys.argv[2])); window.close()
    time.sleep(0.3); window.look()
truth = ctypes.CDLL("libnvidia-ml.so.1").fake_nvml_true_j
truth.restype, truth.argtypes = ctypes.c_double, [ctypes.c_longlong] * 2
print(json.dumps({
    "capabilities": {c.capabilities.name: dataclasses.asdict(c.capabilities) for c in channels},
    "missing": {name: m.reason for name, m in missing.items()},
    "energies": {e.meter: msgspec.to_builtins(e) for e in window.energies()},
    "true_j": truth(window.start_ns, window.end_ns),
    "lost": sorted(window.lost()),
    "conditions": msgspec.to_builtins(window.conditions()),
    "statuses": {c.capabilities.name: sorted({r.status for r in c.readings}) for c in channels},
    "stamps": [r.meter_ns for c in channels if c.capabilities.name == "instant" for r in c.readings][:2],
}))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    from conftest import require

    compiler = shutil.which("gcc") or shutil.which("cc") or ""
    require("compiler", bool(compiler))
    return fake_nvml.build(compiler, tmp_path_factory.mktemp("nvml"))


def run(library: Path, *part: Any, seconds: float = 0.5, **settings: object) -> dict[str, Any]:
    argv = [sys.executable, "-c", PROGRAM, json.dumps(part or ("cuda", 0)), str(seconds)]
    env = fake_nvml.environment(library, **settings)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


FAULTS = {"lost": "lost", "reset": "lost", "frozen": "frozen", "garbage": "out_of_range"}
# name: part, seconds of the window, settings of the board. They mostly wait, so that they run beside one another
SCENES: dict[str, tuple[tuple[Any, ...], float, dict[str, object]]] = {
    **{name: ((), 2.0, {f"{name}_after_s": 0.5}) for name in FAULTS},
    "wave": ((), 2.0, {"curve": "square:100:500:0.1:0.5", "window_s": 0.025, "origin_ns": 0}),
    "slow": ((), 1.5, {"slow_after_s": 0.5}),
    "back": ((), 1.5, {"lost_after_s": 0.6, "back_after_s": 0.65}),
    "plain": (("cuda", 0, "fake-1"), 0.5, {"w": 333}),
    "throttled": ((), 0.5, {"power_cap": 0.4, "hw_thermal": 0.1, "other_pid": 7}),
    "superchip": ((), 0.1, {"module_only": 1}),
    "no counter": (("cuda", 1), 0.1, {"no_energy": 1}),
    "unknown": (("cuda", 0, "fake-9"), 0.1, {}),
    "cpu": (("cpu", 0), 0.1, {}),
}
Scenes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def scenes(library: Path) -> Scenes:
    with ThreadPoolExecutor(6) as pool:
        ran = {
            name: pool.submit(run, library, *part, seconds=seconds, **settings)
            for name, (part, seconds, settings) in SCENES.items()
        }
        return {name: each.result() for name, each in ran.items()}


def test_counter_and_polled_power_say_what_the_library_does(scenes: Scenes) -> None:
    found = scenes["plain"]
    assert {c["packages"][0] for c in found["capabilities"].values()} == {"GPU-fake-1"}
    energies = found["energies"]
    assert energies["energy"]["source"] == "counter"
    assert energies["energy"]["energy_j"] == pytest.approx(found["true_j"], rel=0.01)
    for name in ("instant", "average"):
        assert energies[name]["source"] == "integrated"
        assert energies[name]["energy_j"] == pytest.approx(found["true_j"], rel=1e-5)
    about = found["capabilities"]["energy"]
    assert about["limit_w"] == 700
    assert about["facts"]["driver"] == "999.01"
    assert about["facts"]["limit_enforced_w"] == "700.0"
    assert found["capabilities"]["instant"]["attention"] == 0.25
    assert found["capabilities"]["average"]["averaging_s"] == 1.0
    # the memory is inside the GPU: a boundary of its own, so that nothing adds the two
    assert energies["memory"]["boundary"] == "gpu_memory"
    assert energies["memory"]["energy_j"] == pytest.approx(found["true_j"] / 5, rel=0.01)
    assert min(found["stamps"]) > 1.6e18


def test_throttling_ecc_and_processes(scenes: Scenes) -> None:
    conditions = scenes["throttled"]["conditions"]
    assert conditions["throttled"]["sw_power_cap"] == pytest.approx(0.4, rel=0.05)
    assert conditions["throttled"]["hw_thermal"] == pytest.approx(0.1, rel=0.05)
    assert conditions["ecc"] == {"corrected": 0, "uncorrected": 0}
    assert conditions["temperature_c"] == {"gpu": [60, 60], "memory": [70, 70]}
    assert conditions["clock_hz"]["sm"] == [1755e6, 1755e6]
    assert conditions["others"] == 1


def test_a_superchip_has_a_module_and_never_two(scenes: Scenes) -> None:
    found = scenes["superchip"]
    assert {n: c["boundary"] for n, c in found["capabilities"].items()} == {
        "energy": "module",
        "instant": "module",
        "average": "module",
        "memory": "gpu_memory",
    }
    # no limit is told for a module: the board's would be wrong
    assert found["capabilities"]["instant"]["limit_w"] is None


def test_a_board_without_the_counter_keeps_its_polled_power(scenes: Scenes) -> None:
    found = scenes["no counter"]
    assert set(found["capabilities"]) == {"instant", "average", "memory"}
    assert "does not answer nvmlDeviceGetTotalEnergyConsumption (unsupported)" in found["missing"]["energy"]


def test_an_old_driver_has_counter_and_usage_and_no_more(compiler: str, tmp_path: Path) -> None:
    found = run(fake_nvml.build(compiler, tmp_path, "-DOLD_DRIVER"), w=250)
    assert found["capabilities"]["average"]["facts"]["call"] == "nvmlDeviceGetPowerUsage"
    assert found["energies"]["average"]["energy_j"] == pytest.approx(found["true_j"], rel=1e-5)
    assert found["energies"]["energy"]["energy_j"] == pytest.approx(found["true_j"], rel=0.02)
    assert "unsupported" in found["missing"]["instant"]
    assert not (found["conditions"] or {}).get("throttled")  # what it does not tell is absent


def test_gain_and_disagreement(scenes: Scenes) -> None:
    """A part-time sensor on a wave of its own period: the counter is right, the poll is not, and both say so."""
    found = scenes["wave"]
    energies = found["energies"]
    assert energies["energy"]["energy_j"] == pytest.approx(found["true_j"], rel=0.02)
    assert abs(energies["instant"]["energy_j"] / found["true_j"] - 1) > 0.4
    assert "counter_vs_poll" in energies["energy"]["flags"]
    assert "counter_vs_poll" in energies["instant"]["flags"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_no_energy_and_a_reason(scenes: Scenes, name: str) -> None:
    assert "energy" not in scenes[name]["energies"]
    assert FAULTS[name] in scenes[name]["lost"]


def test_a_board_that_comes_back_is_flagged_or_absent(scenes: Scenes) -> None:
    found = scenes["back"]
    for energy in found["energies"].values():
        assert "lost" in energy["flags"]
    counter = found["energies"].get("energy")
    assert counter is None or counter["energy_j"] == pytest.approx(found["true_j"], rel=0.03)


def test_a_board_that_answers_slowly_does_not_hold_the_window_up(scenes: Scenes) -> None:
    found = scenes["slow"]
    assert "slow_meter" in found["lost"] or "uncovered" in found["lost"]
    assert found["true_j"] < 400 * 2.5


def test_an_unknown_board_and_a_cpu_are_refused(scenes: Scenes) -> None:
    assert "does not know the board fake-9" in scenes["unknown"]["missing"]["energy"]
    assert "not an NVIDIA board" in scenes["cpu"]["missing"]["energy"]


def test_without_the_library_the_reason_is_told() -> None:
    for meter in (NvmlEnergy(), NvmlInstant(), NvmlAverage()):
        with pytest.raises(Unavailable, match="NVML"):
            meter.open(Part("cuda"))


@pytest.mark.parametrize("setting", [{"poll_s": 0.0}, {"poll_s": "x"}, {"board": -1}, {"board": True}, {"of": "rack"}])
def test_a_wrong_setting_is_named(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"meter\.nvml_instant\."):
        NvmlInstant(**setting)


def measured(library: Path, folder: Path, *overrides: str, **settings: object) -> Record:
    """The record of the whole command: a matmul on the CPU beside board 1, through the unmodified binding."""
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", "run", "suite=matmul", "device=cpu", "kernels.matmul.m=128"]
    argv += ["kernels.matmul.dtype=fp32", "meter=nvml", "meter.nvml_energy.board=1", "meter.nvml_instant.board=1"]
    env = fake_nvml.environment(library, **settings)
    done = subprocess.run([*argv, *overrides], env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = load(folder / json.loads(done.stdout.splitlines()[-1])["run"])
    return record


@pytest.mark.slow
@pytest.mark.alone
def test_a_real_run_on_the_cpu_beside_a_board(library: Path, tmp_path: Path) -> None:
    record = measured(library, tmp_path, w=321, gain=0.95, power_cap=0.5)
    assert record.measured is not None
    for repetition in record.measured.repetitions:
        assert [e.boundary for e in repetition.energies] == ["gpu", "gpu"]
        for energy in repetition.energies:
            assert energy.energy_j == pytest.approx(0.95 * 321 * repetition.window_s, rel=0.03)
            assert energy.terms["gain"] == pytest.approx(0.05 / 3**0.5)
        assert repetition.conditions is not None
        assert repetition.conditions.throttled["sw_power_cap"] == pytest.approx(0.5, rel=0.05)
    # a board's energy is not the processor's: no rate per watt is made of it
    assert record.power_w is None


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("fault", [*FAULTS, "slow"])
def test_a_board_that_fails_in_a_real_run_costs_energies_and_nothing_else(
    fault: str, library: Path, tmp_path: Path
) -> None:
    """It fails three seconds after the driver was loaded, which is in one of the windows or before them."""
    windows = ("profile.repetitions=4", "profile.window_s=1", "profile.warmup_s=0.1", "profile.guard_s=0.5")
    record = measured(library, tmp_path, *windows, w=321, **{f"{fault}_after_s": 3})
    assert record.measured is not None
    assert len(record.measured.repetitions) == 4
    assert all(r.window_s < 1.8 and r.iterations > 100 for r in record.measured.repetitions)
    failed = [r for r in record.measured.repetitions if len(r.energies) < 2 or any(e.flags for e in r.energies)]
    assert record.measured.repetitions[-1] in failed
    # what was metered before and after is true, or says that it may not be
    for energy, seconds in ((e, r.window_s) for r in record.measured.repetitions for e in r.energies if not e.flags):
        assert energy.energy_j == pytest.approx(321 * seconds, rel=0.01)
    assert {"meter_lost", "frozen", "out_of_range", "slow_meter", "counter_vs_poll"} & set(record.flags)
