"""sendrecv: a ring in which every rank sends S bytes to the next one and receives S bytes from the one before.

busbw = S / t, the factor is 1: what one direction of one link carries, while the other ranks do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels.collectives.collective import Buffers, Collective
from perwatt.kernels.collectives.pattern import Piece
from perwatt.kernels.workload import Place, Prepared, Unsupported

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SendRecv(Collective):
    """``message_bytes`` to the next rank and from the previous one, both at once. Out of place, over two ranks or more:
    a rank cannot send to itself in torch.distributed."""

    name: ClassVar[str] = "sendrecv"
    tuned: ClassVar[bool] = False
    refusals: ClassVar[dict[bool, str]] = {True: "a rank cannot receive into the buffer that it is sending"}

    def factor(self, ranks: int) -> float:
        """1."""
        return 1.0

    def touched(self, elements: int, share: int) -> int:
        """One buffer read, one written."""
        return 2 * elements

    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """What is sent, and room for what is received."""
        return Buffers(new(elements), new(elements))

    def pieces(self, share: int, rank: int, ranks: int) -> list[Piece]:
        """What the previous rank has."""
        return [Piece(0, share, (rank - 1) % ranks, 0)]

    def prepare(self, place: Place) -> Prepared:
        """As every collective; Unsupported for a single rank."""
        if place.ranks < 2:
            raise Unsupported("sendrecv needs two ranks")
        return super().prepare(place)

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """Both transfers as one group; ``wait`` blocks a CPU, on an accelerator it orders streams."""
        import torch.distributed as dist

        transfers = [
            dist.P2POp(dist.isend, buffers.source, (place.rank + 1) % place.ranks),
            dist.P2POp(dist.irecv, buffers.target, (place.rank - 1) % place.ranks),
        ]

        def launch() -> None:
            for work in dist.batch_isend_irecv(transfers):
                work.wait()

        return launch
