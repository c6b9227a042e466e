"""The matrix product of :class:`~perwatt.kernels.matmul.Matmul` through torch: cuBLASLt, hipBLASLt, oneDNN, whatever
the build brings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from perwatt.kernels import dtypes
from perwatt.kernels.workload import Place, Unsupported

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.matmul import Matmul


def call(spec: Matmul, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> Callable[[], torch.Tensor]:
    """The product as a call that returns C. torch's products of fp8 and int8 allocate it, the others write to ``c``."""
    import torch
    from torch.nn import functional

    if spec.dtype == "int8":
        return partial(torch._int_mm, a, b)
    if spec.dtype not in dtypes.FP8:
        return partial(torch.bmm if spec.batch > 1 else torch.mm, a, b, out=c)
    one = torch.ones((), dtype=torch.float32, device=a.device)
    recipe = functional.ScalingType.TensorWise
    return partial(
        functional.scaled_mm,
        a,
        b,
        one,
        recipe,
        one,
        recipe,
        output_dtype=dtypes.torch_dtype(spec.output),
        use_fast_accum=spec.fast_accum,
    )


def available(spec: Matmul, place: Place) -> tuple[torch.dtype, str]:
    """The storage format in which a tiny product of this kind works here, and a note; Unsupported with the library's
    reason, or if this CPU only emulates the format.

    The tiny shape keeps what remains of each dimension modulo 16, which some libraries want to be 0 for fp8.
    """
    import torch

    # global, so set for each case; it stays for the launches that follow
    torch.set_float32_matmul_precision("high" if spec.dtype == "tf32" else "highest")
    m, n, k = spec.shape
    tiny = tuple(d if d <= 64 else 64 + d % 16 for d in (m, n, k))
    refusal: Unsupported | None = None
    candidates = dtypes.torch_dtypes(spec.dtype)
    for stored in candidates:

        def probe(stored: torch.dtype = stored) -> object:
            return call(spec, *spec.operands(0, "normal", stored, place.device, (tiny[0], tiny[1], tiny[2])))()

        try:
            dtypes.supported(place, f"{spec.dtype} matmul", probe)
        except Unsupported as error:
            refusal = refusal or error
        else:
            other = stored is not candidates[0]
            note = f"{spec.dtype} stored as {str(stored).removeprefix('torch.')}" if other else ""
            return stored, note or dtypes.not_emulated(place, spec.dtype, _timing_probe(spec, place.device))
    raise refusal or Unsupported(f"this torch has no {spec.dtype}")


def _timing_probe(spec: Matmul, device: str) -> Callable[[str], Callable[[], object]]:
    """The same kind of product of 256 x 256 in a given format, for finding out whether a CPU emulates it."""

    def probe(dtype: str) -> Callable[[], object]:
        small = type(spec)(m=256, batch=min(spec.batch, 2), dtype=dtype)
        return call(small, *small.operands(0, "normal", dtypes.torch_dtype(dtype), device))

    return probe
