"""Products of tiles that stay on the core, over and over: the tensor cores with neither memory nor caches.

The second half of A's columns equals the first, and the second half of B's rows is the negative of the first but for
one row that differs by a little: so within each product the sums rise and fall again, the accumulators stay small, and
they still tell how many products were made. After each round of products their sign is turned. Both tiles are loaded
whole: the compiler can know nothing of this, and nothing can be taken out of the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton.matmul_pointer import accumulator
from perwatt.kernels.triton.power_configuration import TensorSpin
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch


@triton.jit
def resident(a_ptr, b_ptr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """A (BLOCK_M, BLOCK_K), row-major, and B (BLOCK_K, BLOCK_N), column-major."""
    depth = tl.arange(0, BLOCK_K)
    a = tl.load(a_ptr + tl.arange(0, BLOCK_M)[:, None] * BLOCK_K + depth[None, :])
    return a, tl.load(b_ptr + depth[:, None] + tl.arange(0, BLOCK_N)[None, :] * BLOCK_K)


@triton.jit
def tensor_spin(
    out_ptr, a_ptr, b_ptr, rounds, products,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, ACCUMULATE: tl.constexpr,
):  # fmt: skip
    """``rounds`` of ``products``, and one more; every program does the same and writes its own result."""
    a, b = resident(a_ptr, b_ptr, BLOCK_M, BLOCK_N, BLOCK_K)
    total = tl.zeros((BLOCK_M, BLOCK_N), ACCUMULATE)
    for _ in range(rounds):
        for _ in range(products):
            total = tl.dot(a, b, total, out_dtype=ACCUMULATE)
        total = -total
    total = tl.dot(a, b, total, out_dtype=ACCUMULATE)
    rows = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    tl.store(out_ptr + rows[:, None] * BLOCK_N + tl.arange(0, BLOCK_N)[None, :], total)


def program(
    out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, rounds: int, products: int, pipe: str, config: TensorSpin
) -> Program:
    """``a`` (block_m, block_k), ``b`` (block_n, block_k), ``out`` (programs, block_m, block_n) fp32, int32 of int8."""
    return Program(
        name=pipe,
        function=tensor_spin,
        grid=(out.shape[0],),
        arguments={"out_ptr": out, "a_ptr": a, "b_ptr": b, "rounds": rounds, "products": products},
        constants={
            "BLOCK_M": config.block_m,
            "BLOCK_N": config.block_n,
            "BLOCK_K": config.block_k,
            "ACCUMULATE": accumulator(a),
        },
        options=config.options(),
        flops_per_iteration=2 * config.block_m * config.block_n * config.block_k,
    )
