"""Attention of one query to many keys that several programs shared: their parts put together.

Each part is the attention to a stretch of the keys, normalised by itself, and the log-sum-exp of its scores to the base
2. With the largest of those, l, the output is sum(2^(l_i - l) o_i) / sum(2^(l_i - l)) (Flash-Decoding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.attention_configuration import Decode


@triton.jit
def decode_combine(parts, lse, out, lengths, chunk, heads, strides_parts, strides_lse, strides_out, D: tl.constexpr):
    """One head of one sequence, whose parts are those that have a key."""
    batch = tl.program_id(0) // heads
    head = tl.program_id(0) % heads
    stride_b, stride_s, stride_h = strides_parts
    stride_lb, stride_ls, stride_lh = strides_lse
    stride_ob, stride_oh = strides_out
    columns = tl.arange(0, D)
    place = parts + tl.cast(batch, tl.int64) * stride_b + head * stride_h + columns
    lse_place = lse + tl.cast(batch, tl.int64) * stride_lb + head * stride_lh
    total = tl.zeros((D,), tl.float32)
    weight = 0.0
    largest = float("-inf")
    for part in range(tl.cdiv(tl.load(lengths + batch), chunk)):
        score = tl.load(lse_place + part * stride_ls)
        value = tl.load(place + part * stride_s)
        larger = tl.maximum(largest, score)
        keep = tl.exp2(largest - larger)
        new = tl.exp2(score - larger)
        total = total * keep
        total += new * value
        weight = weight * keep
        weight += new
        largest = larger
    tl.store(out + tl.cast(batch, tl.int64) * stride_ob + head * stride_oh + columns,
             (total / weight).to(out.dtype.element_ty))  # fmt: skip


def chunk_of(longest: int, programs: int, cores: int, config: Decode) -> int:
    """How many keys one program takes of a sequence of at most ``longest``, a multiple of the tile: so few that all
    cores have work, when ``programs`` would do without sharing, but at least ``least_tiles`` tiles."""
    wanted = max(1, cores * config.programs_per_core // programs)
    tiles = -(-longest // (config.block_n * wanted))
    return max(tiles, config.least_tiles) * config.block_n


def buffers(out: torch.Tensor, parts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the parts (B, parts, H, D) and their log-sum-exps (B, parts, H) go: a single part straight to ``out``."""
    import torch

    batch, heads, dim = out.shape
    lse = out.new_empty((batch, parts, heads), dtype=torch.float32)
    if parts == 1:
        return out.unsqueeze(1), lse
    return out.new_empty((batch, parts, heads, dim), dtype=torch.float32), lse


def programs(
    parts: torch.Tensor, lse: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor, chunk: int
) -> tuple[Program, ...]:
    """out (B, H, D) from parts (B, S, H, D) and lse (B, S, H), of stretches of ``chunk`` keys; nothing for one part."""
    batch, count, heads, dim = parts.shape
    if count == 1:
        return ()
    combine = Program(
        name="decode_combine",
        function=decode_combine,
        grid=(batch * heads,),
        arguments={
            "parts": parts,
            "lse": lse,
            "out": out,
            "lengths": lengths,
            "chunk": chunk,
            "heads": heads,
            "strides_parts": parts.stride()[:3],
            "strides_lse": lse.stride(),
            "strides_out": out.stride()[:2],
        },
        constants={"D": dim},
        options={"num_warps": 4, "num_stages": 2, "enable_fp_fusion": True},
    )
    return (combine,)
