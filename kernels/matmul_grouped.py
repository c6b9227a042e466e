"""Matrix products of groups of rows, each with a matrix of its own: the experts of a mixture, in one launch.

Work is 2*T*N*K FLOP for T rows in all; bytes are those of A, C and the matrices of groups that have rows, once each.
Shapes of the field: DeepSeek-V3 (arXiv 2412.19437) has 256 experts, 8 for each token, of k = 7168 and n = 2 * 2048
(gate and up side by side; down: k = 2048, n = 7168); Mixtral 8x7B (arXiv 2401.04088) 8 experts, 2 for each token, of
k = 4096 and n = 2 * 14336. ``tokens`` counts rows: tokens times experts for each.

How many rows each group has is drawn once, from the seed, without the values: shares are log-normal with standard
deviation ``skew`` of the logarithm, rounded so that they add up. With 0 all groups are as large, to within one row. On
the device the sizes stand in a tensor, as a router would leave them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from perwatt.kernels import data, dtypes, reference
from perwatt.kernels.reference_grouped import GroupsReference
from perwatt.kernels.triton.device import table_of
from perwatt.kernels.workload import (
    Check,
    Place,
    Prepared,
    Size,
    Work,
    Workload,
    choice,
    positive,
    rotation,
)

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.configuration import MatmulGrouped as Configuration
    from perwatt.kernels.triton.configuration import Table
    from perwatt.kernels.triton.program import Program

DTYPES = ("bf16", "fp16", "fp8_e4m3")
BACKENDS = ("torch", "triton")


class Operands(NamedTuple):
    """A (T, K), B (G, K, N), offsets (G + 1) int32 on the device, and C (T, N), full of NaN."""

    a: torch.Tensor
    b: torch.Tensor
    offsets: torch.Tensor
    c: torch.Tensor


@dataclass(frozen=True)
class MatmulGrouped(Workload):
    """C (tokens, n) = A (tokens, k) B (groups, k, n), each row of A with the matrix of its group.

    B is row-major, for fp8 column-major; C is in the operands' format, for fp8 in bf16. ``init`` and ``seed`` as in
    :mod:`perwatt.kernels.data`. Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "matmul_grouped"

    groups: int = 8
    tokens: int = 8192
    n: int = 14336
    k: int = 4096
    skew: float = 0.0
    dtype: str = "bf16"
    backend: str = "torch"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        positive("matmul_grouped", groups=self.groups, tokens=self.tokens, n=self.n, k=self.k)
        if self.tokens >= 2**31:
            raise ValueError(f"matmul_grouped.tokens: {self.tokens} rows; offsets are 32 bits wide")
        number = isinstance(self.skew, int | float) and not isinstance(self.skew, bool)
        if not number or not 0 <= self.skew <= 4:
            raise ValueError(f"matmul_grouped.skew: {self.skew!r} is not a number from 0 to 4")
        object.__setattr__(self, "skew", float(self.skew))
        choice("matmul_grouped", "dtype", self.dtype, DTYPES)
        choice("matmul_grouped", "backend", self.backend, BACKENDS)
        object.__setattr__(self, "init", data.check_init("matmul_grouped", self.init))
        data.check_seed("matmul_grouped", self.seed)

    @property
    def output(self) -> str:
        """The format of C."""
        return "bf16" if self.dtype in dtypes.FP8 else self.dtype

    def sizes(self) -> tuple[int, ...]:
        """Rows of each group: shares by the seed, rounded down, what is left to the largest remainders."""
        draw = random.Random(data.substream(self.seed, "sizes"))
        shares = [math.exp(self.skew * draw.gauss(0.0, 1.0)) for _ in range(self.groups)]
        whole = math.fsum(shares)
        exact = [self.tokens * share / whole for share in shares]
        sizes = [int(x) for x in exact]
        by_remainder = sorted(range(self.groups), key=lambda i: sizes[i] - exact[i])
        for i in by_remainder[: self.tokens - sum(sizes)]:
            sizes[i] += 1
        return tuple(sizes)

    def work(self, ranks: int = 1) -> Work:
        """2*tokens*n*k FLOP; A, C and the matrices that are needed, each once."""
        used = sum(size > 0 for size in self.sizes())
        return Work(flops=2 * self.tokens * self.n * self.k, bytes=self._bytes(used), headline="flops")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """A, B of every group, C and the offsets."""
        return self._bytes(self.groups) + 4 * (self.groups + 1)

    def _bytes(self, matrices: int) -> int:
        operands = dtypes.itemsize(self.dtype) * self.k * (self.tokens + matrices * self.n)
        return operands + dtypes.itemsize(self.output) * self.tokens * self.n

    def label(self) -> str:
        """``bf16 8192x14336x4096 in 8 groups``: rows in all x N x K."""
        return " ".join([f"{self.dtype} {self.tokens}x{self.n}x{self.k} in {self.groups} groups", *self._variant()])

    def series(self) -> str:
        """``bf16 8 groups 14336x4096``."""
        return " ".join([f"{self.dtype} {self.groups} groups {self.n}x{self.k}", *self._variant()])

    def _variant(self) -> list[str]:
        return [
            *([f"skew {self.skew:g}"] if self.skew else []),
            *([] if self.backend == "torch" else [self.backend]),
            *([] if self.init == "normal" else [self.init]),
        ]

    def size(self) -> Size:
        """All rows."""
        return Size("rows", float(self.tokens))

    def programs(self, place: Place) -> tuple[Program, ...]:
        """The one program of a Triton product; none for torch's."""
        if self.backend == "torch":
            return ()
        table = table_of(place)
        config = self._configuration(table)
        operands = self.operands(0, self.init, _stored(self.dtype, config), place.device)
        return (_program(operands, config, table),)

    def prepare(self, place: Place) -> Prepared:
        """Allocate the sets of operands, check one product against float64 and every buffer for having been written."""
        data.require_memory(self.footprint_bytes(), place)
        call, stored, note, allocates = self._backend(place)

        # zeros tell nothing about a kernel: it is checked on normal values first
        first = self.operands(0, "normal" if self.init == "zeros" else self.init, stored, place.device, allocates)
        tolerance = reference.product_tolerance(self.dtype, self.k, self.output)
        seed = data.substream(self.seed, "check")
        want, again = GroupsReference(first.a, first.b, self.sizes(), tolerance, seed=seed), call(first)
        check = want.check(_joined(again(), first))
        if self.init == "zeros":
            data.refill(first.a, "zeros", 0)
            data.refill(first.b, "zeros", 0)
        count = rotation(self.footprint_bytes(), place)
        more = (self.operands(i, self.init, stored, place.device, allocates) for i in range(1, count))
        sets = [first, *more]
        launch = data.rotating([call(s) for s in sets])
        if allocates:
            launch = data.keeping(launch, count)
        outputs = [_joined(launch(), s) for s in sets]
        reference.require_finite("C", outputs)
        if self.init == "zeros":
            reference.require_zero("C", outputs)
        notes = (note, data.cache_note(count, self.footprint_bytes(), place))

        def verify() -> Check:
            c = _joined(again(), first)
            return reference.zeros("C", [c]) if self.init == "zeros" else want.check(c)

        return Prepared(launch, check, count, "; ".join(n for n in notes if n), verify=verify)

    def _backend(self, place: Place) -> tuple[Callable[[Operands], Callable[[], object]], torch.dtype, str, bool]:
        """What makes a launch of operands, their storage format, a note, and whether a launch allocates its output."""
        if self.backend == "torch":
            from perwatt.kernels import matmul_grouped_torch

            return matmul_grouped_torch.available(self, place)
        table = table_of(place)
        config = self._configuration(table)
        return lambda operands: _program(operands, config, table).call(), _stored(self.dtype, config), "", False

    def _configuration(self, table: Table) -> Configuration:
        from perwatt.kernels.triton.configuration import MatmulGrouped as Configuration

        size, n, k = dtypes.itemsize(self.dtype), self.n, self.k
        inner = k if self.dtype in dtypes.FP8 else n
        aligned = not (k * size % 16 or inner * size % 16 or n * dtypes.itemsize(self.output) % 16)
        rows = -(-self.tokens // self.groups)
        return table.choose(
            Configuration, dtype=self.dtype, groups=self.groups, rows_per_group=rows, n=n, k=k, aligned=aligned
        )

    def operands(self, index: int, init: str, stored: torch.dtype, device: str, allocates: bool = False) -> Operands:
        """The ``index``-th set; C is empty where a launch makes its own."""
        import torch

        groups, rows, n, k = self.groups, self.tokens, self.n, self.k
        a = data.fill((rows, k), stored, init, data.substream(self.seed, index, "a"), device)
        seed = data.substream(self.seed, index, "b")
        transposed = self.dtype in dtypes.FP8
        b = data.fill((groups, n, k) if transposed else (groups, k, n), stored, init, seed, device)
        ends = torch.tensor([0, *self.sizes()]).cumsum(0).to(device=device, dtype=torch.int32)
        c = data.poison((0,) if allocates else (rows, n), self.output, device)
        return Operands(a, b.mT if transposed else b, ends, c)


def _stored(dtype: str, config: Configuration) -> torch.dtype:
    kinds = dtypes.torch_dtypes(dtype)
    return kinds[-1] if config.fnuz else kinds[0]


def _program(operands: Operands, config: Configuration, table: Table) -> Program:
    from perwatt.kernels.triton import matmul_grouped

    return matmul_grouped.program(operands.a, operands.b, operands.c, operands.offsets, config, table.cores)


def _joined(returned: object, operands: Operands) -> torch.Tensor:
    """C: what was written, what was returned, or the parts that were."""
    import torch

    if operands.c.numel():
        return operands.c
    return torch.cat(returned) if isinstance(returned, list) else returned  # type: ignore[return-value]
