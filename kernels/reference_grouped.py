"""Products over groups of rows, compared with float64 group by group."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from perwatt.kernels import data, reference
from perwatt.kernels.workload import Check, WrongResult

if TYPE_CHECKING:
    import torch

    _Group = Callable[[torch.Tensor], tuple[float, int]]  # compares one group's rows: the error, and of how many

_WHOLE = 4  # groups that are compared as a whole where all of them would take too long


class GroupsReference:
    """What a (T, K) times b (G, K, N) must be, ``sizes`` rows to a group, to compare outputs with at any time after.

    Where all groups would take too long the first, the last, the largest and one more are compared as
    :class:`~perwatt.kernels.reference.ProductReference` does, and of each of the others a few rows at a few columns.
    """

    def __init__(
        self, a: torch.Tensor, b: torch.Tensor, sizes: Sequence[int], tolerance: float, *, seed: int = 0
    ) -> None:
        import torch

        self.shape, self.sizes, self.tolerance = (a.shape[0], b.shape[2]), list(sizes), tolerance
        self.whole = _compared_whole(sizes, 2.0 * a.shape[0] * a.shape[1] * b.shape[2], seed)
        self.groups: dict[int, _Group] = {}
        for g, rows in enumerate(torch.split(a, self.sizes)):
            own = data.substream(seed, g)
            if g in self.whole:
                budget = reference.BUDGET_FLOPS / len(self.whole)
                want = reference.ProductReference(rows[None], b[g][None], tolerance, seed=own, budget=budget)
                self.groups[g] = partial(_compare_whole, want)
            elif len(rows):
                self.groups[g] = _sampled(rows, b[g], tolerance, own)

    def check(self, c: torch.Tensor) -> Check:
        """Compare c (T, N); WrongResult names the group."""
        import torch

        if tuple(c.shape) != self.shape:
            raise WrongResult(f"C: shape {tuple(c.shape)}, expected {self.shape}")
        worst, compared = 0.0, 0
        everything = len(self.whole) == len(self.groups)
        for g, got in enumerate(torch.split(c, self.sizes)):
            if g not in self.groups:
                continue
            try:
                error, count = self.groups[g](got)
            except WrongResult as problem:
                at = (g, *problem.at)
                raise WrongResult(f"group {g}: {problem}", problem.wrong, problem.error, at) from None
            everything = everything and count == got.numel()
            worst, compared = max(worst, error), compared + count
        some = f"rows and projections of {len(self.whole)} groups, samples of all others"
        how = "every element" if everything else some
        return Check(worst, self.tolerance, f"float64 product on the CPU, {how}", compared)


def _compare_whole(want: reference.ProductReference, c: torch.Tensor) -> tuple[float, int]:
    found, _ = want.check(c[None])
    return found.max_error, found.compared


def _compared_whole(sizes: Sequence[int], flops: float, seed: int) -> list[int]:
    """All groups that have rows, or a few of them."""
    filled = [g for g, size in enumerate(sizes) if size]
    if flops <= reference.BUDGET_FLOPS or len(filled) <= _WHOLE:
        return filled
    largest = max(filled, key=lambda g: sizes[g])
    others = random.Random(data.substream(seed, "groups")).sample(filled, _WHOLE)
    return list(dict.fromkeys([filled[0], filled[-1], largest, *others]))[:_WHOLE]


def _sampled(a: torch.Tensor, b: torch.Tensor, tolerance: float, seed: int) -> _Group:
    """Compares a few rows of one group at a few columns: the first, the last and others."""
    import torch

    rows, columns = reference.sample(a.shape[0], 4, seed), reference.sample(b.shape[1], 64, seed + 1)
    i, j = (torch.tensor(x, device=a.device) for x in (rows, columns))
    want = reference.float64_product(a.index_select(0, i), b.index_select(1, j))

    def compare(c: torch.Tensor) -> tuple[float, int]:
        got = c.index_select(0, i).index_select(1, j)
        return reference.compare("C", got, want, tolerance, index=(rows, columns)), want.numel()

    return compare
