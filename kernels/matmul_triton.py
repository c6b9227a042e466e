"""The matrix product of :class:`~perwatt.kernels.matmul.Matmul` by perwatt's own kernels: which style, which
configuration, which storage format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perwatt.kernels import dtypes
from perwatt.kernels.triton.configuration import MatmulDescriptor, MatmulPointer, Table
from perwatt.kernels.workload import Unsupported

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.matmul import Matmul
    from perwatt.kernels.triton.program import Program

# More derived first: a descriptor's configuration is a pointer's with more to it.
_STYLES: tuple[type[MatmulPointer], ...] = (MatmulDescriptor, MatmulPointer)


def configuration(spec: Matmul, table: Table) -> MatmulPointer:
    """The configuration of the style that ``spec.backend`` names; of ``triton`` the one that the table puts first.

    Only pointers can have a batch, and rows that are no multiple of 16 bytes. Raises Unsupported with the reason.
    """
    if spec.dtype == "fp64":
        raise Unsupported("fp64 has no Triton kernel here; use backend=torch")
    m, n, k = spec.shape
    named = [kind for kind in _STYLES if f"triton_{kind.kernel.removeprefix('matmul_')}" == spec.backend]
    styles = named or sorted(_STYLES, key=lambda kind: list(table.kernels).index(kind.kernel))
    if not named and (spec.batch > 1 or not _aligned(spec)):
        styles = [MatmulPointer]
    return table.choose(styles[0], dtype=spec.dtype, m=m, n=n, k=k, fast_accum=spec.fast_accum, aligned=_aligned(spec))


def _aligned(spec: Matmul) -> bool:
    _, n, k = spec.shape
    size = dtypes.itemsize(spec.dtype)
    rows_b = k if spec.dtype in dtypes.FP8 else n
    return not (k * size % 16 or rows_b * size % 16 or n * dtypes.itemsize(spec.output) % 16)


def stored(spec: Matmul, table: Table) -> torch.dtype:
    """The format in which A and B are stored: of fp8 the one that the architecture multiplies."""
    kinds = dtypes.torch_dtypes(spec.dtype)
    return kinds[-1] if configuration(spec, table).fnuz else kinds[0]


def program(spec: Matmul, table: Table, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> Program:
    """The launch on these operands, which are 2-D for a single matrix."""
    config, tf32 = configuration(spec, table), spec.dtype == "tf32"
    if isinstance(config, MatmulDescriptor):
        from perwatt.kernels.triton import matmul_descriptor

        if spec.batch > 1:
            raise Unsupported("matmul_descriptor multiplies one matrix at a time; style pointer takes a batch")
        return matmul_descriptor.program(a, b, c, config, table.cores, tf32, spec.fast_accum)
    from perwatt.kernels.triton import matmul_pointer

    a, b, c = (x if x.dim() == 3 else x.unsqueeze(0) for x in (a, b, c))
    return matmul_pointer.program(a, b, c, config, tf32, spec.fast_accum)
