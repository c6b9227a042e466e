"""What meters of the building share: units, several meter points as one sum, counters that may not go back.

A rack or a room is often fed through several meters. Their sum is a reading only when each of them has answered: a sum
without one of its parts would look like a saving. A counter that has gone back was reset or exchanged, and how much it
had counted in between nobody knows, so that it is lost from then on.
Source: the International System of Units, for 1 kWh = 3.6 MJ.
"""

from __future__ import annotations

import math
import re
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, get_args

from perwatt.benchmarks.meters.meter import Capabilities, Kind, Meter, Part, Reading, Status, Unavailable

UNITS: dict[Kind, dict[str, float]] = {
    "power": {"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6},
    "energy": {"J": 1.0, "kJ": 1e3, "MJ": 1e6, "Wh": 3600.0, "kWh": 3.6e6, "MWh": 3.6e9},
}
CLASSES = ("A", "B", "C", "D", "E")


def choice(where: str, found: object, allowed: Sequence[str]) -> str:
    """``found`` if it is one of ``allowed``, else ValueError."""
    if not isinstance(found, str) or found not in allowed:
        raise ValueError(f"{where}: found {found!r}, allowed {', '.join(allowed)}")
    return found


def number(where: str, found: object, low: float, high: float) -> float:
    """``found`` as a number from ``low`` to ``high``, else ValueError."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
        raise ValueError(f"{where}: found {found!r}, allowed {low:g} to {high:g}")
    return float(found)


def whole(where: str, found: object, low: int, high: int) -> int:
    """``found`` as a whole number from ``low`` to ``high``, else ValueError."""
    if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
        raise ValueError(f"{where}: found {found!r}, allowed {low} to {high}, whole")
    return found


@dataclass(frozen=True)
class About:
    """What the site knows of its meter and the meter itself does not tell. ``where`` names the configuration entry.

    ``accuracy``: half-width of the relative error as a fraction, with its source; ``period_s``: how often the meter
    renews its value; ``quantum``: its resolution in the given unit, None to derive it. Raises ValueError.
    """

    where: str
    kind: str
    unit: str
    boundary: str
    accuracy_class: str
    accuracy: float | None
    accuracy_source: str
    period_s: float
    poll_s: float
    averaging_s: float
    delay_s: float
    timeout_s: float
    instrument: str
    quantum: float | None

    def __post_init__(self) -> None:
        w = self.where
        choice(f"{w}.kind", self.kind, get_args(Kind))
        choice(f"{w}.unit", self.unit, tuple(UNITS[self.the_kind]))
        choice(f"{w}.accuracy_class", self.accuracy_class, CLASSES)
        if not isinstance(self.boundary, str) or not re.fullmatch("[a-z][a-z0-9_]*", self.boundary):
            raise ValueError(f"{w}.boundary: found {self.boundary!r}, allowed a word like rack, node_ac or facility")
        if self.accuracy is not None:
            number(f"{w}.accuracy", self.accuracy, 1e-6, 1)
            if not self.accuracy_source:
                raise ValueError(f"{w}.accuracy_source: found nothing, allowed who states the accuracy")
        number(f"{w}.period_s", self.period_s, 0.001, 3600)
        number(f"{w}.poll_s", self.poll_s, 0.01, 3600)
        number(f"{w}.averaging_s", self.averaging_s, 0, 3600)
        number(f"{w}.delay_s", self.delay_s, 0, 3600)
        number(f"{w}.timeout_s", self.timeout_s, 0.05, 5)
        if self.quantum is not None:
            number(f"{w}.quantum", self.quantum, 0, 1e9)

    @property
    def the_kind(self) -> Kind:
        """The kind as a type of its own."""
        return "energy" if self.kind == "energy" else "power"

    @property
    def si(self) -> float:
        """W or J in one of the given unit."""
        return UNITS[self.the_kind][self.unit]


@dataclass(frozen=True)
class Answer:
    """W or J of each meter point in their order, or a status with its reason, never both. ``meter_ns``: the meter's own
    stamp, the oldest where there are several."""

    values: tuple[float, ...] = ()
    status: Status = "ok"
    reason: str = ""
    meter_ns: int | None = None


@dataclass(frozen=True)
class Found:
    """What connecting has told: physical parts in the order of the answers, resolution of one of them in W or J (None
    if unknown), identity of the sensor, facts."""

    packages: tuple[str, ...]
    quantum: float | None
    instrument: str
    facts: dict[str, str] = field(default_factory=dict)


class FacilityMeter(Meter):
    """Base of the meters behind a network: asks, sums, and watches over counters."""

    scope = "host"
    name: ClassVar[str]

    def __init__(self, about: About) -> None:
        self.about = about
        self.trouble = ""  # why the last reading has no value
        self._zero: tuple[float, ...] = ()
        self._last: tuple[float, ...] = ()
        self._reset = False

    @abstractmethod
    def _connect(self) -> Found:
        """Reach the meter. Raises :class:`Unavailable`."""

    @abstractmethod
    def _ask(self) -> Answer:
        """One question to every meter point."""

    @abstractmethod
    def _remedy(self, status: Status) -> str:
        """What would help against a first reading with this status."""

    def open(self, part: Part) -> Capabilities:
        """Connect and take the first reading."""
        about = self.about
        self._zero, self._last, self._reset = (), (), False
        try:
            found = self._connect()
            reading = self.read()
            if reading.status != "ok":
                raise Unavailable(f"{self.name}: {self.trouble} ({reading.status})", self._remedy(reading.status))
        except Unavailable:
            self.close()
            raise
        # each point is rounded by itself: independent errors add up as their root
        quantum = None if found.quantum is None else found.quantum * math.sqrt(len(found.packages))
        return Capabilities(
            name=self.name,
            kind=about.the_kind,
            boundary=about.boundary,
            packages=found.packages,
            period_s=about.period_s,
            poll_s=about.poll_s,
            quantum=quantum or None,
            accuracy_class=about.accuracy_class,
            accuracy=about.accuracy,
            accuracy_source=about.accuracy_source,
            averaging_s=about.averaging_s,
            delay_s=about.delay_s,
            remote=True,
            instrument=about.instrument or found.instrument,
            facts=found.facts,
        )

    def read(self) -> Reading:
        """The sum of all meter points: W, or J since the meter was opened."""
        start = time.monotonic_ns()
        try:
            answer = self._ask()
        except Exception as error:  # garbage can fail a protocol's library in any way; the meter may come back
            answer = Answer(status="lost", reason=f"{type(error).__name__} while reading")
        end = time.monotonic_ns()
        value, status = self._judge(answer)
        return Reading((start + end) // 2, end - start, value, status, answer.meter_ns if status == "ok" else None)

    def _judge(self, answer: Answer) -> tuple[float | None, Status]:
        self.trouble = answer.reason
        if answer.status != "ok":
            return None, answer.status
        if any(not math.isfinite(v) or v < 0 for v in answer.values):
            self.trouble = f"reads {min(answer.values):g}: reversed current transformer, export, or not a number"
            return None, "out_of_range"
        if self.about.kind == "power":
            return sum(answer.values), "ok"
        self._zero = self._zero or answer.values
        self._reset = self._reset or any(new < old for new, old in zip(answer.values, self._last, strict=False))
        if self._reset:
            self.trouble = "the counter has gone back: it was reset or exchanged"
            return None, "lost"
        self._last = answer.values
        return sum(new - zero for new, zero in zip(answer.values, self._zero, strict=True)), "ok"
