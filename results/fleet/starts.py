"""When each node's load began, beside the moment that all had agreed on, on the leader's clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from perwatt.results.fleet import clocks, samples
from perwatt.results.fleet.layout import START
from perwatt.results.store import RECORDS


class Agreed(NamedTuple):
    """A moment to begin at: on the node's monotonic clock and on the leader's, in ns."""

    mono_ns: int
    leader_ns: int


class _Window(msgspec.Struct, frozen=True):
    start_ns: int


class _Outcome(msgspec.Struct, frozen=True):
    repetitions: tuple[_Window, ...] = ()


class _Begun(msgspec.Struct, frozen=True):
    """What is read of a record: when its first window began, if it was measured."""

    outcome: _Outcome


@dataclass(frozen=True)
class Starts:
    """``late_s``: by host, from the agreed moment to the start of its first window, which warm-up and preparation come
    before. ``uncertainty_s``: the most by which one of them may be wrong. ``unknown``: who cannot say, and why.
    ``agreed_ns``: the moments that were agreed on, in ns of the leader's UTC, one for each time that nodes were led."""

    late_s: dict[str, float]
    uncertainty_s: float
    unknown: dict[str, str]
    agreed_ns: tuple[int, ...] = ()

    @property
    def skew_s(self) -> float | None:
        """From the first node to the last; None where fewer than two are known."""
        return max(self.late_s.values()) - min(self.late_s.values()) if len(self.late_s) > 1 else None


def agreed(node: Path) -> tuple[Agreed, ...]:
    """The moments that the node of this folder agreed to begin at, one for each time that it was led."""
    try:
        return tuple(Agreed(int(one[0]), int(one[1])) for one in json.loads((node / START).read_text()))
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ValueError(
            f"{node / START}: found no moments to begin at ({error}); allowed what perwatt wrote"
        ) from None


def starts(run: Path, hosts: Sequence[str] = ()) -> Starts | None:
    """When the nodes of a fleet began; None where no node agreed on anything. ``hosts``: who should have."""
    late_s, unknown, uncertain, moments = {}, {}, [0.0], set[int]()
    found = samples.nodes(run)
    for host in dict.fromkeys([*found, *hosts]):
        one: tuple[float, float] | str = "the node never wrote"
        try:
            if host in found:
                mine = agreed(found[host])
                one = _late(found[host], mine)
                moments |= {each.leader_ns for each in mine}
        except ValueError as error:
            one = str(error)
        if isinstance(one, str):
            unknown[host] = one
        else:
            late_s[host] = one[0]
            uncertain.append(one[1])
    if not late_s and not any((node / START).exists() for node in found.values()):
        return None
    return Starts(late_s, max(uncertain), unknown, tuple(sorted(moments)))


def _late(node: Path, moments: Sequence[Agreed]) -> tuple[float, float] | str:
    """By how much a node began after the last of ``moments`` before it, and how wrong that may be, in s, or why it is
    not known."""
    if not moments:
        return "it agreed on no moment"
    if (began_ns := _began(node)) is None:
        return "it measured nothing"
    mine = [one for one in moments if one.mono_ns <= began_ns]
    if not mine:
        return "it had begun before a moment was agreed on"
    clock = clocks.clock(node)
    if clock is None or clock.uncertainty_s is None:
        return "nobody compared its clock"
    if clock.jumped:
        return clock.jumped
    utc_ns = int(clock.utc(np.array([began_ns], dtype=np.int64))[0])
    return (utc_ns - mine[-1].leader_ns) / 1e9, clock.uncertainty_s


def _began(node: Path) -> int | None:
    """The start of the first window that a node measured."""
    try:
        with open(node / RECORDS, "rb") as lines:
            for line in lines:
                try:
                    found = msgspec.json.decode(line, type=_Begun).outcome.repetitions
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue  # the merge names it
                if found:
                    return found[0].start_ns
    except OSError:
        pass
    return None
