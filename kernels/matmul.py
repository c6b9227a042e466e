"""Matrix product C = A B: by the vendor's library through torch, or by perwatt's own kernels in Triton.

Work is 2*M*N*K FLOP per matrix, dense; bytes are those of A, B and C once each (definitions of the field, as in
mamf-finder and CUTLASS's profiler). Both operands are row-major; for fp8, which is defined for it alone, B is
column-major, and the scales are 1: the product of the numbers themselves.

Beside them stand perwatt's own kernels (``backend: triton``), the same source on every vendor's hardware.

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
from perwatt.kernels.triton.device import table_of
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

    from perwatt.kernels.triton.program import Program

    Operands = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

BACKENDS = ("torch", "triton", "triton_descriptor", "triton_pointer")
_FP8_OUT = ("bf16", "fp16", "fp32")
# Relative rms errors of normal operands: about 3e-4 when multiplied in TF32 (10 bits of mantissa), below 1e-5 in fp32.
_TF32_ERROR = 4e-5


@dataclass(frozen=True)
class Matmul(Workload):
    """C (batch, m, n) = A (batch, m, k) B (batch, k, n).

    ``n`` and ``k`` default to ``m``. ``out_dtype`` is that of C: the operands' own, for fp8 bf16 unless given.
    ``fast_accum`` lets fp8 tensor cores keep their partial sums at reduced precision. ``backend``: torch, or Triton in
    the style that the architecture's table puts first, or in one of its two styles. ``init`` and ``seed`` as in
    :mod:`perwatt.kernels.data`. int8 is summed in int32. Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "matmul"

    m: int = 4096
    n: int | None = None
    k: int | None = None
    batch: int = 1
    dtype: str = "bf16"
    out_dtype: str | None = None
    fast_accum: bool = False
    backend: str = "torch"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        positive("matmul", m=self.m, batch=self.batch)
        positive("matmul", **{key: value for key, value in (("n", self.n), ("k", self.k)) if value is not None})
        choice("matmul", "dtype", self.dtype, (*dtypes.NAMES, *dtypes.INTEGERS))
        choice("matmul", "backend", self.backend, BACKENDS)
        data.check_bool("matmul", fast_accum=self.fast_accum)
        fp8 = self.dtype in dtypes.FP8
        if self.out_dtype is not None:
            choice("matmul", "out_dtype", self.out_dtype, _FP8_OUT if fp8 else (_stored(self.dtype),))
        if self.fast_accum and not fp8:
            raise ValueError(f"matmul.fast_accum: only fp8 has it, dtype is {self.dtype}")
        if self._allocates and self.batch > 1:
            raise ValueError(
                f"matmul.batch: {self.batch} matrices in {self.dtype}: torch multiplies them one at a time"
            )
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
        backend = [] if self.backend == "torch" else [self.backend.replace("_", " ")]
        return [
            *unusual,
            *backend,
            *(["fast accum"] if self.fast_accum else []),
            *([] if self.init == "normal" else [self.init]),
        ]

    def size(self) -> Size:
        """The geometric mean of M, N and K: the side of the square product with the same work."""
        m, n, k = self.shape
        return Size("mean dimension", float(m) if m == n == k else (m * n * k) ** (1 / 3))

    def programs(self, place: Place) -> tuple[Program, ...]:
        """The one program of a Triton product; none for torch's."""
        if self.backend == "torch":
            return ()
        from perwatt.kernels import matmul_triton

        table = table_of(place)
        operands = self.operands(0, self.init, matmul_triton.stored(self, table), place.device)
        return (matmul_triton.program(self, table, *operands),)

    def prepare(self, place: Place) -> Prepared:
        """Allocate the sets of operands, check one product against float64 and every buffer for having been written."""
        data.require_memory(self.footprint_bytes(), place)
        call, stored, note = self._backend(place)

        # zeros tell nothing about a kernel: it is checked on normal values first
        tested = "normal" if self.init == "zeros" else self.init
        first = self.operands(0, tested, stored, place.device)
        again = call(*first)
        reference_c = self._reference(first)
        check = self._check(reference_c, self._result(again(), first))
        if self.init == "zeros":
            data.refill(first[0], "zeros", 0)
            data.refill(first[1], "zeros", 0)
        count = rotation(self.footprint_bytes(), place)
        sets = [first, *(self.operands(i, self.init, stored, place.device) for i in range(1, count))]
        launch = data.rotating([call(*s) for s in sets])
        if self._allocates:
            launch = data.keeping(launch, count)
        outputs = [self._result(launch(), s) for s in sets]
        reference.require_finite("C", outputs)
        if self.init == "zeros":
            reference.require_zero("C", outputs)
        notes = (note, data.cache_note(count, self.footprint_bytes(), place))

        def verify() -> Check:
            c = self._result(again(), first)
            return reference.zeros("C", [c]) if self.init == "zeros" else self._check(reference_c, c)

        return Prepared(launch, check, count, "; ".join(n for n in notes if n), verify=verify)

    @property
    def _allocates(self) -> bool:
        """Whether a launch makes its own output: torch's public product of fp8 and its product of int8 do."""
        return self.backend == "torch" and (self.dtype in dtypes.FP8 or self.dtype == "int8")

    def _result(self, returned: object, operands: Operands) -> torch.Tensor:
        return cast("torch.Tensor", returned) if self._allocates else operands[2]

    def _backend(self, place: Place) -> tuple[Callable[..., Callable[[], object]], torch.dtype, str]:
        """What makes a launch of operands, the format in which they are stored, and a note."""
        if self.backend == "torch":
            from perwatt.kernels import matmul_torch

            return partial(matmul_torch.call, self), *matmul_torch.available(self, place)
        from perwatt.kernels import matmul_triton

        table = table_of(place)

        def call(*operands: torch.Tensor) -> Callable[[], object]:
            return matmul_triton.program(self, table, *operands).call()

        return call, matmul_triton.stored(self, table), ""

    def operands(
        self, index: int, init: str, stored: torch.dtype, device: str, shape: tuple[int, int, int] | None = None
    ) -> Operands:
        """A and B (row-major, B column-major for fp8) and an output full of NaN; 2-D for a single matrix."""
        m, n, k = shape or self.shape
        batch = (self.batch,) if self.batch > 1 else ()
        a = data.fill((*batch, m, k), stored, init, data.substream(self.seed, index, "a"), device)
        seed = data.substream(self.seed, index, "b")
        b = (
            data.fill((n, k), stored, init, seed, device).t()
            if self.dtype in dtypes.FP8
            else data.fill((*batch, k, n), stored, init, seed, device)
        )
        return a, b, data.poison(() if self._allocates else (*batch, m, n), self.output, device)

    def _reference(self, operands: Operands) -> reference.ProductReference:
        a, b = (x if x.dim() == 3 else x.unsqueeze(0) for x in operands[:2])
        tolerance = reference.product_tolerance(self.dtype, self.shape[2], self.output, self.fast_accum)
        return reference.ProductReference(a, b, tolerance, seed=data.substream(self.seed, "rows"))

    def _check(self, want: reference.ProductReference, c: torch.Tensor) -> Check:
        check, rms_error = want.check(c if c.dim() == 3 else c.unsqueeze(0))
        if self.dtype == "tf32" and rms_error < _TF32_ERROR:
            raise Unsupported(f"TF32 was asked for, but computed in full fp32 (relative rms error {rms_error:.1e})")
        return check


def _stored(dtype: str) -> str:
    """The format of C: tf32 is stored as fp32, int8 summed in int32, and every other format written as itself."""
    return {"tf32": "fp32", "int8": "int32"}.get(dtype, dtype)
