"""Small records for tests; their numbers are made up and say so by being round."""

from __future__ import annotations

import msgspec

from perwatt.results.record import (
    SCHEMA,
    Case,
    Check,
    Device,
    Energy,
    Measured,
    Outcome,
    Record,
    Repetition,
    Seconds,
    Work,
)


def case(key: str = "k0", **changes: object) -> Case:
    base: dict[str, object] = {
        "key": key,
        "kernel": "matmul",
        "entry": "matmul",
        "label": f"fp32 {key}",
        "series": "fp32",
        "size_name": "m",
        "size": 1024.0,
        "params": {"m": 1024, "dtype": "fp32"},
    }
    return Case(**{**base, **changes})  # type: ignore[arg-type]


def seconds(median: float = 0.01) -> Seconds:
    return Seconds(100, 10, median, median, 0.0, median, median, median, median)


def energy(meter: str = "rapl", joules: float = 100.0, **changes: object) -> Energy:
    base: dict[str, object] = {
        "meter": meter,
        "boundary": "cpu_package",
        "packages": ("package-0",),
        "accuracy_class": "D",
        "source": "counter",
        "energy_j": joules,
        "readings": 10,
    }
    return Energy(**{**base, **changes})  # type: ignore[arg-type]


def measured(*energies: Energy, median: float = 0.01, work: Work | None = None, unmetered: str = "") -> Measured:
    return Measured(
        work=work or Work(2_000_000, 3_000, "flops"),
        check=Check(0.0, 1.0, "float64", 100),
        seconds=seconds(median),
        repetitions=(Repetition(0, 1.0, 100, 100, energies), Repetition(2_000_000_000, 1.0, 100, 100, energies)),
        buffers=2,
        timer="perf_counter_ns",
        unmetered=unmetered,
    )


def windows(*repetitions: tuple[Energy, ...], window_s: float = 60.0, **changes: object) -> Measured:
    """A measurement of one window each, with the energies given for it."""
    taken = tuple(
        Repetition(int(i * 2e9 * window_s), window_s, 6000, 6000, energies) for i, energies in enumerate(repetitions)
    )
    return msgspec.structs.replace(measured(), repetitions=taken, **changes)


def record(key: str = "k0", outcome: Outcome | None = None, flags: tuple[str, ...] = (), **changes: object) -> Record:
    return Record(
        schema=SCHEMA,
        run="run",
        time_utc="2026-01-01T00:00:00Z",
        host="host",
        case=case(key, **changes),
        device=Device(type="cpu", name="test CPU"),
        outcome=outcome or measured(),
        flags=flags,
    )
