"""Products over groups: the work, the sizes of groups, torch's product and a loop against float64, what is refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from perwatt.kernels import matmul_grouped_torch
from perwatt.kernels.matmul_grouped import MatmulGrouped, Operands
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

SMALL = MatmulGrouped(groups=5, tokens=70, n=48, k=32, skew=1.5, seed=3)


def test_work_of_known_shapes() -> None:
    # DeepSeek-V3, gate and up of 256 experts, 8192 tokens with 8 experts each
    deepseek = MatmulGrouped(groups=256, tokens=65536, n=4096, k=7168)
    assert deepseek.work().flops == 3_848_290_697_216
    assert deepseek.work().bytes == 2 * (65536 * 7168 + 256 * 7168 * 4096 + 65536 * 4096)
    fp8 = dataclasses.replace(deepseek, dtype="fp8_e4m3")
    assert fp8.work().bytes == 65536 * 7168 + 256 * 7168 * 4096 + 2 * 65536 * 4096
    few = MatmulGrouped(groups=256, tokens=8, n=16, k=4)  # eight experts alone are needed
    assert few.work().bytes == 2 * (8 * 4 + 8 * 4 * 16 + 8 * 16)
    assert few.footprint_bytes() == 2 * (8 * 4 + 256 * 4 * 16 + 8 * 16) + 4 * 257


def test_sizes_add_up_and_are_as_even_as_was_asked_for() -> None:
    assert set(MatmulGrouped(groups=8, tokens=8195).sizes()) == {1024, 1025}
    for skew in (0.5, 2.0):
        for tokens in (1, 7, 1000, 65536):
            sizes = MatmulGrouped(groups=37, tokens=tokens, skew=skew, seed=1).sizes()
            assert sum(sizes) == tokens
            assert min(sizes) >= 0
            assert len(sizes) == 37
    uneven = [max(MatmulGrouped(groups=64, tokens=65536, skew=skew).sizes()) for skew in (0.0, 0.5, 1.0, 2.0)]
    assert uneven == sorted(uneven)
    assert uneven[0] == 1024
    assert MatmulGrouped(skew=1).sizes() == MatmulGrouped(skew=1.0).sizes()
    assert MatmulGrouped(skew=1, seed=1).sizes() != MatmulGrouped(skew=1).sizes()
    assert 0 in MatmulGrouped(groups=32, tokens=64, skew=2.0).sizes()


def test_names_tell_cases_apart() -> None:
    assert MatmulGrouped().label() == "bf16 8192x14336x4096 in 8 groups"
    uneven = MatmulGrouped(skew=0.5, backend="triton", init="zeros", dtype="fp8_e4m3")
    assert uneven.series() == "fp8_e4m3 8 groups 14336x4096 skew 0.5 triton zeros"
    assert uneven.size() == Size("rows", 8192.0)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp8_e4m3"])
@pytest.mark.parametrize("init", ["normal", "zeros", "sparse:0.5"])
def test_every_format_is_right_on_a_cpu(cpu: Place, dtype: str, init: str) -> None:
    prepared = dataclasses.replace(SMALL, dtype=dtype, init=init).prepare(cpu)
    assert 0 in SMALL.sizes() or min(SMALL.sizes()) < 10
    assert prepared.check.max_error <= prepared.check.tolerance
    assert prepared.check.compared == 70 * 48
    assert prepared.buffers > 1
    assert ("one product a group" in prepared.note) == (dtype == "fp8_e4m3")


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("dtype", ["bf16", "fp8_e4m3"])
def test_a_loop_where_torch_has_no_grouped_product(cpu: Place, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("grouped gemm is not supported here")

    monkeypatch.setattr(functional, "grouped_mm", refuse)
    few = MatmulGrouped(groups=9, tokens=5, n=48, k=32, dtype=dtype)
    prepared = few.prepare(cpu)
    assert prepared.note.startswith("no grouped product in torch for this, so one product a group")
    monkeypatch.setattr(torch, "mm", refuse)
    monkeypatch.setattr(functional, "scaled_mm", refuse)
    with pytest.raises(Unsupported, match=f"{dtype} matmul_grouped on cpu: .*grouped gemm is not supported here"):
        few.prepare(cpu)


def mutate(monkeypatch: pytest.MonkeyPatch, change: Callable[[Operands, torch.Tensor], object]) -> None:
    """Let every grouped product be followed by ``change`` of its output."""
    real = matmul_grouped_torch.grouped

    def grouped(spec: MatmulGrouped, operands: Operands) -> Callable[[], object]:
        call = real(spec, operands)

        def launch() -> object:
            c = call()
            assert isinstance(c, torch.Tensor)
            change(operands, c)
            return c

        return launch

    monkeypatch.setattr(matmul_grouped_torch, "grouped", grouped)


def neighbours_matrix(operands: Operands, c: torch.Tensor) -> None:
    """One row before the end of the next to last group is multiplied with the last group's matrix."""
    row = int(operands.offsets[-2]) - 1
    c[row] = operands.a[row] @ operands.b[-1]


MUTANTS: dict[str, Callable[[Operands, torch.Tensor], object]] = {
    "a row of another group": neighbours_matrix,
    "an element": lambda _, c: c[-1, -1].add_(3.0),
    "a row unwritten": lambda _, c: c[int(c.shape[0] // 2)].fill_(float("nan")),
    "zero": lambda _, c: c.zero_(),
}


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("name", MUTANTS)
@pytest.mark.parametrize("large", [False, True])
def test_a_wrong_product_is_found(cpu: Place, monkeypatch: pytest.MonkeyPatch, name: str, large: bool) -> None:
    mutate(monkeypatch, MUTANTS[name])
    if large:
        monkeypatch.setattr("perwatt.kernels.reference.BUDGET_FLOPS", 1e4)
    spec = MatmulGrouped(groups=12, tokens=120, n=64, k=64)
    with pytest.raises(WrongResult, match=r"group \d+: |not finite"):
        spec.prepare(cpu)


@pytest.mark.usefixtures("emulated")
def test_every_group_is_looked_at_where_not_all_are_compared(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perwatt.kernels.reference.BUDGET_FLOPS", 1e5)
    spec = MatmulGrouped(groups=12, tokens=120, n=96, k=64)
    prepared = spec.prepare(cpu)
    assert "projections of 4 groups, samples of all others" in prepared.check.reference
    assert prepared.check.compared < 120 * 96
    for wrong in range(12):

        def spoil(operands: Operands, c: torch.Tensor, wrong: int = wrong) -> None:
            if len(operands.b) < 12:  # the product that finds out whether torch has it
                return
            begin, end = (int(i) for i in operands.offsets[wrong : wrong + 2])
            c[begin:end] = operands.a[begin:end] @ operands.b[(wrong + 1) % 12]

        with monkeypatch.context() as patch:
            mutate(patch, spoil)
            with pytest.raises(WrongResult, match=f"group {wrong}: "):
                spec.prepare(cpu)


def test_triton_needs_a_device_and_a_table(cpu: Place) -> None:
    with pytest.raises(Unsupported, match=r"backend=triton needs a GPU .* use backend=torch"):
        dataclasses.replace(SMALL, backend="triton").prepare(cpu)
    assert SMALL.programs(cpu) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"groups": 0}, "matmul_grouped.groups: 0 is not a positive integer"),
        ({"tokens": 2**31}, "matmul_grouped.tokens: 2147483648 rows; offsets are 32 bits wide"),
        ({"skew": -1}, "matmul_grouped.skew: -1 is not a number from 0 to 4"),
        ({"skew": True}, "matmul_grouped.skew: True is not a number from 0 to 4"),
        ({"skew": "much"}, "matmul_grouped.skew: 'much' is not a number from 0 to 4"),
        ({"dtype": "fp32"}, "matmul_grouped.dtype: 'fp32' is not one of bf16, fp16, fp8_e4m3"),
        ({"backend": "cutlass"}, "matmul_grouped.backend: 'cutlass' is not one of torch, triton"),
        ({"init": "ones"}, "matmul_grouped.init: 'ones' is not one of"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        MatmulGrouped(**values)
