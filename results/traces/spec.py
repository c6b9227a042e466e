"""The log of SPEC's PTDaemon (``spl.txt``), which MLPerf inference submits, and the figures that MLPerf takes from it.

A line is ``Time,MM-DD-YYYY HH:MM:SS.mmm,Watts,x,Volts,x,Amps,x,PF,x,Mark,<session>_<phase>``, followed by the channels
(``,Ch1,Watts,...``) or, where several analysers were merged, by each of them (``,Analyzer1,Time,...``); the first Watts
are then the sum, and volts, amperes and power factor are -1. A sample that the analyser could not take has -2 W.

MLPerf's rule: the mean of the samples above 0 W that lie strictly between ``power_begin`` and ``power_end`` of the load
generator's log. Beside it stands the integral over that same window, which needs no even spacing.
Sources: mlcommons/power-dev (compliance check), mlcommons/inference_results_v4.1 (logs).
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from perwatt.results.energy import Integral
from perwatt.results.traces.trace import Clock, Mark, Trace, growing, lines, refuse

STAMP = "%m-%d-%Y %H:%M:%S.%f"
LINE = "Time,MM-DD-YYYY HH:MM:SS.mmm,Watts,x,Volts,x,Amps,x,PF,x,Mark,name"
ACCURACY = 0.01  # what SPEC accepts an analyser for, on the ranges used


def read_spl(
    path: Path,
    *,
    boundary: str = "node_ac",
    timezone: str = "UTC",
    accuracy_class: str = "A",
    accuracy: float | None = ACCURACY,
    name: str = "",
) -> Trace:
    """Read ``spl.txt``. ``timezone``: in which PTDaemon ran (its rules say UTC). ``name``: the file's stem if empty.

    Raises ValueError naming file and line for anything that is no such line.
    """
    clock = Clock(timezone)
    numbers, stamps, watts, labels, dropped = [], [], [], [], 0
    for number, text in lines(path):
        fields = text.split(",")
        end = fields.index("Mark") if "Mark" in fields else 0
        head = dict(zip(fields[:end:2], fields[1:end:2], strict=False))
        if fields[0] != "Time" or "Watts" not in head or len(fields) < end + 2:
            refuse(path, number, repr(text[:40]), LINE)
        try:
            t_ns = clock.ns(datetime.datetime.strptime(head["Time"], STAMP))
        except ValueError as error:
            found = str(error) if "hour" in str(error) else repr(head["Time"])
            refuse(path, number, found, "MM-DD-YYYY HH:MM:SS.mmm, of years 1970 to 2261")
        try:
            power_w = float(head["Watts"])
        except ValueError:
            refuse(path, number, f"Watts {head['Watts']!r}", "a number")
        numbers.append(number)
        stamps.append(t_ns)
        watts.append(power_w)
        labels.append(fields[end + 1])
    t, p = np.array(stamps, dtype=np.int64), np.array(watts, dtype=np.float64)
    growing(path, numbers, t)
    read = p > 0
    dropped = int(np.count_nonzero(~read))
    marks = []
    for label, group in groupby(range(len(labels)), key=labels.__getitem__):
        part = list(group)
        marks.append(Mark(stamps[part[0]], stamps[part[-1]], label))
    return Trace(
        name or path.stem, t[read], p[read], boundary, accuracy_class, accuracy, str(path), tuple(marks), dropped
    )


@dataclass(frozen=True)
class LoadWindow:
    """When the load generator worked, in ns of UTC, and its result in samples/s (None where it has none)."""

    begin_ns: int
    end_ns: int
    samples_per_s: float | None = None


def read_window(path: Path, timezone: str = "UTC") -> LoadWindow:
    """``power_begin`` and ``power_end`` of ``mlperf_log_detail.txt``. Raises ValueError without them."""
    clock = Clock(timezone)
    found: dict[str, int] = {}
    rate: float | None = None
    for number, text in lines(path):
        _, mark, body = text.partition(":::MLLOG ")
        if not mark:
            continue
        try:
            event = json.loads(body)
            key, value = event["key"], event["value"]
        except (ValueError, KeyError, TypeError):
            refuse(path, number, repr(text[:40]), ":::MLLOG {JSON with key and value}")
        if key in ("power_begin", "power_end"):
            try:
                found[key] = clock.ns(datetime.datetime.strptime(str(value), STAMP))
            except ValueError:
                refuse(path, number, f"{key} {value!r}", "MM-DD-YYYY HH:MM:SS.mmm, of years 1970 to 2261")
        elif key == "result_samples_per_second":
            if not isinstance(value, int | float):
                refuse(path, number, f"{key} {value!r}", "a number")
            rate = float(value)
    if missing := [key for key in ("power_begin", "power_end") if key not in found]:
        raise ValueError(f"{path}: found no {' and no '.join(missing)}; allowed a log of a run with power")
    if found["power_end"] <= found["power_begin"]:
        raise ValueError(f"{path}: found power_end before power_begin; allowed an end after its beginning")
    return LoadWindow(found["power_begin"], found["power_end"], rate)


@dataclass(frozen=True)
class Comparison:
    """One window by MLPerf's rule and by ours: ``published_*`` the mean of ``samples``, ``integral`` the trapezoid.

    Rates per joule are None without a load generator's result, ours also where the trace does not cover the window.
    """

    seconds: float
    samples: int
    published_power_w: float
    published_samples_per_j: float | None
    integral: Integral
    power_w: float | None
    samples_per_j: float | None


def compare(trace: Trace, window: LoadWindow) -> Comparison:
    """Both figures for a window. Raises ValueError if no sample lies strictly inside it."""
    inside = (trace.t_ns > window.begin_ns) & (trace.t_ns < window.end_ns) & (trace.power_w > 0)
    samples = int(np.count_nonzero(inside))
    if not samples:
        raise ValueError(
            f"{trace.source}: found no sample between power_begin and power_end; allowed a log of that run"
        )
    published_w = float(trace.power_w[inside].mean())
    seconds = (window.end_ns - window.begin_ns) * 1e-9
    integral = trace.integral(window.begin_ns, window.end_ns)
    power_w = None if integral.energy_j is None else integral.energy_j / seconds
    rate = window.samples_per_s
    return Comparison(
        seconds,
        samples,
        published_w,
        rate / published_w if rate is not None else None,
        integral,
        power_w,
        rate / power_w if rate is not None and power_w else None,
    )
