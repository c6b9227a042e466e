"""A power virus: tensor cores, memory and special-function units of a core busy at once, in one kernel.

Each program keeps two tiles on the core and walks over blocks of a large buffer. A block is asked for first and written
back last, its sign turned; in between come PRODUCTS products of the tiles (as in
:mod:`perwatt.kernels.triton.tensor_spin`), and beside each of them EXPS pairs of exponentials on registers (as in
:mod:`perwatt.kernels.triton.vector_spin`), which can run while the tensor cores do. Several programs share a core, so
that what one waits for another can use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton.matmul_pointer import accumulator
from perwatt.kernels.triton.power_configuration import Virus
from perwatt.kernels.triton.program import Program
from perwatt.kernels.triton.tensor_spin import resident

if TYPE_CHECKING:
    import torch


@triton.jit
def virus(
    buffer_ptr, out_ptr, values_ptr, a_ptr, b_ptr, x_ptr, N, products,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK: tl.constexpr, LANES: tl.constexpr,
    EXPS: tl.constexpr, ACCUMULATE: tl.constexpr,
):  # fmt: skip
    """Every so many blocks of BLOCK of the N elements of the buffer, as many apart as there are programs."""
    a, b = resident(a_ptr, b_ptr, BLOCK_M, BLOCK_N, BLOCK_K)
    total = tl.zeros((BLOCK_M, BLOCK_N), ACCUMULATE)
    lanes = tl.arange(0, LANES)
    x = tl.load(x_ptr + lanes)
    v = tl.zeros((LANES,), tl.float32)
    program = tl.program_id(0).to(tl.int64)
    at = program * BLOCK + tl.arange(0, BLOCK)
    for _ in range(tl.program_id(0), tl.cdiv(N, BLOCK), tl.num_programs(0)):
        inside = at < N
        held = tl.load(buffer_ptr + at, mask=inside, other=0.0)  # same: what lies beyond the end is not written
        for _ in range(products):
            total = tl.dot(a, b, total, out_dtype=ACCUMULATE)
            for _ in tl.static_range(2 * EXPS):
                v = tl.exp2(x - v)
        total = -total
        tl.store(buffer_ptr + at, -held, mask=inside)
        at += tl.num_programs(0) * BLOCK
    total = tl.dot(a, b, total, out_dtype=ACCUMULATE)
    rows = program * BLOCK_M + tl.arange(0, BLOCK_M)
    tl.store(out_ptr + rows[:, None] * BLOCK_N + tl.arange(0, BLOCK_N)[None, :], total)
    tl.store(values_ptr + program * LANES + lanes, v)


def program(
    buffer: torch.Tensor,
    out: torch.Tensor,
    values: torch.Tensor,
    operands: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    config: Virus,
) -> Program:
    """One pass over ``buffer``, one-dimensional fp32. ``operands`` are A (block_m, block_k), B (block_n, block_k) and x
    (block_exps,) fp32; ``out`` (programs, block_m, block_n) and ``values`` (programs, block_exps) fp32 are written."""
    a, b, x = operands
    return Program(
        name="virus",
        function=virus,
        grid=(out.shape[0],),
        arguments={
            "buffer_ptr": buffer,
            "out_ptr": out,
            "values_ptr": values,
            "a_ptr": a,
            "b_ptr": b,
            "x_ptr": x,
            "N": buffer.numel(),
            "products": config.products,
        },
        constants={
            "BLOCK_M": config.block_m,
            "BLOCK_N": config.block_n,
            "BLOCK_K": config.block_k,
            "BLOCK": config.block,
            "LANES": config.block_exps,
            "EXPS": config.exps,
            "ACCUMULATE": accumulator(a),
        },
        options=config.options(),
        flops_per_iteration=2 * config.block_m * config.block_n * config.block_k,
    )
