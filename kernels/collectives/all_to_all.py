"""all_to_all: every rank holds S bytes, an n-th of them for each rank, and receives as much: a transposition.

S is the buffer of one rank, n shares. busbw = S / t * (n-1)/n.
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
class AllToAll(Collective):
    """``message_bytes`` of each rank, dealt out evenly to all. Out of place only, as in nccl-tests."""

    name: ClassVar[str] = "all_to_all"
    split: ClassVar[bool] = True
    tuned: ClassVar[bool] = False
    refusals: ClassVar[dict[bool, str]] = {
        True: "all_to_all in place is not offered by NCCL, and gloo overwrites what it has yet to send"
    }

    def factor(self, ranks: int) -> float:
        """(n-1)/n."""
        return (ranks - 1) / ranks

    def touched(self, elements: int, share: int) -> int:
        """The input read, the output written."""
        return 2 * elements

    def held(self, elements: int, share: int) -> int:
        """The input and the output."""
        return 2 * elements

    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """Input and output."""
        return Buffers(new(elements), new(elements))

    def pieces(self, share: int, rank: int, ranks: int) -> list[Piece]:
        """From each rank, in their order, the share meant for this one."""
        return [Piece(other * share, share, other, rank * share) for other in range(ranks)]

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """torch.distributed.all_to_all_single with even shares."""
        import torch.distributed as dist

        return partial(dist.all_to_all_single, buffers.target, buffers.source)
