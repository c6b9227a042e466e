"""Attention of one new token of each sequence to its keys and values, which lie in pages: split-KV decoding.

The cache is (pages, page, H_kv, D); a row of the page table says in which pages the tokens of a sequence lie, in order.
A stretch of CHUNK keys of one sequence and one key-value head is one program's; the queries of all heads of the group
make up the rows of its tile, at least 16, which is what the tensor cores want (with fewer the rest is empty). What the
programs find is put together by :mod:`perwatt.kernels.triton.decode_combine`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton import decode_combine
from perwatt.kernels.triton.attention_configuration import DecodePaged
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch


@triton.jit
def take_in(total, largest, weight, scores, value):
    """The weighted sum (R, D), the largest score and the sum of exponentials (R,) with ``scores`` (R, N), logarithms to
    the base 2, of the keys of ``value`` (N, D) taken in."""
    larger = tl.maximum(largest, tl.max(scores, 1))
    p = tl.exp2(scores - larger[:, None])
    keep = tl.exp2(largest - larger)
    weight = weight * keep
    weight += tl.sum(p, 1)
    total = total * keep[:, None]
    total = tl.dot(p.to(value.dtype), value, total, input_precision="ieee")
    return total, larger, weight


@triton.jit
def write_part(parts, lse, total, largest, weight, batch, part, heads, columns, mine, strides_parts, strides_lse):
    """What one stretch of keys came to, for the ``heads`` that are ``mine``."""
    stride_b, stride_s, stride_h = strides_parts
    stride_lb, stride_ls, stride_lh = strides_lse
    place = tl.cast(batch, tl.int64) * stride_b + part * stride_s + heads * stride_h
    output = (total / weight[:, None]).to(parts.dtype.element_ty)
    tl.store(parts + place[:, None] + columns[None, :], output, mask=mine[:, None])
    # Added to the pointer one by one: an offset of its own costs fp32 of 256 a register too many on sm_100.
    place = lse + batch * stride_lb + part * stride_ls + heads * stride_lh
    tl.store(place, largest + tl.log2(weight), mask=mine)


@triton.jit
def decode_paged(
    q, k, v, table, lengths, parts, lse, chunk, kv_heads, group, scale, strides_q, strides_k, strides_v, stride_table,
    strides_parts, strides_lse, GROUP: tl.constexpr, BLOCK_N: tl.constexpr, PAGE: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """One stretch of keys of one key-value head of one sequence; GROUP is ``group`` padded."""
    part = tl.program_id(0)
    batch = tl.program_id(1) // kv_heads
    kv_head = tl.program_id(1) % kv_heads
    length = tl.load(lengths + batch)
    begin = part * chunk
    if begin >= length:  # same: a stretch without a key is not read by whoever combines
        return
    end = tl.minimum(begin + chunk, length)
    stride_qb, stride_qh = strides_q
    stride_kp, stride_ks, stride_kh = strides_k
    stride_vp, stride_vs, stride_vh = strides_v
    rows = tl.arange(0, GROUP)
    heads = kv_head * group + rows
    columns = tl.arange(0, D)
    mine = rows < group
    q_place = q + batch * stride_qb + heads[:, None] * stride_qh
    queries = tl.load(q_place + columns[None, :], mask=mine[:, None], other=0.0)  # same: others are not written
    total = tl.zeros((GROUP, D), tl.float32)
    weight = tl.zeros((GROUP,), tl.float32)
    largest = tl.full((GROUP,), float("-inf"), tl.float32)
    for start in range(begin, end, BLOCK_N):
        token = start + tl.arange(0, BLOCK_N)
        inside = token < end
        page = tl.load(table + batch * stride_table + token // PAGE, mask=inside, other=0).to(tl.int64)
        k_place = page * stride_kp + (token % PAGE) * stride_ks + kv_head * stride_kh
        v_place = page * stride_vp + (token % PAGE) * stride_vs + kv_head * stride_vh
        key = tl.load(k + k_place[:, None] + columns[None, :])  # beyond the end page 0, and masked as a score
        value = tl.load(v + v_place[:, None] + columns[None, :], mask=inside[:, None], other=0.0)
        scores = tl.dot(queries, key.T, input_precision="ieee") * scale
        scores = tl.where(inside[None, :], scores, float("-inf"))
        total, largest, weight = take_in(total, largest, weight, scores, value)
    write_part(parts, lse, total, largest, weight, batch, part, heads, columns, mine, strides_parts, strides_lse)


def programs(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    table: torch.Tensor,
    lengths: torch.Tensor,
    longest: int,
    out: torch.Tensor,
    config: DecodePaged,
    cores: int,
) -> tuple[Program, ...]:
    """out (B, H, D) for q (B, H, D), k and v (pages, page, H_kv, D), table (B, most pages) and lengths (B,) int32.

    ``longest`` is the greatest length, known on the host; page and D are powers of two.
    """
    batch, heads, dim = q.shape
    page, kv_heads = k.shape[1:3]
    group = heads // kv_heads
    chunk = decode_combine.chunk_of(longest, batch * kv_heads, cores, config)
    parts, lse = decode_combine.buffers(out, triton.cdiv(longest, chunk))
    part = Program(
        name="decode_paged",
        function=decode_paged,
        grid=(parts.shape[1], batch * kv_heads),
        arguments={
            "q": q,
            "k": k,
            "v": v,
            "table": table,
            "lengths": lengths,
            "parts": parts,
            "lse": lse,
            "chunk": chunk,
            "kv_heads": kv_heads,
            "group": group,
            "scale": math.log2(math.e) / math.sqrt(dim),
            "strides_q": q.stride()[:2],
            "strides_k": k.stride()[:3],
            "strides_v": v.stride()[:3],
            "stride_table": table.stride(0),
            "strides_parts": parts.stride()[:3],
            "strides_lse": lse.stride(),
        },
        constants={
            "GROUP": max(16, triton.next_power_of_2(group)),
            "BLOCK_N": config.block_n,
            "PAGE": page,
            "D": dim,
        },
        options=config.options(),
        flops_per_iteration=4 * max(16, triton.next_power_of_2(group)) * config.block_n * dim,
        bytes_per_iteration=2 * config.block_n * dim * k.element_size(),
    )
    return (part, *decode_combine.programs(parts, lse, out, lengths, chunk))
