"""softmax(q k' / sqrt(d)) v in one pass, without writing the scores: FlashAttention's forward pass (arXiv 2307.08691).

One program a tile of BLOCK_M queries of one head. It walks over the keys BLOCK_N at a time and keeps, for each query,
the largest score so far, the sum of the exponentials and the weighted sum of the values; when a larger score comes,
what was summed is rescaled. Exponentials are powers of two, for which there is an instruction: scores are multiplied by
log2(e), and the log-sum-exp that is written is the one to the base 2.

Causal is aligned at the bottom right: with shift = S_k - S_q, query i sees the keys up to i + shift, and with a window
only the last ``window`` of those. Tiles of keys that nobody in the tile of queries sees are not visited, and only those
at an edge are masked. Key-value heads are shared by groups of query heads (GQA).

Packed sequences of different lengths (VARLEN) are one batch entry of all tokens with offsets: sequence b holds the rows
cu_q[b] to cu_q[b + 1] of q and the output, and cu_k[b] to cu_k[b + 1] of k and v.

Operands are loaded through pointers, or with DESCRIPTORS by the copy engine of sm_90 and later; a descriptor's tile may
reach into the next packed sequence, whose (finite) rows then are masked like any other. With SPECIALIZE other warps
load than those that multiply; the compiler then can have one loop only, in which every tile is masked.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from perwatt.kernels.triton.attention_configuration import FlashForward
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch


@triton.jit
def start_of(batch, head, row, strides):
    """Where row ``row`` of a (B, H, S, D) tensor begins, in elements."""
    stride_b, stride_h, stride_s = strides
    return tl.cast(batch, tl.int64) * stride_b + tl.cast(head, tl.int64) * stride_h + tl.cast(row, tl.int64) * stride_s


@triton.jit
def packed_rows(cu_q, cu_k, sequence):
    """Of a packed sequence the first row of its queries and of its keys, and how many there are of each."""
    q_row = tl.load(cu_q + sequence)
    k_row = tl.load(cu_k + sequence)
    return q_row, k_row, tl.load(cu_q + sequence + 1) - q_row, tl.load(cu_k + sequence + 1) - k_row


@triton.jit
def load_tile(x, batch, head, row, rows, strides, BLOCK: tl.constexpr, D: tl.constexpr, DESCRIPTORS: tl.constexpr):
    """BLOCK rows of x (B, H, S, D) from ``row`` on: (BLOCK, D). Through a pointer, those from ``rows`` on are 0."""
    if DESCRIPTORS:
        tile = x.load([batch, head, row, 0]).reshape(BLOCK, D)
    else:
        places = tl.arange(0, BLOCK)[:, None] * strides[2] + tl.arange(0, D)[None, :]
        inside = (row + tl.arange(0, BLOCK) < rows)[:, None]
        tile = tl.load(x + start_of(batch, head, row, strides) + places, mask=inside, other=0.0)
    return tile


@triton.jit
def store_tile(x, tile, batch, head, row, rows, strides, BLOCK: tl.constexpr, D: tl.constexpr):
    """Write ``tile`` (BLOCK, D) to x (B, H, S, D) from ``row`` on, up to ``rows``."""
    places = tl.arange(0, BLOCK)[:, None] * strides[2] + tl.arange(0, D)[None, :]
    inside = (row + tl.arange(0, BLOCK) < rows)[:, None]
    tl.store(x + start_of(batch, head, row, strides) + places, tile.to(x.dtype.element_ty), mask=inside)


@triton.jit
def sees(row, key, keys, shift, window, CAUSAL: tl.constexpr, WINDOWED: tl.constexpr):
    """Whether query ``row`` sees ``key`` of ``keys``, for blocks that broadcast against each other.

    One comparison each: what causal queries see ends before ``keys`` does, and a negative distance is a huge one.
    """
    if WINDOWED:
        seen = tl.cast(row + shift - key, tl.uint32) < tl.cast(window, tl.uint32)
    elif CAUSAL:
        seen = key <= row + shift
    else:
        seen = key < keys
    return seen


@triton.jit
def span_of_keys(row, rows, keys, shift, window, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
                 WINDOWED: tl.constexpr):  # fmt: skip
    """Where the keys seen by the queries from ``row`` on begin, from where and up to where all of the queries see all
    of a tile, and where they end. All but the last are multiples of BLOCK_N."""
    begin = 0
    plain_begin = 0
    plain_end = keys // BLOCK_N * BLOCK_N
    end = keys  # same: one more tile is visited, and masked as a whole
    last = tl.minimum(row + BLOCK_M, rows) - 1  # same: as above
    if CAUSAL:
        plain_end = tl.minimum(plain_end, (row + shift + 1) // BLOCK_N * BLOCK_N)
        end = tl.minimum(keys, last + shift + 1)  # same: as above
    if WINDOWED:
        begin = tl.maximum(row + shift - window + 1, 0) // BLOCK_N * BLOCK_N
        plain_begin = tl.maximum(tl.cdiv(last + shift - window + 1, BLOCK_N) * BLOCK_N, begin)
        plain_begin = tl.minimum(plain_begin, tl.cdiv(end, BLOCK_N) * BLOCK_N)
        plain_end = tl.maximum(plain_begin, plain_end)
    return begin, plain_begin, plain_end, end


@triton.jit
def attend(total, largest, weight, q, k, v, batch, head, k_row, row, keys, shift, window, begin, end, scale, strides_k,
           strides_v, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, D: tl.constexpr, CAUSAL: tl.constexpr,
           WINDOWED: tl.constexpr, MASKED: tl.constexpr, DESCRIPTORS: tl.constexpr,
           SPECIALIZE: tl.constexpr):  # fmt: skip
    """Take in the keys from ``begin`` to ``end``: the new weighted sum, largest score and sum of exponentials."""
    for start in tl.range(begin, end, BLOCK_N, warp_specialize=SPECIALIZE):
        key = load_tile(k, batch, head, k_row + start, k_row + keys, strides_k, BLOCK_N, D, DESCRIPTORS)
        scores = tl.dot(q, key.T, input_precision="ieee")
        if MASKED:
            rows = (row + tl.arange(0, BLOCK_M))[:, None]
            columns = (start + tl.arange(0, BLOCK_N))[None, :]
            scores = tl.where(sees(rows, columns, keys, shift, window, CAUSAL, WINDOWED), scores, float("-inf"))
        larger = tl.maximum(largest, tl.max(scores, 1) * scale)
        if MASKED:
            base = tl.where(larger == float("-inf"), 0.0, larger)  # a query that has seen no key yet
        else:
            base = larger
        p = tl.exp2(scores * scale - base[:, None])
        keep = tl.exp2(largest - base)
        weight = weight * keep
        weight += tl.sum(p, 1)
        total = total * keep[:, None]
        value = load_tile(v, batch, head, k_row + start, k_row + keys, strides_v, BLOCK_N, D, DESCRIPTORS)
        total = tl.dot(p.to(value.dtype), value, total, input_precision="ieee")
        largest = larger
    return total, largest, weight


@triton.jit
def flash_forward(
    q, k, v, out, lse, cu_q, cu_k, heads, group, tiles, S_q, S_k, window, scale, strides_q, strides_k, strides_v,
    strides_out, strides_lse, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, D: tl.constexpr, CAUSAL: tl.constexpr,
    WINDOWED: tl.constexpr, VARLEN: tl.constexpr, DESCRIPTORS: tl.constexpr, SPECIALIZE: tl.constexpr,
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
    queries = load_tile(q, batch, head, q_row + row, q_row + S_q, strides_q, BLOCK_M, D, DESCRIPTORS)
    total = tl.zeros((BLOCK_M, D), tl.float32)
    largest = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    weight = tl.zeros((BLOCK_M,), tl.float32)
    begin, plain_begin, plain_end, end = span_of_keys(row, S_q, S_k, shift, window, BLOCK_M, BLOCK_N, CAUSAL, WINDOWED)
    if SPECIALIZE:
        total, largest, weight = attend(
            total, largest, weight, queries, k, v, batch, head // group, k_row, row, S_k, shift, window, begin, end,
            scale, strides_k, strides_v, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED, True, DESCRIPTORS, True,
        )  # fmt: skip
    else:
        if WINDOWED:
            total, largest, weight = attend(
                total, largest, weight, queries, k, v, batch, head // group, k_row, row, S_k, shift, window, begin,
                plain_begin, scale, strides_k, strides_v, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED, True, DESCRIPTORS,
                False,
            )  # fmt: skip
        total, largest, weight = attend(
            total, largest, weight, queries, k, v, batch, head // group, k_row, row, S_k, shift, window, plain_begin,
            plain_end, scale, strides_k, strides_v, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED, False, DESCRIPTORS, False,
        )  # fmt: skip
        total, largest, weight = attend(
            total, largest, weight, queries, k, v, batch, head // group, k_row, row, S_k, shift, window, plain_end,
            end, scale, strides_k, strides_v, BLOCK_M, BLOCK_N, D, CAUSAL, WINDOWED, True, DESCRIPTORS, False,
        )  # fmt: skip
    store_tile(out, total / weight[:, None], batch, head, q_row + row, q_row + S_q, strides_out, BLOCK_M, D)
    rows = row + tl.arange(0, BLOCK_M)
    places = start_of(batch, head, q_row, strides_lse) + rows
    tl.store(lse + places, largest + tl.log2(weight), mask=rows < S_q)


def strides_of(x: torch.Tensor) -> tuple[int, int, int]:
    """Those of batch, head and row of x (B, H, S, D), whose rows must be contiguous, or of x (B, H, S)."""
    if x.dim() == 4 and x.stride(3) != 1:
        raise ValueError("the elements of a row do not lie side by side")
    return x.stride(0), x.stride(1), x.stride(2)


def as_loaded(x: torch.Tensor, rows: int, descriptors: bool) -> Any:
    """``x`` (B, H, S, D) itself, or its descriptor for tiles of ``rows`` rows."""
    return TensorDescriptor.from_tensor(x, [1, 1, rows, x.shape[3]]) if descriptors else x


def program(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    out: torch.Tensor,
    lse: torch.Tensor,
    config: FlashForward,
    *,
    causal: bool,
    window: int | None = None,
    packed: tuple[torch.Tensor, torch.Tensor, int] | None = None,
) -> Program:
    """Attention of q (B, H, S_q, D) with k, v (B, H_kv, S_k, D) into out (B, H, S_q, D) and lse (B, H, S_q) fp32.

    ``packed`` is (cu_q, cu_k, longest): offsets (sequences + 1,) int32 of the sequences that lie one after the other in
    the single batch entry, and the number of queries of the longest. ``window`` needs ``causal``, and causal at least
    as many keys as queries in each sequence. D is a power of two.
    """
    batch, heads, seq_q, dim = q.shape
    cu_q, cu_k, longest = packed or (None, None, seq_q)
    sequences = batch if cu_q is None else cu_q.shape[0] - 1
    tiles = triton.cdiv(longest, config.block_m)
    return Program(
        name="flash_forward",
        function=flash_forward,
        grid=(tiles * heads * sequences,),
        arguments={
            "q": as_loaded(q, config.block_m, config.descriptors),
            "k": as_loaded(k, config.block_n, config.descriptors),
            "v": as_loaded(v, config.block_n, config.descriptors),
            "out": out,
            "lse": lse,
            "cu_q": cu_q,
            "cu_k": cu_k,
            "heads": heads,
            "group": heads // k.shape[1],
            "tiles": tiles,
            "S_q": seq_q,
            "S_k": k.shape[2],
            "window": window or 0,
            "scale": math.log2(math.e) / math.sqrt(dim),
            "strides_q": strides_of(q),
            "strides_k": strides_of(k),
            "strides_v": strides_of(v),
            "strides_out": strides_of(out),
            "strides_lse": strides_of(lse),
        },
        constants={
            "BLOCK_M": config.block_m,
            "BLOCK_N": config.block_n,
            "D": dim,
            "CAUSAL": causal,
            "WINDOWED": window is not None,
            "VARLEN": packed is not None,
            "DESCRIPTORS": config.descriptors,
            "SPECIALIZE": config.specialize,
        },
        options=config.options(),
        flops_per_iteration=4 * config.block_m * config.block_n * dim,
        bytes_per_iteration=2 * config.block_n * dim * k.element_size(),
    )
