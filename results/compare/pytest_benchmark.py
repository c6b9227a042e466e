"""A run in the JSON format of pytest-benchmark, so that its tools (``pytest-benchmark compare``) read it.

A round is a measured window: its seconds per launch. Power and energy, which the format has no place for, stand under
``extra_info``.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from perwatt.results.record import Record

FORMAT = "4.0.0"  # of pytest-benchmark whose fields these are


def document(records: Sequence[Record], environment: Mapping[str, Any]) -> str:
    """The whole file; what was not measured is not in it. Raises ValueError if nothing was."""
    benchmarks = [_benchmark(record) for record in records if record.measured is not None]
    if not benchmarks:
        raise ValueError("export: found no measured case")
    cpu = environment.get("cpu") if isinstance(environment.get("cpu"), dict) else {}
    first = records[0]
    whole = {
        "machine_info": {
            "node": first.host,
            "machine": first.device.arch,
            "processor": first.device.name,
            "system": str(environment.get("os", "")),
            "release": str(environment.get("kernel", "")),
            "python_version": str(environment.get("python", "")),
            "cpu": cpu,
        },
        "commit_info": {"id": first.run, "time": first.time_utc, "dirty": False, "project": "perwatt", "branch": ""},
        "benchmarks": benchmarks,
        "datetime": first.time_utc,
        "version": FORMAT,
    }
    return json.dumps(whole, indent=1) + "\n"


def _benchmark(record: Record) -> dict[str, Any]:
    case, m = record.case, record.measured
    assert m is not None
    rounds = [r.window_s / r.iterations for r in m.repetitions if r.iterations > 0 and r.window_s > 0]
    rounds = rounds or [m.seconds.median]
    place = f"[{record.host}:{case.device_index}]"
    extra = {
        "rate": record.rate, "power_w": record.power_w, "work_per_joule": record.work_per_joule,
        "median_s": m.seconds.median, "flags": list(record.flags), "params": case.params,
    }  # fmt: skip
    return {
        "group": case.kernel,
        "name": f"{case.kernel} {case.label}",
        "fullname": f"{case.kernel} {case.label} {place}",
        "params": None,
        "param": None,
        "extra_info": {key: value for key, value in extra.items() if value is not None},
        "options": {"disable_gc": False, "timer": m.timer, "min_rounds": len(rounds), "warmup": True},
        "stats": _stats(rounds, m.repetitions[0].iterations if m.repetitions else 1),
    }


def _stats(rounds: Sequence[float], iterations: int) -> dict[str, Any]:
    """As pytest-benchmark has them: seconds per launch, quartiles by Tukey's hinges, outliers beyond 1.5 of them."""
    x = sorted(rounds)
    median, mean = statistics.median(x), statistics.fmean(x)
    half = len(x) // 2
    q1 = statistics.median(x[: half + len(x) % 2])
    q3 = statistics.median(x[half:])
    deviation = statistics.stdev(x) if len(x) > 1 else 0.0
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    far, out = sum(abs(v - mean) > deviation for v in x), sum(not low <= v <= high for v in x)
    return {
        "min": x[0], "max": x[-1], "mean": mean, "stddev": deviation, "rounds": len(x), "median": median,
        "iqr": q3 - q1, "q1": q1, "q3": q3, "iqr_outliers": out, "stddev_outliers": far, "outliers": f"{far};{out}",
        "ld15iqr": next(v for v in x if v >= low), "hd15iqr": next((v for v in x if v > high), x[-1]),
        "ops": 1 / mean, "total": sum(x), "iterations": iterations, "data": list(rounds),
    }  # fmt: skip
