"""A node of several devices, played by CPU ranks: a case's devices run side by side and fail one by one."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omegaconf import OmegaConf
from processes import wait_until_gone

from perwatt.benchmarks import devices, targets
from perwatt.benchmarks.config import compose
from perwatt.benchmarks.crew import Crew
from perwatt.benchmarks.ending import Tally
from perwatt.benchmarks.folder import create
from perwatt.benchmarks.plan import check
from perwatt.benchmarks.run import Leader
from perwatt.results.record import Failed, Measured
from perwatt.results.store import load

TWO = [msgspec.to_builtins(msgspec.structs.replace(devices.cpu(), index=index)) for index in (0, 1)]


def lead(run: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Tally:
    """A run on this machine taken for one of two devices, and how it ended."""

    def environment(self: Leader, first: object) -> dict[str, Any]:
        self._target_files = targets.load_targets()
        return {"kind": "cpu", "devices": TWO}

    monkeypatch.setattr(Leader, "_environment", environment)
    # two ranks that each take every core would wait for each other's threads in turns
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    quick = ["suite=matmul", "device=cpu", "devices=all", "meter=none", "kernels.matmul.dtype=fp32"]
    plain = OmegaConf.to_container(compose([*quick, *overrides]), resolve=True)
    assert isinstance(plain, dict)
    return Leader(plain, check(plain), run).measure()  # type: ignore[arg-type]


@pytest.mark.slow
def test_each_device_has_its_record_of_each_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path, "test")
    tally = lead(run, monkeypatch, "kernels.matmul.m=[64,96]", "profile.window_s=0.1")
    assert (tally.measured, tally.failed) == (4, 0)
    records = load(run)
    assert [(r.case.params["m"], r.case.device_index) for r in records] == [(64, 0), (64, 1), (96, 0), (96, 1)]
    assert len({r.case.key for r in records}) == 4
    # side by side: the windows of one case overlap
    first, second = (r.measured.repetitions[0] for r in records[:2] if r.measured)
    assert abs(first.start_ns - second.start_ns) < 5e9


@pytest.mark.slow
def test_a_device_that_is_lost_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create(tmp_path, "test")
    killed: list[int] = []
    started = Crew.ready

    def ready(self: Crew) -> None:
        started(self)
        if self.setup["index"] == 1 and not killed:
            killed.append(self.members[0].pid)
            threading.Timer(2.0, os.kill, (killed[0], signal.SIGKILL)).start()

    monkeypatch.setattr(Crew, "ready", ready)
    tally = lead(run, monkeypatch, "kernels.matmul.m=[64,96]", "profile.window_s=2")
    assert (tally.measured, tally.failed) == (3, 1)
    by_case = {(r.case.params["m"], r.case.device_index): r.outcome for r in load(run)}
    assert isinstance(by_case[64, 1], Failed)
    assert "SIGKILL" in by_case[64, 1].error
    assert all(isinstance(by_case[case], Measured) for case in ((64, 0), (96, 0), (96, 1)))
    wait_until_gone(killed)
