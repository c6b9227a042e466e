"""reduce_scatter: every rank contributes S bytes and receives the reduction of its own n-th of them.

S is the *input*, n shares (torch's output is the share). busbw = S / t * (n-1)/n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels.collectives.collective import Buffers
from perwatt.kernels.collectives.pattern import REDUCED, Piece
from perwatt.kernels.collectives.reduction import Reduction
from perwatt.kernels.workload import Place

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReduceScatter(Reduction):
    """``op`` over all ranks of ``message_bytes`` each, every rank keeping its share.

    In place the share is written over the rank's own slice of the input. Repeated in place, an average converges to
    that of the other ranks and a sum grows until its increments are lost in rounding; only fp16 sums have to be
    restored before (see :mod:`perwatt.kernels.collectives.reduction`). Out of place nothing changes.
    """

    name: ClassVar[str] = "reduce_scatter"
    split: ClassVar[bool] = True

    def factor(self, ranks: int) -> float:
        """(n-1)/n."""
        return (ranks - 1) / ranks

    def touched(self, elements: int, share: int) -> int:
        """The input read, the share written."""
        return elements + share

    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """The input, and a share or the rank's slice of the input."""
        whole = new(elements)
        return Buffers(whole, whole[rank * share : (rank + 1) * share] if self.in_place else new(share))

    def pieces(self, share: int, rank: int, ranks: int) -> list[Piece]:
        """The reduction of the rank's slice."""
        return [Piece(0, share, REDUCED, rank * share)]

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """torch.distributed.reduce_scatter_single, by its former name in versions that lack it."""
        import torch.distributed as dist

        call = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
        return partial(call, buffers.target, buffers.source, op=self.torch_op(), group=self.group())

    def lifetime(self, ranks: int) -> int | None:
        """In place the rank's own slice is replaced."""
        return self.lifetime_slice(ranks) if self.in_place else None
