"""Runs to compare, whose truth is known: cases of a given speed and power, with a scatter of their repetitions and a
gain of their sensor that are drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from records import case, measured, record

from perwatt.results.compare.comparison import Member
from perwatt.results.compare.pairing import Cases
from perwatt.results.record import Conditions, Device, Energy, Record, Repetition, Seconds, Work
from perwatt.results.store import Store
from perwatt.results.uncertainty import CLASS_GAIN

WORK = Work(10**12, 10**9, "flops")
PARAMS: Mapping[str, object] = {"m": 4096, "n": 4096, "k": 4096, "dtype": "bf16", "init": "normal", "seed": 0}
H100 = Device(type="cuda", name="NVIDIA H100", uuid="GPU-00000000-0000-0000-0000-000000000001", vendor="NVIDIA")
MI300 = Device(type="cuda", name="AMD MI300X", uuid="GPU-00000000-0000-0000-0000-000000000002", vendor="AMD")


def made(
    run: str = "a",
    *,
    rate: float = 500e12,
    power_w: float = 600.0,
    seed: int = 0,
    repetitions: int = 5,
    scatter: float = 0.004,
    device: Device = H100,
    host: str = "host",
    accuracy_class: str = "D",
    boundary: str = "gpu",
    instrument: str | None = None,
    gain: float | None = 0.0,
    source: str = "counter",
    limit_w: float | None = None,
    metered: bool = True,
    flags: tuple[str, ...] = (),
    kernel: str = "matmul",
    index: int = 0,
    window_s: float = 60.0,
    **params: object,
) -> Record:
    """One record. ``gain``: by how much the sensor reads too much; None: drawn from what its class allows, by ``seed``
    alone."""
    rng = np.random.default_rng(seed)
    half = CLASS_GAIN.get(accuracy_class, (0.0, ""))[0]
    wrong = float(rng.uniform(-half, half)) if gain is None else gain
    named = f"nvml:{device.uuid}:{boundary}" if instrument is None else instrument
    rates = rate * (1 + scatter * rng.standard_normal(repetitions))
    powers = power_w * (1 + scatter * rng.standard_normal(repetitions)) * (1 + wrong)
    windows = []
    for i, (r, p) in enumerate(zip(rates, powers, strict=True)):
        iterations = max(1, round(r * window_s / WORK.flops))
        energy = Energy(
            "meter", boundary, ("p0",), accuracy_class, source, float(p) * window_s, 600,  # type: ignore[arg-type]
            instrument=named, terms={"gain": half / 3**0.5},
        )  # fmt: skip
        conditions = None if limit_w is None else Conditions(limit_w={"enforced": limit_w})
        exact_s = iterations * WORK.flops / float(r)
        windows.append(
            Repetition(i * 10**11, exact_s, iterations, iterations, (energy,) if metered else (), conditions)
        )
    median = float(np.median(WORK.flops / rates))
    seconds = Seconds(1000, 10, median, median, 0.0, median, median, 0.999 * median, 1.001 * median)
    outcome = msgspec.structs.replace(
        measured(), work=WORK, seconds=seconds, repetitions=tuple(windows), unmetered="" if metered else "no meter"
    )
    known: dict[str, Any] = {**PARAMS, **params}
    about = case(
        f"{kernel}{sorted(known.items())}{index}{limit_w}",
        kernel=kernel,
        label=f"{known['dtype']} {known['m']}x{known['n']}x{known['k']}"
        + ("" if known["init"] == "normal" else f" {known['init']}"),
        params=known,
        device_index=index,
    )
    return msgspec.structs.replace(
        record("k", outcome, flags), run=run, host=host, case=about, device=msgspec.structs.replace(device, index=index)
    )


def cases(name: str, *records: Record) -> Cases:
    return Cases(name, records)


def members(*runs: Cases) -> list[Member]:
    return [
        Member("ABCDEFGH"[at], run.name, f"runs/{run.name}", (run.records[0].device.name,), 1, "2026-01-01", 1)
        for at, run in enumerate(runs)
    ]


def written(folder: Path, name: str, records: Sequence[Record], environment: str = "") -> Path:
    """A run folder of that name."""
    path = folder / name
    path.mkdir(parents=True)
    with Store(path) as store:
        for one in records:
            store.append(one)
    if environment:
        (path / "environment.json").write_text(environment)
    return path
