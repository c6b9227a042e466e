"""all_gather: every rank contributes a share and receives the shares of all, S bytes, in the order of ranks.

S is the *output*, n shares (torch's input is the share). busbw = S / t * (n-1)/n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels.collectives.collective import Buffers, Collective
from perwatt.kernels.collectives.pattern import Piece
from perwatt.kernels.workload import Place

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class AllGather(Collective):
    """The shares of all ranks, ``message_bytes`` together. In place a rank's input is its slice of the output."""

    name: ClassVar[str] = "all_gather"
    split: ClassVar[bool] = True

    def factor(self, ranks: int) -> float:
        """(n-1)/n."""
        return (ranks - 1) / ranks

    def touched(self, elements: int, share: int) -> int:
        """The share read, the output written; in place without the share that is there already."""
        return elements if self.in_place else elements + share

    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """The output, and a share or the rank's slice of the output."""
        whole = new(elements)
        return Buffers(whole[rank * share : (rank + 1) * share] if self.in_place else new(share), whole)

    def pieces(self, share: int, rank: int, ranks: int) -> list[Piece]:
        """A share of each rank, in their order."""
        return [Piece(other * share, share, other, 0) for other in range(ranks)]

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """torch.distributed.all_gather_single, by its former name in versions that lack it."""
        import torch.distributed as dist

        call = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        return partial(call, buffers.target, buffers.source, group=self.group())
