"""Compiles small kernels for GPUs that are not there and keeps what Triton made of them: a program, run in a process of
its own (``python compile_kernels.py FOLDER``), because compiling and interpreting do not go together in one."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def matmul(a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # type: ignore[no-untyped-def]
    tiles = tl.cdiv(N, BN)
    rows = (tl.program_id(0) // tiles) * BM + tl.arange(0, BM)
    columns = (tl.program_id(0) % tiles) * BN + tl.arange(0, BN)
    depth = tl.arange(0, BK)
    a = a_ptr + rows[:, None] * K + depth[None, :]
    b = b_ptr + depth[:, None] * N + columns[None, :]
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for _ in range(0, K, BK):
        total = tl.dot(tl.load(a), tl.load(b), total)
        a += BK
        b += BK * N
    tl.store(c_ptr + rows[:, None] * N + columns[None, :], total.to(c_ptr.dtype.element_ty))


@triton.jit
def descriptors(  # type: ignore[no-untyped-def]
    a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, SPECIALISE: tl.constexpr
):
    a = tl.make_tensor_descriptor(a_ptr, [M, K], [K, 1], [BM, BK])
    b = tl.make_tensor_descriptor(b_ptr, [N, K], [K, 1], [BN, BK])
    c = tl.make_tensor_descriptor(c_ptr, [M, N], [N, 1], [BM, BN])
    tiles = tl.cdiv(N, BN)
    row = (tl.program_id(0) // tiles) * BM
    column = (tl.program_id(0) % tiles) * BN
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for k in tl.range(0, tl.cdiv(K, BK), warp_specialize=SPECIALISE):
        total = tl.dot(a.load([row, k * BK]), b.load([column, k * BK]).T, total)
    c.store([row, column], total.to(c_ptr.dtype.element_ty))


@triton.jit
def persistent(a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # type: ignore[no-untyped-def]
    a = tl.make_tensor_descriptor(a_ptr, [M, K], [K, 1], [BM, BK])
    b = tl.make_tensor_descriptor(b_ptr, [N, K], [K, 1], [BN, BK])
    tiles = tl.cdiv(N, BN)
    for tile in tl.range(tl.program_id(0), tl.cdiv(M, BM) * tiles, tl.num_programs(0)):
        row = (tile // tiles) * BM
        column = (tile % tiles) * BN
        total = tl.zeros((BM, BN), dtype=tl.float32)
        for k in tl.range(0, tl.cdiv(K, BK)):
            total = tl.dot(a.load([row, k * BK]), b.load([column, k * BK]).T, total)
        rows, columns = row + tl.arange(0, BM), column + tl.arange(0, BN)
        tl.store(c_ptr + rows[:, None] * N + columns[None, :], total.to(c_ptr.dtype.element_ty))


@triton.jit
def triad(a, b, c, n, B: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(c + at, tl.load(a + at, mask=at < n) + 3.0 * tl.load(b + at, mask=at < n), mask=at < n)


@triton.jit
def nested(a, out, n, k, B: tl.constexpr):  # type: ignore[no-untyped-def]
    total = tl.zeros((B,), dtype=tl.float32)
    for i in range(n):
        for j in range(k):
            total += tl.load(a + (i * k + j) * B + tl.arange(0, B))
        total = tl.exp(total)
    tl.store(out + tl.arange(0, B), total)


def compiled(fn: Any, signature: dict[str, str], constants: dict[str, Any], arch: str, **options: Any) -> Any:
    whole = {name: "constexpr" if name in constants else signature[name] for name in fn.arg_names}
    aligned = {(fn.arg_names.index(name),): [["tt.divisibility", 16]] for name in signature}
    gpu = GPUTarget("cuda", int(arch[3:]), 32) if arch.startswith("sm_") else GPUTarget("hip", arch, 64)
    return triton.compile(ASTSource(fn, whole, constants, aligned), target=gpu, options=options)


def product(dtype: str) -> dict[str, str]:
    return {"a_ptr": f"*{dtype}", "b_ptr": f"*{dtype}", "c_ptr": "*fp32", "M": "i32", "N": "i32", "K": "i32"}


def tile(m: int, n: int, k: int, **more: Any) -> dict[str, Any]:
    return {"BM": m, "BN": n, "BK": k, **more}


def everything() -> dict[str, Any]:
    bf16, row = product("bf16"), {"num_warps": 8}
    found = {}
    for arch in ("sm_80", "sm_90", "sm_100", "sm_120", "gfx942", "gfx950"):
        found[f"matmul.{arch}"] = compiled(matmul, bf16, tile(128, 128, 64), arch, **row, num_stages=2)
    for arch in ("sm_90", "sm_100"):
        found[f"descriptors.{arch}"] = compiled(
            descriptors, bf16, tile(128, 256, 64, SPECIALISE=False), arch, **row, num_stages=3
        )
        found[f"specialised.{arch}"] = compiled(
            descriptors, bf16, tile(128, 256, 64, SPECIALISE=True), arch, num_warps=4, num_stages=3
        )
    found["persistent.sm_90"] = compiled(persistent, bf16, tile(128, 256, 64), "sm_90", **row, num_stages=3)
    found["eight.sm_90"] = compiled(matmul, product("fp8e4nv"), tile(128, 128, 128), "sm_90", **row, num_stages=2)
    found["tf32.sm_80"] = compiled(matmul, product("fp32"), tile(128, 128, 32), "sm_80", **row, num_stages=2)
    for arch in ("sm_90", "gfx942"):  # a tile far too large for four warps
        found[f"spilled.{arch}"] = compiled(
            matmul,
            bf16,
            tile(256, 256, 64) if arch == "gfx942" else tile(256, 128, 64),
            arch,
            num_warps=4,
            num_stages=2,
        )
        found[f"large.{arch}"] = compiled(matmul, bf16, tile(128, 256, 64), arch, **row, num_stages=6)
        found[f"nested.{arch}"] = compiled(
            nested, {"a": "*fp32", "out": "*fp32", "n": "i32", "k": "i32"}, {"B": 1024}, arch, num_warps=4, num_stages=1
        )
        found[f"triad.{arch}"] = compiled(
            triad, {"a": "*fp32", "b": "*fp32", "c": "*fp32", "n": "i32"}, {"B": 1024}, arch, num_warps=4
        )
    found["unfused.sm_90"] = compiled(
        triad, {"a": "*fp32", "b": "*fp32", "c": "*fp32", "n": "i32"}, {"B": 1024}, "sm_90", enable_fp_fusion=False
    )
    return found


def plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)


if __name__ == "__main__":
    kernels = {
        name: (dict(kernel.asm), {key: plain(value) for key, value in kernel.metadata._asdict().items()})
        for name, kernel in everything().items()
    }
    Path(sys.argv[1], "kernels.pickle").write_bytes(pickle.dumps(kernels))
