"""The configurations of the kernels that load one part of a device, or all of it: streams, spins and the virus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perwatt.kernels.triton.configuration import Configuration


@dataclass(frozen=True)
class Stream(Configuration):
    """``block_bytes`` of each array at a time, ``rounds`` of them a program."""

    kernel: ClassVar[str] = "stream"
    conditions: ClassVar[tuple[str, ...]] = ("op",)

    block_bytes: int = 16384
    rounds: int = 1

    def block(self, itemsize: int) -> int:
        """Elements of a block, of ``itemsize`` bytes each."""
        return self.block_bytes // itemsize

    def length(self, itemsize: int) -> int:
        """Elements of a program."""
        return self.block(itemsize) * self.rounds


@dataclass(frozen=True)
class VectorSpin(Configuration):
    """``block`` lanes a program: several to a thread, so that an instruction need not wait for the one before."""

    kernel: ClassVar[str] = "vector_spin"
    conditions: ClassVar[tuple[str, ...]] = ("pipe",)

    block: int = 1024
    programs_per_core: int = 4


@dataclass(frozen=True)
class TensorSpin(Configuration):
    """One product of ``block_m`` x ``block_n`` x ``block_k``; ``fnuz``: the fp8 of this device has no negative zero."""

    kernel: ClassVar[str] = "tensor_spin"
    conditions: ClassVar[tuple[str, ...]] = ("pipe",)

    block_m: int = 128
    block_n: int = 128
    block_k: int = 64
    programs_per_core: int = 2
    fnuz: bool = False


@dataclass(frozen=True)
class Virus(TensorSpin):
    """For each ``block`` elements of memory, read and written back, ``products`` products, and beside each of those
    ``exps`` pairs of exponentials on each of ``block_exps`` lanes: at the published peaks the three take as long."""

    kernel: ClassVar[str] = "virus"
    conditions: ClassVar[tuple[str, ...]] = ("dtype",)

    block: int = 4096
    block_exps: int = 2048
    products: int = 4
    exps: int = 4
