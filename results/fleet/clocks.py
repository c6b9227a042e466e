"""A node's clock: from the monotonic clock that it stamps by to the UTC of the fleet's leader.

A node compares its clocks with the leader's now and then and keeps what it found in ``clock.json``, each by the
quickest of some exchanges of messages: the leader looked at its clock at some time between question and answer, so that
half the round trip bounds the error, whatever the two ways took (RFC 5905, section 8). In between clocks are taken to
drift evenly; before the first and after the last one they are not known to do better than ``STEP_PPM``, the most by
which a kernel slews a clock. A node that compared nothing is taken by its own UTC, with an uncertainty that is unknown;
of one that was killed its last sign of life stands for the end.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from perwatt.results.fleet.layout import ALIVE, CLOCK
from perwatt.results.run import ENVIRONMENT
from perwatt.results.traces.clocks import STEP_PPM, ClockPair, RunClock, several
from perwatt.results.traces.trace import Stamps


@dataclass(frozen=True)
class Comparison:
    """A moment on a node's monotonic clock, in its own UTC and in the leader's, in ns, and the round trip by which it
    was found."""

    mono_ns: int
    own_ns: int
    leader_ns: int
    round_trip_ns: int

    @property
    def offset_s(self) -> float:
        """By how much the node's UTC is ahead of the leader's."""
        return (self.own_ns - self.leader_ns) / 1e9

    @property
    def uncertainty_s(self) -> float:
        """The bound of the error of that."""
        return self.round_trip_ns / 2e9


@dataclass(frozen=True)
class Compared:
    """What a node knows of its clock. ``unseen_s``: how long it may have gone on after the last comparison;
    ``error``: why it could not compare when it last tried."""

    comparisons: tuple[Comparison, ...] = ()
    unseen_s: float = 0.0
    error: str = ""

    def text(self) -> str:
        """As it is kept in ``clock.json``."""
        return json.dumps(asdict(self)) + "\n"


def compared(node: Path) -> Compared:
    """What the node of this folder compared; nothing, if it never did. Raises ValueError for a file that is none."""
    path = node / CLOCK
    try:
        found = json.loads(path.read_text())
        each = tuple(Comparison(**{key: int(value) for key, value in one.items()}) for one in found["comparisons"])
        return Compared(each, float(found["unseen_s"]), str(found["error"]))
    except FileNotFoundError:
        return Compared()
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path}: found no comparisons of clocks ({error}); allowed what perwatt wrote") from None


@dataclass(frozen=True)
class NodeClock:
    """``pairs``: the same moments on the node's monotonic clock and in the leader's UTC, in order. ``uncertainty_s``:
    by how much the latter may be wrong, None where nobody compared. ``jumped``: why the pairs are of no use; empty if
    they are."""

    pairs: tuple[ClockPair, ...]
    uncertainty_s: float | None = None
    jumped: str = ""

    def utc(self, mono_ns: Stamps) -> Stamps:
        """Stamps in ns of the leader's UTC."""
        first = self.pairs[0]
        since = np.array([p.mono_ns - first.mono_ns for p in self.pairs], dtype=np.float64)
        late = np.array([(p.utc_ns - first.utc_ns) - (p.mono_ns - first.mono_ns) for p in self.pairs], dtype=np.float64)
        gained = np.round(np.interp(mono_ns - first.mono_ns, since, late))
        return np.asarray(mono_ns + (first.utc_ns - first.mono_ns) + gained.astype(np.int64), dtype=np.int64)


def clock(node: Path) -> NodeClock | None:
    """The clock of a node by its folder; None where it compared nothing and left no stamps of its own: it cannot be
    laid beside others'. Raises ValueError for files that cannot be read."""
    found = compared(node)
    if found.comparisons:
        each = found.comparisons
        pairs = tuple(ClockPair(one.mono_ns, one.leader_ns) for one in each)
        uncertainty_s = max(one.uncertainty_s for one in each)
        jumps = _jumps(pairs, 2 * uncertainty_s)
        told = f"its clock and the leader's jumped apart by {jumps[0]:.3g} s" if jumps else ""
        return NodeClock(pairs, uncertainty_s + STEP_PPM * 1e-6 * found.unseen_s, told)
    path = node / ENVIRONMENT
    try:
        own = json.loads(path.read_text()).get("clock", {})
        first = ClockPair(int(own["start"]["mono_ns"]), int(own["start"]["utc_ns"]))
        end = ClockPair(int(own["end"]["mono_ns"]), int(own["end"]["utc_ns"])) if "end" in own else _alive(node)
        reason = several(own)
    except (FileNotFoundError, KeyError):
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: found no clock that can be read ({error}); allowed pairs of mono_ns, utc_ns"
        ) from None
    pairs = (first, end) if end and end.mono_ns > first.mono_ns else (first,)
    jumps = _jumps(pairs)
    stepped = f"its UTC was stepped by {jumps[0]:.3g} s during its run" if jumps else ""
    return NodeClock(pairs, None, reason or stepped)


def _alive(node: Path) -> ClockPair | None:
    """The clocks of a node at its last sign of life; None where it gave none that can be read."""
    try:
        found = json.loads((node / ALIVE).read_text())
        return ClockPair(int(found["mono_ns"]), int(found["utc_ns"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def ended(node: Path) -> bool:
    """Whether the run of this node came to its end: it stamped its clocks then. One that was killed did not, nor has
    one that is still at work."""
    try:
        own = json.loads((node / ENVIRONMENT).read_text()).get("clock", {})
        allocations = own.get("allocations") or [own]
        return "end" in allocations[-1]
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _jumps(pairs: Sequence[ClockPair], slack_s: float = 0.0) -> list[float]:
    """By how many seconds UTC jumped between pairs, where that is more than drift."""
    steps = [RunClock(a, b) for a, b in itertools.pairwise(pairs)]
    return [one.change_s for one in steps if abs(one.change_s) > one.drift_s + slack_s]
