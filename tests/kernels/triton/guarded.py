"""Operands in the middle of a buffer whose margins tell: NaN round inputs, a canary round outputs.

The interpreter lets a kernel read and write beyond its tensors. A read there brings NaN into the result (for integers a
huge number), a write there kills the canary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

MARGIN = 1 << 15  # elements: a tile that hangs over the end must fall into the margin, not into the heap
CANARY = 96.0  # exact in every format down to fp8


@dataclass
class Guard:
    """The buffers of one launch, and whether their canaries live."""

    outputs: list[tuple[torch.Tensor, int, int]] = field(default_factory=list)

    def given(self, values: torch.Tensor) -> torch.Tensor:
        """A copy of ``values``, contiguous, with margins of NaN."""
        poison: Any = math.nan if values.dtype.is_floating_point else torch.iinfo(values.dtype).max
        return self._place(values, poison)[0]

    def strided(self, values: torch.Tensor) -> torch.Tensor:
        """A copy of ``values`` (..., R, C) in rows that are 16 elements longer than C; what lies between is NaN too."""
        poison: Any = math.nan if values.dtype.is_floating_point else torch.iinfo(values.dtype).max
        wide = torch.full((*values.shape[:-1], values.shape[-1] + 16), poison, dtype=torch.float32).to(values.dtype)
        held = self._place(wide, poison)[0][..., : values.shape[-1]]
        held.copy_(values)
        return held

    def wanted(self, *shape: int, dtype: torch.dtype, start: float = math.nan) -> torch.Tensor:
        """An output of NaN (of ``start``; of 0 for integers) with margins of the canary."""
        first = start if dtype.is_floating_point else 0
        view, buffer = self._place(torch.full(shape, first, dtype=torch.float32).to(dtype), CANARY)
        self.outputs.append((buffer, view.storage_offset(), view.numel()))
        return view

    def intact(self) -> bool:
        """Whether no output was written beyond its end or before its beginning."""
        margins = [torch.cat([b[:first], b[first + n :]]) for b, first, n in self.outputs]
        return all(bool((margin.float() == CANARY).all()) for margin in margins)

    @staticmethod
    def _place(values: torch.Tensor, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
        n = values.numel()
        buffer = torch.full(
            (n + 2 * MARGIN,), margin, dtype=torch.float32 if values.dtype.is_floating_point else torch.float64
        )
        buffer = buffer.to(values.dtype)
        view = buffer[MARGIN : MARGIN + n].view(values.shape)
        view.copy_(values)
        return view, buffer


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Frobenius norm of the difference over that of ``want`` (float64); infinite if anything is not finite."""
    difference = (got.double() - want.double()).norm() / want.double().norm()
    return float(difference) if math.isfinite(float(difference)) else math.inf


def assert_right(guard: Guard, got: torch.Tensor, want: torch.Tensor, tolerance: float) -> None:
    """``got`` is ``want`` within ``tolerance``, element by element and no canary died."""
    assert guard.intact(), "written beyond an output"
    error = ((got.double() - want.double()).abs() / (want.double().abs() + want.double().square().mean().sqrt())).max()
    assert float(error) <= tolerance, f"error {float(error):.3g}, tolerance {tolerance:.3g}"
