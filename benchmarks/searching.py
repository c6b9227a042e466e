"""Look for a faster configuration among neighbours: one field is changed at a time, and the better is gone on from.

Nothing here knows what a configuration configures, nor how its time is found out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

from perwatt.kernels.triton.configuration import Configuration

Kind = TypeVar("Kind", bound=Configuration)
FIXED = {"fnuz"}  # not how, but what
POWERS = {"warps": (1, 16), "matrix_instr": (16, 32), "group_m": (1, 64), "subtiles": (1, 2)}  # blocks: 16 to 512
STEPS = {"stages": (1, 8), "programs_per_core": (1, 4), "waves_per_eu": (0, 4)}


def neighbours(config: Kind) -> Iterator[Kind]:
    """Every configuration that differs in one field by one step: twice or half of a tile, a stage more or less, ..."""
    for item in dataclasses.fields(config):
        name, value = item.name, getattr(config, item.name)
        for other in _steps(name, value):
            try:
                yield dataclasses.replace(config, **{name: other})
            except ValueError:  # fields that do not go together
                continue


def _steps(name: str, value: int | bool) -> list[int | bool]:
    if name in FIXED:
        return []
    if isinstance(value, bool):
        return [not value]
    if name in STEPS:
        low, high = STEPS[name]
        return [v for v in (value - 1, value + 1) if low <= v <= high]
    low, high = POWERS.get(name, (16, 512) if name.startswith("block") else (0, 0))
    return [v for v in (value // 2, value * 2) if low <= v <= high and v] if value else []


def descend(start: Kind, cost: Callable[[Kind], float | None], most: int) -> tuple[Kind, float | None, int]:
    """The best of at most ``most`` configurations, its cost, and how many were tried.

    ``cost`` says what one costs, None if it cannot be had. From the best so far every neighbour is tried; when none is
    better the search has ended.
    """
    tried: dict[Kind, float | None] = {start: cost(start)}
    best = start
    while True:
        found = best
        for other in neighbours(best):
            if other in tried:
                continue
            if len(tried) >= most:
                return found, tried[found], len(tried)
            tried[other] = cost(other)
            if _less(tried[other], tried[found]):
                found = other
        if found == best:
            return best, tried[best], len(tried)
        best = found


def _less(a: float | None, b: float | None) -> bool:
    return a is not None and (b is None or a < b)
