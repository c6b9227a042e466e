"""Rounds of a burn-in: the same cases again and again, each with a record of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from perwatt.results.record import Record


class Round(msgspec.Struct, frozen=True):
    """Which round of the run a record is of, from 1, and how long its case took there, start and check included."""

    number: int
    took_s: float


def each_round(records: Iterable[Record]) -> list[Record]:
    """Each case of each round once, in order of first appearance: one measured again replaces its earlier record."""
    return list({(r.case.key, r.round.number if r.round else 0): r for r in records}.values())


def spent_s(records: Iterable[Record]) -> float:
    """Seconds that all rounds took so far; a case's devices, which work side by side, count once."""
    took: dict[tuple[int, str, str, str], dict[int, float]] = {}
    for r in records:
        if r.round is not None:
            devices = took.setdefault((r.round.number, r.case.kernel, str(r.case.params), r.case.cache), {})
            devices[r.case.device_index] = devices.get(r.case.device_index, 0.0) + r.round.took_s
    return sum(max(devices.values()) for devices in took.values())
