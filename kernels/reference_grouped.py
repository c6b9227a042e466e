"""Products over groups of rows, compared with float64 group by group."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perwatt.kernels import data, reference
from perwatt.kernels.workload import Check, WrongResult

if TYPE_CHECKING:
    import torch

_WHOLE = 4  # groups that are compared as a whole where all of them would take too long


def check_groups(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, sizes: Sequence[int], tolerance: float, *, seed: int = 0
) -> Check:
    """Compare c (T, N) with a (T, K) times b (G, K, N), ``sizes`` rows to a group; WrongResult names the group.

    Where all groups would take too long the first, the last, the largest and one more are compared as
    :func:`~perwatt.kernels.reference.check_product` does, and of each of the others a few rows at a few columns.
    """
    import torch

    shape = (a.shape[0], b.shape[2])
    if tuple(c.shape) != shape:
        raise WrongResult(f"C: shape {tuple(c.shape)}, expected {shape}")
    whole = _compared_whole(sizes, 2.0 * a.shape[0] * a.shape[1] * shape[1], seed)
    everything = len(whole) == sum(size > 0 for size in sizes)
    worst, compared = 0.0, 0
    rows_of = list(sizes)
    for g, (rows, got) in enumerate(zip(torch.split(a, rows_of), torch.split(c, rows_of), strict=True)):
        if not sizes[g]:
            continue
        own = data.substream(seed, g)
        try:
            if g in whole:
                budget = reference.BUDGET_FLOPS / len(whole)
                found, _ = reference.check_product(
                    rows[None], b[g][None], got[None], tolerance, seed=own, budget=budget
                )
                error, count = found.max_error, found.compared
            else:
                error, count = _sample(rows, b[g], got, tolerance, own)
        except WrongResult as problem:
            raise WrongResult(f"group {g}: {problem}") from None
        everything = everything and count == got.numel()
        worst, compared = max(worst, error), compared + count
    how = "every element" if everything else f"rows and projections of {len(whole)} groups, samples of all others"
    return Check(worst, tolerance, f"float64 product on the CPU, {how}", compared)


def _compared_whole(sizes: Sequence[int], flops: float, seed: int) -> list[int]:
    """All groups that have rows, or a few of them."""
    filled = [g for g, size in enumerate(sizes) if size]
    if flops <= reference.BUDGET_FLOPS or len(filled) <= _WHOLE:
        return filled
    largest = max(filled, key=lambda g: sizes[g])
    others = random.Random(data.substream(seed, "groups")).sample(filled, _WHOLE)
    return list(dict.fromkeys([filled[0], filled[-1], largest, *others]))[:_WHOLE]


def _sample(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, tolerance: float, seed: int) -> tuple[float, int]:
    """Compare a few rows of one group at a few columns: the first, the last and others; the error, and how many."""
    import torch

    rows, columns = reference.sample(c.shape[0], 4, seed), reference.sample(c.shape[1], 64, seed + 1)
    i, j = (torch.tensor(x, device=c.device) for x in (rows, columns))
    want = reference.float64_product(a.index_select(0, i), b.index_select(1, j))
    got = c.index_select(0, i).index_select(1, j)
    return reference.compare("C", got, want, tolerance, index=(rows, columns)), want.numel()
