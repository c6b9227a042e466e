"""The product over groups in Triton's interpreter against float64: every dtype, empty groups, margins, mutants."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import mutants
import pytest
import torch
from guarded import Guard, assert_right
from interpreter import draw

from perwatt.kernels.triton import matmul_grouped
from perwatt.kernels.triton.configuration import MatmulGrouped
from perwatt.kernels.workload import Unsupported

TOLERANCE = {"fp16": 2e-3, "bf16": 1.6e-2, "fp8_e4m3": 1.6e-2}
# What no tile divides; none at first, between and at last; one row; what fits exactly; all rows in one of them.
SIZES = [(37, 70, 5), (0, 33, 0, 0, 1, 90, 0), (64, 32), (0, 0, 131)]


def product(
    module: ModuleType,
    dtype: str,
    sizes: tuple[int, ...],
    n: int = 41,
    k: int = 70,
    *,
    transposed: bool = False,
    descriptors: bool = False,
    cores: int = 3,
    **config: Any,
) -> None:
    """Check one product of the kernel of ``module``."""
    guard = Guard()
    rows, groups = sum(sizes), len(sizes)
    pad = -(-k // 16) * 16 if descriptors else k, -(-n // 16) * 16 if descriptors else n
    a = _padded(guard, draw((rows, k), dtype, 1), pad[0])
    b = (
        _padded(guard, draw((groups, n, k), dtype, 2), pad[0]).mT
        if transposed
        else _padded(guard, draw((groups, k, n), dtype, 2), pad[1])
    )
    # beyond the offsets there seem to be groups of rows that are not there
    held = torch.full((groups + 33,), rows + 40, dtype=torch.int32)
    offsets = held[16 : groups + 17].copy_(torch.tensor([0, *sizes]).cumsum(0))
    c = guard.wanted(rows, n, dtype=torch.bfloat16 if dtype == "fp8_e4m3" else a.dtype)
    chosen = MatmulGrouped(
        **{"block_m": 32, "block_n": 16, "block_k": 32, "group_m": 2, "descriptors": descriptors, **config}
    )
    module.program(a, b, c, offsets, chosen, cores).call()()
    parts = [part.double() @ matrix.double() for part, matrix in zip(a.split(sizes), b, strict=True)]
    assert_right(guard, c, torch.cat(parts), TOLERANCE[dtype])


def _padded(guard: Guard, values: torch.Tensor, width: int) -> torch.Tensor:
    """``values`` in rows of ``width`` elements and 16 more, with NaN in what is added."""
    wide = torch.full((*values.shape[:-1], width), float("nan")).to(values.dtype)
    wide[..., : values.shape[-1]] = values
    return guard.strided(wide)[..., : values.shape[-1]]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("style", ["pointers", "descriptors"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_format(dtype: str, style: str, sizes: tuple[int, ...]) -> None:
    product(matmul_grouped, dtype, sizes, transposed=dtype == "fp8_e4m3", descriptors=style == "descriptors")


@pytest.mark.parametrize("descriptors", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_more_rows_of_tiles_than_are_walked_together(transposed: bool, descriptors: bool) -> None:
    product(matmul_grouped, "bf16", (160, 7, 70), 80, 40, transposed=transposed, descriptors=descriptors, cores=1)
    product(matmul_grouped, "bf16", (5, 3), 200, 8, transposed=transposed, descriptors=descriptors, programs_per_core=9)


def test_a_descriptor_needs_rows_of_16_bytes() -> None:
    a, b, c = torch.empty(8, 30), torch.empty(1, 30, 32), torch.empty(8, 32)
    with pytest.raises(Unsupported, match="rows of A are 120 bytes long, not a multiple of the 16"):
        matmul_grouped.program(a, b, c, torch.tensor([0, 8]), MatmulGrouped(descriptors=True), 1)


def check(module: ModuleType) -> None:
    product(module, "fp16", (70, 0, 37, 5, 3), 41, 40, cores=2)
    product(module, "fp16", (70, 0, 37, 5, 3), 41, 40, descriptors=True, transposed=True, cores=1)


@pytest.mark.parametrize("mutant", mutants.mutants(matmul_grouped), ids=str)
def test_no_mutant_survives(mutant: mutants.Mutant, tmp_path: Path) -> None:
    assert not mutants.survives(mutant, tmp_path, "mutant_of_matmul_grouped", check)
