"""Block-scaled formats: small floating-point elements, and a scale for each run of them along K.

==============  ======================  ===========================  =================
name            elements                scales                       bytes an element
==============  ======================  ===========================  =================
``mxfp8_e4m3``  e4m3, to 448            e8m0 (2**n) for 32           1 + 1/32
``mxfp4``       e2m1, to 6, two a byte  e8m0 for 32                  1/2 + 1/32
``nvfp4``       e2m1, two a byte        e4m3 for 16                  1/2 + 1/16
==============  ======================  ===========================  =================

mx: OCP Microscaling Formats (MX) Specification 1.0. There the scale is the power of two at or below the largest
magnitude, divided by the largest power of two of an element (section 6.3); elements are rounded to nearest even and
saturate. nvfp4 takes the largest magnitude over 6, rounded to e4m3; the scale of the whole tensor, which the format may
have besides, is 1, since normal values need none. A run of zeros, or of what even the
smallest scale rounds to zeros, has the scale 1.

Scales are stored (rows, K / run), or *blocked* as cuBLAS and the tensor cores of sm_100 want them (documentation of
cuBLAS, block scaling factors layout): tiles of 128 rows by 4 scales, row r of a tile at [r % 32, r // 32], zeros beyond
the end.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from perwatt.kernels import data

if TYPE_CHECKING:
    import torch

MULTIPLE = 32  # K is a multiple of it, in every format
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_E4M3_MAX = 448.0
_CHUNK = 1 << 24  # elements drawn in fp32 at a time


class Format(NamedTuple):
    """``element`` as Triton names it, its ``bits`` and largest value; ``vector`` elements share one scale."""

    element: str
    bits: int
    largest: float
    vector: int
    scale: str


FORMATS = {
    "mxfp8_e4m3": Format("e4m3", 8, 448.0, 32, "e8m0"),
    "mxfp4": Format("e2m1", 4, 6.0, 32, "e8m0"),
    "nvfp4": Format("e2m1", 4, 6.0, 16, "e4m3"),
}
NAMES = tuple(FORMATS)


def nbytes(name: str, rows: int, k: int) -> int:
    """Bytes of rows x k elements with their scales."""
    kind = FORMATS[name]
    return rows * k * kind.bits // 8 + rows * (k // kind.vector)


@dataclass(frozen=True)
class Scaled:
    """A matrix (rows, K) of the format ``name``.

    ``elements`` is float8_e4m3fn (rows, K) or uint8 (rows, K / 2) with the first of two in the low bits; ``scales``
    (rows, K / vector), uint8 holding the biased exponent of e8m0, or float8_e4m3fn.
    """

    name: str
    elements: torch.Tensor
    scales: torch.Tensor

    @property
    def vector(self) -> int:
        """Elements for each scale."""
        return FORMATS[self.name].vector

    @property
    def element(self) -> str:
        """The format of an element."""
        return FORMATS[self.name].element

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, K)."""
        return self.elements.shape[0], self.scales.shape[1] * self.vector

    def blocked(self) -> torch.Tensor:
        """The scales as (rows / 128, scales / 4, 32, 4, 4), both rounded up."""
        import torch
        from torch.nn import functional

        rows, columns = self.scales.shape
        raw = functional.pad(self.scales.view(torch.uint8), (0, -columns % 4, 0, -rows % 128))
        blocks = raw.reshape(raw.shape[0] // 128, 4, 32, raw.shape[1] // 4, 4)
        return blocks.permute(0, 3, 2, 1, 4).contiguous().view(self.scales.dtype)

    def decode(self, dtype: torch.dtype) -> torch.Tensor:
        """The values (rows, K) in ``dtype``; exact in float32 and float64, unless an e8m0 is near fp32's own limits."""
        import torch

        rows, k = self.shape
        elements = _unpack(self.elements, dtype) if self.element == "e2m1" else self.elements.to(dtype)
        if FORMATS[self.name].scale == "e8m0":
            scales = torch.ldexp(torch.ones_like(self.scales, dtype=dtype), self.scales.to(torch.int32) - 127)
        else:
            scales = self.scales.to(dtype)
        runs = elements.reshape(rows, -1, self.vector)
        return torch.mul(runs, scales.unsqueeze(-1)).reshape(rows, k)


def quantise(values: torch.Tensor, name: str) -> Scaled:
    """fp32 ``values`` (rows, K) in the format ``name``: scales first, then elements, as the module says."""
    import torch

    kind = FORMATS[name]
    rows, k = values.shape
    runs = values.reshape(rows, -1, kind.vector)
    largest = runs.abs().amax(-1)
    if kind.scale == "e8m0":
        top = math.frexp(kind.largest)[1]
        exponent = torch.where(largest == 0, 0, torch.frexp(largest).exponent - top).clamp(-126, 126)
        scales = (exponent + 127).to(torch.uint8)
        quotient = torch.ldexp(runs, -exponent.unsqueeze(-1))
    else:
        scales = (largest / kind.largest).clamp(max=_E4M3_MAX).to(torch.float8_e4m3fn)
        scales = torch.where(scales.float() == 0, 1.0, scales.float()).to(torch.float8_e4m3fn)
        quotient = runs / scales.float().unsqueeze(-1)
    held = quotient.clamp(-kind.largest, kind.largest).reshape(rows, k)
    return Scaled(name, _pack(held) if kind.element == "e2m1" else held.to(torch.float8_e4m3fn), scales)


def _pack(x: torch.Tensor) -> torch.Tensor:
    """e2m1, rounded to nearest even, two in a byte: the code of a magnitude counts the midpoints below it."""
    import torch

    size = x.abs()
    code = torch.zeros_like(x, dtype=torch.uint8)
    for i, (low, high) in enumerate(itertools.pairwise(_E2M1)):
        middle = (low + high) / 2
        code += (size >= middle) if i % 2 else (size > middle)  # of two neighbours the even code is the even value
    code = torch.bitwise_or(code, torch.signbit(x).to(torch.uint8) << 3)
    return torch.bitwise_or(code[:, ::2], code[:, 1::2] << 4)


def _unpack(packed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    import torch

    codes = torch.stack((packed & 15, packed >> 4), dim=-1).reshape(packed.shape[0], -1).int()
    return torch.tensor([*_E2M1, *(-v for v in _E2M1)], dtype=dtype, device=packed.device)[codes]


def fill(rows: int, k: int, name: str, init: str, seed: int, device: str) -> Scaled:
    """Values as ``init`` says (:mod:`perwatt.kernels.data`), drawn in fp32 and quantised; empty shapes on ``meta``."""
    import torch

    kind = FORMATS[name]
    out = Scaled(
        name,
        torch.empty((rows, k), dtype=torch.float8_e4m3fn, device=device)
        if kind.bits == 8
        else torch.empty((rows, k // 2), dtype=torch.uint8, device=device),
        torch.empty(
            (rows, k // kind.vector),
            dtype=torch.uint8 if kind.scale == "e8m0" else torch.float8_e4m3fn,
            device=device,
        ),
    )
    if out.elements.is_meta:
        return out
    step = max(1, _CHUNK // k)
    for first in range(0, rows, step):
        last = min(rows, first + step)
        draft = data.fill((last - first, k), torch.float32, init, data.substream(seed, first), device)
        part = quantise(draft, name)
        out.elements[first:last] = part.elements
        out.scales[first:last] = part.scales
    return out
