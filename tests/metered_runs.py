"""Runs with a meter in tests: cases that swing between two powers, in three windows each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from records import energy, measured, record

from perwatt.results.record import Conditions, Repetition, Work
from perwatt.results.store import Store
from perwatt.results.telemetry import write_part

WINDOW_S = 20.0
EVERY_S = 0.1
GPU_W = np.where(np.arange(200) % 20 < 10, 400.0, 600.0)


def wattmeter(boundary: str, watts: float, meter: str = "nvml", **changes: object) -> Any:
    about: dict[str, object] = {
        "meter": meter,
        "boundary": boundary,
        "packages": (f"{boundary}-0",),
        "source": "integrated",
        "accuracy_class": "B",
    }
    return energy(joules=watts * WINDOW_S, **{**about, **changes})


def write_run(
    path: Path, cases: dict[str, float], boundary: str = "gpu", meter: str = "nvml", limit_w: float | None = None
) -> Path:
    """A run whose cases draw the swing times so much, metered at ``boundary``, in three windows each."""
    path.mkdir(parents=True)
    with Store(path) as store:
        for key, times in cases.items():
            conditions = None if limit_w is None else Conditions(limit_w={"enforced": limit_w})
            windows = tuple(
                Repetition(
                    i * 10**11, WINDOW_S, 200, 200, (wattmeter(boundary, 500 * times, meter),), conditions=conditions
                )
                for i in range(3)
            )
            outcome = msgspec.structs.replace(measured(), work=Work(4_000_000, 3_000, "flops"), repetitions=windows)
            store.append(record(key, outcome))
    for key, times in cases.items():
        t_ns = (np.arange(200) * EVERY_S * 1e9).astype(np.int64)
        parts = [
            {"t_ns": i * 10**11 + t_ns, "value": GPU_W * times, "repetition": np.full(200, i), "n": np.zeros(200, int)}
            for i in range(3)
        ]
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        write_part(path, key, 0, {f"power_w:{meter}": whole})
    return path
