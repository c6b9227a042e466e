"""Matrix product C = A B through torch: cuBLAS and cuBLASLt, hipBLASLt, oneDNN, whatever the build brings.

Work is 2*M*N*K FLOP per matrix, dense; bytes are those of A, B and C once each (definitions of the field, as in
mamf-finder and CUTLASS's profiler). Both operands are row-major; for fp8, which is defined for it alone, B is
column-major, and the scales are 1: the product of the numbers themselves.

fp32 is fp32 to the last bit that fp32 has, and tf32 really TF32: each is decided by the error of the result, since
neither a setting nor the name of a device tells what a library did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from perwatt.kernels import data, dtypes, reference
from perwatt.kernels.workload import (
    Check,
    Place,
    Prepared,
    Size,
    Unsupported,
    Work,
    Workload,
    choice,
    positive,
    rotation,
)

if TYPE_CHECKING:
    import torch

_FP8_OUT = ("bf16", "fp16", "fp32")
# Relative rms errors of normal operands: about 3e-4 when multiplied in TF32 (10 bits of mantissa), below 1e-5 in fp32.
_TF32_ERROR = 4e-5


@dataclass(frozen=True)
class Matmul(Workload):
    """C (batch, m, n) = A (batch, m, k) B (batch, k, n).

    ``n`` and ``k`` default to ``m``. ``out_dtype`` is that of C: the operands' own, for fp8 bf16 unless given.
    ``fast_accum`` lets fp8 tensor cores keep their partial sums at reduced precision. ``init`` and ``seed`` as in
    :mod:`perwatt.kernels.data`. Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "matmul"

    m: int = 4096
    n: int | None = None
    k: int | None = None
    batch: int = 1
    dtype: str = "bf16"
    out_dtype: str | None = None
    fast_accum: bool = False
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        positive("matmul", m=self.m, batch=self.batch)
        positive("matmul", **{key: value for key, value in (("n", self.n), ("k", self.k)) if value is not None})
        choice("matmul", "dtype", self.dtype, dtypes.NAMES)
        data.check_bool("matmul", fast_accum=self.fast_accum)
        fp8 = self.dtype in dtypes.FP8
        if self.out_dtype is not None:
            choice("matmul", "out_dtype", self.out_dtype, _FP8_OUT if fp8 else (_stored(self.dtype),))
        if self.fast_accum and not fp8:
            raise ValueError(f"matmul.fast_accum: only fp8 has it, dtype is {self.dtype}")
        if fp8 and self.batch > 1:
            raise ValueError(f"matmul.batch: {self.batch} matrices in {self.dtype}: torch multiplies fp8 one at a time")
        object.__setattr__(self, "init", data.check_init("matmul", self.init))
        data.check_seed("matmul", self.seed)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(M, N, K), resolved."""
        return self.m, self.n or self.m, self.k or self.m

    @property
    def output(self) -> str:
        """The format of C, resolved."""
        return self.out_dtype or ("bf16" if self.dtype in dtypes.FP8 else _stored(self.dtype))

    def params(self) -> dict[str, Any]:
        """All parameters with M, N, K and the output's format resolved: a square given in two ways is one case."""
        _, n, k = self.shape
        return dataclasses.asdict(self) | {"n": n, "k": k, "out_dtype": self.output}

    def work(self, ranks: int = 1) -> Work:
        """2*M*N*K*batch FLOP; each operand once."""
        m, n, k = self.shape
        operands = dtypes.itemsize(self.dtype) * (m * k + k * n) + dtypes.itemsize(self.output) * m * n
        return Work(flops=2 * m * n * k * self.batch, bytes=operands * self.batch, headline="flops")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """A, B and C."""
        return self.work().bytes

    def label(self) -> str:
        """``bf16 4096x4096x4096``, M x N x K."""
        m, n, k = self.shape
        return " ".join([self.dtype, f"{self.batch}x" * (self.batch > 1) + f"{m}x{n}x{k}", *self._variant()])

    def series(self) -> str:
        """``bf16``; with the batch, the output's format or the values where they are not the usual ones."""
        return " ".join([self.dtype, *([f"batch {self.batch}"] if self.batch > 1 else []), *self._variant()])

    def _variant(self) -> list[str]:
        unusual = [] if self.output == dataclasses.replace(self, out_dtype=None).output else [f"to {self.output}"]
        return [*unusual, *(["fast accum"] if self.fast_accum else []), *([] if self.init == "normal" else [self.init])]

    def size(self) -> Size:
        """The geometric mean of M, N and K: the side of the square product with the same work."""
        m, n, k = self.shape
        return Size("mean dimension", float(m) if m == n == k else (m * n * k) ** (1 / 3))

    def prepare(self, place: Place) -> Prepared:
        """Allocate the sets of operands, check one product against float64 and every buffer for having been written."""
        import torch

        data.require_memory(self.footprint_bytes(), place)
        # global, so set for each case; it stays for the launches that follow
        torch.set_float32_matmul_precision("high" if self.dtype == "tf32" else "highest")
        stored, note = self._available(place)
        note = note or dtypes.not_emulated(place, self.dtype, self._timing_probe(place.device))

        # zeros tell nothing about a kernel: it is checked on normal values first
        tested = "normal" if self.init == "zeros" else self.init
        first = self._operands(0, tested, stored, place.device)
        check = self._check(first, self._call(*first)())
        if self.init == "zeros":
            data.refill(first[0], "zeros", 0)
            data.refill(first[1], "zeros", 0)
        count = rotation(self.footprint_bytes(), place)
        sets = [first, *(self._operands(i, self.init, stored, place.device) for i in range(1, count))]
        launch = data.rotating([self._call(*s) for s in sets])
        if self.dtype in dtypes.FP8:
            launch = data.keeping(launch, count)
        results = [cast("torch.Tensor", launch()) for _ in sets]
        outputs = results if self.dtype in dtypes.FP8 else [s[2] for s in sets]
        reference.require_finite("C", outputs)
        if self.init == "zeros":
            reference.require_zero("C", outputs)
        notes = (note, data.cache_note(count, self.footprint_bytes(), place))
        return Prepared(launch, check, count, "; ".join(n for n in notes if n))

    def _operands(
        self, index: int, init: str, stored: torch.dtype, device: str, shape: tuple[int, int, int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A and B (row-major, B column-major for fp8) and an output full of NaN; 2-D for a single matrix."""
        m, n, k = shape or self.shape
        batch = (self.batch,) if self.batch > 1 else ()
        fp8 = self.dtype in dtypes.FP8
        a = data.fill((*batch, m, k), stored, init, data.substream(self.seed, index, "a"), device)
        seed = data.substream(self.seed, index, "b")
        b = (
            data.fill((n, k), stored, init, seed, device).t()
            if fp8
            else data.fill((*batch, k, n), stored, init, seed, device)
        )
        return a, b, data.poison(() if fp8 else (*batch, m, n), self.output, device)

    def _call(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> Callable[[], torch.Tensor]:
        """The product as a call that returns C. torch's public fp8 product allocates it, the others write to ``c``."""
        import torch
        from torch.nn import functional

        if self.dtype not in dtypes.FP8:
            return partial(torch.bmm if self.batch > 1 else torch.mm, a, b, out=c)
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
            output_dtype=dtypes.torch_dtype(self.output),
            use_fast_accum=self.fast_accum,
        )

    def _available(self, place: Place) -> tuple[torch.dtype, str]:
        """The storage format in which a tiny product of this kind works here; Unsupported with the library's reason.

        The tiny shape keeps what remains of each dimension modulo 16, which some libraries want to be 0 for fp8.
        """
        m, n, k = self.shape
        tiny = tuple(d if d <= 64 else 64 + d % 16 for d in (m, n, k))
        refusal: Unsupported | None = None
        candidates = dtypes.torch_dtypes(self.dtype)
        for stored in candidates:

            def probe(stored: torch.dtype = stored) -> object:
                return self._call(*self._operands(0, "normal", stored, place.device, (tiny[0], tiny[1], tiny[2])))()

            try:
                dtypes.supported(place, f"{self.dtype} matmul", probe)
            except Unsupported as error:
                refusal = refusal or error
            else:
                other = stored is not candidates[0]
                return stored, f"{self.dtype} stored as {str(stored).removeprefix('torch.')}" if other else ""
        raise refusal or Unsupported(f"this torch has no {self.dtype}")

    def _timing_probe(self, device: str) -> Callable[[str], Callable[[], object]]:
        """The same kind of product of 256 x 256 in a given format, for finding out whether a CPU emulates it."""

        def call(dtype: str) -> Callable[[], object]:
            spec = Matmul(m=256, batch=min(self.batch, 2), dtype=dtype)
            return spec._call(*spec._operands(0, "normal", dtypes.torch_dtype(dtype), device))

        return call

    def _check(self, operands: tuple[torch.Tensor, torch.Tensor, torch.Tensor], c: torch.Tensor) -> Check:
        a, b, _ = operands
        tolerance = reference.product_tolerance(self.dtype, self.shape[2], self.output, self.fast_accum)
        a, b, c = (x if x.dim() == 3 else x.unsqueeze(0) for x in (a, b, c))
        check, rms_error = reference.check_product(a, b, c, tolerance, seed=data.substream(self.seed, "rows"))
        if self.dtype == "tf32" and rms_error < _TF32_ERROR:
            raise Unsupported(f"TF32 was asked for, but computed in full fp32 (relative rms error {rms_error:.1e})")
        return check


def _stored(dtype: str) -> str:
    """tf32 is stored as fp32; every other format as itself."""
    return "fp32" if dtype == "tf32" else dtype
