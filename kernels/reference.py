"""Is the output right? Comparison with float64 on the CPU, element by element, before anything is timed.

An element passes if ``|got - want| <= tolerance * (|want| + scale)``. ``scale`` is the size of what was added up to get
the element, so that a sum which happens to cancel is not held to a precision that its terms never had: the root mean
square of the output, or for attention the root of the sum of the squared terms of each element. NaN and infinity fail.
Where ``scale`` is 0 (operands all zero) only an exact 0 passes.

What is too large to be recomputed is sampled by whole rows, the first and the last always among them, and *all* of it
is projected in addition (Freivalds 1977): with random signs x, C x = A (B x) costs two matrix-vector products, and an
element that is off by d moves its projection by d.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perwatt.kernels.dtypes import FP8, unit_roundoff
from perwatt.kernels.workload import Check, WrongResult

if TYPE_CHECKING:
    import torch

BUDGET_FLOPS = 8e9  # of float64 arithmetic for one comparison: a fraction of a second on two cores
CHUNK = 1 << 24  # elements held in float64 at a time: 128 MiB
_BLOCKS, _NARROW = 16, 64  # a projection covers at most N / 16 columns (but not fewer than 64): it must stand out


def product_tolerance(dtype: str, length: int, out_dtype: str, fast_accum: bool = False) -> float:
    """Tolerance of a sum of ``length`` products of operands in ``dtype``, written in ``out_dtype``.

    Four roundings to the output format (a reduction split over several blocks rounds each part), the rounding of the
    operands for tf32 (truncated in some hardware, hence 2**-10, and eight deviations of it), and a random walk of the
    accumulator's roundings, eight deviations. Accumulation is in fp32 or fp64, but tensor cores of the Hopper
    generation keep about 14 bits in fp8 (DeepSeek-V3 report: up to 2 % at a length of 4096), unless the partial sums
    are promoted every few hundred products, which ``fast_accum`` switches off. Sums of int8 are exact.
    """
    if dtype == "int8":
        return 0.0
    tolerance = 4 * unit_roundoff(out_dtype)
    tolerance += 8 * unit_roundoff("fp64" if dtype == "fp64" else "fp32") * math.sqrt(length)
    if dtype == "tf32":
        tolerance += 8 * 2.0**-10
    if dtype in FP8:
        tolerance += 2.0**-18 * (length if fast_accum else min(length, 512))
    return tolerance


def attention_tolerance(dtype: str, backward: bool) -> float:
    """Tolerance of attention outputs or gradients: the probabilities (and for gradients the scores' gradients) are
    rounded to ``dtype`` between two products; in fp32 the error of the exponential prevails."""
    if dtype == "fp32":
        return 2.0**-15
    return (16 if backward else 6) * unit_roundoff(dtype)


def sample(count: int, wanted: int, seed: int) -> list[int]:
    """``wanted`` of ``range(count)``, ascending: the first, the last and others at random; never fewer than two."""
    if wanted >= count:
        return list(range(count))
    inner = random.Random(seed).sample(range(1, count - 1), max(0, wanted - 2))
    return sorted({0, count - 1, *inner})


def compare(
    what: str,
    got: torch.Tensor,
    want: torch.Tensor,
    tolerance: float,
    *,
    scale: torch.Tensor | float | None = None,
    index: Sequence[Sequence[int] | int | None] = (),
    relative: bool = True,
) -> float:
    """The largest error of ``got`` in units of ``|want| + scale``; if it is too large, WrongResult names the element.

    ``want`` is float64, on the device where the comparison is to be made. ``scale`` is the root mean square of ``want``
    unless given. ``index`` tells for each dimension which index of the whole output its entries are: a list, an offset,
    or None for the same. Without ``relative`` errors are in units of ``scale`` alone.
    """
    import torch

    got64 = got.detach().to(want.device, torch.float64)
    if got64.shape != want.shape:
        raise WrongResult(f"{what}: shape {tuple(got64.shape)}, expected {tuple(want.shape)}")
    if scale is None:
        scale = float(want.square().mean().sqrt())
    unit = want.abs() + scale if relative else torch.zeros_like(want) + scale
    error = (got64 - want).abs() / unit
    error = torch.where(got64 == want, torch.zeros_like(error), error).nan_to_num(math.inf, math.inf)
    flat = int(error.argmax())
    worst = float(error.view(-1)[flat])
    if not worst <= tolerance:
        place = [int(i) for i in torch.unravel_index(torch.tensor(flat), error.shape)]
        for dim, labels in enumerate(index):
            if labels is not None:
                place[dim] = place[dim] + labels if isinstance(labels, int) else labels[place[dim]]
        wrong = int((error > tolerance).sum())
        raise WrongResult(
            f"{what}[{', '.join(map(str, place))}] is {float(got64.view(-1)[flat]):.6g}, expected "
            f"{float(want.view(-1)[flat]):.6g} (error {worst:.3g}, tolerance {tolerance:.3g}; {wrong} of "
            f"{error.numel()} compared elements are wrong)",
            wrong,
            worst,
            tuple(place),
        )
    return worst


def require_finite(what: str, outputs: Sequence[torch.Tensor]) -> None:
    """WrongResult if any element of an output is NaN or infinite: unwritten (the buffers start as NaN, integers as the
    least one) or wrong."""
    import torch

    for number, output in enumerate(outputs):
        least = None if output.dtype.is_floating_point else torch.iinfo(output.dtype).min
        bad = sum(int(((~part.isfinite()) if least is None else part == least).sum()) for part in _parts(output))
        if bad:
            said = f"{what}: {bad} of {output.numel()} elements of output buffer {number} are not finite"
            raise WrongResult(said, bad)


def require_zero(what: str, outputs: Sequence[torch.Tensor]) -> None:
    """WrongResult unless every element of every output is exactly 0."""
    for number, output in enumerate(outputs):
        if bad := sum(int(part.count_nonzero()) for part in _parts(output)):
            said = f"{what}: {bad} elements of output buffer {number} are not 0 though all operands are"
            raise WrongResult(said, bad)


def zeros(what: str, outputs: Sequence[torch.Tensor]) -> Check:
    """The comparison of what operands that are all 0 give."""
    require_zero(what, outputs)
    return Check(0.0, 0.0, "operands all 0: exactly 0, every element", sum(x.numel() for x in outputs))


def _parts(output: torch.Tensor) -> Sequence[torch.Tensor]:
    """Pieces of at most CHUNK elements: a mask of the whole may not fit beside it."""
    import torch

    return torch.split(output.detach().reshape(-1), CHUNK)


def float64_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b`` in float64 on the CPU for a (R, K) and b (K, N) of any dtype and device, b converted in pieces."""
    import torch

    left = a.to("cpu", torch.float64)
    width = max(1, CHUNK // b.shape[0])
    parts = [left @ part.to("cpu", torch.float64) for part in torch.split(b, width, dim=1)]
    return torch.cat(parts, dim=1)


class ProductReference:
    """What a (B, M, K) times b (B, K, N) must be, in float64 on the CPU, to compare outputs with at any time after.

    All elements if that costs at most ``budget`` FLOP; else rows of some matrices, and the projection of all rows of
    all of them: C x beside A (B x), x random signs on one block of columns at a time.
    """

    def __init__(
        self, a: torch.Tensor, b: torch.Tensor, tolerance: float, *, seed: int = 0, budget: float = BUDGET_FLOPS
    ) -> None:
        import torch

        batch, m, k = a.shape
        n = b.shape[2]
        rows_wanted = int(min(budget / (2 * n * k), CHUNK / n))
        everything = rows_wanted >= batch * m
        self.tolerance = tolerance
        self.matrices = sample(batch, batch if everything else min(batch, 8, max(2, rows_wanted // 8)), seed)
        self.rows = sample(m, m if everything else max(2, rows_wanted // len(self.matrices)), seed + 1)
        pick = torch.tensor(self.rows, device=a.device)
        self.want = torch.stack([float64_product(a[i].index_select(0, pick), b[i]) for i in self.matrices])
        self.rms = float(self.want.square().mean().sqrt())
        self.projections = [] if everything else [_Projection(a[i], b[i], seed + 2 + i) for i in range(batch)]

    def check(self, c: torch.Tensor) -> tuple[Check, float]:
        """Compare c (B, M, N); also returns the rms error relative to the rms of c. Raises WrongResult."""
        import torch

        pick = torch.tensor(self.rows, device=c.device)
        got = torch.stack([c[i].index_select(0, pick) for i in self.matrices]).to("cpu", torch.float64)
        worst = compare("C", got, self.want, self.tolerance, index=(self.matrices, self.rows, None))
        rms_error = float((got - self.want).square().mean().sqrt()) / self.rms if self.rms else 0.0
        for matrix, projection in enumerate(self.projections):
            projection.check(c[matrix], self.tolerance, self.rms, matrix)
        how = "float64 product on the CPU, every element"
        if self.projections:
            how = f"float64 product on the CPU, {len(self.rows)} rows of {len(self.matrices)} matrices"
            how += "; projection of all rows of all"
        return Check(worst, self.tolerance, how, self.want.numel()), rms_error


class _Projection:
    """A (B x) of one matrix in float64, (M, blocks)."""

    def __init__(self, a: torch.Tensor, b: torch.Tensor, seed: int) -> None:
        import torch

        k, n = a.shape[1], b.shape[1]
        signs = torch.randint(0, 2, (n,), generator=torch.Generator().manual_seed(seed)).to(torch.float64) * 2 - 1
        self.width = -(-n // max(1, min(_BLOCKS, n // _NARROW)))
        self.signs = torch.split(signs, self.width)
        bx = torch.cat([self.of(part.to("cpu", torch.float64)) for part in torch.split(b, max(1, CHUNK // n))])
        self.tall = max(1, CHUNK // max(n, k))
        self.want = torch.cat([part.to("cpu", torch.float64) @ bx for part in torch.split(a, self.tall)])

    def of(self, matrix64: torch.Tensor) -> torch.Tensor:
        """(R, N) -> (R, blocks)."""
        import torch

        parts = zip(torch.split(matrix64, self.width, dim=1), self.signs, strict=True)
        return torch.stack([part @ x for part, x in parts], dim=1)

    def check(self, c: torch.Tensor, tolerance: float, rms: float, matrix: int) -> None:
        """Compare C x with it."""
        import torch

        # the errors of a row are independent of the signs: they add up as the root of the number of columns
        unit = rms * math.sqrt(self.width)
        what = f"projection of C[{matrix}] (row, block of {self.width} columns)"
        for first in range(0, len(self.want), self.tall):
            want = self.want[first : first + self.tall]
            got = self.of(c[first : first + self.tall].to("cpu", torch.float64))
            compare(what, got, want, tolerance, scale=unit, index=(first, None), relative=False)
