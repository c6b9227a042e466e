"""How the cases of a burn-in drifted over its rounds, and what happened that a sound machine does not show.

A drift is the slope of a straight line through what the rounds measured (least squares), with its 95 % interval by
Student's t. Rounds near each other in time resemble each other, so that the interval is rather too narrow than too
wide: first and last, the medians of a tenth of the rounds each, stand beside it.
"""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from perwatt.results import derived
from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.rounds import each_round
from perwatt.results.stats import student_quantile

if TYPE_CHECKING:
    from perwatt.results.record import Record

LEAST = 3  # points of a line with an interval
HOUR_S = 3600.0


@dataclass(frozen=True)
class Track:
    """One case on one device over its rounds, in order of time: ``hours`` since 1970, ``rate`` in headline work per
    second, the highest temperature beside a window, power in W; None where it is not known."""

    host: str
    device: int
    kernel: str
    label: str
    hours: Sequence[float]
    rate: Sequence[float | None]
    temperature_c: Sequence[float | None]
    power_w: Sequence[float | None]

    @property
    def name(self) -> str:
        """HOST:DEVICE."""
        return f"{self.host}:{self.device}"

    @property
    def case(self) -> str:
        """Kernel and label."""
        return f"{self.kernel} {self.label}"


class Rounds(NamedTuple):
    """All rounds of a burn-in: how each case of each device went on, and what a sound machine does not show, a line
    each in time order."""

    tracks: Sequence[Track]
    events: Sequence[str]


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
    """A :class:`Track` as straight lines; None for what was not measured."""

    track: Track
    rate: Trend | None
    temperature: Trend | None
    power: Trend | None

    @property
    def rounds(self) -> int:
        """How many measured it."""
        return len(self.track.hours)

    @property
    def hours(self) -> float:
        """From the first to the last."""
        return self.track.hours[-1] - self.track.hours[0]


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


def tracks(records: Iterable[Record]) -> list[Track]:
    """Each case of each device over its rounds; empty for a run without rounds."""
    series: dict[tuple[str, str], list[Record]] = {}
    for r in each_round(records):
        if r.round is not None and r.measured is not None:
            series.setdefault((r.host, r.case.key), []).append(r)
    return [_track(same) for same in series.values()]


def _track(same: Sequence[Record]) -> Track:
    case = same[0].case
    return Track(
        same[0].host,
        case.device_index,
        case.kernel,
        case.label,
        [hours(r.time_utc) for r in same],
        [r.rate for r in same],
        [derived.state(r.measured.repetitions).temperature_c if r.measured else None for r in same],
        [r.power_w for r in same],
    )


def hours(iso: str) -> float:
    """A moment as hours since 1970."""
    return datetime.datetime.fromisoformat(iso).timestamp() / HOUR_S


def drift(track: Track) -> Drift:
    """How one case of one device drifted."""

    def of(values: Sequence[float | None]) -> Trend | None:
        known = [(h, v) for h, v in zip(track.hours, values, strict=True) if v is not None]
        return trend([h for h, _ in known], [v for _, v in known]) if known else None

    return Drift(track, of(track.rate), of(track.temperature_c), of(track.power_w))


def events(records: Iterable[Record]) -> list[str]:
    """What a sound machine does not show, a line each in time order: failures, wrong outputs, XIDs, errors, repairs."""
    found = []
    for r in each_round(records):
        case, number = f"{r.case.kernel} {r.case.label}", r.round.number if r.round else 0
        found += [told(r.time_utc, r.host, case, number, what) for what in _events(r)]
    return found


def told(time_utc: str, host: str, case: str, number: int, what: str) -> str:
    """The line of an event, in round ``number`` (0: of none)."""
    return f"{time_utc} {host} {case}{f' (round {number})' if number else ''}: {what}"


def _events(record: Record) -> Iterable[str]:
    if (m := record.measured) is None:
        if error := getattr(record.outcome, "error", ""):
            yield f"failed: {error}"
        return
    if WRONG_OUTPUT in record.flags and m.rechecks:
        yield from (f"wrong output: {wrong.what}" for wrong in m.rechecks.wrong)
    for health in m.health:
        if health.xid:
            heard = ", ".join(f"{xid} ({n} times)" if n > 1 else xid for xid, n in health.xid.items())
            yield f"{health.package}: XID {heard}"
        grown = {name: more for name in health.counts if (more := health.grown(name))}
        changed = {n: b for n, (a, b) in health.state.items() if b != a and not n.startswith(("pcie_gen", "pcie_mtps"))}
        yield from (f"{health.package}: {name.replace('_', ' ')} +{more}" for name, more in grown.items())
        yield from (f"{health.package}: {name.replace('_', ' ')} is now {b}" for name, b in changed.items())
