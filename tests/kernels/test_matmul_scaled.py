"""Block-scaled formats and their product: values, layouts, the work, torch's call read back, what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from perwatt.kernels import scaled
from perwatt.kernels.matmul_scaled import MatmulScaled
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]


def test_e2m1_is_rounded_to_nearest_even_and_packed_low_first() -> None:
    middle = [(low + high) / 2 for low, high in itertools.pairwise(E2M1)]
    values = torch.tensor([[6.0, *middle, *[m + 0.01 for m in middle], *[m - 0.01 for m in middle], *[0.5] * 10]])
    x = scaled.quantise(values, "mxfp4")
    assert x.scales.tolist() == [[127]]  # the largest is 6, an element's own: 2**0
    even = [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0]
    want = [6.0, *even, *E2M1[1:], *E2M1[:-1], *[0.5] * 10]
    assert x.decode(torch.float64).tolist() == [want]
    assert scaled.quantise(-values, "mxfp4").decode(torch.float64).tolist() == [[-v for v in want]]
    one_two = torch.tensor([[1.0, -6.0] + [0.0] * 30])
    assert scaled.quantise(one_two, "mxfp4").elements[0, 0] == 0b1111_0010


def test_scales_are_those_of_the_formats() -> None:
    # MX 1.0, section 6.3: 2**(floor(log2(largest)) - emax), emax 8 for e4m3 and 2 for e2m1
    values = torch.zeros(6, 32)
    values[:, 3] = torch.tensor([448.0, 449.0, 0.7, 1.0, -3e-3, 0.0])
    assert scaled.quantise(values, "mxfp8_e4m3").scales[:, 0].tolist() == [127, 127, 118, 119, 110, 127]
    assert scaled.quantise(values, "mxfp4").scales[:, 0].tolist() == [133, 133, 124, 125, 116, 127]
    assert scaled.quantise(values, "mxfp8_e4m3").decode(torch.float64)[1, 3] == 448.0  # saturates
    # nvfp4: largest / 6, rounded to e4m3
    nv = scaled.quantise(values, "nvfp4")
    assert nv.scales.shape == (6, 2)
    assert nv.scales.float()[:, 0].tolist() == [72.0, 72.0, 0.1171875, 0.171875, 1.0, 1.0]
    assert nv.decode(torch.float64)[:, 3].tolist() == [432.0, 432.0, 0.703125, 1.03125, 0.0, 0.0]
    assert scaled.quantise(torch.full((1, 16), 1e6), "nvfp4").decode(torch.float64).unique().tolist() == [2688.0]
    assert nv.scales.float()[:, 1].tolist() == [1.0] * 6


@pytest.mark.parametrize(("name", "error"), [("mxfp8_e4m3", 0.04), ("mxfp4", 0.13), ("nvfp4", 0.11)])
def test_normal_values_come_through(name: str, error: float) -> None:
    values = torch.randn(96, 256, generator=torch.Generator().manual_seed(0))
    x = scaled.quantise(values, name)
    back = x.decode(torch.float64)
    assert error / 2 < float((back - values).norm() / values.norm()) < error
    assert torch.equal(x.decode(torch.float32).double(), back)
    again = scaled.quantise(back.float(), name).decode(torch.float64)
    assert torch.equal(again, back)


@pytest.mark.parametrize("name", scaled.NAMES)
def test_operands_are_reproducible_and_of_the_stated_size(name: str) -> None:
    x, y = (scaled.fill(40, 96, name, "normal", 5, "cpu") for _ in range(2))
    assert torch.equal(x.elements.view(torch.uint8), y.elements.view(torch.uint8))
    assert x.shape == (40, 96)
    assert x.elements.nbytes + x.scales.nbytes == scaled.nbytes(name, 40, 96)
    absent = scaled.fill(40, 96, name, "normal", 5, "meta")
    assert (absent.elements.shape, absent.scales.dtype) == (x.elements.shape, x.scales.dtype)
    assert not scaled.fill(4, 64, name, "zeros", 0, "cpu").decode(torch.float64).any()
    sparse = scaled.fill(64, 256, name, "sparse:0.5", 0, "cpu").decode(torch.float64)
    assert 0.4 < float((sparse == 0).double().mean()) < 0.65


def test_large_operands_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaled, "_CHUNK", 64 * 3)
    x = scaled.fill(10, 64, "mxfp4", "normal", 0, "cpu").decode(torch.float64)
    assert len({tuple(row) for row in x.tolist()}) == 10


def unblocked(flat: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(rows, columns) of blocked scales by the formula of cuBLAS's documentation, one by one."""
    wide = -(-columns // 4)
    out = torch.empty(rows, columns, dtype=torch.uint8)
    for r in range(rows):
        for c in range(columns):
            tile = (r // 128) * wide + c // 4
            out[r, c] = flat[tile * 512 + (r % 32) * 16 + (r % 128) // 32 * 4 + c % 4]
    return out


@pytest.mark.parametrize("name", scaled.NAMES)
@pytest.mark.parametrize(("rows", "k"), [(128, 128), (200, 352), (3, 32)])
def test_scales_in_blocks_lie_where_cublas_looks(name: str, rows: int, k: int) -> None:
    x = scaled.fill(rows, k, name, "normal", 1, "cpu")
    blocked = x.blocked()
    columns = k // x.vector
    assert blocked.shape == (-(-rows // 128), -(-columns // 4), 32, 4, 4)
    raw = x.scales.view(torch.uint8)
    assert torch.equal(unblocked(blocked.view(torch.uint8).reshape(-1), rows, columns), raw)
    assert int(blocked.view(torch.uint8).count_nonzero()) == int(raw.count_nonzero())  # zeros beyond the end


def test_work_of_known_shapes() -> None:
    work = MatmulScaled(m=8192, dtype="mxfp4").work()
    assert work.flops == 2 * 8192**3
    assert work.bytes == 2 * (8192 * 8192 // 2 + 8192 * 256) + 2 * 8192**2
    assert MatmulScaled(m=8192, dtype="nvfp4").work().bytes - work.bytes == 2 * 8192 * 256
    eight = MatmulScaled(m=64, n=32, k=128, out_dtype="fp32")
    assert eight.work().bytes == (64 + 32) * (128 + 4) + 4 * 64 * 32
    assert eight.footprint_bytes() == eight.work().bytes + 2 * 128 * 4


def test_names_tell_cases_apart() -> None:
    assert MatmulScaled().label() == "mxfp8_e4m3 8192x8192x8192"
    other = MatmulScaled(m=64, n=32, k=64, dtype="nvfp4", out_dtype="fp32", backend="triton", init="zeros")
    assert other.label() == "nvfp4 64x32x64 to fp32 triton zeros"
    assert other.series() == "nvfp4 to fp32 triton zeros"
    assert MatmulScaled(m=64).params() == MatmulScaled(m=64, n=64, k=64).params()
    assert MatmulScaled(m=64).size() == Size("mean dimension", 64.0)


Product = Callable[..., torch.Tensor]


def library(change: Callable[[torch.Tensor], object] = lambda _: None, blocks: bool = True) -> Product:
    """A scaled_mm that wants what torch documents, unpacks it on its own and multiplies in float64."""

    def product(
        a: torch.Tensor,
        b: torch.Tensor,
        a_scale: torch.Tensor,
        a_recipe: Any,
        b_scale: torch.Tensor,
        b_recipe: Any,
        *,
        swizzle_a: Any,
        swizzle_b: Any,
        output_dtype: torch.dtype,
    ) -> torch.Tensor:
        kind = functional.SwizzleType.SWIZZLE_32_4_4 if blocks else functional.SwizzleType.NO_SWIZZLE
        if (swizzle_a, swizzle_b) != (kind, kind):
            raise ValueError("this library wants its scales in another layout")
        assert a.stride(1) == 1
        assert b.stride(0) == 1
        values = [read(a, a_scale, a_recipe), read(b.t(), b_scale, b_recipe)]
        c = (values[0] @ values[1].t()).to(output_dtype)
        change(c)
        return c

    def read(x: torch.Tensor, scales: torch.Tensor, recipe: Any) -> torch.Tensor:
        packed = x.dtype == torch.float4_e2m1fn_x2
        vector = {functional.ScalingType.BlockWise1x32: 32, functional.ScalingType.BlockWise1x16: 16}[recipe]
        assert scales.dtype == (torch.float8_e8m0fnu if vector == 32 else torch.float8_e4m3fn)
        rows, k = x.shape[0], x.shape[1] * (2 if packed else 1)
        if packed:
            raw = x.view(torch.uint8)
            codes = torch.stack((raw % 16, raw // 16), -1).reshape(rows, k).int()
            values = torch.tensor(E2M1 + [-v for v in E2M1], dtype=torch.float64)[codes]
        else:
            values = x.double()
        bits = scales.view(torch.uint8)
        plain = unblocked(bits, rows, k // vector) if blocks else bits
        return values * plain.view(scales.dtype).double().repeat_interleave(vector, 1)

    return product


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("init", ["normal", "zeros", "uniform"])
@pytest.mark.parametrize("name", scaled.NAMES)
def test_torch_is_given_what_it_documents(
    cpu: Place, monkeypatch: pytest.MonkeyPatch, name: str, init: str, blocks: bool
) -> None:
    monkeypatch.setattr(functional, "scaled_mm", library(blocks=blocks))
    prepared = MatmulScaled(m=40, n=56, k=96, dtype=name, init=init, out_dtype="fp32").prepare(cpu)
    assert prepared.check.max_error < 1e-6
    assert prepared.check.compared == 40 * 56
    result = prepared.launch()
    assert isinstance(result, torch.Tensor)
    assert bool(result.any()) == (init != "zeros")


MUTANTS: dict[str, Callable[[torch.Tensor], object]] = {
    "an element": lambda c: c[-1, -1].add_(2.0),
    "transposed": lambda c: c.copy_(c.t().clone()),
    "unwritten": lambda c: c[3].fill_(float("nan")),
    "twice": lambda c: c.mul_(2),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_product_is_found(cpu: Place, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(functional, "scaled_mm", library(MUTANTS[name]))
    with pytest.raises(WrongResult):
        MatmulScaled(m=64, n=64, k=64, dtype="mxfp4").prepare(cpu)


@pytest.mark.parametrize("init", ["normal", "zeros"])
@pytest.mark.parametrize("name", scaled.NAMES)
def test_a_product_that_goes_wrong_later_is_found(
    cpu: Place, monkeypatch: pytest.MonkeyPatch, name: str, init: str
) -> None:
    off = torch.zeros(())
    monkeypatch.setattr(functional, "scaled_mm", library(lambda c: c[3, 5].add_(off)))
    prepared = MatmulScaled(m=64, dtype=name, init=init).prepare(cpu)
    assert prepared.verify is not None
    assert prepared.verify().compared == 64 * 64
    off.fill_(8.0)
    with pytest.raises(WrongResult, match="C") as wrong:
        prepared.verify()
    assert wrong.value.wrong == 1
    off.zero_()
    assert prepared.verify().max_error <= prepared.check.tolerance


@pytest.mark.parametrize("name", scaled.NAMES)
def test_a_cpu_refuses_in_the_words_of_the_library(cpu: Place, name: str) -> None:
    with pytest.raises(Unsupported, match=rf"{name} matmul_scaled on cpu: .*CPU does not support swizzle"):
        MatmulScaled(m=64, dtype=name).prepare(cpu)


def test_triton_needs_a_device_and_a_table(cpu: Place) -> None:
    with pytest.raises(Unsupported, match=r"backend=triton needs a GPU .* use backend=torch"):
        MatmulScaled(m=64, backend="triton").prepare(cpu)
    assert MatmulScaled(m=64).programs(cpu) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"m": 0}, "matmul_scaled.m: 0 is not a positive integer"),
        ({"m": 64, "k": 48}, "matmul_scaled.k: 48 is not a multiple of 32"),
        ({"m": 100}, "matmul_scaled.k: 100 is not a multiple of 32"),
        ({"dtype": "fp8_e4m3"}, "matmul_scaled.dtype: 'fp8_e4m3' is not one of mxfp8_e4m3, mxfp4, nvfp4"),
        ({"out_dtype": "fp64"}, "matmul_scaled.out_dtype: 'fp64' is not one of bf16, fp16, fp32"),
        ({"backend": "auto"}, "matmul_scaled.backend: 'auto' is not one of torch, triton"),
        ({"init": "ones"}, "matmul_scaled.init: 'ones' is not one of"),
        ({"seed": -1}, "matmul_scaled.seed: -1 is not an integer"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        dataclasses.replace(MatmulScaled(), **values)
