"""C = A B with one program a tile and plain pointers: the style that every architecture compiles.

Both operands by their strides, so a transposed B needs no other kernel. Tiles are walked in groups of ``GROUP_M`` rows
(the order of Triton's own tutorial on matrix multiplication), which keeps the tiles of B in the last-level cache. What
lies beyond M, N or K is masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl

from perwatt.kernels.triton.configuration import MatmulPointer
from perwatt.kernels.triton.program import Program

if TYPE_CHECKING:
    import torch


@triton.jit
def tile_of(tile, tiles_m, tiles_n, GROUP_M: tl.constexpr):
    """The row and column of the ``tile``-th tile when rows are walked in groups of GROUP_M."""
    in_group = GROUP_M * tiles_n
    first_m = (tile // in_group) * GROUP_M
    rows = tl.minimum(tiles_m - first_m, GROUP_M)
    return first_m + (tile % in_group) % rows, (tile % in_group) // rows


@triton.jit
def matmul_pointer(
    a_ptr, b_ptr, c_ptr, M, N, K,
    stride_ab, stride_am, stride_ak, stride_bb, stride_bk, stride_bn, stride_cb, stride_cm, stride_cn,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
    ACCUMULATE: tl.constexpr, PRECISION: tl.constexpr, PROMOTED: tl.constexpr,
):  # fmt: skip
    """One tile of one matrix of the batch; ACCUMULATE is the accumulator's type, PRECISION that of fp32 products, and
    after PROMOTED products of fp8 the partial sum is added in fp32 (None: as the compiler likes)."""
    matrix = tl.program_id(1).to(tl.int64)
    m, n = tile_of(tl.program_id(0), tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N), GROUP_M)
    rows = (m * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    columns = (n * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    depth = tl.arange(0, BLOCK_K)
    a_ptrs = a_ptr + matrix * stride_ab + rows[:, None] * stride_am + depth[None, :] * stride_ak
    b_ptrs = b_ptr + matrix * stride_bb + depth[:, None] * stride_bk + columns[None, :] * stride_bn
    in_rows = rows[:, None] < M
    in_columns = columns[None, :] < N
    total = tl.zeros((BLOCK_M, BLOCK_N), ACCUMULATE)
    for start in range(0, K, BLOCK_K):
        a = tl.load(a_ptrs, mask=in_rows & (depth[None, :] < K - start), other=0.0)
        b = tl.load(b_ptrs, mask=in_columns & (depth[:, None] < K - start), other=0.0)
        total = tl.dot(a, b, total, input_precision=PRECISION, out_dtype=ACCUMULATE, max_num_imprecise_acc=PROMOTED)
        a_ptrs += BLOCK_K * stride_ak
        b_ptrs += BLOCK_K * stride_bk
    c_ptrs = c_ptr + matrix * stride_cb + rows[:, None] * stride_cm + columns[None, :] * stride_cn
    tl.store(c_ptrs, total.to(c_ptr.dtype.element_ty), mask=in_rows & in_columns)


def accumulator(a: torch.Tensor) -> Any:
    """The type in which products of ``a``'s elements are summed."""
    return tl.int32 if not a.dtype.is_floating_point else tl.float32


def promoted(a: torch.Tensor, config: MatmulPointer, fast_accum: bool) -> int | None:
    """How many products of fp8 may be summed at the tensor core's own precision (about 14 bits on sm_90) before they
    are added in fp32: a tile's depth, as the vendor's library does it; with ``fast_accum`` all of them."""
    return None if fast_accum or a.element_size() > 1 or not a.dtype.is_floating_point else config.block_k


def program(
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    config: MatmulPointer,
    tf32: bool = False,
    fast_accum: bool = False,
) -> Program:
    """C (B, M, N) = A (B, M, K) B (B, K, N), of any strides; ``tf32`` multiplies fp32 operands in TF32, ``fast_accum``
    leaves sums of fp8 at the tensor core's precision."""
    batch, m, k = a.shape
    n = b.shape[2]
    tiles = triton.cdiv(m, config.block_m) * triton.cdiv(n, config.block_n)
    strides = dict(
        zip(
            ("ab", "am", "ak", "bb", "bk", "bn", "cb", "cm", "cn"), (*a.stride(), *b.stride(), *c.stride()), strict=True
        )
    )
    return Program(
        name="matmul_pointer",
        function=matmul_pointer,
        grid=(tiles, batch),
        arguments={"a_ptr": a, "b_ptr": b, "c_ptr": c, "M": m, "N": n, "K": k}
        | {f"stride_{name}": stride for name, stride in strides.items()},
        constants={
            "BLOCK_M": config.block_m,
            "BLOCK_N": config.block_n,
            "BLOCK_K": config.block_k,
            "GROUP_M": config.group_m,
            "ACCUMULATE": accumulator(a),
            "PRECISION": "tf32" if tf32 else "ieee",
            "PROMOTED": promoted(a, config, fast_accum),
        },
        options=config.options(),
        flops_per_iteration=2 * config.block_m * config.block_n * config.block_k,
        bytes_per_iteration=(config.block_m + config.block_n) * config.block_k * a.element_size(),
        iterations=batch * tiles * triton.cdiv(k, config.block_k),
    )
