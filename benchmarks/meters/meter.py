"""What a meter is: one question, asked often, with an honest answer.

An energy meter says how many joules have passed so far, a power meter how many watts flow now. Each declares what it
encloses (its boundary and the physical packages in it), how often its reading is renewed, its resolution and its
accuracy class. A reading that could not be had has a status and no value: absent is never 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

SLOW_CALL = 0.25  # of the poll period: a longer call does not say when its value was true
Kind = Literal["energy", "power"]
Scope = Literal["device", "host"]
Status = Literal["ok", "unsupported", "no_permission", "stale", "lost", "out_of_range"]


class Unavailable(Exception):
    """This meter cannot be used here: the reason, and where there is one, what would enable it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


@dataclass(frozen=True)
class Capabilities:
    """What an opened meter measures.

    ``period_s``: how often the value is renewed; ``quantum``: its resolution in J or W, None if unknown;
    ``accuracy_class``: A (accepted wall analyser) to E (estimate); ``replayed``: a recorded trace, not this machine;
    ``poll_s``: how often to read it. ``accuracy``: half-width of the relative gain error (0.05 for +-5 %), None where
    nobody states it (the class then speaks); ``accuracy_source``: who says so. ``averaging_s`` and ``delay_s``: a
    reading is the mean of that long, that long ago. ``attention``: the part of a period in which the sensor looks (0.25
    for 25 ms of every 100 ms), None if unknown. ``remote``: behind a network or a slow bus, so that one reading may
    take seconds. ``limit_w``: what the metered part cannot exceed. ``instrument``: the identity of sensor and range:
    two energies of one instrument share its gain. ``modelled``: an assumption, not a reading. ``facts``: driver,
    firmware, scope, limits, as the meter tells them; never a secret."""

    name: str
    kind: Kind
    boundary: str
    packages: tuple[str, ...]
    period_s: float
    poll_s: float
    quantum: float | None
    accuracy_class: str
    replayed: bool = False
    detail: str = ""
    accuracy: float | None = None
    accuracy_source: str = ""
    averaging_s: float = 0.0
    delay_s: float = 0.0
    attention: float | None = None
    remote: bool = False
    limit_w: float | None = None
    instrument: str = ""
    modelled: bool = False
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def late_ns(self) -> int:
        """How long before a reading lies the middle of the time that it speaks of; 0 where no delay is known."""
        return round((self.delay_s + self.averaging_s / 2) * 1e9) if self.delay_s else 0

    @property
    def longest_call_ns(self) -> float:
        """What a call may take for its reading to be used."""
        return SLOW_CALL * max(self.poll_s, self.period_s) * 1e9


@dataclass(frozen=True)
class Reading:
    """One answer. ``mono_ns``: midpoint of the call on the host's monotonic clock; ``call_ns``: how long it took;
    ``value``: J since the meter was opened, or W; None unless ``status`` is ok; ``meter_ns``: the meter's own time
    stamp in its own epoch, None where it has none."""

    mono_ns: int
    call_ns: int
    value: float | None
    status: Status = "ok"
    meter_ns: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """The state of the metered part beside its power: read at the edges of a window, never in it.

    ``throttle_ns``: by reason, how long it has throttled so far; ``temperature_c`` by place (``gpu``, ``memory``, ...);
    ``clock_hz`` by domain; ``limit_w``: power limit enforced and default; ``ecc``: error counts so far; ``processes``:
    process ids with work on the device. What the driver does not tell is absent.
    """

    throttle_ns: dict[str, int] = field(default_factory=dict)
    temperature_c: dict[str, float] = field(default_factory=dict)
    clock_hz: dict[str, float] = field(default_factory=dict)
    limit_w: dict[str, float] = field(default_factory=dict)
    ecc: dict[str, int] = field(default_factory=dict)
    processes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Vitals:
    """The health of the metered part: read once before a case and once after it. ``counts`` so far and ``state`` now
    are named as :class:`~perwatt.results.health.Health` names them; what the driver does not tell is absent. ``xid``:
    those since the last reading, None where nobody can listen; ``heard_by``: by whom."""

    source: str
    counts: dict[str, int] = field(default_factory=dict)
    state: dict[str, int] = field(default_factory=dict)
    xid: tuple[int, ...] | None = None
    heard_by: str = ""


@dataclass(frozen=True)
class Part:
    """What the meter is wanted for: one device, by torch's type, index and UUID."""

    type: str
    index: int = 0
    uuid: str = ""


class Meter(ABC):
    """Base of every meter. ``scope``: ``device`` meters are opened by each rank for its own device, ``host`` meters by
    the first rank of a node alone, so that nothing is counted twice."""

    scope: ClassVar[Scope]

    @abstractmethod
    def open(self, part: Part) -> Capabilities:
        """Find the meter and take its first reading. Raises :class:`Unavailable`."""

    @abstractmethod
    def read(self) -> Reading:
        """The value now. Called from several threads, one at a time; never raises for a meter that was lost."""

    def snapshot(self) -> Snapshot | None:
        """The state of the metered part; None from a meter that knows nothing but its reading."""
        return None

    def vitals(self) -> Vitals | None:
        """The health of the metered part; None from a meter that knows nothing of it. May take some ms."""
        return None

    def close(self) -> None:  # noqa: B027 - most meters hold nothing
        """Let go of files and handles."""
