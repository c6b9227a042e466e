"""The matrix products in Triton's interpreter against float64: every dtype, ragged shapes, margins, mutants."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import mutants
import pytest
import torch
from guarded import Guard, assert_right
from interpreter import WRITTEN, draw

from perwatt.kernels.triton import matmul_descriptor, matmul_pointer
from perwatt.kernels.triton.configuration import MatmulDescriptor, MatmulPointer

DTYPES = ("fp32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "int8")
FNUZ = ("fp8_e4m3fnuz", "fp8_e5m2fnuz")  # the interpreter reads them through descriptors only
TOLERANCE = {"fp32": 2e-6, "fp16": 2e-3, "bf16": 1.6e-2, "fp8": 1.6e-2, "int8": 0.0}
# Ragged and prime; five rows of tiles in groups of two; a single row; K below a tile; what fits exactly.
SHAPES = [(131, 97, 61), (160, 80, 40), (1, 33, 70), (64, 64, 64)]


def pointer(
    module: ModuleType,
    dtype: str,
    shape: tuple[int, int, int],
    batch: int = 1,
    transposed: bool = False,
    tf32: bool = False,
    **config: Any,
) -> None:
    """Check one product of the pointer kernel of ``module``."""
    m, n, k = shape
    guard = Guard()
    a = guard.strided(draw((batch, m, k), dtype, 1))
    b = guard.strided(draw((batch, n, k), dtype, 2)).mT if transposed else guard.strided(draw((batch, k, n), dtype, 2))
    c = guard.wanted(batch, m, n, dtype=WRITTEN.get(dtype[:3], a.dtype))
    chosen = MatmulPointer(**{"block_m": 32, "block_n": 16, "block_k": 32, "group_m": 2, **config})
    module.program(a, b, c, chosen, tf32).call()()
    assert_right(guard, c, a.double() @ b.double(), TOLERANCE.get(dtype, TOLERANCE["fp8"]))


def descriptor(
    module: ModuleType, dtype: str, shape: tuple[int, int, int], transposed: bool = False, cores: int = 3, **config: Any
) -> None:
    """Check one product of the descriptor kernel of ``module``; rows are padded to what a descriptor can have."""
    m, n, k = shape
    guard = Guard()
    a = guard.strided(_padded(draw((m, k), dtype, 1)))[:, :k]
    b = (
        guard.strided(_padded(draw((n, k), dtype, 2)))[:, :k].t()
        if transposed
        else guard.strided(_padded(draw((k, n), dtype, 2)))[:, :n]
    )
    wide = guard.wanted(m, -(-n // 16) * 16, dtype=WRITTEN.get(dtype[:3], a.dtype))
    chosen = MatmulDescriptor(**{"block_m": 32, "block_n": 32, "block_k": 32, "group_m": 2, **config})
    module.program(a, b, wide[:, :n], chosen, cores).call()()
    assert_right(guard, wide[:, :n], a.double() @ b.double(), TOLERANCE.get(dtype, TOLERANCE["fp8"]))
    beyond = wide[:, n:]
    assert bool(beyond.isnan().all() if beyond.dtype.is_floating_point else (beyond == 0).all())


def _padded(x: torch.Tensor) -> torch.Tensor:
    """Rows of a multiple of 16 elements; what is added must not be read, so it is NaN."""
    width = -(-x.shape[1] // 16) * 16
    out = torch.full((x.shape[0], width), float("nan") if x.dtype.is_floating_point else 127.0).to(x.dtype)
    out[:, : x.shape[1]] = x
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_pointer(dtype: str, shape: tuple[int, int, int]) -> None:
    pointer(matmul_pointer, dtype, shape)


def test_pointer_of_a_batch_and_of_a_transposed_b() -> None:
    pointer(matmul_pointer, "bf16", (40, 24, 70), batch=3, transposed=True)
    pointer(matmul_pointer, "fp32", (40, 24, 70), batch=2, tf32=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [*DTYPES, *FNUZ])
def test_descriptor(dtype: str, transposed: bool, shape: tuple[int, int, int]) -> None:
    descriptor(matmul_descriptor, dtype, shape, transposed)


@pytest.mark.parametrize("config", [{"subtiles": 2}, {"flatten": True}, {"specialize": True}, {"programs_per_core": 2}])
def test_descriptor_in_each_style(config: dict[str, Any]) -> None:
    descriptor(matmul_descriptor, "bf16", (160, 80, 40), **config)


CHECKS = {
    "matmul_pointer": (
        matmul_pointer,
        lambda module: [pointer(module, "fp32", (160, 81, 41)), pointer(module, "fp16", (40, 24, 70), batch=2)],
    ),
    "matmul_descriptor": (
        matmul_descriptor,
        lambda module: [
            descriptor(module, "fp32", (160, 80, 40)),
            descriptor(module, "fp16", (70, 50, 40), True, subtiles=2),
        ],
    ),
}


@pytest.mark.parametrize(
    ("name", "mutant"), [(n, m) for n, (module, _) in CHECKS.items() for m in mutants.mutants(module)], ids=str
)
def test_no_mutant_survives(name: str, mutant: mutants.Mutant, tmp_path: Path) -> None:
    assert not mutants.survives(mutant, tmp_path, f"mutant_of_{name}", CHECKS[name][1])
