"""Telemetry of a fleet that was never measured, as perwatt writes it: nodes with a clock of their own each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perwatt.results.fleet.clocks import Compared, Comparison
from perwatt.results.fleet.layout import CLOCK
from perwatt.results.telemetry import fold, write_part

UTC_NS = 1_800_000_000 * 10**9


def write_node(
    run: Path,
    host: str,
    powers: list[npt.NDArray[np.float64]],
    period_s: float = 0.1,
    begins_s: float = 0.0,
    offset_s: float | None = 0.0,
    uncertainty_s: float = 0.001,
    series: str = "power_w:nvml",
    cases: int = 1,
    killed: bool = False,
) -> Path:
    """A node's folder: device by device its ``powers`` in W, polled every ``period_s`` from ``begins_s`` after a
    common moment on. Its UTC is ``offset_s`` fast, which was found out (None: nobody looked), and its monotonic clock
    is like no other's. What it drew was taken in so many ``cases``. ``killed``: it had no time to fold its parts, nor
    to look at its clocks again."""
    node = run / "nodes" / host
    node.mkdir(parents=True)
    boot_ns = (sum(host.encode()) * 7919 % 10_000) * 10**9
    fast_ns = round((offset_s or 0.0) * 1e9)
    longest = max(map(len, powers), default=0)
    for device, power_w in enumerate(powers):
        t_ns = boot_ns + round(begins_s * 1e9) + np.round(np.arange(len(power_w)) * period_s * 1e9).astype(np.int64)
        for case, mine in enumerate(np.array_split(np.arange(len(power_w)), cases)):
            none = np.full(len(mine), -1)
            columns = {"t_ns": t_ns[mine], "value": power_w[mine], "repetition": none, "n": none + 1}
            # keys are digests: their order is not that in which cases were measured
            write_part(node, f"k{cases - case}", device, {series: columns})
    if not killed:
        fold(node)
    end_ns = round((begins_s + longest * period_s) * 1e9)
    pairs = {
        "start": {"mono_ns": boot_ns, "utc_ns": UTC_NS + fast_ns},
        "end": {"mono_ns": boot_ns + end_ns, "utc_ns": UTC_NS + fast_ns + end_ns},
    }
    if killed:
        del pairs["end"]
    if offset_s is not None:
        both = ((one["mono_ns"], one["utc_ns"]) for one in pairs.values())
        trip_ns = round(uncertainty_s * 2e9)
        each = tuple(Comparison(mono_ns, utc_ns, utc_ns - fast_ns, trip_ns) for mono_ns, utc_ns in both)
        (node / CLOCK).write_text(Compared(each).text())
    (node / "environment.json").write_text(json.dumps({"clock": pairs}))
    return node


def noisy(count: int, seed: int, base_w: float = 500.0) -> npt.NDArray[np.float64]:
    """``count`` readings round a wave of ten seconds, with a spike now and then; a board reads whole tenths of W."""
    random = np.random.default_rng(seed)
    wave = base_w + 100 * np.sin(np.arange(count) / 16) + random.normal(0, 10, count)
    wave[random.integers(0, count, max(count // 1000, 1))] += 300
    return np.round(wave, 1)
