"""How the cases of a burn-in drifted over its rounds, and what happened that a sound machine does not show.

A drift is the slope of a straight line through what the rounds measured (least squares), with its 95 % interval by
Student's t. Rounds near each other in time resemble each other, so that the interval is rather too narrow than too
wide: first and last, the medians of a tenth of the rounds each, stand beside it.
"""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.rounds import each_round
from perwatt.results.stats import student_quantile

if TYPE_CHECKING:
    from perwatt.results.record import Record

LEAST = 3  # points of a line with an interval
HOUR_S = 3600.0


@dataclass(frozen=True)
class Trend:
    """``first`` and ``last``: medians of the first and of the last tenth; ``slope_per_h`` +- ``half`` (95 %) in the
    unit of the values, None for fewer than three points or no time between them."""

    first: float
    last: float
    slope_per_h: float | None
    half: float | None


@dataclass(frozen=True)
class Drift:
    """One case on one device over its rounds: ``hours`` from the first record to the last; what was not measured is
    None. Rates in headline work per second, temperatures in degrees Celsius, power in W."""

    host: str
    device: int
    kernel: str
    label: str
    rounds: int
    hours: float
    rate: Trend | None
    temperature: Trend | None
    power: Trend | None


def trend(hours: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of ``values`` measured at ``hours``, in time order; one or more."""
    n = len(values)
    part = max(1, n // 10)
    ends = statistics.median(values[:part]), statistics.median(values[-part:])
    x, y = statistics.fmean(hours), statistics.fmean(values)
    spread = math.fsum((h - x) ** 2 for h in hours)
    if n < LEAST or not spread:
        return Trend(*ends, None, None)
    slope = math.fsum((h - x) * (v - y) for h, v in zip(hours, values, strict=True)) / spread
    left = math.fsum((v - y - slope * (h - x)) ** 2 for h, v in zip(hours, values, strict=True))
    return Trend(*ends, slope, student_quantile(0.975, n - 2) * math.sqrt(left / (n - 2) / spread))


def drifts(records: Iterable[Record]) -> list[Drift]:
    """How each case of each device drifted; empty for a run without rounds."""
    series: dict[tuple[str, str], list[Record]] = {}
    for r in each_round(records):
        if r.round is not None and r.measured is not None:
            series.setdefault((r.host, r.case.key), []).append(r)
    return [_drift(same) for same in series.values()]


def _drift(same: Sequence[Record]) -> Drift:
    hours = [_seconds(r.time_utc) / HOUR_S for r in same]

    def of(value: Callable[[Record], float | None]) -> Trend | None:
        known = [(h, v) for h, r in zip(hours, same, strict=True) if (v := value(r)) is not None]
        return trend([h for h, _ in known], [v for _, v in known]) if known else None

    case = same[0].case
    whole = hours[-1] - hours[0]
    found = of(lambda r: r.rate), of(hottest), of(lambda r: r.power_w)
    return Drift(same[0].host, case.device_index, case.kernel, case.label, len(same), whole, *found)


def hottest(record: Record) -> float | None:
    """The highest temperature at the end of a window, whatever the place."""
    conditions = [r.conditions for r in record.measured.repetitions if r.conditions] if record.measured else []
    return max((end for c in conditions for _, end in c.temperature_c.values()), default=None)


def _seconds(iso: str) -> float:
    return datetime.datetime.fromisoformat(iso).timestamp()


def events(records: Iterable[Record]) -> list[str]:
    """What a sound machine does not show, a line each in time order: failures, wrong outputs, XIDs, errors, repairs."""
    found = []
    for r in each_round(records):
        where = f"{r.time_utc} {r.host} {r.case.kernel} {r.case.label}"
        where += f" (round {r.round.number})" if r.round else ""
        found += [f"{where}: {what}" for what in _events(r)]
    return found


def _events(record: Record) -> Iterable[str]:
    if (m := record.measured) is None:
        if error := getattr(record.outcome, "error", ""):
            yield f"failed: {error}"
        return
    if WRONG_OUTPUT in record.flags and m.rechecks:
        yield from (f"wrong output: {wrong.what}" for wrong in m.rechecks.wrong)
    for health in m.health:
        if health.xid:
            told = ", ".join(f"{xid} ({n} times)" if n > 1 else xid for xid, n in health.xid.items())
            yield f"{health.package}: XID {told}"
        grown = {name: more for name in health.counts if (more := health.grown(name))}
        changed = {n: b for n, (a, b) in health.state.items() if b != a and not n.startswith(("pcie_gen", "pcie_mtps"))}
        yield from (f"{health.package}: {name.replace('_', ' ')} +{more}" for name, more in grown.items())
        yield from (f"{health.package}: {name.replace('_', ' ')} is now {b}" for name, b in changed.items())
