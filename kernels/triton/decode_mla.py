"""Decoding with multi-head latent attention, in its absorbed form (DeepSeek-V2, arXiv 2405.04434, section 2.1.2).

All heads share one cache (pages, page, LATENT + ROPE): a token's latent vector, which is key and value at once, and its
rotated key. A query is the head's own with the keys' projection multiplied in, and its rotated part; the output is a
sum of latents, to which the values' projection is yet to be applied. With 128 heads a byte of the cache is used for
some 240 FLOP: this decoding is near the limit of the tensor cores, not of the memory alone.

The tile of BLOCK_M heads and the stretches of keys are as in :mod:`perwatt.kernels.triton.decode_paged`; the latent is
loaded once and serves both products.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton import decode_combine
from perwatt.kernels.triton.attention_configuration import DecodeMla
from perwatt.kernels.triton.decode_paged import take_in, write_part
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch


@triton.jit
def decode_mla(
    q, cache, table, lengths, parts, lse, chunk, heads, scale, strides_q, strides_cache, stride_table, strides_parts,
    strides_lse, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PAGE: tl.constexpr, LATENT: tl.constexpr,
    ROPE: tl.constexpr,
):  # fmt: skip
    """One stretch of keys for BLOCK_M heads of one sequence."""
    part = tl.program_id(0)
    tiles = tl.cdiv(heads, BLOCK_M)
    batch = tl.program_id(1) // tiles
    length = tl.load(lengths + batch)
    begin = part * chunk
    if begin >= length:  # same: a stretch without a key is not read by whoever combines
        return
    end = tl.minimum(begin + chunk, length)
    stride_qb, stride_qh = strides_q
    stride_cp, stride_cs = strides_cache
    rows = tl.program_id(1) % tiles * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, LATENT)
    rope = LATENT + tl.arange(0, ROPE)
    q_place = q + batch * stride_qb + rows[:, None] * stride_qh
    mine = rows < heads
    latent_q = tl.load(q_place + columns[None, :], mask=mine[:, None], other=0.0)  # same: others are not written
    rope_q = tl.load(q_place + rope[None, :], mask=mine[:, None], other=0.0)  # same: as above
    total = tl.zeros((BLOCK_M, LATENT), tl.float32)
    weight = tl.zeros((BLOCK_M,), tl.float32)
    largest = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    for start in range(begin, end, BLOCK_N):
        token = start + tl.arange(0, BLOCK_N)
        inside = token < end
        page = tl.load(table + batch * stride_table + token // PAGE, mask=inside, other=0).to(tl.int64)
        place = cache + (page * stride_cp + (token % PAGE) * stride_cs)[:, None]
        latent = tl.load(place + columns[None, :], mask=inside[:, None], other=0.0)
        rope_k = tl.load(place + rope[None, :])  # beyond the end page 0, and masked as a score
        scores = tl.dot(rope_q, rope_k.T, input_precision="ieee")
        scores = tl.dot(latent_q, latent.T, scores, input_precision="ieee") * scale
        scores = tl.where(inside[None, :], scores, float("-inf"))
        total, largest, weight = take_in(total, largest, weight, scores, latent)
    write_part(parts, lse, total, largest, weight, batch, part, rows, columns, mine, strides_parts, strides_lse)


def programs(
    q: torch.Tensor,
    cache: torch.Tensor,
    table: torch.Tensor,
    lengths: torch.Tensor,
    longest: int,
    out: torch.Tensor,
    scale: float,
    config: DecodeMla,
    cores: int,
) -> tuple[Program, ...]:
    """out (B, H, L) for q (B, H, L + R) and cache (pages, page, L + R), table (B, most pages) and lengths (B,) int32.

    ``scale`` multiplies the scores; L, R and page are powers of two.
    """
    batch, heads, width = q.shape
    page, latent = cache.shape[1], out.shape[2]
    tiles = triton.cdiv(heads, config.block_m)
    chunk = decode_combine.chunk_of(longest, batch * tiles, cores, config)
    parts, lse = decode_combine.buffers(out, triton.cdiv(longest, chunk))
    part = Program(
        name="decode_mla",
        function=decode_mla,
        grid=(parts.shape[1], batch * tiles),
        arguments={
            "q": q,
            "cache": cache,
            "table": table,
            "lengths": lengths,
            "parts": parts,
            "lse": lse,
            "chunk": chunk,
            "heads": heads,
            "scale": scale * math.log2(math.e),
            "strides_q": q.stride()[:2],
            "strides_cache": cache.stride()[:2],
            "stride_table": table.stride(0),
            "strides_parts": parts.stride()[:3],
            "strides_lse": lse.stride(),
        },
        constants={
            "BLOCK_M": config.block_m,
            "BLOCK_N": config.block_n,
            "PAGE": page,
            "LATENT": latent,
            "ROPE": width - latent,
        },
        options=config.options(),
        flops_per_iteration=2 * config.block_m * config.block_n * (width + latent),
        bytes_per_iteration=config.block_n * width * cache.element_size(),
    )
    return (part, *decode_combine.programs(parts, lse, out, lengths, chunk))
