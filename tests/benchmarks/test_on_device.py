"""The same short run on every kind of device: on the CPU always, on an accelerator where there is one (`-m gpu`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Perwatt
from kinds import DEVICES, SHORT, resolve

from perwatt.results.record import Failed
from perwatt.results.store import load


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_every_kernel_runs_and_is_right(tmp_path: Path, perwatt: Perwatt, device: str) -> None:
    kind = resolve(device)
    for suite, change in (
        ("matmul", "kernels.matmul.dtype=[fp32,bf16]"),
        ("attention", "kernels.attention.dtype=fp32"),
        ("memory", "kernels.memory.array_bytes=16MiB"),
    ):
        done = perwatt("run", f"suite={suite}", change, f"device={kind}", "profile.repetitions=1", *SHORT)
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
