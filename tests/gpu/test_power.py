"""On a GPU: each spin is right and near its pipe's peak, rest is the least, the virus in a period draws half of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require

from perwatt.results.record import Failed, Record
from perwatt.results.store import load

pytestmark = pytest.mark.gpu
SPIN_BAR = 0.85  # of the published peak, at clocks that may be below those it was stated at
STREAM_BAR = 0.80


def accelerator() -> str:
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    require("gpu", found is not None)
    assert found is not None
    return found.type


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """One run of suite=power in windows of 4 s, by kernel and label."""
    where: Path = tmp_path_factory.mktemp("power")
    window = ("profile.window_s=4", "profile.warmup_s=2", f"device={accelerator()}", "devices=first")
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", "run", "suite=power", "allow_failed=true", *window]
    done = subprocess.run(argv, cwd=where, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    (folder,) = (where / "results" / "runs").iterdir()
    return {f"{r.case.kernel} {r.case.label}": r for r in load(folder)}


def test_nothing_fails(records: dict[str, Record]) -> None:
    assert not [name for name, r in records.items() if isinstance(r.outcome, Failed)]
    assert {r.case.kernel for r in records.values()} == {"idle", "spin", "memory", "virus"}


@pytest.mark.parametrize("pipe", ["fp32", "tensor_bf16", "tensor_fp16", "tensor_fp8", "tensor_int8"])
def test_a_spin_comes_near_the_published_peak(records: dict[str, Record], pipe: str) -> None:
    spin = records[f"spin {pipe}"]
    if spin.measured is None or spin.of_peak is None:
        pytest.skip("no such pipe, or no peak published")
    assert SPIN_BAR < spin.of_peak < 1.15


@pytest.mark.parametrize("op", ["read", "write", "copy", "triad"])
def test_a_stream_comes_near_the_published_bandwidth(records: dict[str, Record], op: str) -> None:
    stream = records[f"memory {op} fp32 1 GiB triton"]
    assert stream.of_peak is not None
    assert STREAM_BAR < stream.of_peak < 1.02


def watts(records: dict[str, Record], name: str) -> float:
    power_w = records[name].power_w
    if power_w is None:
        pytest.skip("nothing was metered")
    return power_w


def test_rest_draws_the_least_and_the_virus_the_most(records: dict[str, Record]) -> None:
    idle_w, virus_w = watts(records, "idle context"), watts(records, "virus bf16 1 GiB")
    others = [
        r.power_w for name, r in records.items() if r.power_w is not None and not name.startswith(("idle", "virus"))
    ]
    assert idle_w < min(others)
    assert virus_w >= 0.98 * max(others)


def test_half_of_the_time_is_half_of_the_power_above_rest(records: dict[str, Record]) -> None:
    idle_w, virus_w = watts(records, "idle context"), watts(records, "virus bf16 1 GiB")
    for period in ("0.1", "1"):
        pulse_w = watts(records, f"virus bf16 256 MiB duty 0.5 of {period} s")
        # a device that has just worked rests at higher clocks and leaks more than one that has rested for long
        assert 0.35 < (pulse_w - idle_w) / (virus_w - idle_w) < 0.8
