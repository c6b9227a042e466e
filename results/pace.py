"""How the ranks of a case kept step: each rank's own time per iteration, who was slowest, who is a straggler.

A rank's own time is from the end of one iteration to the end of the next, its waiting for others included. In what
synchronises, all wait for the last to arrive, who waits least: with several launches in a row all ranks' own times come
out alike, and do not say who was waited for. Where ranks work without waiting (the product of an overlap, alone), a
slow rank stands out. So a straggler is slow, and that there is none clears nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec


class Pace(msgspec.Struct, frozen=True):
    """Over the measured iterations of a case; a tuple has one entry for each rank, in their order.

    ``median_s``: the median of its own seconds per launch. ``slowest``: the share of the iterations in which no rank
    took longer. ``beyond``: the share in which it took longer than the middle rank (the median over ranks of that
    iteration; of thousands, over an even part of them) by more than the fraction ``effect``; where that is at least
    ``share``, the rank is a straggler. ``apart``: slowest less fastest rank of an iteration, over the middle one: the
    median over iterations. ``flags``: of those that not every rank raised, the ranks that did.
    """

    median_s: tuple[float, ...]
    slowest: tuple[float, ...]
    beyond: tuple[float, ...]
    apart: float
    effect: float
    share: float
    flags: dict[str, tuple[int, ...]] = {}

    @property
    def last(self) -> int:
        """The rank that was slowest in most iterations, of equals the one of the longest median."""
        return max(range(len(self.slowest)), key=lambda rank: (self.slowest[rank], self.median_s[rank]))

    @property
    def stragglers(self) -> tuple[int, ...]:
        """The ranks that were slow by more than ``effect`` in ``share`` of the iterations or more."""
        return tuple(rank for rank, part in enumerate(self.beyond) if part >= self.share)

    def above(self, rank: int) -> float:
        """By which fraction the median of ``rank`` is above that of the middle rank."""
        return self.median_s[rank] / median(self.median_s) - 1


def host_of(hosts: Sequence[str], ranks: int, rank: int) -> str:
    """The host of a rank, of ``ranks`` in blocks of as many on each of ``hosts``."""
    return hosts[rank * len(hosts) // ranks]
