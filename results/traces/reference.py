"""The power series of a run that a remote meter's trace is laid over: what its own meters said, all ranks together.

Only its shape counts. Meters of one device each are added up; a device that was not being metered while others were is
taken at the least that it drew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perwatt.results.energy import slopes
from perwatt.results.traces.align import Series
from perwatt.results.traces.trace import Floats, Stamps

if TYPE_CHECKING:
    from pandas import DataFrame


def reference(telemetry: DataFrame | None, meter: str = "") -> tuple[Stamps, Floats]:
    """Stamps on the host's monotonic clock in ns, and power in W, of one meter of the run's telemetry.

    ``meter``: its name; if empty, the polled power with most readings, else the counter with most.
    Raises ValueError where the run kept no such samples.
    """
    kept: dict[str, int] = {}
    if telemetry is not None:
        names = telemetry["series"].value_counts()
        kept = {str(n): int(c) for n, c in names.items() if str(n).startswith(("power_w:", "energy_j:"))}
    wanted = {n: c for n, c in kept.items() if not meter or n.partition(":")[2] == meter}
    if telemetry is None or not wanted:
        known = ", ".join(sorted({n.partition(":")[2] for n in kept})) or "none: give offset_s= instead of align=auto"
        raise ValueError(f"reference: found no power samples of {meter or 'any meter'} in the run; allowed {known}")
    series = max(wanted, key=lambda n: (n.startswith("power_w:"), wanted[n]))
    rows = telemetry[telemetry["series"] == series].sort_values("t_ns")
    zero = int(rows["t_ns"].iloc[0])
    parts = []
    for _, mine in rows.groupby("rank"):
        t_ns = mine["t_ns"].to_numpy(dtype=np.int64)
        value = mine["value"].to_numpy(dtype=np.float64)
        if series.startswith("energy_j:"):
            left, right, value = slopes(t_ns, value)
            t_ns = left + (right - left) // 2
        keep = np.isfinite(value)
        if np.count_nonzero(keep) > 1:
            parts.append(Series((t_ns[keep] - zero) * 1e-9, value[keep]))
    if not parts:
        raise ValueError(f"reference: found fewer than two samples of {series} in the run; allowed a metered run")
    t_s, power_w = (parts[0].t, parts[0].p) if len(parts) == 1 else _sum(parts)
    return np.asarray(np.round(t_s * 1e9), dtype=np.int64) + zero, power_w


def _sum(parts: list[Series]) -> tuple[Floats, Floats]:
    step_s = max(part.period_s for part in parts)
    edges = np.arange(min(part.t[0] for part in parts), max(part.t[-1] for part in parts), step_s)
    total, any_seen = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1, dtype=np.bool_)
    for part in parts:
        power, seen = part.mean(edges[:-1], edges[1:])
        total += np.where(seen, power, float(part.p.min()))
        any_seen |= seen
    return edges[:-1][any_seen] + step_s / 2, total[any_seen]
