"""The power log of one node in MLPerf training: ``:::MLLOG {JSON}`` lines with a reading in W about every second.

The submitter's efficiency of conversion takes AC readings to the DC side, where the rules compare. The published rule
adds up reading times the time since the reading before it, from ``power_measurement_start`` on, over the whole log,
and scales that by (run time) / (log time): readings from before and after the run enter, and a rise is counted late.
Ours is the trapezoid over the run alone. On published logs the two differ by 0.1 to 0.7 %. Sources: mlcommons/logging
(result_summarizer), mlcommons/training_policies; logs: mlcommons/training_results_v5.0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perwatt.results.energy import Integral
from perwatt.results.traces.trace import Floats, Stamps, Trace, growing, lines, refuse

LINE = ":::MLLOG {JSON with key, value and time_ms}"
ACCURACY = 0.05  # what the training rules ask of a node's meter
MS = 1_000_000


@dataclass(frozen=True, eq=False)
class NodeLog:
    """A node's log: ``trace`` at the boundary that was asked for, and all that the published rule needs.

    ``t_ns`` and ``reading_w`` are the readings as logged; ``efficiency`` is 1 where the log states none.
    """

    trace: Trace
    t_ns: Stamps
    reading_w: Floats
    start_ns: int
    stop_ns: int
    efficiency: float
    measurement: str


def _events(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Each event with the number of its line; other lines, and a rank before ``:::MLLOG``, are passed over."""
    found = []
    for number, text in lines(path):
        _, mark, body = text.partition(":::MLLOG ")
        if not mark:
            continue
        try:
            event = json.loads(body)
            event["time_ns"] = _ns(event["time_ms"])
            if not {"key", "value"} <= event.keys():
                raise KeyError("value")
        except (ValueError, KeyError, TypeError):
            refuse(path, number, repr(text[:60]), LINE)
        found.append((number, event))
    if not found:
        raise ValueError(f"{path}: found no :::MLLOG line; allowed {LINE}")
    return found


def _ns(time_ms: Any) -> int:
    return time_ms * MS if isinstance(time_ms, int) else round(float(time_ms) * MS)


def _number(path: Path, number: int, event: dict[str, Any]) -> float:
    value = event["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        refuse(path, number, f"{event['key']} {value!r}", "a number")
    return float(value)


def read_node(
    path: Path,
    *,
    boundary: str = "node_ac",
    accuracy_class: str = "C",
    accuracy: float | None = ACCURACY,
    name: str = "",
) -> NodeLog:
    """Read ``node_N.txt``. At ``node_dc`` readings taken on the AC side are multiplied by the log's efficiency.

    Raises ValueError for a line that is none, a log without readings or start, or a boundary that the log cannot give.
    """
    start_ns = stop_ns = 0
    efficiency, measurement = None, "AC"
    numbers, stamps, watts = [], [], []
    for number, event in _events(path):
        match event["key"]:
            case "power_measurement_start":
                start_ns = event["time_ns"]
            case "power_measurement_stop":
                stop_ns = event["time_ns"]
            case "conversion_eff":
                efficiency = _number(path, number, event)
                if not 0 < efficiency <= 1:
                    refuse(path, number, f"conversion_eff {efficiency:g}", "a fraction above 0, at most 1")
                measurement = str((event.get("metadata") or {}).get("measurement_type", measurement))
            case "power_reading":
                numbers.append(number)
                stamps.append(event["time_ns"])
                watts.append(_number(path, number, event))
    if not start_ns or not stamps:
        raise ValueError(f"{path}: found no power_measurement_start or no power_reading; allowed the log of a node")
    t, reading_w = np.array(stamps, dtype=np.int64), np.array(watts, dtype=np.float64)
    growing(path, numbers, t)
    if boundary == "node_ac" and measurement == "DC":
        raise ValueError(f"{path}: boundary: found node_ac for readings on the DC side; allowed node_dc")
    if boundary == "node_dc" and measurement != "DC" and efficiency is None:
        raise ValueError(f"{path}: boundary: found node_dc but no conversion_eff in the log; allowed node_ac")
    factor = (efficiency or 1.0) if boundary == "node_dc" and measurement != "DC" else 1.0
    read = reading_w > 0
    trace = Trace(
        name or path.name.split(".")[0],
        t[read],
        reading_w[read] * factor,
        boundary,
        accuracy_class,
        accuracy,
        str(path),
        dropped=int(np.count_nonzero(~read)),
    )
    return NodeLog(trace, t, reading_w, start_ns, stop_ns or stamps[-1], efficiency or 1.0, measurement)


def read_run(path: Path) -> tuple[int, int]:
    """The first ``run_start`` and ``run_stop`` of a result log in ns of UTC. Raises ValueError where one is missing."""
    found: dict[str, int] = {}
    for _, event in _events(path):
        found.setdefault(event["key"], event["time_ns"])
    if "run_start" not in found or "run_stop" not in found or found["run_stop"] <= found["run_start"]:
        raise ValueError(f"{path}: found no run_start followed by a run_stop; allowed the result log of a finished run")
    return found["run_start"], found["run_stop"]


@dataclass(frozen=True)
class Comparison:
    """The energy of one node over one run in J, on the DC side, by the published rule and by ours."""

    seconds: float
    published_j: float
    integral: Integral


def compare(log: NodeLog, start_ns: int, stop_ns: int) -> Comparison:
    """Both energies of the run from ``start_ns`` to ``stop_ns`` (UTC). Raises ValueError for a log of no length."""
    if log.stop_ns <= log.start_ns:
        raise ValueError(
            f"{log.trace.source}: found a power_measurement_stop that is not after the start; allowed a log"
        )
    counts = (log.t_ns >= log.start_ns) & (log.t_ns <= log.stop_ns)
    t_s = (log.t_ns[counts] - log.start_ns) * 1e-9
    whole_j = log.efficiency * float(np.sum(log.reading_w[counts] * np.diff(t_s, prepend=0.0)))
    seconds = (stop_ns - start_ns) * 1e-9
    published_j = whole_j * seconds / ((log.stop_ns - log.start_ns) * 1e-9)
    read = log.reading_w > 0
    dc = Trace("dc", log.t_ns[read], log.reading_w[read] * log.efficiency, "node_dc", "C", None, log.trace.source)
    return Comparison(seconds, published_j, dc.integral(start_ns, stop_ns))
