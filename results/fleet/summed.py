"""A fleet's power over time: the sum of all devices on one grid and one clock, how far their peaks coincide, and ramps.

Each reading stands for its cell of time (:mod:`perwatt.results.size.windows`; at the stamps that is the trapezoid's
energy), and a cell of the grid holds the mean over it, so that no energy is lost between the two. A device is known in
a cell that no gap of its own touches; the sum is *complete* in the cells in which every device with samples is known,
and only those say anything of the fleet: who has no sample is named, and is never 0 W. A node that was killed counts
until its last reading; from then on the sum rests on one node less, and says so.

The *coincidence factor* is the greatest sum over the sum of each device's greatest, both of means over one cell: 1
where all peak at once. Nodes' stamps are brought to the leader's clock first. A ramp over less time than two clocks may
differ by is none that anybody saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perwatt.results.fleet import clocks, samples
from perwatt.results.fleet.power import choose, each
from perwatt.results.fleet.samples import Floats
from perwatt.results.size.transients import RAMPS_S, Ramp, ramps
from perwatt.results.size.windows import SLACK, cells, seconds_from
from perwatt.results.traces.trace import Stamps

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 1 << 26


class Cell(NamedTuple):
    """A moment of the sum: its middle in ns of the leader's UTC, and what it rests on."""

    t_ns: int
    power_w: float
    devices: int
    nodes: int


@dataclass(frozen=True, eq=False)
class Summed:
    """``frame``: ``t_ns`` (the leader's UTC, the middle of the cell), ``power_w`` (of the devices known in it),
    ``devices`` and ``nodes`` (how many these are, and on how many nodes), ``node_min_w`` and ``node_max_w`` (the least
    and the greatest power of a node all of whose devices are known; NaN without one). ``peak_w`` and ``mean_w`` are of
    complete cells, ``sum_of_peaks_w`` of all devices; None, with ``reason``, where there is no such cell.
    ``ramps`` begin so many seconds after the first cell.
    ``clock_s``: how far apart two clocks may be; None where nobody looked. ``unsynchronised``: nodes whose clock nobody
    looked at. ``cut_short``: nodes whose run never came to its end, with the end of what is known of each in ns of the
    leader's UTC. ``missing``: who has no part in the sum, and why."""

    frame: pd.DataFrame
    series: str
    step_s: float
    devices: int
    nodes: int
    peak_w: float | None
    mean_w: float | None
    sum_of_peaks_w: float | None
    ramps: tuple[Ramp, ...]
    reason: str
    clock_s: float | None
    unsynchronised: tuple[str, ...]
    cut_short: dict[str, int]
    missing: dict[str, str]

    @property
    def complete(self) -> pd.DataFrame:
        """The cells in which every device is known."""
        return self.frame[self.frame["devices"] == self.devices]

    @property
    def known_peak(self) -> Cell | None:
        """The cell with the highest sum of what is known, be it complete or not: the fleet drew at least that."""
        if not len(self.frame):
            return None
        t_ns, power_w, devices, nodes = (self.frame[name].to_numpy() for name in Cell._fields)
        at = int(np.argmax(power_w))
        return Cell(int(t_ns[at]), float(power_w[at]), int(devices[at]), int(nodes[at]))

    @property
    def coincidence(self) -> float | None:
        """The greatest sum over the sum of the greatest; None where the sum is nowhere complete."""
        return self.peak_w / self.sum_of_peaks_w if self.peak_w is not None and self.sum_of_peaks_w else None


class _Node(NamedTuple):
    """A node's part: from the grid's cell ``first`` on its power in W and its devices known in each; the peak of each
    device."""

    first: int
    power_w: Floats
    known: np.ndarray
    peaks_w: tuple[float, ...]
    missing: dict[str, str]
    uncertainty_s: float | None
    ended: bool = True


def summed(
    run: Path,
    hosts: Sequence[str] = (),
    meter: str = "",
    step_s: float | None = None,
    windows_s: Sequence[float] = RAMPS_S,
    jobs: int | None = None,
) -> Summed:
    """The power of a fleet's devices together, by cells of ``step_s`` (the longest period of a device unless given).

    ``hosts``: who should have a part in it. Raises ValueError as :func:`perwatt.results.fleet.power.choose` does, for a
    step of 0 or less, and a grid of more than ``MOST_CELLS`` cells.
    """
    name, missing = choose(run, meter)
    nodes = samples.nodes(run)
    missing = {host: "the node never wrote" for host in hosts if host not in nodes} | missing
    todo = [(host, path) for host, path in nodes.items() if host not in missing]
    if step_s is None:
        step_s = max(each(partial(_period, name=name), todo, jobs), default=0.0)
    if not (math.isfinite(step_s) and step_s > 0):
        raise ValueError(f"step_s: found {step_s:g}; allowed above 0 s, and two samples of a device or more")
    whole = _Whole()
    unsynchronised, uncertain, cut_short = [], [], {}
    for (host, _), one in zip(todo, each(partial(_node, name=name, step_s=step_s), todo, jobs), strict=True):
        missing |= one.missing
        if not one.peaks_w:
            continue
        whole.add(one, step_s)
        if not one.ended:
            cut_short[host] = round((one.first + len(one.power_w)) * (step_s * 1e9))
        if one.uncertainty_s is None:
            unsynchronised.append(host)
        else:
            uncertain.append(one.uncertainty_s)
    clock_s = sum(sorted(uncertain)[-2:]) if uncertain else None  # one may be ahead and the other behind
    return _summed(whole, name, step_s, windows_s, clock_s, tuple(unsynchronised), cut_short, missing)


class _Whole:
    """The sum while it grows, from the earliest cell to the last; ``nodes`` of them have a part in it."""

    def __init__(self) -> None:
        self.first, self.power_w, self.nodes = 0, np.zeros(0), 0
        self.known, self.on = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        self.least_w, self.most_w = np.zeros(0), np.zeros(0)
        self.peaks_w: list[float] = []

    def add(self, one: _Node, step_s: float) -> None:
        """Add a node's part."""
        if not len(self.power_w):
            self.first = one.first
        before = max(self.first - one.first, 0)
        after = max(one.first + len(one.power_w) - self.first - len(self.power_w), 0)
        if len(self.power_w) + before + after > MOST_CELLS:
            raise ValueError(
                f"step_s: found {step_s:g}, which makes more than {MOST_CELLS} cells of all nodes' time; allowed longer"
            )
        if before or after:
            wider = (before, after)
            self.power_w = np.pad(self.power_w, wider)
            self.known, self.on = np.pad(self.known, wider), np.pad(self.on, wider)
            self.least_w = np.pad(self.least_w, wider, constant_values=np.inf)
            self.most_w = np.pad(self.most_w, wider, constant_values=-np.inf)
            self.first -= before
        here = slice(one.first - self.first, one.first - self.first + len(one.power_w))
        self.power_w[here] += one.power_w
        self.known[here] += one.known
        self.on[here] += one.known > 0
        whole = one.known == len(one.peaks_w)
        np.minimum(self.least_w[here], one.power_w, out=self.least_w[here], where=whole)
        np.maximum(self.most_w[here], one.power_w, out=self.most_w[here], where=whole)
        self.peaks_w += one.peaks_w
        self.nodes += 1


def _summed(
    whole: _Whole,
    name: str,
    step_s: float,
    windows_s: Sequence[float],
    clock_s: float | None,
    unsynchronised: tuple[str, ...],
    cut_short: dict[str, int],
    missing: dict[str, str],
) -> Summed:
    import pandas as pd

    some = np.flatnonzero(whole.known)
    t_ns = np.round((whole.first + some + 0.5) * (step_s * 1e9)).astype(np.int64)
    ends = [np.where(np.isfinite(of[some]), of[some], np.nan) for of in (whole.least_w, whole.most_w)]
    columns = {"devices": whole.known[some], "nodes": whole.on[some], "node_min_w": ends[0], "node_max_w": ends[1]}
    frame = pd.DataFrame({"t_ns": t_ns, "power_w": whole.power_w[some], **columns})
    count = len(whole.peaks_w)
    complete = frame[frame["devices"] == count] if count else frame[:0]
    power_w = complete["power_w"].to_numpy()
    reason = "" if len(power_w) else "at no moment are there samples of all devices"
    found: tuple[Ramp, ...]
    if len(power_w) < 2:
        found = tuple(
            Ramp(w, None, None, None, None, reason or "the sum is known for a single moment") for w in windows_s
        )
    else:
        t_s = seconds_from(complete["t_ns"].to_numpy())
        blind = f"not observable: clocks of nodes may be {clock_s or 0:.3g} s apart"
        found = tuple(
            r if clock_s is None or r.window_s >= clock_s else Ramp(r.window_s, None, None, None, None, blind)
            for r in _placed(ramps(t_s, power_w, windows_s), (int(t_ns[complete.index[0]]) - int(t_ns[0])) * 1e-9)
        )
    return Summed(
        frame,
        name,
        step_s,
        count,
        whole.nodes,
        float(power_w.max()) if len(power_w) else None,
        float(power_w.mean()) if len(power_w) else None,
        float(sum(whole.peaks_w)) if len(power_w) else None,
        found,
        reason,
        clock_s,
        unsynchronised,
        cut_short,
        missing,
    )


def _placed(found: Sequence[Ramp], since_s: float) -> list[Ramp]:
    """Ramps with the moments at which they begin counted from so many seconds earlier."""
    late = [{k: at + since_s for k in ("up_at_s", "down_at_s") if (at := getattr(r, k)) is not None} for r in found]
    return [r._replace(**moved) for r, moved in zip(found, late, strict=True)]


def _period(node: tuple[str, Path], name: str) -> float:
    """The longest period of a node's devices in s; 0 of one without two samples."""
    try:
        steps = [np.diff(one.t_ns) for one in samples.read(node[1], name) if len(one.t_ns) > 1]
    except ValueError:
        return 0.0  # whoever sums says so
    return max((float(np.median(s[s > 0])) * 1e-9 for s in steps if (s > 0).any()), default=0.0)


def _node(node: tuple[str, Path], name: str, step_s: float) -> _Node:
    host, path = node
    nothing = _Node(0, np.zeros(0), np.zeros(0, dtype=np.int32), (), {}, None)
    try:
        clock = clocks.clock(path)
    except ValueError as error:
        return nothing._replace(missing={host: str(error)})
    if clock is None:
        return nothing._replace(missing={host: "it left no stamps of its clocks"})
    if clock.jumped:
        return nothing._replace(missing={host: clock.jumped})
    missing: dict[str, str] = {}
    parts: list[tuple[int, Floats, np.ndarray]] = []
    try:
        found = list(samples.read(path, name))
        missing |= {f"{host} {part}": f"not readable: {why}" for part, why in samples.damaged(path).items()}
    except ValueError as error:
        return nothing._replace(missing={host: str(error)})
    for one in found:
        part = _device(clock.utc(one.t_ns), one.power_w, step_s)
        if part is None:
            missing[f"{host} device {one.device}"] = f"no cell of {step_s:g} s is known: {len(one.t_ns)} samples"
        else:
            parts.append(part)
    if not parts:
        return nothing._replace(missing=missing or {host: "no samples"})
    first = min(at for at, _, _ in parts)
    length = max(at + len(power_w) for at, power_w, _ in parts) - first
    power_w, known = np.zeros(length), np.zeros(length, dtype=np.int32)
    for at, mine_w, seen in parts:
        power_w[at - first : at - first + len(mine_w)] += mine_w
        known[at - first : at - first + len(mine_w)] += seen
    peaks = tuple(float(mine_w[seen].max()) for _, mine_w, seen in parts)
    return _Node(first, power_w, known, peaks, missing, clock.uncertainty_s, clocks.ended(path))


def _device(t_ns: Stamps, power_w: Floats, step_s: float) -> tuple[int, Floats, np.ndarray] | None:
    """The first cell, the mean power in W of each cell (0 in those not known, which are marked), of one device."""
    if len(t_ns) < 2 or t_ns[-1] == t_ns[0]:
        return None
    of = cells(seconds_from(t_ns), power_w)
    step_ns = step_s * 1e9
    # whole cells of the grid inside the device's own: numbered in integers, for epochs lose their digits as floats
    first = math.ceil((int(t_ns[0]) + of.edges_s[0] * 1e9) / step_ns - SLACK)
    last = math.floor((int(t_ns[0]) + of.edges_s[-1] * 1e9) / step_ns + SLACK)
    if last <= first:
        return None
    edges_s = (np.arange(first, last + 1) * step_ns - int(t_ns[0])) * 1e-9
    part = of.part(edges_s[:-1] + SLACK * step_s)
    slack_s = SLACK * step_s
    known = (edges_s[:-1] >= of.starts_s[part] - slack_s) & (edges_s[1:] <= of.ends_s[part] + slack_s)
    if not known.any():
        return None
    return first, np.where(known, np.diff(of.energy_at(edges_s)) / step_s, 0.0), known
