"""What is sent to a rank, and what comes back: the two messages that a case travels in."""

from __future__ import annotations

from typing import Any

import msgspec

from perwatt.benchmarks.pace import Own
from perwatt.results.record import Device, Outcome, Target


class Task(msgspec.Struct, frozen=True):
    """One case for a rank. ``spec``, ``stopping`` and ``meters`` are nodes of the configuration, built by the rank.

    ``table`` holds the fields of the device's table of Triton configurations, ``directories`` the user's own files,
    ``straggler`` the ``effect`` and the ``share`` that make one of a rank.
    ``begin_ns``: not to be under load before that moment of this machine's monotonic clock.
    """

    key: str
    spec: dict[str, Any]
    cache: str
    profile: dict[str, Any]
    stopping: dict[str, Any]
    meters: dict[str, dict[str, Any]]
    run: str
    llc_bytes: int | None = None
    table: dict[str, Any] | None = None
    target: Target | None = None
    directories: tuple[str, ...] = ()
    straggler: dict[str, float] | None = None
    begin_ns: int | None = None


class Answer(msgspec.Struct, frozen=True):
    """What a rank made of a task. ``taken`` is False if it was asked to stop before anything was measured; ``pace`` is
    how it kept step with the others of a group."""

    rank: int
    device: Device
    outcome: Outcome
    flags: tuple[str, ...] = ()
    taken: bool = True
    pace: Own | None = None
