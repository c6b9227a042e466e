"""symmetric_all_gather: all_gather by one kernel that writes each share to all ranks through the switch (multimem).

S is the output, n shares; busbw = S / t * (n-1)/n, as all_gather. A share leaves its rank once and is multiplied in the
switch, where in a ring n-1 leave it; as much arrives as in a ring, so that busbw stays within the rate of the links.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels.collectives import symmetric
from perwatt.kernels.collectives.all_gather import AllGather
from perwatt.kernels.collectives.collective import Buffers
from perwatt.kernels.workload import Place

if TYPE_CHECKING:
    import torch

_OPERATION = "multimem_all_gather_out"


@dataclass(frozen=True)
class SymmetricAllGather(symmetric.Symmetric):
    """The shares of all ranks, ``message_bytes`` together, out of place."""

    name: ClassVar[str] = "symmetric_all_gather"

    @property
    def inner(self) -> AllGather:
        """An all_gather into a buffer that the peers reach."""
        return _AllGather(**self.passed_on())

    @property
    def operation(self) -> str:
        """multimem_all_gather_out."""
        return _OPERATION


@dataclass(frozen=True)
class _AllGather(AllGather):
    """The collective behind it."""

    name: ClassVar[str] = SymmetricAllGather.name

    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """The rank's own share, and the output that all write to."""
        return Buffers(new(share), symmetric.shared(new(0), elements))

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """torch.ops.symm_mem.multimem_all_gather_out."""
        return partial(symmetric.call(_OPERATION), buffers.source, symmetric.group_name(), buffers.target)
