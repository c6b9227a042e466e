"""C = A B of block-scaled operands: each run of elements along K has a scale of its own, multiplied in by the hardware.

A is (M, K) and B is held as (N, K), K innermost in both: e4m3 in a byte, or e2m1 two to a byte, the first in the low
bits. A scale covers VECTOR elements: e8m0 for 32 of them (OCP microscaling formats), e4m3 for 16 (nvfp4). K is a
multiple of 32; M and N are any.

Scales lie in one of two layouts. *Plain* is (M, K / VECTOR). *Blocked* is how the tensor cores of sm_100 and cuBLAS
want them (CUDA's documentation of cuBLAS, block scaling factors layout): tiles of 128 rows by 4 scales, in which rows
32 apart lie side by side, 512 bytes that are fetched, and copied to the tensor memory, as they are.

Persistent programs walk over the tiles as in :mod:`perwatt.kernels.triton.matmul_descriptor`. C is written through
pointers: as fp32 a tile of it would take the shared memory that the pipeline needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from perwatt.kernels.triton.configuration import MatmulScaled
from perwatt.kernels.triton.matmul_pointer import tile_of
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.scaled import Scaled


@triton.jit
def unblocked(scales, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """(ROWS, COLUMNS) of blocked scales (ROWS / 128, COLUMNS / 4, 2, 256)."""
    blocks = scales.reshape(ROWS // 128, COLUMNS // 4, 32, 4, 4)
    return tl.permute(blocks, (0, 3, 2, 1, 4)).reshape(ROWS, COLUMNS)


@triton.jit
def matmul_scaled(
    a, b, a_scale, b_scale, c_ptr, M, N, K, programs,
    stride_am, stride_bn, stride_asm, stride_bsn, stride_cm,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
    FORMAT: tl.constexpr, PACKED: tl.constexpr, VECTOR: tl.constexpr,
    DESCRIPTORS: tl.constexpr, BLOCKED: tl.constexpr, SPECIALIZE: tl.constexpr, FLATTEN: tl.constexpr,
):  # fmt: skip
    """Every ``programs``-th tile. Operands, and BLOCKED scales, are descriptors or else pointers; PACKED elements lie
    in a byte."""
    BYTES: tl.constexpr = BLOCK_K // PACKED
    SCALES: tl.constexpr = BLOCK_K // VECTOR
    rows = tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_N)
    depth = tl.arange(0, BYTES)
    depth_scales = tl.arange(0, SCALES)
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles_n = tl.cdiv(N, BLOCK_N)
    for tile in tl.range(tl.program_id(0), tiles_m * tiles_n, programs, flatten=FLATTEN, warp_specialize=SPECIALIZE):
        m, n = tile_of(tile, tiles_m, tiles_n, GROUP_M)
        row = m * BLOCK_M
        column = n * BLOCK_N
        in_rows = rows < M - row
        in_columns = columns < N - column
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for k in range(tl.cdiv(K, BLOCK_K)):
            if DESCRIPTORS:
                x = a.load([row, k * BYTES])
                y = b.load([column, k * BYTES])
            else:
                in_depth = depth[None, :] < K // PACKED - k * BYTES
                x_ptrs = a + row.to(tl.int64) * stride_am + k * BYTES + rows[:, None] * stride_am + depth[None, :]
                y_ptrs = b + column.to(tl.int64) * stride_bn + k * BYTES + columns[:, None] * stride_bn + depth[None, :]
                x = tl.load(x_ptrs, mask=in_rows[:, None] & in_depth, other=0.0)
                y = tl.load(y_ptrs, mask=in_columns[:, None] & in_depth, other=0.0)
            if BLOCKED:
                x_scale = unblocked(a_scale.load([row // 128, k * SCALES // 4, 0, 0]), BLOCK_M, SCALES)
                y_scale = unblocked(b_scale.load([column // 128, k * SCALES // 4, 0, 0]), BLOCK_N, SCALES)
            else:
                in_scales = depth_scales[None, :] < K // VECTOR - k * SCALES
                x_ptrs = a_scale + row * stride_asm + k * SCALES + rows[:, None] * stride_asm + depth_scales[None, :]
                y_ptrs = (
                    b_scale + column * stride_bsn + k * SCALES + columns[:, None] * stride_bsn + depth_scales[None, :]
                )
                x_scale = tl.load(x_ptrs, mask=in_rows[:, None] & in_scales, other=0.0)
                y_scale = tl.load(y_ptrs, mask=in_columns[:, None] & in_scales, other=0.0)
            total = tl.dot_scaled(x, x_scale, FORMAT, y.T, y_scale, FORMAT, total)
        c_ptrs = c_ptr + row.to(tl.int64) * stride_cm + column + rows[:, None] * stride_cm + columns[None, :]
        tl.store(c_ptrs, total.to(c_ptr.dtype.element_ty), mask=in_rows[:, None] & in_columns[None, :])


def program(a: Scaled, b: Scaled, c: torch.Tensor, config: MatmulScaled, cores: int) -> Program:
    """C (M, N), row-major, of A (M, K) and B (N, K), on ``cores`` cores."""
    (m, k), n = a.shape, b.shape[0]
    packed = k // a.elements.shape[1]
    scales = config.block_k // a.vector
    operands: dict[str, Any] = {"a": a.elements, "b": b.elements, "a_scale": a.scales, "b_scale": b.scales}
    if config.descriptors:
        operands["a"] = TensorDescriptor.from_tensor(a.elements, [config.block_m, config.block_k // packed])
        operands["b"] = TensorDescriptor.from_tensor(b.elements, [config.block_n, config.block_k // packed])
    if config.blocked:
        for name, x, block in (("a_scale", a, config.block_m), ("b_scale", b, config.block_n)):
            blocked = x.blocked().flatten(2).unflatten(2, (2, 256))  # 256 is the most that a copy has in a row
            operands[name] = TensorDescriptor.from_tensor(blocked, [block // 128, scales // 4, 2, 256])
    tiles = triton.cdiv(m, config.block_m) * triton.cdiv(n, config.block_n)
    programs = min(tiles, cores * config.programs_per_core)
    return Program(
        name="matmul_scaled",
        function=matmul_scaled,
        grid=(programs,),
        arguments=operands
        | {"c_ptr": c, "M": m, "N": n, "K": k, "programs": programs}
        | {"stride_am": a.elements.stride(0), "stride_bn": b.elements.stride(0)}
        | {"stride_asm": a.scales.stride(0), "stride_bsn": b.scales.stride(0), "stride_cm": c.stride(0)},
        constants={
            "BLOCK_M": config.block_m,
            "BLOCK_N": config.block_n,
            "BLOCK_K": config.block_k,
            "GROUP_M": config.group_m,
            "FORMAT": a.element,
            "PACKED": packed,
            "VECTOR": a.vector,
            "DESCRIPTORS": config.descriptors,
            "BLOCKED": config.blocked,
            "SPECIALIZE": config.specialize,
            "FLATTEN": config.flatten,
        },
        options=config.options(),
        flops_per_iteration=2 * config.block_m * config.block_n * config.block_k,
    )
