"""A power trace in CSV: a header, a column of time and one of power, whatever else stands beside them.

Time is a number since 1970 in UTC (``t_s``, ``t_ms``, ``t_us``, ``t_ns``) or a wall clock time (``time``: ISO 8601, or
the slashes of nvidia-smi) with its own zone or in one that is named. Times that count from the trace's own start need
``start``. Lines that begin with ``#`` are passed over. A cell that says that there was no reading (empty, ``nan``,
``N/A``) is counted, not read as 0; power below 0 is refused.
"""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perwatt.results.traces.trace import Clock, Trace, exact_ns, growing, lines, refuse

SCALES = {"t_s": 1_000_000_000, "t_ms": 1_000_000, "t_us": 1_000, "t_ns": 1}
KINDS = (*SCALES, "iso")
TIMES = ("t_s", "t_ms", "t_us", "t_ns", "time", "timestamp", "t_ms_epoch")
ABSENT = ("", "nan", "n/a", "[n/a]", "none", "null", "[not supported]")
# Earlier than this (2001) no power was logged with these tools: the number counts from something else.
EARLIEST_NS = 1_000_000_000 * SCALES["t_s"]


def read_table(
    path: Path,
    *,
    boundary: str,
    accuracy_class: str,
    accuracy: float | None = None,
    name: str = "",
    time: str = "",
    power: str = "power_w",
    unit: str = "",
    timezone: str = "UTC",
    start: str = "",
) -> Trace:
    """Read a CSV, packed by gzip or not. ``time`` and ``power`` name the columns; an empty ``time`` takes the first
    of the usual names. ``unit`` says what the time is (``t_s``, ``t_ms``, ``t_us``, ``t_ns``, ``iso``); empty: by its
    name. ``start``: the ISO time of 0, for times that count from the trace's start.

    Raises ValueError naming file, line, what was found and what is allowed.
    """
    clock, origin_ns = clock_of(timezone, unit, start)
    numbers: list[int] = []
    stamps: list[int] = []
    watts: list[float] = []
    columns: list[int] = []
    dropped = 0
    for number, text in lines(path):
        if text.lstrip().startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader([text.removeprefix("\ufeff")]))]
        if not columns:
            *columns, unit = chosen(path, number, cells, time, power, unit)
            continue
        if len(cells) <= max(columns):
            refuse(path, number, f"{len(cells)} cells", f"at least {max(columns) + 1}, as in the header")
        if (value := cells[columns[1]]).lower() in ABSENT:
            dropped += 1
            continue
        try:
            power_w = float(value.removesuffix("W"))
        except ValueError:
            refuse(path, number, f"{power} {value!r}", "a number of watts")
        if not np.isfinite(power_w) or power_w < 0:
            refuse(path, number, f"{power} {value}", "watts, 0 or more")
        numbers.append(number)
        stamps.append(stamp_ns(path, number, cells[columns[0]], unit, clock, origin_ns))
        watts.append(power_w)
    if not columns:
        raise ValueError(f"{path}: found no header; allowed one of {'|'.join(TIMES)}, and {power}")
    t = np.array(stamps, dtype=np.int64)
    growing(path, numbers, t)
    p = np.array(watts, dtype=np.float64)
    stem = name or path.name.split(".")[0]
    return Trace(stem, t, p, boundary, accuracy_class, accuracy, str(path), dropped=dropped)


def clock_of(timezone: str, unit: str, start: str) -> tuple[Clock, int | None]:
    """The clock of a table, and the moment in ns since 1970 that its times count from, None for 1970 itself. Raises
    ValueError for a time zone, a unit of time or a start that is none."""
    clock = Clock(timezone)
    if unit and unit not in KINDS:
        raise ValueError(f"unit: found {unit!r}; allowed {', '.join(KINDS)}")
    return clock, iso_ns(clock, start, "start") if start else None


def chosen(path: Path, number: int, names: Sequence[str], time: str, power: str, unit: str) -> tuple[int, int, str]:
    """Where in the header ``names`` on line ``number`` the times and the powers stand, and the unit of the times.
    Raises ValueError where one of them is missing."""
    time = time or next((t for t in TIMES if t in names), "")
    if time not in names or power not in names:
        refuse(path, number, f"the columns {', '.join(names)}", f"one of {'|'.join(TIMES)}, and {power}")
    kind = unit or (time if time in SCALES else "t_ms" if time == "t_ms_epoch" else "iso")
    return names.index(time), names.index(power), kind


def stamp_ns(path: Path, number: int, text: str, unit: str, clock: Clock, origin_ns: int | None) -> int:
    """One time of a table, on line ``number``, in ns since 1970. Raises ValueError where it is none."""
    if unit == "iso":
        try:
            return iso_ns(clock, text, "time")
        except ValueError as error:
            refuse(path, number, str(error), "an ISO time such as 2026-01-31T12:00:00.5Z")
    try:
        t_ns = exact_ns(text, SCALES[unit])
    except ValueError:
        refuse(path, number, f"{unit} {text!r}", "a number")
    if origin_ns is not None:
        return origin_ns + t_ns
    if not EARLIEST_NS < t_ns < 2**63 - EARLIEST_NS:
        refuse(path, number, f"{unit} {text}", "a time since 1970, or start, the ISO time of 0")
    return t_ns


def iso_ns(clock: Clock, text: str, what: str) -> int:
    """An ISO time in ns since 1970; digits beyond the microsecond are kept."""
    text = text.replace("/", "-")
    seconds = re.match(r"^(.*:\d\d)\.(\d+)(.*)$", text)
    whole, digits, zone = seconds.groups() if seconds else (text, "", "")
    try:
        moment = datetime.datetime.fromisoformat(whole + zone)
    except ValueError:
        raise ValueError(f"{what} {text!r}") from None
    return clock.ns(moment) + (int(digits[:9].ljust(9, "0")) if digits else 0)
