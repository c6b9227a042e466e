"""Collectives through torch's symmetric memory: one kernel per collective that reads and writes its peers' buffers.

Buffers come from torch.distributed._symmetric_memory (alpha in torch 2.13): ``empty`` allocates, ``rendezvous``, which
all ranks call, maps what the others allocated; the operations of ``torch.ops.symm_mem`` then take a buffer and the name
of the group. NCCL has no part in the launch: what an ordinary collective lets one choose (operation, placement,
algorithm) is given by the method here. Hence kernels of their own, and no parameter of the ordinary ones. Size, bus
factor, values and check are those of the collective that they stand in for.

By torch's csrc/distributed/c10d/symm_mem/CUDASymmetricMemoryOps.cu: reductions are sums of fp32 or bf16; ``multimem``
needs multicast in the switch (NVLink SHARP) and is not built for ROCm.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from perwatt.kernels import data, dtypes
from perwatt.kernels.collectives import agree
from perwatt.kernels.collectives.collective import Collective
from perwatt.kernels.workload import Place, Prepared, Size, Unsupported, Work, Workload

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Symmetric(Workload):
    """Base of these kernels; a concrete one says which collective does it, on which operation of torch's."""

    collective: ClassVar[bool] = True
    medium: ClassVar[str] = "symmetric memory"

    message_bytes: int | str = "1MiB"
    dtype: str = "bf16"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        inner = self.inner  # checks what is given to it
        object.__setattr__(self, "message_bytes", inner.requested_bytes)
        object.__setattr__(self, "init", inner.init)

    @property
    @abstractmethod
    def inner(self) -> Collective:
        """The collective with buffers and a call of this kind."""

    @property
    @abstractmethod
    def operation(self) -> str:
        """The name of the operation in ``torch.ops.symm_mem``."""

    def work(self, ranks: int = 1) -> Work:
        """That of the collective."""
        return self.inner.work(ranks)

    def footprint_bytes(self, ranks: int = 1) -> int:
        """That of the collective."""
        return self.inner.footprint_bytes(ranks)

    def label(self) -> str:
        """That of the collective."""
        return self.inner.label()

    def series(self) -> str:
        """That of the collective."""
        return self.inner.series()

    def size(self) -> Size:
        """That of the collective."""
        return self.inner.size()

    def prepare(self, place: Place) -> Prepared:
        """As the collective; Unsupported on every rank, with the library's reason, where one of them cannot."""
        agree.require_group(place)
        agree.together(place, lambda: probe(place, self.operation))
        # before the first rendezvous, in which the others would wait for a rank without the memory
        need = self.footprint_bytes(place.ranks) * (2 if self.inner.lifetime(place.ranks) else 1)
        agree.together(place, lambda: data.require_memory(need, place))
        prepared = self.inner.prepare(place)
        _, _, rest = prepared.note.partition("; ")  # the backend, which only the agreement went over
        return prepared._replace(note="; ".join(filter(None, (f"over {self.medium}", rest))))

    def passed_on(self) -> dict[str, Any]:
        """The fields that the collective has as well."""
        names = ("message_bytes", "dtype", "init", "seed")
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name in names}


def probe(place: Place, name: str) -> None:
    """Raise Unsupported unless this torch has the operation and this device memory that its peers can reach."""
    import torch

    if not hasattr(torch.ops.symm_mem, name):
        raise Unsupported(f"torch {torch.__version__} has no symm_mem.{name}")
    memory, device = _module(), torch.device(place.device)
    dtypes.supported(place, Symmetric.medium, lambda: memory.empty(16, dtype=torch.float32, device=device))


def call(name: str) -> Callable[..., object]:
    """The operation of that name."""
    import torch

    found: Callable[..., object] = getattr(torch.ops.symm_mem, name)
    return found


def shared(like: torch.Tensor, elements: int) -> torch.Tensor:
    """``elements`` zeros, of the dtype and on the device of ``like``, which the other ranks can reach. Every rank has
    to allocate as many, in the same order."""
    memory = _module()
    buffer: torch.Tensor = memory.empty(elements, dtype=like.dtype, device=like.device)
    memory.rendezvous(buffer, group_name())
    return buffer.zero_()


def group_name() -> str:
    """The name of the default group, by which the operations know it."""
    import torch.distributed as dist

    group = dist.group.WORLD
    assert group is not None
    return str(group.group_name)


def _module() -> Any:
    """torch.distributed._symmetric_memory; Unsupported where this torch has none."""
    try:
        import torch.distributed._symmetric_memory as memory
    except ImportError as error:
        raise Unsupported(f"{Symmetric.medium}: {dtypes.one_line(error)}") from error
    return memory
