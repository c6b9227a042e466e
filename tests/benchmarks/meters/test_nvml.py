"""NVML through the unmodified nvidia-ml-py and a library whose truth is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.nvml import NvmlEnergy, NvmlPower

SOURCE = Path(__file__).parent / "fake_nvml.c"

# Opens both meters, samples a window of a second, and prints what came out.
PROGRAM = """
import json, sys, time, dataclasses, msgspec
from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.meters.nvml import NvmlEnergy, NvmlPower
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.window import Window
part = Part(*json.loads(sys.argv[1]))
channels, missing = open_meters({"energy": NvmlEnergy(), "power": NvmlPower()}, part, host=True)
with Sampler(channels) as sampler:
    window = Window(sampler); window.open(); time.sleep(1.0); window.close()
print(json.dumps({
    "capabilities": [dataclasses.asdict(c.capabilities) for c in channels],
    "missing": {name: m.reason for name, m in missing.items()},
    "energies": msgspec.to_builtins(window.energies()),
    "window_s": (window.end_ns - window.start_ns) * 1e-9,
    "statuses": [sorted({r.status for r in c.readings}) for c in channels],
}))
"""


@pytest.fixture
def library(tmp_path: Path, compiler: str) -> Path:
    out = tmp_path / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-o", str(out)]
    subprocess.run([compiler, *flags, str(SOURCE)], check=True)
    return tmp_path


def run(library: Path, *part: Any, **environment: str) -> dict[str, Any]:
    env = {**os.environ, "LD_LIBRARY_PATH": str(library), **environment}
    argv = [sys.executable, "-c", PROGRAM, json.dumps(part)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_counter_and_polled_power_say_what_the_library_does(library: Path) -> None:
    found = run(library, "cuda", 0, "fake-1", FAKE_NVML_W="333")
    assert [c["packages"] for c in found["capabilities"]] == [["GPU-fake-1"], ["GPU-fake-1"]]
    counter, polled = found["energies"]
    true_j = 333 * found["window_s"]
    assert polled["source"] == "integrated"
    assert polled["energy_j"] == pytest.approx(true_j, rel=1e-6)
    # the counter is renewed every 100 ms: over one second it may be off by one tick at either end
    assert counter["source"] == "counter"
    assert counter["energy_j"] == pytest.approx(true_j, abs=333 * 0.1)
    assert polled["readings"] >= 18


def test_a_board_without_the_counter_keeps_its_polled_power(library: Path) -> None:
    found = run(library, "cuda", 1, FAKE_NVML_NO_ENERGY="1")
    assert [c["name"] for c in found["capabilities"]] == ["nvml_power"]
    assert "does not answer nvmlDeviceGetTotalEnergyConsumption (unsupported)" in found["missing"]["energy"]


def test_a_lost_board_has_no_energy(library: Path) -> None:
    found = run(library, "cuda", 0, FAKE_NVML_LOST_AFTER_S="0.4")
    assert found["energies"] == []
    assert found["statuses"] == [["lost", "ok"], ["lost", "ok"]]


def test_an_unknown_board_and_a_cpu_are_refused(library: Path) -> None:
    assert "does not know the board fake-9" in run(library, "cuda", 0, "fake-9")["missing"]["power"]
    assert "not an NVIDIA board" in run(library, "cpu", 0)["missing"]["power"]


def test_without_the_library_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for meter in (NvmlEnergy(), NvmlPower()):
        with pytest.raises(Unavailable, match="NVML"):
            meter.open(Part("cuda"))
