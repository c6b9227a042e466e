"""One instruction over and over on registers: the vector pipes of a GPU, with neither memory nor tensor cores.

Each lane takes pairs of steps. The multiply-adds are v <- v x + y, then v <- v w + y; they are written as *fused*, so
that 16-bit formats are rounded once and each product and sum is one instruction, two lanes wide where the device packs
them. The exponentials are v <- 2^(x - v), then v <- 2^(w - v): a subtraction each, on a pipe that is several times
faster. Constants differ from lane to lane and come from memory: the compiler can know nothing about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton.power_configuration import VectorSpin
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch

UNROLLED = 8  # pairs of steps in one pass of the loop


@triton.jit
def step(v, x, y, KIND: tl.constexpr):
    """One step of every lane."""
    if KIND == "exp2":
        return tl.exp2(x - v)
    elif KIND == "int32":  # noqa: RET505 - what follows a return is compiled all the same
        return v * x + y
    else:
        return tl.fma(v, x, y)


@triton.jit
def vector_spin(
    out_ptr, x_ptr, w_ptr, y_ptr, v_ptr, passes, BLOCK: tl.constexpr, KIND: tl.constexpr, UNROLL: tl.constexpr
):
    """``passes`` times UNROLL pairs of steps of BLOCK lanes; every program does the same and writes its own result."""
    lanes = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + lanes)
    w = tl.load(w_ptr + lanes)
    y = tl.load(y_ptr + lanes)
    v = tl.load(v_ptr + lanes)
    for _ in range(passes):
        for _ in tl.static_range(UNROLL):
            v = step(v, x, y, KIND)
            v = step(v, w, y, KIND)
    tl.store(out_ptr + tl.program_id(0).to(tl.int64) * BLOCK + lanes, v)


def program(
    out: torch.Tensor, operands: tuple[torch.Tensor, ...], pipe: str, pairs: int, config: VectorSpin
) -> Program:
    """``operands`` are x, w, y and the first v, (block,) each; ``out`` (programs, block); all of one dtype.

    ``pairs`` is a multiple of UNROLLED.
    """
    assert pairs % UNROLLED == 0
    x, w, y, v = operands
    return Program(
        name=f"vector_spin_{pipe}",
        function=vector_spin,
        grid=(out.shape[0],),
        arguments={"out_ptr": out, "x_ptr": x, "w_ptr": w, "y_ptr": y, "v_ptr": v, "passes": pairs // UNROLLED},
        constants={"BLOCK": config.block, "KIND": pipe, "UNROLL": UNROLLED},
        options=config.options(),
    )
