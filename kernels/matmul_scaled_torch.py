"""The block-scaled product of :class:`~perwatt.kernels.matmul_scaled.MatmulScaled` through torch's ``scaled_mm``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from perwatt.kernels import dtypes, scaled
from perwatt.kernels.workload import Place, Unsupported

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.matmul_scaled import MatmulScaled, Operands


def available(spec: MatmulScaled, place: Place) -> Callable[[Operands], Callable[[], object]]:
    """What makes a launch: with the scales in blocks, as cuBLAS wants them, or plain, as others do.

    Tried on a small product with what remains of each dimension modulo 64. Raises Unsupported with the reasons of the
    library.
    """
    m, n, k = (d if d <= 64 else 64 + d % 64 for d in spec.shape)
    reasons = []
    for blocked in (True, False):
        probe = spec.operands(0, "normal", place.device, True, (m, n, k))
        try:
            dtypes.supported(place, f"{spec.dtype} matmul_scaled", partial(_once, spec, probe, blocked))
        except Unsupported as error:
            reasons.append(str(error))
        else:
            return partial(_call, spec, blocked=blocked)
    raise Unsupported("; ".join(dict.fromkeys(reasons)))


def _call(spec: MatmulScaled, operands: Operands, blocked: bool) -> Callable[[], object]:
    """The product as a call; torch allocates its output."""
    from torch.nn import functional

    kind = scaled.FORMATS[spec.dtype]
    recipe = functional.ScalingType.BlockWise1x32 if kind.vector == 32 else functional.ScalingType.BlockWise1x16
    swizzle = functional.SwizzleType.SWIZZLE_32_4_4 if blocked else functional.SwizzleType.NO_SWIZZLE
    (a, a_scales), (b, b_scales) = (_held(x, blocked) for x in operands[:2])
    return partial(
        functional.scaled_mm,
        a,
        b.t(),
        a_scales,
        recipe,
        b_scales,
        recipe,
        swizzle_a=swizzle,
        swizzle_b=swizzle,
        output_dtype=dtypes.torch_dtype(spec.out_dtype),
    )


def _held(x: scaled.Scaled, blocked: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Elements and scales in torch's own formats."""
    import torch

    elements = x.elements.view(torch.float4_e2m1fn_x2) if x.element == "e2m1" else x.elements
    scales = x.blocked().reshape(-1) if blocked else x.scales
    return elements, scales.view(torch.float8_e8m0fnu) if scales.dtype == torch.uint8 else scales


def _once(spec: MatmulScaled, operands: Operands, blocked: bool) -> object:
    return _call(spec, operands, blocked)()
