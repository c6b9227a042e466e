"""What Prometheus answers to a range query (``/api/v1/query_range``), as power traces.

The answer is ``{"data": {"result": [{"metric": {labels}, "values": [[seconds since 1970, "watts"], ...]}, ...]}}``, one
entry a series; a scrape that found nothing leaves a hole, a stale series ``"NaN"``, which is counted and not read as 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from perwatt.results.traces.trace import Trace


class _Series(msgspec.Struct):
    values: list[tuple[float, str | float]] = []
    metric: dict[str, str] = {}


class _Data(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    data: _Data | None = None
    status: str = ""
    error: str = ""


def read_prometheus(
    path: Path, *, boundary: str, accuracy_class: str, accuracy: float | None = None, name: str = ""
) -> list[Trace]:
    """One trace for each series of the answer in ``path``, named by ``name`` and the labels that tell them apart.

    Raises ValueError naming file, series and value for an answer that is none or an error, for power below 0 or
    endless, and for stamps that go back.
    """
    try:
        answer = msgspec.json.decode(path.read_bytes(), type=_Answer)
    except OSError as error:
        raise ValueError(f"{path}: found {error.strerror or error}; allowed a readable file") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: found {error}; allowed the answer to a range query of Prometheus") from None
    if answer.error or answer.status not in ("", "success"):
        raise ValueError(
            f"{path}: found the error {' '.join((answer.error or answer.status).split())}; allowed an answer with data"
        )
    if answer.data is None or not answer.data.result:
        raise ValueError(f"{path}: found no series; allowed one or more")
    series = answer.data.result
    differing = [
        k for k in dict.fromkeys(k for s in series for k in s.metric) if len({s.metric.get(k) for s in series}) > 1
    ]
    traces = []
    for number, one in enumerate(series, 1):
        labels = ",".join(one.metric[k] for k in differing if k in one.metric)
        known = name or one.metric.get("__name__", "") or path.name.split(".")[0]
        where = f"{path} series {number}"
        t_ns, power_w, dropped = _values(where, one.values)
        traces.append(
            Trace(
                f"{known}:{labels}" if labels else known,
                t_ns,
                power_w,
                boundary,
                accuracy_class,
                accuracy,
                where,
                dropped=dropped,
            )
        )
    return traces


def _values(where: str, values: list[tuple[float, str | float]]) -> tuple[Any, Any, int]:
    """Stamps in ns, power in W, and how many values were no reading."""
    try:
        power_w = np.array([float(v) for _, v in values], dtype=np.float64)
    except ValueError:
        at, text = next((i, v) for i, (_, v) in enumerate(values, 1) if not _is_number(v))
        raise ValueError(f"{where} value {at}: found {text!r}; allowed a number of watts") from None
    bad = np.flatnonzero(np.isinf(power_w) | (power_w < 0))
    if len(bad):
        at = int(bad[0])
        raise ValueError(f"{where} value {at + 1}: found {values[at][1]}; allowed watts, 0 or more")
    # Prometheus keeps milliseconds: that many digits of the float are true
    t_ns = np.round(np.array([t for t, _ in values], dtype=np.float64) * 1e3).astype(np.int64) * 1_000_000
    back = np.flatnonzero(np.diff(t_ns) < 0)
    if len(back):
        raise ValueError(
            f"{where} value {int(back[0]) + 2}: found a stamp before the one above it; allowed stamps that only grow"
        )
    known = ~np.isnan(power_w)
    return t_ns[known], power_w[known], int(np.count_nonzero(~known))


def _is_number(value: str | float) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
