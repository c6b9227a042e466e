"""broadcast: rank 0 has S bytes, and all ranks receive them.

busbw = S / t: every byte has to leave the root once and to reach every other rank. The factor is 1 for any number of
ranks, as in nccl-tests, also for a single one, which moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels.collectives import pattern
from perwatt.kernels.collectives.collective import Buffers, Collective
from perwatt.kernels.workload import Place

if TYPE_CHECKING:
    import torch

_ROOT = 0


@dataclass(frozen=True)
class Broadcast(Collective):
    """``message_bytes`` from rank 0 to all. In place only: torch.distributed has no other."""

    name: ClassVar[str] = "broadcast"
    refusals: ClassVar[dict[bool, str]] = {False: "torch.distributed.broadcast is in place only"}

    in_place: bool = True

    def factor(self, ranks: int) -> float:
        """1."""
        return 1.0

    def touched(self, elements: int, share: int) -> int:
        """The buffer, read on the root and written elsewhere."""
        return elements

    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """One buffer."""
        whole = new(elements)
        return Buffers(whole, whole)

    def table(self, rank: int, ranks: int) -> torch.Tensor | None:
        """Only the root has something to send."""
        return super().table(rank, ranks) if rank == _ROOT else None

    def pieces(self, share: int, rank: int, ranks: int) -> list[pattern.Piece]:
        """What the root has."""
        return [pattern.Piece(0, share, _ROOT, 0)]

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """torch.distributed.broadcast."""
        import torch.distributed as dist

        return partial(dist.broadcast, buffers.target, src=_ROOT, group=self.group())
