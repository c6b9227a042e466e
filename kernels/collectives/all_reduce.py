"""all_reduce: every rank contributes a buffer of S bytes and receives the reduction of all of them.

busbw = S / t * 2 (n-1)/n: in a ring each rank sends and receives that much (a reduce_scatter and an all_gather). With
reductions inside the switch less crosses the links, and busbw may exceed their rate.
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
class AllReduce(Reduction):
    """``op`` over all ranks of ``message_bytes`` each. In place only: torch.distributed has no other.

    Repeated sums would overflow: they are restored by a local copy of S every so many launches (see
    :mod:`perwatt.kernels.collectives.reduction`), as the note of the prepared launch says.
    """

    name: ClassVar[str] = "all_reduce"
    refusals: ClassVar[dict[bool, str]] = {False: "torch.distributed.all_reduce is in place only"}

    in_place: bool = True

    def factor(self, ranks: int) -> float:
        """2 (n-1)/n."""
        return 2 * (ranks - 1) / ranks

    def touched(self, elements: int, share: int) -> int:
        """The buffer, read and written."""
        return 2 * elements

    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """One buffer."""
        whole = new(elements)
        return Buffers(whole, whole)

    def pieces(self, share: int, rank: int, ranks: int) -> list[Piece]:
        """The reduction of everything."""
        return [Piece(0, share, REDUCED, 0)]

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """torch.distributed.all_reduce."""
        import torch.distributed as dist

        return partial(dist.all_reduce, buffers.target, op=self.torch_op(), group=self.group())

    def lifetime(self, ranks: int) -> int | None:
        """The whole buffer is replaced by its reduction."""
        return self.lifetime_whole(ranks)
