"""Collectives that reduce: their operation, and what repeating them does to the values.

A timed loop applies a collective in place to its own results. ``max`` and ``min`` change nothing from the second
launch on. Nor does ``avg``, but for rounding: all ranks hold the same and average it with itself. Such a map is
monotone and scales with powers of two, so one value in each binade that it leaves alone keeps all others where they
are; there is one as long as n equal numbers add up exactly, n <= 2**p with p significant bits. (NCCL rounds 1/n first,
which is not covered by that; followed for every bf16 value and all n up to 256, no value drifts either.) Among more
ranks a chain of additions in the format loses addends against their partial sum, up to a factor n / 2**p a launch.

``sum`` multiplies by n: fp32 and bf16 overflow after 127 / log2(n) launches, fp16 after 15 / log2(n), and infinities
draw another power than numbers. Hence ``lifetime``: when it is over, the launch first copies the operands back.

The choice is not only one of values. NCCL reduces inside the switch (NVLS) for sums, with 16-bit floats for max and
min too, but not for averages (``ncclNvlsSupported`` in its src/include/device.h, 2.30); and published busbw figures
are nccl-tests's, whose default is sum. Only like may be compared with like.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels.collectives import pattern
from perwatt.kernels.collectives.collective import Collective
from perwatt.kernels.dtypes import unit_roundoff
from perwatt.kernels.workload import choice

if TYPE_CHECKING:
    import torch
    import torch.distributed as dist

OPS = ("sum", "avg", "max", "min")
REDUCIBLE = ("fp64", "fp32", "bf16", "fp16")
_LARGEST_EXPONENT = {"fp64": 1023, "fp32": 127, "bf16": 127, "fp16": 15}
_AMPLITUDE_BITS = 3  # operands are below 8: normal values drawn in fp32 stay below 7


@dataclass(frozen=True)
class Reduction(Collective):
    """Base of the collectives with an ``op``: ``sum``, ``avg``, ``max`` or ``min``."""

    allowed_dtypes: ClassVar[tuple[str, ...]] = REDUCIBLE

    op: str = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice(self.name, "op", self.op, OPS)

    @property
    def reduction(self) -> str:
        """``op``."""
        return self.op

    def table(self, rank: int, ranks: int) -> torch.Tensor:
        """What ``rank`` contributes in the check."""
        return pattern.operand_table(rank, ranks, self.op)

    def torch_op(self) -> dist.ReduceOp.RedOpType:
        """The operation as torch.distributed names it."""
        import torch.distributed as dist

        return {
            "avg": dist.ReduceOp.AVG,
            "sum": dist.ReduceOp.SUM,
            "max": dist.ReduceOp.MAX,
            "min": dist.ReduceOp.MIN,
        }[self.op]

    def lifetime_whole(self, ranks: int) -> int | None:
        """Launches until a buffer that is replaced by its reduction leaves the range of the format; None: never."""
        largest = _LARGEST_EXPONENT[self.dtype]
        if self.op == "sum" and ranks > 1:
            return max(1, math.floor((largest - _AMPLITUDE_BITS) / math.log2(ranks)))
        if self.op == "avg" and (lost := math.log2(ranks) + math.log2(unit_roundoff(self.dtype))) > 0:
            return max(1, math.floor(largest / 2 / lost))
        return None

    def lifetime_slice(self, ranks: int) -> int | None:
        """The same where only a rank's own slice is replaced: with sum it grows by what the other ranks still have.

        It stops growing when that is lost in rounding, at 2**(p+1) times as much: only fp16 overflows before.
        """
        growth = ranks * 2**_AMPLITUDE_BITS
        limit = 2.0 ** _LARGEST_EXPONENT[self.dtype]
        if self.op != "sum" or ranks == 1 or 2 * growth / unit_roundoff(self.dtype) < limit:
            return None
        return max(1, int(limit / growth))
