"""Power of each device of a fleet: exact percentiles of its samples, and the greatest mean over sliding windows.

One node's file is read at a time, by as many processes as there are processors, so that memory does not grow with the
fleet. A percentile is read off linearly between the samples in order, each counted once: nothing is sketched, since an
approximate quantile of power was seen 30 % off. A sliding maximum is that over every window, not over those of a grid
(:mod:`perwatt.results.size.windows`); no window reaches across a gap.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from perwatt.results.fleet import samples
from perwatt.results.fleet.samples import POWER
from perwatt.results.size.windows import cells, seconds_from, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

PERCENTS = (1.0, 5.0, 50.0, 95.0, 99.0)
Answer = TypeVar("Answer")


class Series(NamedTuple):
    """The series that a fleet's power is taken from, and which nodes have no such samples, with the reason."""

    name: str
    missing: dict[str, str]


def choose(run: Path, meter: str = "") -> Series:
    """The series of ``meter``: its polled power, else its counter. Without a name the one that most nodes have, of
    equals polled power first: power is summed at one boundary only.

    Raises ValueError where no node has one.
    """
    have, unreadable = {}, {}
    for host, node in samples.nodes(run).items():
        try:
            have[host] = samples.series(node)
        except ValueError as error:
            unreadable[host] = str(error)
    counts = Counter(name for found in have.values() for name in found if meter in ("", name.partition(":")[2]))
    if not counts:
        known = sorted({name.partition(":")[2] for found in have.values() for name in found})
        raise ValueError(
            f"{run}: found no power samples of {meter or 'any meter'}; "
            f"allowed {', '.join(known) or 'a run of nodes with a meter'}"
        )
    name = max(sorted(counts), key=lambda one: (counts[one], one.startswith(POWER)))
    lacking = {host: _lacks(found, name) for host, found in have.items() if name not in found}
    return Series(name, lacking | unreadable)


def _lacks(found: dict[str, int], name: str) -> str:
    others = sorted(one.partition(":")[2] for one in found)
    return f"no samples of {name.partition(':')[2]}" + (f", only of {', '.join(others)}" if others else "")


class Devices(NamedTuple):
    """``frame``: one row a device that has samples. ``missing``: which nodes have none, or none that can be read."""

    frame: pd.DataFrame
    missing: dict[str, str]


def devices(
    run: Path,
    meter: str = "",
    percents: Sequence[float] = PERCENTS,
    windows_s: Sequence[float] = (1.0,),
    jobs: int | None = None,
) -> Devices:
    """For each device that has samples: ``host``, ``device``, ``samples``, ``min``, ``p<percent>``, ``max`` and
    ``mean`` of its readings in W, and for each of ``windows_s`` ``max_<seconds>s``, the greatest mean over any window
    of that length in W (NaN where no window fits between gaps, or it is shorter than the period).

    Without windows the stamps are not read, which takes half the time; ``mean`` is that of the readings, each counted
    once. Raises ValueError as :func:`choose` does.
    """
    import pandas as pd

    name, missing = choose(run, meter)
    nodes = [(host, path) for host, path in samples.nodes(run).items() if host not in missing]
    of = partial(_rows, name=name, percents=tuple(percents), windows_s=tuple(windows_s))
    rows = []
    for (host, _), found in zip(nodes, each(of, nodes, jobs), strict=True):
        if isinstance(found, str):
            missing[host] = found
        else:
            rows += found
    quantiles = [f"p{percent:g}" for percent in percents]
    longest = [f"max_{window_s:g}s" for window_s in windows_s]
    columns = ["host", "device", "samples", "min", *quantiles, "max", "mean", *longest]
    return Devices(pd.DataFrame(rows, columns=columns), missing)


def each(
    of: Callable[[tuple[str, Path]], Answer], nodes: Iterable[tuple[str, Path]], jobs: int | None = None
) -> Iterator[Answer]:
    """What ``of`` makes of each node, in their order, by ``jobs`` processes (one a core unless given)."""
    nodes, jobs = list(nodes), jobs or os.cpu_count() or 1
    if jobs == 1 or len(nodes) < 2 * jobs:
        yield from map(of, nodes)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(of, nodes, chunksize=4)


def _rows(
    node: tuple[str, Path], name: str, percents: Sequence[float], windows_s: Sequence[float]
) -> list[tuple[Any, ...]] | str:
    """A row for each device of a node, or why there are none."""
    host, path = node
    try:
        return [
            _row(host, one, percents, windows_s)
            for one in samples.read(path, name, stamps=bool(windows_s))
            if len(one.power_w)
        ]
    except ValueError as error:
        return str(error)


def _row(host: str, one: samples.Samples, percents: Sequence[float], windows_s: Sequence[float]) -> tuple[Any, ...]:
    power_w = one.power_w
    quantiles = np.percentile(power_w, percents).tolist() if len(percents) else []
    ends = float(power_w.min()), float(power_w.max())
    return (
        host,
        one.device,
        len(power_w),
        ends[0],
        *quantiles,
        ends[1],
        float(np.mean(power_w)),
        *_longest(one, windows_s),
    )


def _longest(one: samples.Samples, windows_s: Sequence[float]) -> list[float]:
    """The greatest mean over any window of each length; NaN where there is none."""
    if not windows_s or len(one.t_ns) < 2 or one.t_ns[-1] == one.t_ns[0]:
        return [float("nan")] * len(windows_s)
    made = cells(seconds_from(one.t_ns), one.power_w)
    found = [spread(made, window_s, bins=1) for window_s in windows_s]
    return [float("nan") if each is None else each.max_w for each in found]
