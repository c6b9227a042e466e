"""What a meter is: one question, asked often, with an honest answer.

An energy meter says how many joules have passed so far, a power meter how many watts flow now. Each declares what it
encloses (its boundary and the physical packages in it), how often its reading is renewed, its resolution and its
accuracy class. A reading that could not be had has a status and no value: absent is never 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

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
    ``poll_s``: how often to read it.
    """

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


@dataclass(frozen=True)
class Reading:
    """One answer. ``mono_ns``: midpoint of the call on the host's monotonic clock; ``call_ns``: how long it took;
    ``value``: J since the meter was opened, or W; None unless ``status`` is ok."""

    mono_ns: int
    call_ns: int
    value: float | None
    status: Status = "ok"


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

    def close(self) -> None:  # noqa: B027 - most meters hold nothing
        """Let go of files and handles."""
