"""The product of block-scaled operands in Triton's interpreter against float64: each format, both layouts, mutants."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import mutants
import numpy as np
import pytest
import torch
import triton
from guarded import Guard, assert_right
from interpreter import bf16  # noqa: F401 - the interpreter with bfloat16
from triton.runtime import interpreter

from perwatt.kernels import scaled
from perwatt.kernels.triton import matmul_scaled
from perwatt.kernels.triton.configuration import MatmulScaled

VERSION = tuple(map(int, triton.__version__.split(".")[:2]))
pytestmark = pytest.mark.skipif(
    VERSION < (3, 8), reason="the interpreter of Triton 3.7 fails on every dot_scaled; it works from 3.8"
)
# Ragged and prime rows, K no multiple of a tile; five rows of tiles in groups of two; a single row; what fits exactly.
SHAPES = [(131, 97, 96), (160, 80, 32), (1, 33, 160), (64, 64, 128)]


@pytest.fixture(autouse=True, scope="module")
def e4m3_scales() -> None:
    """The interpreter takes every scale for an e8m0: here those of nvfp4 are decoded as what they are."""
    stock = getattr(interpreter, "_prepare_dot_scaled_operand", None)
    if stock is None:
        return

    def prepare(value: Any, scale: Any, *rest: Any, is_rhs: bool) -> Any:
        if scale is None or scale.dtype.is_int():
            return stock(value, scale, *rest, is_rhs=is_rhs)
        values = stock(value, None, *rest, is_rhs=is_rhs)
        bits = torch.from_numpy(np.ascontiguousarray(scale.data.view(np.uint8)))
        scales = bits.view(torch.float8_e4m3fn).float().numpy().repeat(16, axis=-1)
        return values * (scales.swapaxes(-1, -2) if is_rhs else scales)

    interpreter._prepare_dot_scaled_operand = prepare


def operand(guard: Guard, rows: int, k: int, name: str, seed: int) -> scaled.Scaled:
    """Values of N(0, 4**r) for each run r of rows, in buffers with margins of NaN; rows have gaps between them."""
    values = torch.randn(rows, k, generator=torch.Generator().manual_seed(seed))
    values *= 4.0 ** (torch.arange(rows)[:, None] % 5 + torch.arange(k) // 32 % 3 - 3)
    x = scaled.quantise(values, name)
    return scaled.Scaled(name, guard.strided(x.elements), guard.strided(x.scales))


def product(
    module: ModuleType,
    name: str,
    shape: tuple[int, int, int],
    out: torch.dtype = torch.float32,
    cores: int = 3,
    **config: Any,
) -> None:
    """Check one product of the kernel of ``module``."""
    m, n, k = shape
    guard = Guard()
    a, b = operand(guard, m, k, name, 1), operand(guard, n, k, name, 2)
    c = guard.wanted(m, n, dtype=out)
    chosen = MatmulScaled(**{"block_m": 32, "block_n": 16, "block_k": 64, "group_m": 2, **config})
    module.program(a, b, c, chosen, cores).call()()
    want = a.decode(torch.float64) @ b.decode(torch.float64).t()
    assert_right(guard, c, want, {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}[out])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("style", ["pointers", "descriptors", "blocked"])
@pytest.mark.parametrize("name", scaled.NAMES)
def test_every_format(name: str, style: str, shape: tuple[int, int, int]) -> None:
    config: dict[str, Any] = {"descriptors": style != "pointers"}
    if style == "blocked":
        config |= {"blocked": True, "block_m": 128, "block_n": 128, "block_k": 128}
    product(matmul_scaled, name, shape, **config)


@pytest.mark.parametrize("out", [torch.bfloat16, torch.float16])
def test_other_outputs(out: torch.dtype) -> None:
    product(matmul_scaled, "mxfp4", (40, 24, 96), out)


@pytest.mark.parametrize("config", [{"flatten": True}, {"specialize": True}, {"programs_per_core": 2}])
def test_each_way_over_the_tiles(config: dict[str, Any]) -> None:
    product(matmul_scaled, "nvfp4", (160, 80, 96), **config)
    blocked = {"block_m": 128, "block_n": 256, "block_k": 256, "descriptors": True, "blocked": True}
    product(matmul_scaled, "nvfp4", (300, 270, 288), cores=2, **blocked, **config)


def check(module: ModuleType) -> None:
    product(module, "mxfp8_e4m3", (70, 41, 96))
    product(module, "mxfp4", (70, 41, 96))
    product(module, "nvfp4", (70, 41, 96), descriptors=True)


@pytest.mark.parametrize("mutant", mutants.mutants(matmul_scaled), ids=str)
def test_no_mutant_survives(mutant: mutants.Mutant, tmp_path: Path) -> None:
    assert not mutants.survives(mutant, tmp_path, "mutant_of_matmul_scaled", check)
