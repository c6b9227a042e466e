"""C = A B for groups of rows that each have a matrix of their own: a mixture of experts' products in one launch.

A (T, K) holds the rows of all groups one after the other, B (G, K, N) a matrix for each; ``offsets`` (G + 1) int32, on
the device, says where each group begins and ends. A group may have any number of rows, none too: the kernel learns it
from the offsets alone, as where a router has just decided.

Each program stays on its core and walks over the tiles of all groups, ``programs`` of them apart. Where a tile lies is
found from the running sum of the groups' tiles, held in registers: the cost does not grow with the groups before it.
A and B come through tensor descriptors (TMA, on sm_90 and later) or pointers. C is written through pointers, since the
last tile of a group must not touch the rows of the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from perwatt.kernels.triton.configuration import MatmulGrouped
from perwatt.kernels.triton.program import Program
from perwatt.kernels.workload import Unsupported

if TYPE_CHECKING:
    import torch


@triton.jit
def matmul_grouped(
    a, b, c_ptr, offsets_ptr, N, K, programs,
    stride_am, stride_ak, stride_bg, stride_bk, stride_bn, stride_cm, stride_cn,
    G: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
    DESCRIPTORS: tl.constexpr, B_TRANSPOSED: tl.constexpr,
):  # fmt: skip
    """Every ``programs``-th tile; ``a`` and ``b`` are descriptors or pointers, GROUPS the power of two above G."""
    group = tl.arange(0, GROUPS)
    there = group < G
    begins = tl.load(offsets_ptr + group, mask=there, other=0)
    ends = tl.load(offsets_ptr + group + 1, mask=there, other=0)
    tiles_n = tl.cdiv(N, BLOCK_N)
    tiles = tl.cdiv(ends - begins, BLOCK_M) * tiles_n
    until = tl.cumsum(tiles, 0)
    rows = tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_N)
    depth = tl.arange(0, BLOCK_K)
    for tile in tl.range(tl.program_id(0), tl.sum(tiles, 0), programs):
        before = until <= tile
        g = tl.sum(before.to(tl.int32), 0)
        within = tile - tl.sum(tl.where(before, tiles, 0), 0)
        begin = tl.load(offsets_ptr + g)
        end = tl.load(offsets_ptr + g + 1)
        # rows of tiles are walked together, GROUP_M at a time, so that the tiles of B stay in cache
        walked = GROUP_M * tiles_n
        first_m = within // walked * GROUP_M
        together = tl.minimum(tl.cdiv(end - begin, BLOCK_M) - first_m, GROUP_M)
        m = first_m + within % walked % together
        n = within % walked // together

        # what is far is added to the pointer, in 64 bits; within a tile 32 bits are enough, and cheaper
        row = begin + m * BLOCK_M
        column = n * BLOCK_N
        in_rows = rows[:, None] < end - row
        in_columns = columns[None, :] < N - column
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        if DESCRIPTORS:
            for start in range(0, K, BLOCK_K):
                x = a.load([row, start])  # rows of the next group too: they are not written
                if B_TRANSPOSED:
                    y = b.load([g, column, start]).reshape(BLOCK_N, BLOCK_K).T
                else:
                    y = b.load([g, start, column]).reshape(BLOCK_K, BLOCK_N)
                total = tl.dot(x, y, total)
        else:
            x_ptr = a + row.to(tl.int64) * stride_am
            y_ptr = b + g.to(tl.int64) * stride_bg + column.to(tl.int64) * stride_bn
            for start in range(0, K, BLOCK_K):
                x_ptrs = x_ptr + rows[:, None] * stride_am + depth[None, :] * stride_ak
                y_ptrs = y_ptr + depth[:, None] * stride_bk + columns[None, :] * stride_bn
                x = tl.load(x_ptrs, mask=in_rows & (depth[None, :] < K - start), other=0.0)
                y = tl.load(y_ptrs, mask=in_columns & (depth[:, None] < K - start), other=0.0)
                total = tl.dot(x, y, total)
                x_ptr += BLOCK_K * stride_ak
                y_ptr += BLOCK_K * stride_bk
        c_ptrs = c_ptr + row.to(tl.int64) * stride_cm + column.to(tl.int64) * stride_cn
        c_ptrs += rows[:, None] * stride_cm + columns[None, :] * stride_cn
        tl.store(c_ptrs, total.to(c_ptr.dtype.element_ty), mask=in_rows & in_columns)


def program(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, offsets: torch.Tensor, config: MatmulGrouped, cores: int
) -> Program:
    """C (T, N) = A (T, K) B (G, K, N), of any strides where there are no descriptors, on ``cores`` cores.

    Raises Unsupported for descriptors of rows that are no multiple of 16 bytes.
    """
    (rows, k), (groups, _, n) = a.shape, b.shape
    transposed = b.stride(1) == 1 and b.stride(2) > 1
    operands: dict[str, Any] = {"a": a, "b": b}
    if config.descriptors:
        held = b.mT if transposed else b
        for name, x in (("A", a), ("B", held)):
            if any(step * x.element_size() % 16 for step in x.stride()[:-1]) or x.stride(-1) != 1:
                raise Unsupported(
                    f"matmul_grouped: rows of {name} are {x.stride(-2) * x.element_size()} bytes long, not a multiple "
                    "of the 16 that a tensor descriptor needs; use backend=torch"
                )
        b_block = [1, config.block_n, config.block_k] if transposed else [1, config.block_k, config.block_n]
        operands = {
            "a": TensorDescriptor.from_tensor(a, [config.block_m, config.block_k]),
            "b": TensorDescriptor.from_tensor(held, b_block),
        }
    names = ("am", "ak", "bg", "bk", "bn", "cm", "cn")
    strides = dict(zip(names, (*a.stride(), *b.stride(), *c.stride()), strict=True))
    # how many tiles there are is known on the device only; there cannot be more than these
    most = (triton.cdiv(rows, config.block_m) + groups) * triton.cdiv(n, config.block_n)
    programs = min(most, cores * config.programs_per_core)
    return Program(
        name="matmul_grouped",
        function=matmul_grouped,
        grid=(programs,),
        arguments=operands
        | {"c_ptr": c, "offsets_ptr": offsets, "N": n, "K": k, "programs": programs}
        | {f"stride_{name}": stride for name, stride in strides.items()},
        constants={
            "G": groups,
            "GROUPS": triton.next_power_of_2(groups),
            "BLOCK_M": config.block_m,
            "BLOCK_N": config.block_n,
            "BLOCK_K": config.block_k,
            "GROUP_M": config.group_m,
            "DESCRIPTORS": config.descriptors,
            "B_TRANSPOSED": transposed,
        },
        options=config.options(),
        flops_per_iteration=2 * config.block_m * config.block_n * config.block_k,
    )
