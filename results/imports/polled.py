"""Polled power of devices as figures: of each device one, over the whole of its log, with the energy of that window.

The boundary is the board as its driver reports it (``gpu``), class D: nobody states how true such a sensor reads. Times
without a zone are taken as UTC: lengths are right, and what the clock showed is kept as it was written.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from perwatt.results.imports.figures import UNNAMED, Bad, Figure, LineError, Read, measured, wrong
from perwatt.results.record import SCHEMA, Case, Device, Energy, Measured, Record, Repetition, Work
from perwatt.results.traces.attach import attach
from perwatt.results.traces.table import ABSENT
from perwatt.results.traces.trace import Trace
from perwatt.results.uncertainty import gain_term

BOUNDARY, CLASS = "gpu", "D"
BUNCHED, BUNCHES = 0.2, 0.4  # an interval's share of the long ones, and the share of such intervals
BLANK = 9e18  # DCGM's numbers for 'blank', 'not found', 'not supported' lie above


@dataclass
class Log:
    """What was read of one device so far. ``joules``: its energy counter, empty where there is none."""

    line: int
    name: str = ""
    uuid: str = ""
    time: str = ""
    t_ns: list[int] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)
    counted: list[tuple[int, float]] = field(default_factory=list)
    asked: int = 0


class Polled:
    """Readings of many devices, by host and index. ``period_s``: how far readings are apart in a log without times."""

    def __init__(self, meter: str, period_s: float | None, start_ns: int = 0) -> None:
        self.meter, self.period_s, self.start_ns = meter, period_s, start_ns
        self.logs: dict[tuple[str, int], Log] = {}
        self.told_apart: dict[str, int] = {}  # devices without an index, by what names them
        self.unit = False  # whether readings have it
        self.absent = 0
        self.bad: list[Bad] = []

    def line(self, number: int, content: str, add: Callable[[], None]) -> None:
        """Read one line by ``add``; what it refuses is kept as a bad line."""
        try:
            add()
        except LineError as error:
            self.bad.append(Bad(number, *error.args))
        except ValueError as error:  # an hour that a zone has twice, a time that is none
            self.bad.append(Bad(number, str(error) or repr(content), "a time as in the lines above"))

    def log(self, number: int, host: str, index: str, name: str = "", uuid: str = "") -> Log:
        """The log of a device. Raises LineError for an index that is none."""
        if not index.isdecimal():
            wrong(f"device {index!r}", "a whole number")
        found = self.logs.setdefault((host, int(index)), Log(number))
        found.name, found.uuid = found.name or name, found.uuid or uuid
        return found

    def add(self, log: Log, text: str, t_ns: int | None, time: str = "") -> None:
        """One reading in W; an absent one is counted. Without ``t_ns`` it is one period after the one before."""
        log.asked += 1
        t_ns = self.moment(log.asked) if t_ns is None else t_ns
        power_w = number(text, "power")
        if power_w is None:
            self.absent += 1
            return
        if not 0 <= t_ns < 2**63:
            wrong(f"time {time or t_ns}", "years 1970 to 2261")
        if log.t_ns and t_ns < log.t_ns[-1]:
            wrong(f"a time {(log.t_ns[-1] - t_ns) * 1e-9:.3f} s before the one above it", "times that only grow")
        log.time = log.time or time
        log.t_ns.append(t_ns)
        log.watts.append(power_w)

    def moment(self, count: int) -> int:
        """When the reading number ``count`` was taken, from the period. Raises ValueError where none was given."""
        if self.period_s is None:
            raise NoTimesError("found no dates with times in it; allowed period_s=1, how far its readings are apart")
        return self.start_ns + round((count - 1) * self.period_s * 1e9)

    def read(self) -> Read:
        """All devices as figures, in the order of host and index."""
        out = Read(bad=self.bad, passed_over={"readings that were absent (N/A)": self.absent} if self.absent else {})
        for (host, index), log in sorted(self.logs.items()):
            if len(set(log.t_ns)) < 2:
                out.bad.append(Bad(log.line, f"{len(log.t_ns)} readings of device {index}", "2 or more at other times"))
                continue
            if set(self.told_apart) == {""} and _several(log.t_ns):
                several = "readings in bunches, as of several devices, and nothing that tells these apart"
                out.bad.append(Bad(log.line, several, "a column with the index, as of --query-gpu=timestamp,index,..."))
                continue
            out.figures.append(self._figure(host, index, log))
        return out

    def _figure(self, host: str, index: int, log: Log) -> Figure:
        t_ns, power_w = np.array(log.t_ns, dtype=np.int64), np.array(log.watts)
        seconds = (log.t_ns[-1] - log.t_ns[0]) * 1e-9
        counter = self._counter(log)
        window = Repetition(log.t_ns[0], seconds, 1, len(log.t_ns), (counter,) if counter else ())
        done = measured(Work(0, 0, "time"), seconds, timer="stamps of the log", repetitions=(window,), unmetered="")
        trace = Trace(self.meter, t_ns, power_w, BOUNDARY, CLASS, None, self.meter)
        none = Case("", "", "", "", "", "", 0.0, {})
        # the window begins and ends with readings of this very log: no second clock is in it
        found = attach(Record(SCHEMA, "", "", "", none, UNNAMED, done), trace, t_ns, clock_s=0.0, instrument=log.uuid)
        assert isinstance(found.record.outcome, Measured)
        vendor = "NVIDIA" if log.name.upper().startswith("NVIDIA") or log.uuid.startswith("GPU-") else ""
        return Figure(
            log.line, "telemetry", "power", "power", ("seconds", seconds), {"meter": self.meter}, found.record.outcome,
            "the whole log", device_index=index, hosts=(host,) if host else (),
            device=Device("cuda" if vendor else "gpu", log.name, index, log.uuid, vendor),
            flags=found.record.flags, tool=self.meter, time=log.time, polled=(self.meter, t_ns, power_w),
        )  # fmt: skip

    def _counter(self, log: Log) -> Energy | None:
        """The energy between the first and the last reading of the counter, if those are of the same window."""
        if len(log.counted) < 2 or (log.counted[0][0], log.counted[-1][0]) != (log.t_ns[0], log.t_ns[-1]):
            return None
        values = [value for _, value in log.counted]
        if any(b < a for a, b in itertools.pairwise(values)) or values[-1] <= values[0]:
            return None  # it was reset, or stood still
        gain, _ = gain_term(CLASS)
        return Energy(
            f"{self.meter}_counter", BOUNDARY, (log.uuid or self.meter,), CLASS, "counter", values[-1] - values[0],
            len(values), instrument=log.uuid, terms={} if gain is None else {"gain": gain},
        )  # fmt: skip


def _several(t_ns: list[int]) -> bool:
    """Whether these are times of several devices that were read one after the other, again and again: then half of the
    intervals and more are a small part of the others."""
    apart = np.diff(np.array(t_ns, dtype=np.int64))
    return len(apart) > 1 and bool(np.mean(apart < BUNCHED * np.quantile(apart, 0.95)) >= BUNCHES)


class NoTimesError(Exception):
    """The log has no times, and the request no period: nothing of it can be read."""


def number(text: str, what: str) -> float | None:
    """A reading, 0 or more, with or without W; None for one that says that there was none. Raises LineError."""
    plain = text.strip().removesuffix("W").strip()
    if plain.lower() in (*ABSENT, "-", "[unknown error]", "[gpu is lost]"):
        return None
    try:
        value = float(plain)
    except ValueError:
        value = float("nan")
    if value >= BLANK:
        return None
    if not value >= 0:
        wrong(f"{what} {text.strip()!r}", "a number, 0 or more, or N/A")
    return value
