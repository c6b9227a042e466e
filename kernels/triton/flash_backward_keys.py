"""The gradients of keys and values (see :mod:`perwatt.kernels.triton.flash_backward`): a program keeps a tile of keys.

It walks over the queries that see them, of all heads that share the keys, one head after the other. Scores have keys in
rows and queries in columns, so that no left operand of a product has to be transposed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton.attention_configuration import FlashBackwardKeys
from perwatt.kernels.triton.flash_backward import shared
from perwatt.kernels.triton.flash_forward import (
    as_loaded,
    load_tile,
    packed_rows,
    sees,
    start_of,
    store_tile,
    strides_of,
)
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.flash_backward import Packed


@triton.jit
def span_of_queries(key, rows, keys, shift, window, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
                    WINDOWED: tl.constexpr):  # fmt: skip
    """Where the queries that see the keys from ``key`` on begin, from where and up to where all of a tile see all of
    the keys, and where they end. All but the last are multiples of BLOCK_M."""
    begin = 0  # same: looked at only where it is causal, and set there
    plain_begin = 0
    end = rows  # same: looked at only where there is a window, and set there
    plain_end = tl.cdiv(rows, BLOCK_M) * BLOCK_M  # same: rows beyond the end weigh nothing
    if CAUSAL:
        begin = tl.maximum(key - shift, 0) // BLOCK_M * BLOCK_M
        plain_begin = tl.cdiv(tl.maximum(key + BLOCK_N - 1 - shift, 0), BLOCK_M) * BLOCK_M
        plain_begin = tl.minimum(plain_begin, plain_end)
    if WINDOWED:
        last = tl.minimum(key + BLOCK_N, keys) - 1  # same: one more tile of queries is visited, and masked as a whole
        end = tl.minimum(rows, last - shift + window)  # same: as above
        plain_end = tl.minimum(plain_end, (key - shift + window) // BLOCK_M * BLOCK_M)
        plain_end = tl.maximum(plain_end, plain_begin)
    return begin, plain_begin, plain_end, end


@triton.jit
def gather_keys(dk, dv, k, v, q, grad, lse, delta, batch, head, q_row, key, rows, keys, shift, window, begin, end,
                scale, strides_q, strides_grad, strides_rows, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
                D: tl.constexpr, CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, MASKED: tl.constexpr,
                DESCRIPTORS: tl.constexpr):  # fmt: skip
    """Add what the queries from ``begin`` to ``end`` contribute to ``dk`` (times sqrt(d)) and ``dv``."""
    for start in range(begin, end, BLOCK_M):
        query = load_tile(q, batch, head, q_row + start, q_row + rows, strides_q, BLOCK_M, D, DESCRIPTORS)
        offsets = start + tl.arange(0, BLOCK_M)
        place = start_of(batch, head, q_row, strides_rows) + offsets
        # a row beyond the end has weight 0
        sums = tl.load(lse + place, mask=offsets < rows, other=float("inf"))
        scores = tl.dot(k, query.T, input_precision="ieee") * scale
        if MASKED:
            places = (key + tl.arange(0, BLOCK_N))[:, None]
            seen = sees(offsets[None, :], places, keys, shift, window, CAUSAL, WINDOWED)
            scores = tl.where(seen, scores, float("-inf"))
        p = tl.exp2(scores - sums[None, :])
        do = load_tile(grad, batch, head, q_row + start, q_row + rows, strides_grad, BLOCK_M, D, DESCRIPTORS)
        dv = tl.dot(p.to(do.dtype), do, dv, input_precision="ieee")
        dp = tl.dot(v, do.T, input_precision="ieee")
        row = tl.load(delta + place, mask=offsets < rows, other=0.0)
        ds = p * (dp - row[None, :])
        dk = tl.dot(ds.to(query.dtype), query, dk, input_precision="ieee")
    return dk, dv


@triton.jit
def flash_backward_keys(
    q, k, v, grad, lse, delta, dk, dv, cu_q, cu_k, kv_heads, group, tiles, S_q, S_k, window, scale, root, strides_q,
    strides_k, strides_v, strides_grad, strides_rows, strides_dk, strides_dv, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, D: tl.constexpr, CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, VARLEN: tl.constexpr,
    DESCRIPTORS: tl.constexpr,
):  # fmt: skip
    """One tile of keys of one key-value head of one sequence; the first tiles, which most queries see, come first."""
    pid = tl.program_id(0)
    key = pid % tiles * BLOCK_N
    kv_head = pid // tiles % kv_heads
    batch = pid // tiles // kv_heads
    q_row = 0
    k_row = 0
    if VARLEN:
        q_row, k_row, S_q, S_k = packed_rows(cu_q, cu_k, batch)
        batch = 0
        if key >= S_k:  # same: a tile beyond the end writes nothing
            return
    shift = S_k - S_q
    keys = load_tile(k, batch, kv_head, k_row + key, k_row + S_k, strides_k, BLOCK_N, D, False)
    values = load_tile(v, batch, kv_head, k_row + key, k_row + S_k, strides_v, BLOCK_N, D, False)
    of_keys = tl.zeros((BLOCK_N, D), tl.float32)
    of_values = tl.zeros((BLOCK_N, D), tl.float32)
    begin, plain_begin, plain_end, end = span_of_queries(
        key, S_q, S_k, shift, window, BLOCK_M, BLOCK_N, CAUSAL, WINDOWED
    )
    for head in range(kv_head * group, (kv_head + 1) * group):
        if CAUSAL:
            of_keys, of_values = gather_keys(
                of_keys, of_values, keys, values, q, grad, lse, delta, batch, head, q_row, key, S_q, S_k, shift, window,
                begin, plain_begin, scale, strides_q, strides_grad, strides_rows, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED,
                True, DESCRIPTORS,
            )  # fmt: skip
        of_keys, of_values = gather_keys(
            of_keys, of_values, keys, values, q, grad, lse, delta, batch, head, q_row, key, S_q, S_k, shift, window,
            plain_begin, plain_end, scale, strides_q, strides_grad, strides_rows, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED,
            False, DESCRIPTORS,
        )  # fmt: skip
        if WINDOWED:
            of_keys, of_values = gather_keys(
                of_keys, of_values, keys, values, q, grad, lse, delta, batch, head, q_row, key, S_q, S_k, shift, window,
                plain_end, end, scale, strides_q, strides_grad, strides_rows, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED,
                True, DESCRIPTORS,
            )  # fmt: skip
    store_tile(dk, of_keys * root, batch, kv_head, k_row + key, k_row + S_k, strides_dk, BLOCK_N, D)
    store_tile(dv, of_values, batch, kv_head, k_row + key, k_row + S_k, strides_dv, BLOCK_N, D)


def program(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    grad: torch.Tensor,
    lse: torch.Tensor,
    delta: torch.Tensor,
    dk: torch.Tensor,
    dv: torch.Tensor,
    config: FlashBackwardKeys,
    *,
    causal: bool,
    window: int | None = None,
    packed: Packed = None,
) -> Program:
    """dk and dv (B, H_kv, S_k, D) for the output gradient ``grad`` (B, H, S_q, D); the rest as the forward pass has it.

    ``lse`` and ``delta`` (B, H, S_q) have the same strides; ``packed`` names the keys of the longest sequence.
    """
    assert lse.stride() == delta.stride()
    kv_heads, seq_k = k.shape[1:3]
    arguments, constants, tiles, sequences = shared(q, k, v, grad, lse, delta, config, causal, window, packed, seq_k)
    tiles = triton.cdiv(tiles, config.block_n)
    arguments |= {
        "q": as_loaded(q, config.block_m, config.descriptors),
        "grad": as_loaded(grad, config.block_m, config.descriptors),
        "dk": dk,
        "dv": dv,
        "kv_heads": kv_heads,
        "tiles": tiles,
        "strides_dk": strides_of(dk),
        "strides_dv": strides_of(dv),
    }
    return Program(
        name="flash_backward_keys",
        function=flash_backward_keys,
        grid=(tiles * kv_heads * sequences,),
        arguments=arguments,
        constants=constants,
        options=config.options(),
        flops_per_iteration=8 * config.block_m * config.block_n * q.shape[3],
        bytes_per_iteration=2 * config.block_m * (q.shape[3] * q.element_size() + 4),
    )
