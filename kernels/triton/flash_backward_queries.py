"""The gradient of the queries (see :mod:`perwatt.kernels.triton.flash_backward`): a program keeps a tile of queries and
walks over the keys that they see, as the forward pass does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton.attention_configuration import FlashBackwardQueries
from perwatt.kernels.triton.flash_backward import shared
from perwatt.kernels.triton.flash_forward import (
    as_loaded,
    load_tile,
    packed_rows,
    sees,
    span_of_keys,
    start_of,
    store_tile,
    strides_of,
)
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.flash_backward import Packed


@triton.jit
def gather_queries(dq, q, do, sums, row_delta, k, v, batch, head, k_row, row, keys, shift, window, begin, end, scale,
                   strides_k, strides_v, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, D: tl.constexpr,
                   CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, MASKED: tl.constexpr,
                   DESCRIPTORS: tl.constexpr):  # fmt: skip
    """Add what the keys from ``begin`` to ``end`` contribute to ``dq`` (times sqrt(d))."""
    for start in range(begin, end, BLOCK_N):
        key = load_tile(k, batch, head, k_row + start, k_row + keys, strides_k, BLOCK_N, D, DESCRIPTORS)
        scores = tl.dot(q, key.T, input_precision="ieee") * scale
        if MASKED:
            rows = (row + tl.arange(0, BLOCK_M))[:, None]
            columns = (start + tl.arange(0, BLOCK_N))[None, :]
            scores = tl.where(sees(rows, columns, keys, shift, window, CAUSAL, WINDOWED), scores, float("-inf"))
        p = tl.exp2(scores - sums[:, None])
        value = load_tile(v, batch, head, k_row + start, k_row + keys, strides_v, BLOCK_N, D, DESCRIPTORS)
        dp = tl.dot(do, value.T, input_precision="ieee")
        ds = p * (dp - row_delta[:, None])
        dq = tl.dot(ds.to(key.dtype), key, dq, input_precision="ieee")
    return dq


@triton.jit
def flash_backward_queries(
    q, k, v, grad, lse, delta, dq, cu_q, cu_k, heads, group, tiles, S_q, S_k, window, scale, root, strides_q, strides_k,
    strides_v, strides_grad, strides_rows, strides_dq, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, D: tl.constexpr,
    CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, VARLEN: tl.constexpr, DESCRIPTORS: tl.constexpr,
):  # fmt: skip
    """One tile of queries of one head of one sequence; the last tiles, which see most keys, are begun first."""
    pid = tl.program_id(0)
    row = (tiles - 1 - pid % tiles) * BLOCK_M
    head = pid // tiles % heads
    batch = pid // tiles // heads
    q_row = 0
    k_row = 0
    if VARLEN:
        q_row, k_row, S_q, S_k = packed_rows(cu_q, cu_k, batch)
        batch = 0
        if row >= S_q:  # same: a tile beyond the end writes nothing
            return
    shift = S_k - S_q
    queries = load_tile(q, batch, head, q_row + row, q_row + S_q, strides_q, BLOCK_M, D, False)
    do = load_tile(grad, batch, head, q_row + row, q_row + S_q, strides_grad, BLOCK_M, D, False)
    rows = row + tl.arange(0, BLOCK_M)
    place = start_of(batch, head, q_row, strides_rows) + rows
    sums = tl.load(lse + place, mask=rows < S_q, other=float("inf"))  # same: rows beyond the end are not written
    row_delta = tl.load(delta + place, mask=rows < S_q, other=0.0)  # same: as above
    total = tl.zeros((BLOCK_M, D), tl.float32)
    begin, plain_begin, plain_end, end = span_of_keys(row, S_q, S_k, shift, window, BLOCK_M, BLOCK_N, CAUSAL, WINDOWED)
    if WINDOWED:
        total = gather_queries(
            total, queries, do, sums, row_delta, k, v, batch, head // group, k_row, row, S_k, shift, window, begin,
            plain_begin, scale, strides_k, strides_v, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED, True, DESCRIPTORS,
        )  # fmt: skip
    total = gather_queries(
        total, queries, do, sums, row_delta, k, v, batch, head // group, k_row, row, S_k, shift, window, plain_begin,
        plain_end, scale, strides_k, strides_v, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED, False, DESCRIPTORS,
    )  # fmt: skip
    total = gather_queries(
        total, queries, do, sums, row_delta, k, v, batch, head // group, k_row, row, S_k, shift, window, plain_end, end,
        scale, strides_k, strides_v, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED, True, DESCRIPTORS,
    )  # fmt: skip
    store_tile(dq, total * root, batch, head, q_row + row, q_row + S_q, strides_dq, BLOCK_M, D)


def program(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    grad: torch.Tensor,
    lse: torch.Tensor,
    delta: torch.Tensor,
    dq: torch.Tensor,
    config: FlashBackwardQueries,
    *,
    causal: bool,
    window: int | None = None,
    packed: Packed = None,
) -> Program:
    """dq (B, H, S_q, D), as in flash_backward_keys; ``packed`` names the queries of the longest sequence."""
    assert lse.stride() == delta.stride()
    heads, seq_q = q.shape[1:3]
    arguments, constants, tiles, sequences = shared(q, k, v, grad, lse, delta, config, causal, window, packed, seq_q)
    tiles = triton.cdiv(tiles, config.block_m)
    arguments |= {
        "k": as_loaded(k, config.block_n, config.descriptors),
        "v": as_loaded(v, config.block_n, config.descriptors),
        "dq": dq,
        "heads": heads,
        "tiles": tiles,
        "strides_dq": strides_of(dq),
    }
    return Program(
        name="flash_backward_queries",
        function=flash_backward_queries,
        grid=(tiles * heads * sequences,),
        arguments=arguments,
        constants=constants,
        options=config.options(),
        flops_per_iteration=6 * config.block_m * config.block_n * q.shape[3],
        bytes_per_iteration=2 * config.block_n * q.shape[3] * q.element_size(),
    )
