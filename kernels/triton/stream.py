"""Memory streams: read, write a = s, copy a = b, scale a = s b, triad a = b + s c, each element touched once.

A thread moves 128 bits at a time where the arrays are aligned and their length is a multiple of 16 elements. Products
and sums of 16-bit formats are made in fp32 and rounded once. What is read is summed, lane by lane over the blocks of a
program and then over its lanes, and the sum is written: so nothing of it can be left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton.power_configuration import Stream
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch


@triton.jit
def stream(
    a_ptr, b_ptr, c_ptr, N, scalar,
    OP: tl.constexpr, BLOCK: tl.constexpr, ROUNDS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """ROUNDS blocks of BLOCK of the N elements; WIDE is the type in which is multiplied and added."""
    lanes = tl.arange(0, BLOCK)
    if OP == "read":
        total = tl.zeros((BLOCK,), WIDE)
    for block in tl.static_range(ROUNDS):
        at = (tl.program_id(0).to(tl.int64) * ROUNDS + block) * BLOCK + lanes
        inside = at < N
        if OP == "write":
            tl.store(a_ptr + at, tl.full((BLOCK,), scalar, WIDE).to(a_ptr.dtype.element_ty), mask=inside)
        else:
            b = tl.load(b_ptr + at, mask=inside, other=0.0)
            if OP == "read":
                total += b.to(WIDE)
            elif OP == "copy":
                tl.store(a_ptr + at, b, mask=inside)
            elif OP == "scale":
                tl.store(a_ptr + at, (b.to(WIDE) * scalar).to(a_ptr.dtype.element_ty), mask=inside)
            else:
                c = tl.load(c_ptr + at, mask=inside, other=0.0)  # same: what lies beyond the end is not written
                tl.store(a_ptr + at, (b.to(WIDE) + c.to(WIDE) * scalar).to(a_ptr.dtype.element_ty), mask=inside)
    if OP == "read":
        tl.store(a_ptr + tl.program_id(0), tl.sum(total, axis=0))


def program(op: str, arrays: tuple[torch.Tensor, ...], scalar: float, config: Stream) -> Program:
    """``arrays`` are a, b, c as far as ``op`` has them, one-dimensional and contiguous.

    a of ``read`` holds one sum a program, in fp32 (fp64 of fp64).
    """
    import torch

    a = arrays[0]
    held = arrays[1] if op == "read" else a
    n, itemsize = held.numel(), held.element_size()
    return Program(
        name=f"stream_{op}",
        function=stream,
        grid=(triton.cdiv(n, config.length(itemsize)),),
        # what an operation does not have is never looked at
        arguments={"a_ptr": a, "b_ptr": arrays[min(1, len(arrays) - 1)], "c_ptr": arrays[-1], "N": n, "scalar": scalar},
        constants={
            "OP": op,
            "BLOCK": config.block(itemsize),
            "ROUNDS": config.rounds,
            "WIDE": tl.float64 if held.dtype == torch.float64 else tl.float32,
        },
        options=config.options(),
    )
