"""C = A B with tensor descriptors and persistent programs: tiles are fetched whole by the hardware's copy engine.

On sm_90 and later a descriptor becomes TMA loads and the product wgmma or tcgen05; elsewhere the compiler turns it into
pointers. Each program walks over the tiles, ``programs`` of them apart, so that writing one tile overlaps with loading
the next. Descriptors are made on the host: they need 16-byte aligned rows.

B is (K, N), or with B_TRANSPOSED (N, K), as fp8 on Hopper and scaled formats need it. A tile is written in SUBTILES
parts, which takes less shared memory from the pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from perwatt.kernels.triton.configuration import MatmulDescriptor
from perwatt.kernels.triton.matmul_pointer import accumulator, promoted, tile_of
from perwatt.kernels.triton.program import Program
from perwatt.kernels.workload import Unsupported

if TYPE_CHECKING:
    import torch


@triton.jit
def matmul_descriptor(
    a_desc, b_desc, c_desc, M, N, K, programs,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
    SUBTILES: tl.constexpr, B_TRANSPOSED: tl.constexpr, ACCUMULATE: tl.constexpr, OUT: tl.constexpr,
    PRECISION: tl.constexpr, PROMOTED: tl.constexpr, SPECIALIZE: tl.constexpr, FLATTEN: tl.constexpr,
):  # fmt: skip
    """Every ``programs``-th tile; ACCUMULATE is the accumulator's type, OUT that of C."""
    tiles_m = tl.cdiv(M, BLOCK_M)
    tiles_n = tl.cdiv(N, BLOCK_N)
    for tile in tl.range(tl.program_id(0), tiles_m * tiles_n, programs, flatten=FLATTEN, warp_specialize=SPECIALIZE):
        m, n = tile_of(tile, tiles_m, tiles_n, GROUP_M)
        total = tl.zeros((BLOCK_M, BLOCK_N), ACCUMULATE)
        for start in range(0, K, BLOCK_K):
            a = a_desc.load([m * BLOCK_M, start])
            if B_TRANSPOSED:
                b = b_desc.load([n * BLOCK_N, start]).T
            else:
                b = b_desc.load([start, n * BLOCK_N])
            total = tl.dot(a, b, total, input_precision=PRECISION, out_dtype=ACCUMULATE, max_num_imprecise_acc=PROMOTED)
        if SUBTILES == 1:
            c_desc.store([m * BLOCK_M, n * BLOCK_N], total.to(OUT))
        else:
            halves = tl.permute(tl.reshape(total, (BLOCK_M, 2, BLOCK_N // 2)), (0, 2, 1))
            left, right = tl.split(halves)
            c_desc.store([m * BLOCK_M, n * BLOCK_N], left.to(OUT))
            c_desc.store([m * BLOCK_M, n * BLOCK_N + BLOCK_N // 2], right.to(OUT))


_OUT = {"bfloat16": tl.bfloat16, "float16": tl.float16, "float32": tl.float32, "int32": tl.int32}


def program(
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    config: MatmulDescriptor,
    cores: int,
    tf32: bool = False,
    fast_accum: bool = False,
) -> Program:
    """C (M, N) = A (M, K) B (K, N): A and C row-major, B row-major or column-major; on ``cores`` cores.

    Raises Unsupported for a batch, and for rows that are no multiple of 16 bytes: a descriptor cannot have them.
    """
    if config.subtiles not in (1, 2):
        raise ValueError(f"subtiles: {config.subtiles} is not 1 or 2")
    (m, k), n = a.shape, b.shape[1]
    transposed = b.stride(0) == 1 and k > 1
    held = b.t() if transposed else b
    for name, x in (("A", a), ("B", held), ("C", c)):
        if x.stride(0) * x.element_size() % 16 or x.stride(1) != 1:
            raise Unsupported(
                f"matmul_descriptor: rows of {name} are {x.stride(0) * x.element_size()} bytes long, not a multiple of "
                "16; style=pointer has no such limit"
            )
    tiles = triton.cdiv(m, config.block_m) * triton.cdiv(n, config.block_n)
    programs = min(tiles, cores * config.programs_per_core)
    b_block = [config.block_n, config.block_k] if transposed else [config.block_k, config.block_n]
    return Program(
        name="matmul_descriptor",
        function=matmul_descriptor,
        grid=(programs,),
        arguments={
            "a_desc": TensorDescriptor.from_tensor(a, [config.block_m, config.block_k]),
            "b_desc": TensorDescriptor.from_tensor(held, b_block),
            "c_desc": TensorDescriptor.from_tensor(c, [config.block_m, config.block_n // config.subtiles]),
            "M": m,
            "N": n,
            "K": k,
            "programs": programs,
        },
        constants={
            "BLOCK_M": config.block_m,
            "BLOCK_N": config.block_n,
            "BLOCK_K": config.block_k,
            "GROUP_M": config.group_m,
            "SUBTILES": config.subtiles,
            "B_TRANSPOSED": transposed,
            "ACCUMULATE": accumulator(a),
            "OUT": _OUT[str(c.dtype).removeprefix("torch.")],
            "PRECISION": "tf32" if tf32 else "ieee",
            "PROMOTED": promoted(a, config, fast_accum),
            "SPECIALIZE": config.specialize,
            "FLATTEN": config.flatten,
        },
        options=config.options(),
        flops_per_iteration=2 * config.block_m * config.block_n * config.block_k,
        bytes_per_iteration=(config.block_m + config.block_n) * config.block_k * a.element_size(),
        iterations=tiles * triton.cdiv(k, config.block_k),
    )
