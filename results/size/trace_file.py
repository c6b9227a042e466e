"""A power trace of one unit from whatever wrote it: the format by what the file holds, unless it is named.

CSV and Parquet with a column of time and one of power, the node logs of MLPerf training, PTDaemon's ``spl.txt``, and
the answer of Prometheus to a range query.

Whatever wrote it: where the clock goes back, or jumps ahead, nobody knows what the stamps mean, and the trace is
refused. A *jump ahead* is a step from one reading to the next of more than ``GAP_PERIODS`` periods (the median step)
and more than ``JUMP_S``: one or two lost readings are none, nor is a short stall of a fast meter. A stretch in which
the meter had no reading looks the same. ``gaps=leave_out`` takes the trace as it is: no statistic reaches across any
gap, and they are told with the load.
"""

from __future__ import annotations

import datetime
import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perwatt.results.energy import GAP_PERIODS
from perwatt.results.traces.trace import EPOCH, Trace

GAPS = ("refuse", "leave_out")
JUMP_S = 5.0
FORMATS = ("auto", "csv", "parquet", "mlperf", "spl", "prometheus")
HEAD = 4096  # bytes by which a format is told, of a packed file once it is unpacked
# What a table does not say itself, by the keys of the request, with what is taken where that is silent either.
COLUMNS: dict[str, Any] = {
    "boundary": "node_ac",
    "accuracy_class": "C",
    "accuracy": None,
    "time": "",
    "power": "power_w",
    "unit": "",
    "timezone": "UTC",
    "start": "",
}
OF_A_METER = ("boundary", "accuracy_class", "accuracy")


def read_traces(
    path: Path, kind: str = "auto", columns: Mapping[str, Any] | None = None, gaps: str = "refuse"
) -> list[Trace]:
    """The traces in ``path``. ``columns``: what a table does not say, by the keys of :data:`COLUMNS`, None
    where it does; ``gaps``: one of :data:`GAPS`, what to do where the clock jumps ahead. Raises ValueError, in one line
    that names the file or the key."""
    for key, value, allowed in (("format", kind, FORMATS), ("gaps", gaps, GAPS)):
        if value not in allowed:
            raise ValueError(f"{key}: found {value!r}; allowed {', '.join(allowed)}")
    found = _read(path, kind, columns)
    if gaps == "refuse":
        for trace in found:
            _refuse_jumps(trace)
    return found


def _refuse_jumps(trace: Trace) -> None:
    """Raise ValueError at the first jump ahead."""
    ahead = np.flatnonzero(np.diff(trace.t_ns) > JUMP_S * 1e9)
    if not len(ahead):
        return
    period_s = trace.period_s
    step_s = (trace.t_ns[ahead + 1] - trace.t_ns[ahead]) * 1e-9
    jumps = np.flatnonzero(step_s > GAP_PERIODS * period_s)
    if len(jumps):
        at = int(ahead[jumps[0]])
        when = f"{EPOCH + datetime.timedelta(seconds=int(trace.t_ns[at]) // 10**9):%Y-%m-%d %H:%M:%S}"
        more = f", the first of {len(jumps)}" if len(jumps) > 1 else ""
        raise ValueError(
            f"{trace.source}: found a jump of {step_s[jumps[0]]:.6g} s ahead after reading {at + 1}, {when} UTC{more}; "
            f"allowed steps of {GAP_PERIODS:g} times the {period_s:.4g} s between readings or of {JUMP_S:g} s, or "
            "gaps=leave_out, by which no window reaches across"
        )


def _read(path: Path, kind: str, columns: Mapping[str, Any] | None) -> list[Trace]:
    if kind == "auto":
        kind = _told(path)
    asked = _asked(columns)
    # these logs say when what was read; what the request says of the meter counts all the same
    of_its_meter = {key: asked[key] for key in OF_A_METER if key in asked}
    if kind == "mlperf":
        from perwatt.results.traces.mlperf import read_node

        return [read_node(path, **of_its_meter).trace]
    if kind == "spl":
        from perwatt.results.traces.spec import read_spl

        return [read_spl(path, **of_its_meter)]
    told = COLUMNS | asked
    if kind == "prometheus":
        from perwatt.results.size.prometheus_json import read_prometheus

        return read_prometheus(path, **{key: told[key] for key in OF_A_METER})
    from perwatt.results.size.big_csv import read_big

    return [read_big(path, **told)]


def _asked(columns: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is not None of the request, each of the type that its reader wants."""
    if columns is not None and not isinstance(columns, Mapping):
        raise ValueError(f"columns: found {columns!r}; allowed keys and values: {', '.join(COLUMNS)}")
    known = {key: value for key, value in (columns or {}).items() if value is not None}
    if unknown := sorted(set(known) - set(COLUMNS)):
        raise ValueError(f"columns.{unknown[0]}: no such key; allowed {', '.join(COLUMNS)}")
    accuracy = known.get("accuracy", 0.0)
    if isinstance(accuracy, bool) or not isinstance(accuracy, int | float):
        raise ValueError(f"columns.accuracy: found {accuracy!r}; allowed a fraction from 0 to 1 (0.01 for 1 %)")
    return {key: value if key == "accuracy" else str(value) for key, value in known.items()}


def _told(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as file:
            head = file.read(HEAD)
    except (OSError, EOFError, zlib.error) as error:
        said = getattr(error, "strerror", None) or error
        raise ValueError(f"trace: {path}: {said}; allowed the file of a power trace") from None
    if head[:4] == b"PAR1":
        return "parquet"
    if b":::MLLOG" in head:
        return "mlperf"
    if head.startswith(b"Time,") and b"Watts" in head and b"Mark" in head:
        return "spl"
    if head.lstrip().startswith(b"{"):
        return "prometheus"
    return "csv"
