"""Records made up for these tests. They describe no hardware: the names say so, and the numbers are round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perwatt.results.record import (
    SCHEMA,
    Case,
    Check,
    Conditions,
    Device,
    Energy,
    Failed,
    Idle,
    Measured,
    Outcome,
    Quantity,
    Record,
    Repetition,
    SamplerCost,
    Seconds,
    Skipped,
    Target,
    Work,
)
from perwatt.results.run import Run

TARGET = Target(
    name="Example X1 (test data)",
    vendor="Example",
    peak_flops={
        "bf16": Quantity(1e15, "FLOP/s", "test data, page 1"),
        "fp8": Quantity(2e15, "FLOP/s", "test data, page 1"),
    },
    memory_bandwidth=Quantity(4e12, "B/s", "test data, page 2"),
    tdp=Quantity(700.0, "W", "test data, page 3"),
)
GPU = Device(type="gpu", name="Example X1 (test data)", index=0, memory_bytes=80 * 2**30, llc_bytes=50 * 2**20)

# Relative standard uncertainties of a board's counter and of a wall meter: round, and of the usual size.
TERMS = {"gain": 0.0289, "resolution": 0.0001, "staleness": 0.0007, "edges": 0.002}
WALL_TERMS = {"gain": 0.0058}


def seconds(median: float = 1e-3, **changes: Any) -> Seconds:
    """Samples from 1 % below to 3 % above the median, which is known to ± 0.2 %."""
    values: dict[str, Any] = {
        "samples": 200,
        "warmup_samples": 20,
        "median": median,
        "mean": median * 1.002,
        "stdev": median * 0.01,
        "p5": median * 0.99,
        "p95": median * 1.03,
        "ci_low": median * 0.999,
        "ci_high": median * 1.002,
    }
    return Seconds(**(values | changes))


def energy(energy_j: float, **changes: Any) -> Energy:
    values: dict[str, Any] = {
        "meter": "example_counter",
        "boundary": "gpu",
        "packages": ("gpu0",),
        "accuracy_class": "D",
        "source": "counter",
        "energy_j": energy_j,
        "readings": 50,
    }
    return Energy(**(values | changes))


def measured(
    work: Work,
    median: float = 1e-3,
    *,
    power_w: float | None = 500.0,
    repetitions: int = 3,
    energy_changes: dict[str, Any] | None = None,
    scatter: float = 0.0,
    beside: tuple[Energy, ...] = (),
    conditions: Conditions | None = None,
    **changes: Any,
) -> Measured:
    """``repetitions`` windows of one second at ``power_w``, or unmetered ones if it is None. The energies are up to
    ``scatter`` (relative) apart from their mean; ``beside`` are energies of other meters, in every window alike."""
    iterations = max(1, round(1.0 / median))
    window_s = iterations * median
    reps = tuple(
        Repetition(
            start_ns=10**9 * (2 + 2 * i),
            window_s=window_s,
            iterations=iterations,
            samples=60,
            energies=beside
            if power_w is None
            else (energy(power_w * window_s * (1 + scatter * (i % 3 - 1)), **(energy_changes or {})), *beside),
            conditions=conditions,
        )
        for i in range(repetitions)
    )
    values: dict[str, Any] = {
        "work": work,
        "check": Check(max_error=0.1, tolerance=1.0, reference="float64", compared=1000),
        "seconds": seconds(median),
        "repetitions": reps,
        "buffers": 4,
        "timer": "events",
    }
    return Measured(**(values | changes))


def known(**changes: Any) -> dict[str, Any]:
    """What a measurement of one GPU in its node has at best: for ``matmul(n, **known())``."""
    node = {
        "meter": "example_wall",
        "boundary": "node_ac",
        "packages": ("node1",),
        "accuracy_class": "A",
        "source": "integrated",
        "terms": WALL_TERMS,
        "instrument": "example wall meter, 5 A",
    }
    cpu = {"meter": "example_cpu", "boundary": "cpu_package", "packages": ("p0", "p1"), "terms": TERMS}
    conditions = Conditions(
        throttled={"sw_power_cap": 0.25, "hw_thermal": 0.0},
        temperature_c={"gpu": (60.0, 64.0), "memory": (70.0, 70.0)},
        clock_hz={"sm": (1.98e9, 1.755e9)},
        limit_w={"enforced": 700.0},
    )
    values: dict[str, Any] = {
        "energy_changes": {"terms": TERMS, "instrument": "example board 0"},
        "scatter": 0.004,
        "beside": (energy(1000.0, **node), energy(200.0, **cpu)),
        "conditions": conditions,
        "idle": (Idle("example_counter", "gpu", ("gpu0",), 70.0, 0.5, 60.0),),
        "steady": True,
        "sampler_cost": SamplerCost(0.0012, 0.0004),
    }
    return values | changes


def record(
    outcome: Outcome,
    kernel: str = "matmul",
    label: str = "bf16 4096x4096x4096",
    series: str = "bf16",
    size_name: str = "mean dimension",
    size: float = 4096.0,
    *,
    flags: tuple[str, ...] = (),
    target: Target | None = TARGET,
    device: Device = GPU,
    host: str = "node1",
    **case: Any,
) -> Record:
    params = case.pop("params", {"dtype": series.split(maxsplit=1)[0]})
    return Record(
        schema=SCHEMA,
        run="20261101-120000-test",
        time_utc="2026-11-01T12:00:00Z",
        host=host,
        case=Case(
            key=f"{kernel}-{label}-{case.get('device_index', 0)}-{host}".replace(" ", "_"),
            kernel=kernel,
            entry=kernel,
            label=label,
            series=series,
            size_name=size_name,
            size=size,
            params=params,
            **case,
        ),
        device=device,
        outcome=outcome,
        target=target,
        flags=flags,
    )


def flops(n: int) -> Work:
    return Work(flops=n, bytes=10**9, headline="flops")


def matmul(n: int, dtype: str = "bf16", rate: float = 8e14, **kwargs: Any) -> Record:
    case = {k: kwargs.pop(k) for k in ("flags", "target", "device", "host", "device_index") if k in kwargs}
    work = flops(2 * n**3)
    return record(
        measured(work, work.flops / rate, **kwargs),
        "matmul",
        f"{dtype} {n}x{n}x{n}",
        dtype,
        "mean dimension",
        float(n),
        **case,
    )


def spin(dtype: str = "fp32", rate: float = 5e13, **kwargs: Any) -> Record:
    case = {k: kwargs.pop(k) for k in ("flags", "target", "device", "host", "device_index") if k in kwargs}
    work = flops(10**13)
    kwargs = {"power_w": 690.0, **kwargs}
    outcome = measured(work, work.flops / rate, **kwargs)
    return record(outcome, "fma_spin", f"{dtype} registers", dtype, "threads", 1024.0, **case)


def all_reduce(message: int, ranks: int = 8, algbw: float = 2e11, **kwargs: Any) -> Record:
    factor = 2 * (ranks - 1) / ranks if ranks > 1 else 0.0
    work = Work(flops=0, bytes=2 * message, headline="message", message_bytes=message, bus_factor=factor)
    flags = kwargs.pop("flags", ())
    name = f"{message >> 20} MiB" if message >= 2**20 else f"{message >> 10} KiB"
    return record(
        measured(work, message / algbw, **kwargs),
        "all_reduce",
        f"bf16 {name}",
        "bf16",
        "message bytes",
        float(message),
        ranks=ranks,
        collective=True,
        flags=flags,
    )


def copy(n_bytes: int, op: str = "copy", bandwidth: float = 3e12, **kwargs: Any) -> Record:
    work = Work(flops=0, bytes=n_bytes, headline="bytes")
    case = {k: kwargs.pop(k) for k in ("flags", "target", "device", "host", "device_index") if k in kwargs}
    return record(
        measured(work, n_bytes / bandwidth, **kwargs),
        "memory",
        f"{op} {n_bytes >> 20} MiB",
        op,
        "array_bytes",
        float(n_bytes),
        params={"dtype": "fp32", "op": op},
        **case,
    )


def samples(records: list[Record], per_case: int = 300, power: bool = True, seed: int = 1) -> pd.DataFrame:
    """Telemetry of made-up samples: slow warm-ups, three windows with noise, a drift and one outlier each."""
    random = np.random.default_rng(seed)
    frames = []
    for r in records:
        if (m := r.measured) is None:
            continue
        for rank in range(r.case.ranks):
            n = max(4, per_case // r.case.ranks)
            repetition = np.repeat([-1, 0, 1, 2], [n // 4, n // 4, n // 4, n - 3 * (n // 4)])
            t_s = 8.0 * np.arange(n) / n
            value = m.seconds.median * (1 + 0.01 * random.standard_normal(n) + 0.004 * np.maximum(0, t_s - 4))
            value = np.where(repetition < 0, value * (1 + 0.4 * np.exp(-t_s)), value)
            value[-n // 6] *= 1.08
            frames.append(_frame(r, "seconds", rank, repetition, t_s, value))
        if power and m.repetitions and m.repetitions[0].energies:
            t_s = np.arange(0, 8.0, 0.1)
            watts = (r.power_w or 0.0) * (1 - 0.3 * np.exp(-t_s) + 0.01 * random.standard_normal(t_s.size))
            frames.append(_frame(r, f"power_w:{r.meter}", 0, np.full(t_s.size, -1), t_s, watts))
    columns = ["case", "series", "rank", "repetition", "t_ns", "value", "n"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _frame(r: Record, series: str, rank: int, repetition: Any, t_s: Any, value: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "case": r.case.key,
            "series": series,
            "rank": rank,
            "repetition": repetition,
            "t_ns": (t_s * 1e9).astype("int64"),
            "value": value,
            "n": 1,
        }
    )


ENVIRONMENT: dict[str, Any] = {
    "host": "node1",
    "os": "Example Linux 1 (test data)",
    "kernel": "6.1.0-test",
    "python": "3.12.1",
    "time_utc": "2026-11-01T12:00:00Z",
    "cpu": {"model": "Example CPU (test data)", "cores": 64, "memory_bytes": 512 * 2**30},
    "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    "torch": {"version": "2.13.0", "build": "test", "backends": ["cuda", "nccl"]},
    "devices": [{"type": "gpu", "name": "Example X1 (test data)", "index": 0, "memory_bytes": 80 * 2**30}],
    "meters": [
        {"name": "example_counter", "available": True, "boundary": "gpu", "accuracy_class": "D"},
        {"name": "wall", "available": False, "reason": "no such meter is connected", "boundary": "node_ac"},
    ],
    "variables": {"OMP_NUM_THREADS": "8"},
}

CONFIG = "# test data\nkernel:\n  name: matmul\n  dtype: [bf16, fp8]\n"


def whole_run(per_case: int = 120, telemetry: bool = True, per_kernel: int = 4) -> Run:
    """Everything that a report can meet: several kernels, skipped, failed, unmetered, indicative, replayed; energies
    with and without an uncertainty, at one boundary and at several."""
    records: list[Record] = []
    terms = {"energy_changes": {"terms": TERMS}, "scatter": 0.004}
    for i in range(per_kernel):
        n = 512 * 2**i
        flags = ("indicative",) if i == 0 else ()
        records.append(matmul(n, "bf16", 2e14 + 1.2e14 * i, power_w=350.0 + 60 * i, flags=flags, **terms))
        records.append(matmul(n, "fp8", 2.5e14 + 2.3e14 * i, power_w=360.0 + 62 * i, **known(steady=i > 0)))
        records.append(matmul(n, "fp32", 4e13 + 1e12 * i, power_w=500.0 + 10 * i))
    reason = "mxfp4 needs a device with block-scaled\n multiplication; this one has none"
    records.append(record(Skipped(reason), label="mxfp4 4096x4096x4096", series="mxfp4"))
    error = "RuntimeError: out of memory <while allocating 64 GiB>"
    records.append(
        record(
            Failed(error, rank=3, log="line 1\nline 2 <b>bold</b>\n"),
            label="bf16 65536x65536x65536",
            size=65536.0,
        )
    )
    records.append(spin("fp32", 5e13))
    for i in range(per_kernel):
        rates = {op: factor * (1.5e12 + 2.4e11 * i) for op, factor in (("copy", 1.0), ("triad", 1.03), ("read", 1.08))}
        records += [copy(2 ** (24 + i), op, rate, power_w=430.0 + 5 * i, **terms) for op, rate in rates.items()]
    why = "the meters cover one device; this case runs on eight"
    for power in range(10, 10 + 3 * per_kernel, 3):
        records.append(all_reduce(2**power, 8, 2.7e11 / (1 + 2.0 ** (23 - power)), power_w=None, unmetered=why))
    changes = {"source": "replayed", "meter": "replay"}
    records.append(
        record(
            measured(flops(4 * 10**12), 4e12 / 6.1e14, power_w=610.0, energy_changes=changes),
            "attention",
            "bf16 causal forward B4 H32 S4096 D128",
            "bf16 causal forward",
            "seq_k",
            4096.0,
            params={"dtype": "bf16"},
        )
    )
    frame = samples(records, per_case) if telemetry else None
    return Run(Path("20261101-120000-test"), records, ENVIRONMENT, CONFIG, frame)
