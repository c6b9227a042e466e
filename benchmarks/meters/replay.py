"""A recorded trace played back as if it were read now: for trying the whole path, and for tests of every rule.

What comes out is marked ``replayed`` wherever it appears: it is somebody's measurement, but not of this run.
"""

from __future__ import annotations

import csv
import itertools
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perwatt.benchmarks.meters.meter import Capabilities, Kind, Meter, Part, Reading, Unavailable

Floats = npt.NDArray[np.float64]

COLUMNS: dict[str, Kind] = {"power_w": "power", "energy_j": "energy"}


class Replay(Meter):
    """A CSV with the columns ``t_s`` and ``power_w`` or ``energy_j``, begun when the meter is opened.

    A power trace repeats from its start when ``loop`` is true; past the end of any other, readings are
    ``out_of_range``. Power holds its last value between rows, as a meter's display does; energy grows in between.
    """

    scope = "host"

    def __init__(
        self, path: str | None = None, boundary: str = "node_ac", loop: bool = True, poll_s: float = 0.1
    ) -> None:
        if not isinstance(poll_s, int | float) or not poll_s > 0:
            raise ValueError(f"meter.replay.poll_s: {poll_s!r} is not a positive number of seconds")
        self.path, self.boundary, self.loop, self.poll_s = path, boundary, loop, poll_s
        self.kind: Kind = "power"
        if path is not None:
            self._t, self._value = self._load(Path(path))

    def _load(self, path: Path) -> tuple[Floats, Floats]:
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = csv.DictReader(file)
                columns = [c for c in COLUMNS if c in (rows.fieldnames or ())]
                if "t_s" not in (rows.fieldnames or ()) or len(columns) != 1:
                    raise ValueError(f"{path}: needs the columns t_s and one of {', '.join(COLUMNS)}")
                self.kind = COLUMNS[columns[0]]
                t, value = [], []
                for row in rows:
                    try:
                        t.append(float(row["t_s"]))
                        value.append(float(row[columns[0]]))
                    except (TypeError, ValueError):
                        raise ValueError(f"{path} line {rows.line_num}: not two numbers") from None
        except OSError as error:
            raise ValueError(f"meter.replay.path: {path}: {error.strerror}") from None
        if len(t) < 2 or any(b <= a for a, b in itertools.pairwise(t)):
            raise ValueError(f"{path}: needs two rows or more with growing t_s")
        if not np.all(np.isfinite(value)):
            raise ValueError(f"{path}: a value is not finite")
        return np.array(t), np.array(value)

    def open(self, part: Part) -> Capabilities:
        """Start the trace now."""
        if self.path is None:
            raise Unavailable("no trace to replay", "meter=replay meter.replay.path=trace.csv (columns t_s, power_w)")
        self._start_ns = time.monotonic_ns()
        return Capabilities(
            name="replay",
            kind=self.kind,
            boundary=self.boundary,
            packages=("replay",),
            period_s=float(np.median(np.diff(self._t))),
            poll_s=self.poll_s,
            quantum=None,
            accuracy_class="E",
            replayed=True,
            detail=str(self.path),
        )

    def read(self) -> Reading:
        """The trace's value at the time since it was opened."""
        now = time.monotonic_ns()
        at = (now - self._start_ns) * 1e-9
        length = float(self._t[-1] - self._t[0])
        if self.loop and self.kind == "power":
            at %= length
        if at > length:
            return Reading(now, 0, None, "out_of_range")
        if self.kind == "energy":
            value = float(np.interp(at + self._t[0], self._t, self._value)) - float(self._value[0])
        else:
            value = float(self._value[np.searchsorted(self._t, at + self._t[0], side="right") - 1])
        return Reading(now, 0, value)
