"""The same short run on every kind of device: on the CPU always, on an accelerator where there is one (`-m gpu`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Perwatt, require

from perwatt.results.record import Failed
from perwatt.results.store import load

DEVICES = ["cpu", pytest.param("accelerator", marks=pytest.mark.gpu)]
SHORT = ("profile.warmup_s=0.05", "profile.window_s=0.2", "profile.min_readings=1")


def resolve(device: str) -> str:
    if device == "cpu":
        return device
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    require("gpu", found is not None)
    assert found is not None
    return found.type


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_every_kernel_runs_and_is_right(tmp_path: Path, perwatt: Perwatt, device: str) -> None:
    kind = resolve(device)
    for suite, change in (
        ("matmul", "kernels.matmul.dtype=[fp32,bf16]"),
        ("attention", "kernels.attention.dtype=fp32"),
        ("memory", "kernels.memory.array_bytes=16MiB"),
    ):
        done = perwatt("run", f"suite={suite}", change, f"device={kind}", *SHORT)
        assert done.code == 0, done.err
        records = load(tmp_path / done.run)
        assert {r.device.type for r in records} == {kind}
        assert not [r for r in records if isinstance(r.outcome, Failed)]
        for r in records:
            if (m := r.measured) is not None:
                assert m.check.max_error <= m.check.tolerance
                assert m.timer.startswith("perf_counter" if kind == "cpu" else "device events")
                assert "clock_mismatch" not in r.flags
        if kind != "cpu":
            assert all(r.target for r in records), "no target YAML knows this board"


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_a_cold_cache_is_slower_and_has_no_energy_of_its_own(tmp_path: Path, perwatt: Perwatt, device: str) -> None:
    caches = "+kernels.memory.cache=[warm,cold]"
    size = ("suite=memory", "kernels.memory.op=copy", "kernels.memory.array_bytes=256KiB", caches)
    done = perwatt("run", *size, f"device={resolve(device)}", *SHORT)
    assert done.code == 0, done.err
    warm, cold = load(tmp_path / done.run)
    assert warm.rate is not None
    assert cold.rate is not None
    assert cold.rate < 0.8 * warm.rate
    assert cold.power_w is None
    assert cold.measured is not None
    assert "flush" in cold.measured.unmetered
