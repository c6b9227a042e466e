"""From the times of every iteration on every rank to how the ranks kept step.

Each rank looks at its own times beside the slowest, middle and fastest of the same iteration, so that what it hands to
the leader stays small whatever the number of iterations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from perwatt.results.pace import Pace

DIGITS = 4  # of a share


class Own(msgspec.Struct, frozen=True):
    """One rank's part of a :class:`perwatt.results.pace.Pace`, whose names these are."""

    median_s: float
    slowest: float
    beyond: float
    apart: float
    effect: float
    share: float


def own(
    seconds: npt.ArrayLike,
    slowest: npt.ArrayLike,
    middle: npt.ArrayLike,
    fastest: npt.ArrayLike,
    straggler: Mapping[str, float],
) -> Own:
    """A rank's ``seconds`` of each iteration beside those of the others. ``straggler``: ``effect`` and ``share``."""
    mine, most, mid, least = (np.asarray(values, dtype=np.float64) for values in (seconds, slowest, middle, fastest))
    effect = straggler["effect"]
    return Own(
        median_s=float(np.median(mine)),
        slowest=round(float(np.mean(mine >= most)), DIGITS),
        beyond=round(float(np.mean(mine > mid * (1 + effect))), DIGITS),
        apart=round(float(np.median((most - least) / mid)), DIGITS),
        effect=effect,
        share=straggler["share"],
    )


def together(found: Sequence[Own | None], flags: Sequence[Sequence[str]]) -> Pace | None:
    """The pace of all ranks, in their order, with the ``flags`` of each; None unless every one of several told."""
    told = [one for one in found if one is not None]
    if len(told) < 2 or len(told) < len(found):
        return None
    raised: dict[str, list[int]] = {}
    for rank, of in enumerate(flags):
        for flag in of:
            raised.setdefault(flag, []).append(rank)
    return Pace(
        median_s=tuple(one.median_s for one in told),
        slowest=tuple(one.slowest for one in told),
        beyond=tuple(one.beyond for one in told),
        apart=told[0].apart,
        effect=told[0].effect,
        share=told[0].share,
        flags={flag: tuple(by) for flag, by in sorted(raised.items()) if len(by) < len(told)},
    )


def straggler(groups: Mapping[str, Any] | None) -> dict[str, float] | None:
    """What makes a straggler, from ``conf/groups``; None of a run without it."""
    if not groups:
        return None
    return {"effect": float(groups["straggler_effect"]), "share": float(groups["straggler_share"])}
