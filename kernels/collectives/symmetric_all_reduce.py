"""symmetric_all_reduce: all_reduce by one kernel over symmetric memory; busbw = S / t * 2 (n-1)/n, as all_reduce.

``one_shot``: every rank reads the buffers of all and adds them up for itself: n-1 times S over its links, and one
exchange of signals less, for small messages. ``two_shot``: every rank reduces its n-th and writes it to all.
``multimem``: the same, but the switch adds up and sends out. The bus factor is a ring's and serves comparison: it is
what crosses the links of two_shot, not of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels.collectives import symmetric
from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.collectives.collective import Buffers
from perwatt.kernels.workload import Place, choice

if TYPE_CHECKING:
    import torch

# By method: the operation of torch.ops.symm_mem, and whether it works in place.
METHODS: dict[str, tuple[str, bool]] = {
    "one_shot": ("one_shot_all_reduce_out", False),
    "two_shot": ("two_shot_all_reduce_", True),
    "multimem": ("multimem_all_reduce_", True),
}


@dataclass(frozen=True)
class SymmetricAllReduce(symmetric.Symmetric):
    """The sum over all ranks of ``message_bytes`` each, by ``method``: one_shot out of place, the others in place."""

    name: ClassVar[str] = "symmetric_all_reduce"

    method: str = "two_shot"

    def __post_init__(self) -> None:
        choice(self.name, "method", self.method, tuple(METHODS))
        super().__post_init__()

    @property
    def inner(self) -> AllReduce:
        """An all_reduce on buffers that the peers reach."""
        return _AllReduce(**self.passed_on(), method=self.method, in_place=METHODS[self.method][1])

    @property
    def operation(self) -> str:
        """By the method."""
        return METHODS[self.method][0]


@dataclass(frozen=True)
class _AllReduce(AllReduce):
    """The collective behind it."""

    name: ClassVar[str] = SymmetricAllReduce.name
    allowed_dtypes: ClassVar[tuple[str, ...]] = ("fp32", "bf16")
    refusals: ClassVar[dict[bool, str]] = {}

    method: str = "two_shot"

    @property
    def reduction(self) -> str:
        """``sum``; there is no other."""
        return "sum"

    def held(self, elements: int, share: int) -> int:
        """One buffer, or two."""
        return elements if self.in_place else 2 * elements

    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """What the peers read, and the result, which out of place is the rank's own."""
        source = symmetric.shared(new(0), elements)
        return Buffers(source, source if self.in_place else new(elements))

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """The operation of torch.ops.symm_mem."""
        name, in_place = METHODS[self.method]
        arguments = (buffers.source, "sum", symmetric.group_name())
        return partial(symmetric.call(name), *arguments, *(() if in_place else (buffers.target,)))

    def lifetime(self, ranks: int) -> int | None:
        """In place a sum grows; out of place nothing changes."""
        return super().lifetime(ranks) if self.in_place else None

    def _words(self, size: str) -> str:
        placed = "in place" if self.in_place else ""
        return " ".join(filter(None, (self.method, self.dtype, size, placed, self.init.replace("normal", ""))))
