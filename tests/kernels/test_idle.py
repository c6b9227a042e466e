"""Waiting as a case: it takes the time that was asked for, does no work, and holds what it should hold."""

from __future__ import annotations

import re
import time

import pytest
import torch

from perwatt.kernels.idle import Idle
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult


def test_a_launch_takes_the_time_that_was_asked_for(cpu: Place) -> None:
    prepared = Idle(seconds=0.02).prepare(cpu)
    took_s = []
    for _ in range(3):
        start = time.monotonic()
        prepared.launch()
        took_s.append(time.monotonic() - start)
    assert 0.02 <= min(took_s) < 0.5
    assert prepared.whole
    assert prepared.work is None


def test_no_work_is_done() -> None:
    work = Idle().work()
    assert (work.flops, work.bytes, work.headline) == (0, 0, "time")


def test_names_tell_cases_apart() -> None:
    assert Idle().label() == "context"
    assert Idle(resident_bytes="1GiB").label() == "1 GiB held"
    assert Idle(resident_bytes="1GiB").size() == Size("resident_bytes", 2.0**30)
    assert Idle(seconds=1) == Idle(seconds=1.0)


def test_what_is_held_is_there_and_stays(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Idle(resident_bytes="1MiB").prepare(cpu).check.compared == 1 << 20
    with pytest.raises(Unsupported, match=r"needs [\d.]+ GiB"):
        Idle(resident_bytes="8GiB").prepare(cpu)
    real = torch.ones

    def faulty(*shape: int, **options: object) -> torch.Tensor:
        out = real(*shape, **options)  # type: ignore[call-overload]
        out[7] = 0
        return out  # type: ignore[no-any-return]

    monkeypatch.setattr(torch, "ones", faulty)
    with pytest.raises(WrongResult, match="1 of 1048576 bytes"):
        Idle(resident_bytes="1MiB").prepare(cpu)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seconds": 0}, "idle.seconds: 0 is not between 0.001 and 60 seconds"),
        ({"seconds": True}, "idle.seconds: True"),
        ({"seconds": "1"}, "idle.seconds: '1'"),
        ({"resident_bytes": -1}, "idle.resident_bytes: -1"),
        ({"resident_bytes": False}, "idle.resident_bytes: False"),
        ({"resident_bytes": "1MB"}, "idle.resident_bytes: '1MB'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Idle(**values)  # type: ignore[arg-type]
