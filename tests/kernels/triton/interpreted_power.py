"""Streams, spins and the virus in Triton's interpreter: exact or float64, margins, mutants, what a check finds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import mutants
import numpy as np
import pytest
import torch
import triton.language as tl
from guarded import Guard, assert_right
from interpreter import draw
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from perwatt.kernels import spin_values
from perwatt.kernels.memory import Memory
from perwatt.kernels.periodic import Periodic
from perwatt.kernels.spin import _TENSOR_TOLERANCE, Spin, stored_as
from perwatt.kernels.triton import device, stream, tensor_spin, vector_spin, virus
from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.triton.power_configuration import Stream, TensorSpin, VectorSpin, Virus
from perwatt.kernels.virus import Virus as Workload
from perwatt.kernels.workload import Place, Work, WrongResult

DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
ROUNDOFF = {"fp64": 2.0**-52, "fp32": 2.0**-22, "fp16": 2.0**-10, "bf16": 2.0**-7}


@pytest.fixture(autouse=True, scope="module")
def fused() -> None:
    """The interpreter rounds a fused multiply-add twice, and bf16 it does not know: here it is rounded once."""

    def create_fma(self: Any, x: Any, y: Any, z: Any) -> Any:
        kind = x.dtype.scalar
        name = {tl.float16: "fp16", tl.bfloat16: "bf16"}.get(kind)
        if name is None:
            return TensorHandle(x.data * y.data + z.data, kind)

        def wide(handle: Any) -> Any:
            bits = handle.data
            return bits.astype(np.float64) if name == "fp16" else (bits.astype(np.uint32) << 16).view(np.float32)

        total = wide(x).astype(np.float64) * wide(y) + wide(z)
        out = spin_values.rounded(total, name)
        if name == "fp16":
            return TensorHandle(out.astype(np.float16), kind)
        return TensorHandle((out.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16), kind)

    InterpreterBuilder.create_fma = create_fma


# -- stream --------------------------------------------------------------------------------------------------


def streamed(module: ModuleType, op: str, dtype: str, n: int, **config: Any) -> None:
    """Check one stream over ``n`` elements."""
    guard, chosen = Guard(), Stream(**{"block_bytes": 256, "rounds": 2, **config})
    kind = DTYPES[dtype]
    sources = [guard.given(draw((n,), dtype, seed)) for seed in range({"write": 0, "triad": 2}.get(op, 1))]
    summed = torch.float64 if dtype == "fp64" else torch.float32
    a = (
        guard.wanted(-(-n // chosen.length(kind.itemsize)), dtype=summed)
        if op == "read"
        else guard.wanted(n, dtype=kind)
    )
    module.program(op, (a, *sources), 3.0, chosen).call()()
    if op == "read":
        parts = [part.double().sum() for part in torch.split(sources[0], chosen.length(kind.itemsize))]
        assert_right(guard, a, torch.stack(parts), ROUNDOFF["fp64" if dtype == "fp64" else "fp32"] * 16)
        return
    wide = [x.double() for x in sources]
    want = {
        "write": lambda: torch.full((n,), 3.0, dtype=torch.float64),
        "copy": lambda: wide[0],
        "scale": lambda: 3 * wide[0],
        "triad": lambda: wide[0] + 3 * wide[1],
    }[op]()
    assert_right(guard, a, want, 0.0 if op in ("write", "copy") else ROUNDOFF[dtype])


OPS = ("read", "write", "copy", "scale", "triad")


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_stream(op: str, dtype: str) -> None:
    for n in (1, 97, 128, 131, 640, 769):
        streamed(stream, op, dtype, n)
    streamed(stream, op, dtype, 769, rounds=1, block_bytes=1024)


# -- spins ---------------------------------------------------------------------------------------------------


def vector(module: ModuleType, pipe: str, pairs: int, tolerance: float | None = None) -> None:
    """Check ``pairs`` pairs of steps on three programs."""
    guard, chosen = Guard(), VectorSpin(block=64)
    kind = {"int32": torch.int32, "exp2": torch.float32}.get(pipe) or DTYPES[pipe]
    lanes = spin_values.lanes(pipe, chosen.block, seed=3)
    operands = tuple(guard.given(torch.from_numpy(x).to(kind)) for x in lanes)
    out = guard.wanted(3, chosen.block, dtype=kind)
    module.program(out, operands, pipe, pairs, chosen).call()()
    want = torch.from_numpy(spin_values.expected(pipe, lanes, pairs)).expand(3, -1)
    assert_right(guard, out, want, spin_values.TOLERANCE[pipe] if tolerance is None else tolerance)


@pytest.mark.parametrize("pipe", spin_values.TOLERANCE)
def test_vector_spin(pipe: str) -> None:
    vector(vector_spin, pipe, 8)
    vector(vector_spin, pipe, 40, {"fp32": 1e-5, "fp64": 1e-14, "exp2": 1e-5}.get(pipe))


@pytest.mark.parametrize("pipe", spin_values.TOLERANCE)
def test_a_pair_of_steps_left_out_is_found(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_spin, "UNROLLED", 1)
    lanes = spin_values.lanes(pipe, 64, seed=3)
    one, other = (spin_values.expected(pipe, lanes, pairs) for pairs in (7, 8))
    assert np.abs(one - other).max() > spin_values.TOLERANCE[pipe] * 4


def tensor(module: ModuleType, dtype: str, rounds: int, products: int = 5, k: int = 32, fnuz: bool = False) -> None:
    """Check ``rounds`` of ``products`` on two programs."""
    guard, chosen = Guard(), TensorSpin(block_m=32, block_n=16, block_k=k)
    a64, b64 = spin_values.tiles(dtype, chosen.block_m, chosen.block_n, chosen.block_k, seed=5)
    stored = stored_as(dtype, fnuz)
    a, b = (torch.from_numpy(x).to(torch.float32).to(stored) for x in (a64, b64))
    assert torch.equal(a.double(), torch.from_numpy(a64)), "the values fit the format"
    assert torch.equal(b.double(), torch.from_numpy(b64))
    out = guard.wanted(2, chosen.block_m, chosen.block_n, dtype=torch.int32 if dtype == "int8" else torch.float32)
    module.program(out, guard.given(a), guard.given(b), rounds, products, f"tensor_{dtype}", chosen).call()()
    want, scale = spin_values.spun(a64, b64, rounds, products)
    assert guard.intact()
    error = ((out.double() - torch.from_numpy(want)).abs() / torch.from_numpy(scale)).max()
    # fp32 sums of numpy, in an order of its own: exact but for fp16
    assert float(error) <= (2.0**-12 if dtype == "fp16" else 0.0)


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp8_e4m3", "int8"])
def test_tensor_spin(dtype: str, rounds: int) -> None:
    tensor(tensor_spin, dtype, rounds)


def test_a_product_or_a_round_left_out_is_found() -> None:
    for dtype in ("bf16", "fp16", "fp8_e4m3", "int8"):
        a, b = spin_values.tiles(dtype, 64, 64, 128, seed=5)
        want, scale = spin_values.spun(a, b, 63, 128)
        for rounds, products in ((62, 128), (63, 127)):
            wrong, _ = spin_values.spun(a, b, rounds, products)
            found = (np.abs(want - wrong) / scale).max()
            # of fp16 a single product is below what rounding leaves
            assert found > _TENSOR_TOLERANCE[dtype] or (dtype == "fp16" and products == 127)


# -- virus ---------------------------------------------------------------------------------------------------


def infected(module: ModuleType, dtype: str, n: int, **config: Any) -> None:
    """Check one pass over a buffer of ``n`` elements with three programs, as the workload checks it."""
    guard = Guard()
    chosen = Virus(
        **{
            "block_m": 16,
            "block_n": 16,
            "block_k": 32,
            "block": 64,
            "block_exps": 32,
            "products": 3,
            "exps": 2,
            **config,
        }
    )
    a64, b64 = spin_values.tiles(dtype, chosen.block_m, chosen.block_n, chosen.block_k, seed=5)
    a, b = (guard.given(torch.from_numpy(x).to(torch.float32).to(stored_as(dtype, False))) for x in (a64, b64))
    x = guard.given(torch.from_numpy(spin_values.lanes("exp2", chosen.block_exps, seed=6)[0]))
    before = draw((n,), "fp32", 7)
    buffer = guard.wanted(n, dtype=torch.float32)
    buffer.copy_(before)
    out = guard.wanted(3, chosen.block_m, chosen.block_n, dtype=torch.float32)
    values = guard.wanted(3, chosen.block_exps, dtype=torch.float32)
    module.program(buffer, out, values, (a, b, x), chosen).call()()
    assert guard.intact()
    check = Workload(dtype=dtype).check(before, (buffer, out, values, a, b, x), chosen)
    assert check.max_error <= 1


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp8_e4m3"])
def test_virus(dtype: str) -> None:
    for n in (1, 64, 131, 448, 449, 577):
        infected(virus, dtype, n)


@pytest.mark.parametrize("what", ["buffer", "products", "exponentials"])
def test_the_virus_is_checked_in_each_of_its_parts(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Workload.check

    def spoiled(self: Workload, before: Any, tensors: Any, config: Any) -> Any:
        if what == "buffer":
            tensors[0][200] *= -1
        elif what == "products":
            tensors[1][2, 3, 4] += 0.5
        else:
            tensors[2][1, 5] += 0.01
        return real(self, before, tensors, config)

    monkeypatch.setattr(Workload, "check", spoiled)
    place = {
        "buffer": "1 elements of the buffer",
        "products": r"of program 2 \[3, 4\]",
        "exponentials": r"program 1 \[5\]",
    }
    with pytest.raises(WrongResult, match=place[what]):
        infected(virus, "bf16", 449)


def test_a_spin_is_checked_in_every_lane() -> None:
    spec = Spin(pipe="fp32", rounds=1)
    lanes = spin_values.lanes("fp32", 64, seed=3)
    out = torch.from_numpy(spin_values.expected("fp32", lanes, 512)).float().repeat(3, 1)
    operands = tuple(map(torch.from_numpy, lanes))
    assert spec._check(out, operands).compared == 192
    assert spec._done(out, operands).flops == 2 * 2 * 512 * 192
    out[2, 17] *= -1
    with pytest.raises(WrongResult, match=r"fp32 \(program, lane\) \[2, 17\] is"):
        spec._check(out, operands)


# -- prepared as on a device -----------------------------------------------------------------------------------

TABLE = Table(
    "test",
    "test.yaml",
    {
        "stream": [{"op": "read", "block_bytes": 256, "rounds": 2}, {"block_bytes": 256}],
        "vector_spin": [{"block": 32, "programs_per_core": 1}],
        "tensor_spin": [{"block_m": 16, "block_n": 16, "block_k": 32, "programs_per_core": 1}],
        "virus": [
            {
                "block_m": 16,
                "block_n": 16,
                "block_k": 32,
                "block": 64,
                "block_exps": 32,
                "products": 2,
                "exps": 2,
                "programs_per_core": 1,
            }
        ],
    },
    cores=2,
)


class Interpreted(Place):
    """The CPU, taken for a device of another kind."""

    @property
    def type(self) -> str:
        return "interpreted"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(device, "table_of", lambda _: TABLE)
    return Interpreted("cpu", llc_bytes=1 << 14, memory_bytes=1 << 30, table=TABLE)


@pytest.mark.parametrize("init", ["normal", "zeros"])
@pytest.mark.parametrize("op", OPS)
def test_memory_is_prepared(place: Place, op: str, init: str) -> None:
    prepared = Memory(op=op, array_bytes=4000, init=init, backend="triton").prepare(place)
    assert prepared.check.max_error <= prepared.check.tolerance
    assert prepared.check.compared == 1000
    assert prepared.buffers > 1
    prepared.launch()


@pytest.mark.parametrize("pipe", ["fp32", "bf16", "exp2", "tensor_bf16", "tensor_int8"])
def test_a_spin_is_prepared_with_the_work_of_its_programs(place: Place, pipe: str) -> None:
    prepared = Spin(pipe=pipe, rounds=1).prepare(place)
    assert prepared.check.max_error <= prepared.check.tolerance
    assert prepared.note == "2 programs"
    lanes = {"exp2": 2 * 32 * 1024, "tensor_bf16": 0, "tensor_int8": 0}.get(pipe, 2 * 2 * 32 * 1024)
    assert prepared.work == Work(lanes or 2 * 2 * 16 * 16 * 32 * 129, 0, "flops")


def test_the_virus_is_prepared_and_so_is_its_period(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = Workload(buffer_bytes=2000).prepare(place)
    assert prepared.check.max_error <= 1
    one = Work(2 * 16 * 16 * 32 * (8 * 2 + 2), 4000, "flops")  # 8 blocks, 2 programs with a product more
    assert prepared.work == one
    monkeypatch.setattr(Periodic, "_time", lambda _: 0.02)
    pulse = Workload(buffer_bytes=2000, duty=0.5, period_s=0.2).prepare(place)
    assert pulse.whole
    assert pulse.work == Work(5 * one.flops, 5 * one.bytes, "flops")


# -- mutants -------------------------------------------------------------------------------------------------

CHECKS = {
    "stream": (stream, lambda module: [streamed(module, op, "fp32", n) for op in OPS for n in (128, 131)]),
    "vector_spin": (vector_spin, lambda module: [vector(module, "fp32", 8), vector(module, "int32", 16)]),
    "tensor_spin": (tensor_spin, lambda module: tensor(module, "bf16", 3)),
    "virus": (virus, lambda module: [infected(module, "bf16", n) for n in (449, 448)]),
}


@pytest.mark.parametrize(
    ("name", "mutant"), [(n, m) for n, (module, _) in CHECKS.items() for m in mutants.mutants(module)], ids=str
)
def test_no_mutant_survives(name: str, mutant: mutants.Mutant, tmp_path: Path) -> None:
    assert not mutants.survives(mutant, tmp_path, f"mutant_of_{name}", CHECKS[name][1])
