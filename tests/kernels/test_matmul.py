"""Matrix products: the work, every format against float64, mutants, rotation, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from perwatt.kernels import data, dtypes, matmul_torch
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

SMALL = Matmul(m=48, n=80, k=64, dtype="fp32")


def test_work_of_known_shapes() -> None:
    work = Matmul(m=4096).work()
    assert work.flops == 137_438_953_472  # 2 * 4096**3
    assert work.bytes == 3 * 2 * 4096**2
    assert work.headline == "flops"
    # TAF's (N, K) = (7168, 2048) with M = 32, 939.5 MFLOP; operands 128 KiB + 28 MiB, output 448 KiB
    assert Matmul(m=32, n=7168, k=2048).work().flops == 939_524_096
    assert Matmul(m=32, n=7168, k=2048).work().bytes == 131_072 + 29_360_128 + 458_752
    assert Matmul(m=2, n=3, k=5, batch=7).work().flops == 7 * 2 * 2 * 3 * 5
    fp8 = Matmul(m=2, n=3, k=5, dtype="fp8_e4m3")
    assert fp8.work().bytes == 2 * 5 + 5 * 3 + 2 * 2 * 3
    assert dataclasses.replace(fp8, out_dtype="fp32").work().bytes == 2 * 5 + 5 * 3 + 4 * 2 * 3
    assert Matmul(m=8, dtype="tf32").footprint_bytes() == 3 * 4 * 64


def test_names_tell_cases_apart() -> None:
    assert (Matmul(m=64).label(), Matmul(m=64).series()) == ("bf16 64x64x64", "bf16")
    assert Matmul(m=64, n=32, k=16, batch=4, init="zeros").label() == "bf16 4x64x32x16 zeros"
    assert Matmul(m=64, n=32, k=16, batch=4, init="zeros").series() == "bf16 batch 4 zeros"
    fp8 = Matmul(m=64, dtype="fp8_e4m3", out_dtype="fp32", fast_accum=True)
    assert fp8.series() == "fp8_e4m3 to fp32 fast accum"
    assert Matmul(m=4096).size() == Size("mean dimension", 4096.0)
    assert Matmul(m=1, n=8, k=27).size().value == pytest.approx(6)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("dtype", [d for d in dtypes.NAMES if d != "tf32"])
@pytest.mark.parametrize("shape", [(48, 80, 64), (1, 1, 1), (33, 17, 65), (1, 128, 96)])
@pytest.mark.parametrize("init", ["normal", "zeros"])
def test_every_format_is_right_on_a_cpu(cpu: Place, dtype: str, shape: tuple[int, int, int], init: str) -> None:
    m, n, k = shape
    prepared = Matmul(m=m, n=n, k=k, dtype=dtype, init=init).prepare(cpu)
    assert prepared.check.max_error <= prepared.check.tolerance
    assert prepared.check.compared == m * n
    result = prepared.launch()
    assert isinstance(result, torch.Tensor)
    assert result.shape == (m, n)
    assert bool(result.count_nonzero()) == (init == "normal")


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp64"])
@pytest.mark.parametrize("init", ["uniform", "sparse:0.5"])
def test_batches_are_right(cpu: Place, dtype: str, init: str) -> None:
    prepared = Matmul(m=20, n=24, k=28, batch=3, dtype=dtype, init=init).prepare(cpu)
    assert prepared.check.compared == 3 * 20 * 24


def test_large_products_are_sampled_and_projected(cpu: Place) -> None:
    prepared = Matmul(m=1500, n=1600, k=2000, dtype="fp32").prepare(cpu)
    assert "projection of all rows" in prepared.check.reference
    assert 2 * 1600 < prepared.check.compared < 1500 * 1600


def mutate(monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], object]) -> None:
    """Let every product be followed by ``change`` of its output."""
    real = matmul_torch.call

    def call(self: Matmul, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> Callable[[], torch.Tensor]:
        product = real(self, a, b, c)

        def wrong() -> torch.Tensor:
            output = product()
            change(output)
            return output

        return wrong

    monkeypatch.setattr(matmul_torch, "call", call)


def test_int8_is_summed_exactly_in_int32(cpu: Place) -> None:
    spec = Matmul(m=48, n=80, k=64, dtype="int8")
    assert spec.output == "int32"
    assert spec.work().bytes == 48 * 64 + 64 * 80 + 4 * 48 * 80
    prepared = spec.prepare(cpu)
    assert prepared.check.tolerance == prepared.check.max_error == 0
    result = prepared.launch()
    assert isinstance(result, torch.Tensor)
    assert result.dtype == torch.int32
    assert int(result.abs().max()) > 2**11  # the operands use their range
    assert not dataclasses.replace(spec, init="zeros").prepare(cpu).launch().any()  # type: ignore[attr-defined]


def test_int8_that_is_off_by_one_is_wrong(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch, lambda c: c[:1, :1].add_(1))
    with pytest.raises(WrongResult, match=r"^C\[0, 0, 0\]"):
        Matmul(m=48, n=80, k=64, dtype="int8").prepare(cpu)


@pytest.mark.parametrize("backend", ["triton", "triton_descriptor", "triton_pointer"])
def test_triton_on_a_cpu_is_refused_in_one_line_that_names_torch(cpu: Place, backend: str) -> None:
    spec = dataclasses.replace(SMALL, backend=backend)
    assert backend.replace("_", " ") in spec.label()
    with pytest.raises(Unsupported, match=r"^backend=triton needs a GPU .*use backend=torch$"):
        spec.prepare(cpu)


def put(at: tuple[int, int], value: float, output: torch.Tensor) -> None:
    if output.shape == (48, 80):  # not the probe before it
        output[at] = value


@pytest.mark.parametrize("init", ["normal", "zeros"])
@pytest.mark.parametrize(
    "change",
    [
        partial(put, (17, 33), 1.5),
        partial(put, (0, 0), math.nan),
        partial(put, (47, 79), math.inf),
        lambda c: c.mul_(1.001),
        lambda c: c.add_(1e-3),
        lambda c: c[-1].zero_(),
        lambda c: c.copy_(c.flip(0)),
        lambda c: c.copy_(c.bfloat16()),
    ],
    ids=["one element", "nan", "infinity", "scale", "offset", "last row", "order", "precision"],
)
def test_mutants_are_caught_even_with_zeros_as_operands(
    cpu: Place, monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], object], init: str
) -> None:
    mutate(monkeypatch, change)
    with pytest.raises(WrongResult, match=r"^C\["):
        dataclasses.replace(SMALL, init=init).prepare(cpu)


def test_rotation_uses_every_set_and_writes_every_output(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    real = torch.mm

    def spy(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        calls.append((a.data_ptr(), b.data_ptr(), out.data_ptr()))
        return real(a, b, out=out)

    monkeypatch.setattr(torch, "mm", spy)
    prepared = SMALL.prepare(cpu)
    assert prepared.buffers == -(-2 * (1 << 20) // SMALL.footprint_bytes()) > 10
    calls.clear()
    for _ in range(2 * prepared.buffers):
        prepared.launch()
    assert calls[: prepared.buffers] == calls[prepared.buffers :]
    for operand in range(3):
        assert len({call[operand] for call in calls}) == prepared.buffers
    assert dataclasses.replace(SMALL).prepare(dataclasses.replace(cpu, cache="warm")).buffers == 1


def test_a_set_left_out_of_the_rotation_is_noticed(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "rotating", lambda calls: calls[0])
    with pytest.raises(WrongResult, match="elements of output buffer 1 are not finite"):
        SMALL.prepare(cpu)


def test_fp8_rotates_its_allocated_outputs(cpu: Place) -> None:
    prepared = Matmul(m=192, dtype="fp8_e4m3").prepare(cpu)
    outputs = [prepared.launch() for _ in range(prepared.buffers)]
    assert len({o.data_ptr() for o in outputs}) == prepared.buffers  # type: ignore[attr-defined]


def test_fp8_that_is_only_available_with_another_bias_is_used_and_said(
    cpu: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.nn.functional.scaled_mm

    def only_fnuz(a: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if a.dtype == torch.float8_e4m3fn:
            raise RuntimeError("e4m3fn is only supported for another device")
        return real(a, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_mm", only_fnuz)
    assert Matmul(m=64, dtype="fp8_e4m3").prepare(cpu).note.startswith("fp8_e4m3 stored as float8_e4m3fnuz")


def test_a_torch_without_scaled_mm_says_so(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.nn.functional, "scaled_mm")
    with pytest.raises(Unsupported, match=r"fp8_e5m2 matmul on cpu: .*no attribute 'scaled_mm'"):
        Matmul(m=64, dtype="fp8_e5m2").prepare(cpu)


def test_tf32_computed_in_fp32_is_unsupported_and_fp32_in_tf32_is_wrong(
    cpu: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(x: torch.Tensor) -> torch.Tensor:
        return (x.view(torch.int32) & ~0x1FFF).view(torch.float32)

    tf32 = dataclasses.replace(SMALL, dtype="tf32")
    for init in ("normal", "zeros"):
        with pytest.raises(Unsupported, match="TF32 was asked for, but computed in full fp32"):
            dataclasses.replace(tf32, init=init).prepare(cpu)
    real = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b, out: real(cut(a), cut(b), out=out))
    assert tf32.prepare(cpu).check.max_error > 1e-4
    with pytest.raises(WrongResult):
        SMALL.prepare(cpu)


def test_each_prepare_sets_the_precision_that_it_needs(cpu: Place) -> None:
    torch.set_float32_matmul_precision("medium")
    SMALL.prepare(cpu)
    assert torch.get_float32_matmul_precision() == "highest"
    with pytest.raises(Unsupported):
        dataclasses.replace(SMALL, dtype="tf32").prepare(cpu)
    assert torch.get_float32_matmul_precision() == "high"
    SMALL.prepare(cpu)
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.skipif(dtypes.native("fp16") is not False, reason="this CPU computes in fp16, or does not tell")
def test_fp16_is_refused_where_the_cpu_would_emulate_it(cpu: Place) -> None:
    with pytest.raises(Unsupported, match="no native fp16 arithmetic: emulated, up to about 100 times slower"):
        Matmul(m=64, dtype="fp16").prepare(cpu)
