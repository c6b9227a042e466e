"""Matrix product C = A B of block-scaled operands (mx and nvfp4) on the tensor cores that multiply the scales in.

Work is 2*M*N*K FLOP, as for any product; bytes are those of A and B with their scales and of C, once each: an element
of mxfp4 is 1/2 + 1/32 bytes. The formats, and how values come into them, are those of :mod:`perwatt.kernels.scaled`.
What is multiplied is what is stored: the float64 product of the decoded values is the reference.

A device without such tensor cores is not measured: converting to bf16 first is another operation, and slower.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from perwatt.kernels import data, dtypes, reference, scaled
from perwatt.kernels.triton.device import table_of
from perwatt.kernels.workload import Check, Place, Prepared, Size, Work, Workload, choice, positive, rotation

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.configuration import MatmulScaled as Configuration
    from perwatt.kernels.triton.configuration import Table
    from perwatt.kernels.triton.program import Program

OUT = ("bf16", "fp16", "fp32")
BACKENDS = ("torch", "triton")


class Operands(NamedTuple):
    """A (M, K), B as (N, K), and C (M, N) full of NaN, empty where a launch makes its own."""

    a: scaled.Scaled
    b: scaled.Scaled
    c: torch.Tensor


@dataclass(frozen=True)
class MatmulScaled(Workload):
    """C (m, n) = A (m, k) B (k, n), both with scales along K, which innermost in both.

    ``n`` and ``k`` default to ``m``; k is a multiple of 32. ``init`` and ``seed`` as in :mod:`perwatt.kernels.data`.
    Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "matmul_scaled"

    m: int = 8192
    n: int | None = None
    k: int | None = None
    dtype: str = "mxfp8_e4m3"
    out_dtype: str = "bf16"
    backend: str = "torch"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        positive("matmul_scaled", m=self.m)
        positive("matmul_scaled", **{key: value for key, value in (("n", self.n), ("k", self.k)) if value is not None})
        choice("matmul_scaled", "dtype", self.dtype, scaled.NAMES)
        choice("matmul_scaled", "out_dtype", self.out_dtype, OUT)
        choice("matmul_scaled", "backend", self.backend, BACKENDS)
        if self.shape[2] % scaled.MULTIPLE:
            raise ValueError(f"matmul_scaled.k: {self.shape[2]} is not a multiple of {scaled.MULTIPLE}")
        object.__setattr__(self, "init", data.check_init("matmul_scaled", self.init))
        data.check_seed("matmul_scaled", self.seed)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(M, N, K), resolved."""
        return self.m, self.n or self.m, self.k or self.m

    def params(self) -> dict[str, Any]:
        """All parameters with M, N, K resolved: a square given in two ways is one case."""
        _, n, k = self.shape
        return dataclasses.asdict(self) | {"n": n, "k": k}

    def work(self, ranks: int = 1) -> Work:
        """2*M*N*K FLOP; each operand once, with its scales."""
        m, n, k = self.shape
        operands = scaled.nbytes(self.dtype, m, k) + scaled.nbytes(self.dtype, n, k)
        return Work(flops=2 * m * n * k, bytes=operands + dtypes.itemsize(self.out_dtype) * m * n, headline="flops")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """A, B and C; where tensor cores want the scales in blocks, these stand beside the plain ones."""
        m, n, k = self.shape
        columns = -(-k // scaled.FORMATS[self.dtype].vector // 4) * 4
        return self.work().bytes + sum(-(-rows // 128) * 128 * columns for rows in (m, n))

    def label(self) -> str:
        """``mxfp4 8192x8192x8192``, M x N x K."""
        m, n, k = self.shape
        return " ".join([self.dtype, f"{m}x{n}x{k}", *self._variant()])

    def series(self) -> str:
        """``mxfp4``; with the output's format, the backend or the values where they are not the usual ones."""
        return " ".join([self.dtype, *self._variant()])

    def _variant(self) -> list[str]:
        return [
            *([] if self.out_dtype == "bf16" else [f"to {self.out_dtype}"]),
            *([] if self.backend == "torch" else [self.backend]),
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
        table = table_of(place)
        config = self._configuration(table)
        return (_program(self.operands(0, self.init, place.device, False), config, table),)

    def prepare(self, place: Place) -> Prepared:
        """Allocate the sets of operands, check one product against float64 and every buffer for having been written."""
        data.require_memory(self.footprint_bytes(), place)
        call = self._backend(place)
        allocates = self.backend == "torch"

        # zeros tell nothing about a kernel: it is checked on normal values first
        first = self.operands(0, "normal" if self.init == "zeros" else self.init, place.device, allocates)
        want = self._reference(first)
        check = want.check(_result(call(first)(), first)[None])[0]
        if self.init == "zeros":
            first = self.operands(0, "zeros", place.device, allocates)
        count = rotation(self.footprint_bytes(), place)
        sets = [first, *(self.operands(i, self.init, place.device, allocates) for i in range(1, count))]
        calls = [call(s) for s in sets]
        launch = data.rotating(calls)
        if allocates:
            launch = data.keeping(launch, count)
        outputs = [_result(launch(), s) for s in sets]
        reference.require_finite("C", outputs)
        if self.init == "zeros":
            reference.require_zero("C", outputs)

        def verify() -> Check:
            c = _result(calls[0](), first)
            return reference.zeros("C", [c]) if self.init == "zeros" else want.check(c[None])[0]

        return Prepared(launch, check, count, data.cache_note(count, self.footprint_bytes(), place), verify=verify)

    def _backend(self, place: Place) -> Callable[[Operands], Callable[[], object]]:
        """What makes a launch of operands."""
        if self.backend == "torch":
            from perwatt.kernels import matmul_scaled_torch

            return matmul_scaled_torch.available(self, place)
        table = table_of(place)
        config = self._configuration(table)
        return lambda operands: _program(operands, config, table).call()

    def _configuration(self, table: Table) -> Configuration:
        from perwatt.kernels.triton.configuration import MatmulScaled as Configuration

        m, n, k = self.shape
        aligned = not (n * dtypes.itemsize(self.out_dtype) % 16 or k % 128)
        return table.choose(Configuration, dtype=self.dtype, m=m, n=n, k=k, out_dtype=self.out_dtype, aligned=aligned)

    def operands(
        self, index: int, init: str, device: str, allocates: bool, shape: tuple[int, int, int] | None = None
    ) -> Operands:
        """The ``index``-th set."""
        m, n, k = shape or self.shape
        a = scaled.fill(m, k, self.dtype, init, data.substream(self.seed, index, "a"), device)
        b = scaled.fill(n, k, self.dtype, init, data.substream(self.seed, index, "b"), device)
        return Operands(a, b, data.poison((0,) if allocates else (m, n), self.out_dtype, device))

    def _reference(self, operands: Operands) -> reference.ProductReference:
        """The product of the decoded values, which float32 holds exactly; tensor cores add them up as fp8."""
        import torch

        tolerance = reference.product_tolerance("fp8_e4m3", self.shape[2], self.out_dtype)
        a, b = (x.decode(torch.float32) for x in operands[:2])
        seed = data.substream(self.seed, "rows")
        return reference.ProductReference(a[None], b.t()[None], tolerance, seed=seed)


def _program(operands: Operands, config: Configuration, table: Table) -> Program:
    from perwatt.kernels.triton import matmul_scaled

    return matmul_scaled.program(operands.a, operands.b, operands.c, config, table.cores)


def _result(returned: object, operands: Operands) -> torch.Tensor:
    return operands.c if operands.c.numel() else cast("torch.Tensor", returned)
