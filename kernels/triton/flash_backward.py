"""The gradients of attention without the scores having been kept: FlashAttention's backward pass (arXiv 2307.08691).

With p = 2^(s - lse), s the scaled scores to the base 2 and lse what the forward pass wrote: dv = p' do,
ds = p (do v' - delta), where delta is the row sum of o do, dk = ds' q / sqrt(d) and dq = ds k / sqrt(d).

Three kernels: ``delta``; one whose programs keep a tile of keys and walk over the queries, of all heads that share the
keys one after the other; one whose programs keep a tile of queries and walk over the keys. Each element is added up by
one program in one order, so that there are no atomic additions and the result is the same each time. For that the
scores are computed twice.

Masks, packed sequences and loads are those of :mod:`perwatt.kernels.triton.flash_forward`. This file has delta, and
what the launches of the other two share.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl

from perwatt.kernels.triton.attention_configuration import Attending
from perwatt.kernels.triton.flash_forward import load_tile, start_of, strides_of
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch

    Packed = tuple[torch.Tensor, torch.Tensor, int] | None

_DELTA_ROWS = 16


@triton.jit
def flash_backward_delta(out, grad, delta, heads, rows, strides_out, strides_grad, strides_delta, BLOCK: tl.constexpr,
                         D: tl.constexpr):  # fmt: skip
    """The row sums of ``out`` times ``grad`` (B, H, S, D), BLOCK rows of one head."""
    row = tl.program_id(0) * BLOCK
    batch = tl.program_id(1) // heads
    head = tl.program_id(1) % heads
    o = load_tile(out, batch, head, row, rows, strides_out, BLOCK, D, False).to(tl.float32)
    do = load_tile(grad, batch, head, row, rows, strides_grad, BLOCK, D, False).to(tl.float32)
    offsets = row + tl.arange(0, BLOCK)
    tl.store(delta + start_of(batch, head, 0, strides_delta) + offsets, tl.sum(o * do, 1), mask=offsets < rows)


def program_delta(out: torch.Tensor, grad: torch.Tensor, delta: torch.Tensor) -> Program:
    """delta (B, H, S) fp32: the row sums of out times grad (B, H, S, D), which may hold packed sequences."""
    batch, heads, rows, dim = out.shape
    return Program(
        name="flash_backward_delta",
        function=flash_backward_delta,
        grid=(triton.cdiv(rows, _DELTA_ROWS), batch * heads),
        arguments={
            "out": out,
            "grad": grad,
            "delta": delta,
            "heads": heads,
            "rows": rows,
            "strides_out": strides_of(out),
            "strides_grad": strides_of(grad),
            "strides_delta": strides_of(delta),
        },
        constants={"BLOCK": _DELTA_ROWS, "D": dim},
        options={"num_warps": 4, "num_stages": 1, "enable_fp_fusion": True},
    )


def shared(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    grad: torch.Tensor,
    lse: torch.Tensor,
    delta: torch.Tensor,
    config: Attending,
    causal: bool,
    window: int | None,
    packed: Packed,
    longest: int,
) -> tuple[dict[str, Any], dict[str, Any], int, int]:
    """What both kernels take: arguments, constants, the rows of the longest sequence, the number of sequences."""
    cu_q, cu_k, longest = packed or (None, None, longest)
    dim = q.shape[3]
    arguments = {
        "q": q,
        "k": k,
        "v": v,
        "grad": grad,
        "lse": lse,
        "delta": delta,
        "cu_q": cu_q,
        "cu_k": cu_k,
        "group": q.shape[1] // k.shape[1],
        "S_q": q.shape[2],
        "S_k": k.shape[2],
        "window": window or 0,
        "scale": math.log2(math.e) / math.sqrt(dim),
        "root": 1 / math.sqrt(dim),
        "strides_q": strides_of(q),
        "strides_k": strides_of(k),
        "strides_v": strides_of(v),
        "strides_grad": strides_of(grad),
        "strides_rows": strides_of(lse),
    }
    constants = {
        "BLOCK_M": config.block_m,
        "BLOCK_N": config.block_n,
        "D": dim,
        "CAUSAL": causal,
        "WINDOWED": window is not None,
        "VARLEN": packed is not None,
        "DESCRIPTORS": config.descriptors,
    }
    return arguments, constants, longest, q.shape[0] if cu_q is None else cu_q.shape[0] - 1
