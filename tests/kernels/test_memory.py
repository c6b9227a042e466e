"""Memory bandwidth: the bytes as STREAM counts them, every operation and format checked, mutants, rotation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from perwatt.kernels import data, dtypes, memory
from perwatt.kernels.memory import Memory
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

SMALL = Memory(array_bytes="64KiB")
OPS = ("copy", "scale", "triad", "read", "write")


@pytest.mark.parametrize(
    ("op", "streams", "flops"),
    [("copy", 2, 0), ("scale", 2, 1), ("triad", 3, 2), ("read", 1, 1), ("write", 1, 0)],
)
def test_bytes_are_counted_as_stream_counts(op: str, streams: int, flops: int) -> None:
    spec = Memory(op=op, array_bytes="1MiB", dtype="bf16")
    assert spec.work().bytes == streams * 1048576 == spec.footprint_bytes()
    assert spec.work().flops == flops * 524288
    assert spec.work().headline == "bytes"


def test_names_tell_cases_apart() -> None:
    assert Memory().label() == "triad fp32 256 MiB"
    assert Memory(op="copy", array_bytes=3 << 29, init="zeros").label() == "copy fp32 1.5 GiB zeros"
    assert Memory(op="scale", dtype="bf16").series() == "scale bf16"
    assert Memory(op="read", backend="triton").label() == "read fp32 256 MiB triton"
    assert SMALL.size() == Size("array_bytes", 65536.0)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", ["fp64", "fp32", "bf16", "fp16"])
@pytest.mark.parametrize("init", ["normal", "zeros", "sparse:0.5"])
def test_every_operation_is_right_in_every_format(cpu: Place, op: str, dtype: str, init: str) -> None:
    if op == "write" and init.startswith("sparse"):
        pytest.skip("one value")
    spec = Memory(op=op, array_bytes="64KiB", dtype=dtype, init=init)
    if op == "read" and dtype in ("bf16", "fp16"):
        with pytest.raises(Unsupported, match="slower than memory delivers it; use fp32"):
            spec.prepare(cpu)
        return
    prepared = spec.prepare(cpu)
    assert prepared.check.max_error <= prepared.check.tolerance
    assert prepared.check.compared == 65536 // dtypes.itemsize(dtype)
    assert (prepared.check.tolerance == 0) == (op in ("copy", "write"))
    result = prepared.launch()
    assert isinstance(result, torch.Tensor)
    assert bool(result.count_nonzero()) == (init != "zeros")


def wrong(name: str, output: torch.Tensor) -> None:
    if output.numel() == 16384:  # not the probe before it
        if name == "one element":
            output[12345] += 1
        elif name == "nan":
            output[-1] = math.nan
        elif name == "tail":
            output[-100:] = math.nan
        elif name == "scale":
            output *= 1.00001


@pytest.mark.parametrize("op", [op for op in OPS if op != "read"])
@pytest.mark.parametrize("name", ["one element", "nan", "tail", "scale"])
def test_mutants_are_caught(cpu: Place, monkeypatch: pytest.MonkeyPatch, op: str, name: str) -> None:
    real = Memory._call

    def call(self: Memory, init: str, arrays: tuple[torch.Tensor, ...], config: None = None) -> Callable[[], object]:
        inner = real(self, init, arrays, config)

        def launch() -> object:
            inner()
            wrong(name, arrays[0])
            return arrays[0]

        return launch

    monkeypatch.setattr(Memory, "_call", call)
    monkeypatch.setattr(memory, "_CHUNK", 5000)  # the place is named across chunks
    place = r"\[12345\]" if name == "one element" else ""
    with pytest.raises(WrongResult, match=op + place):
        Memory(op=op, array_bytes="64KiB").prepare(cpu)


def test_rotation_uses_every_set_and_writes_every_output(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    real = torch.add

    def spy(b: torch.Tensor, c: torch.Tensor, *, alpha: float, out: torch.Tensor) -> torch.Tensor:
        calls.append((b.data_ptr(), c.data_ptr(), out.data_ptr()))
        return real(b, c, alpha=alpha, out=out)

    monkeypatch.setattr(torch, "add", spy)
    prepared = SMALL.prepare(cpu)
    assert prepared.buffers == -(-2 * (1 << 20) // (3 * 65536))
    assert prepared.note == ""
    calls.clear()
    for _ in range(prepared.buffers):
        prepared.launch()
    for operand in range(3):
        assert len({call[operand] for call in calls}) == prepared.buffers


def test_too_little_memory_to_outgrow_the_cache_is_noted(cpu: Place) -> None:
    prepared = SMALL.prepare(dataclasses.replace(cpu, memory_bytes=4 * SMALL.footprint_bytes()))
    assert prepared.buffers == 2
    assert "do not exceed twice the last-level cache" in prepared.note


def test_a_set_left_out_of_the_rotation_is_noticed(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "rotating", lambda calls: calls[0])
    with pytest.raises(WrongResult, match="elements of output buffer 1 are not finite"):
        SMALL.prepare(cpu)


@pytest.mark.parametrize("double", [True, False])
def test_huge_arrays_elsewhere_are_sampled_here_and_compared_there(
    monkeypatch: pytest.MonkeyPatch, double: bool
) -> None:
    monkeypatch.setattr(memory, "_CPU_MOST", 1000)
    monkeypatch.setattr(memory, "_CHUNK", 100)
    spec = Memory(array_bytes="64KiB")
    arrays = spec._operands(0, "normal", "cpu")
    spec._call("normal", arrays)()
    if not double:
        monkeypatch.setattr(data, "fill", refuse)
    check = spec._check(arrays, "cpu", elsewhere=True)
    assert check.compared == (16384 if double else 64 * 100 - 16)  # the last of the 164 pieces holds 84
    assert check.reference == (
        "float64 on the device, every element; on the CPU, 64 pieces" if double else "float64 on the CPU, 64 pieces"
    )


def refuse(*_: object) -> None:
    raise RuntimeError("this device has no float64")


def test_an_operation_that_is_missing_is_refused(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise NotImplementedError('"mul" not implemented')

    monkeypatch.setattr(torch, "mul", missing)
    with pytest.raises(Unsupported, match='scale in fp32 on cpu: "mul" not implemented'):
        Memory(op="scale", array_bytes=64).prepare(cpu)


@pytest.mark.parametrize("missing", [1, 100])
def test_an_element_that_is_not_read_is_missed(cpu: Place, monkeypatch: pytest.MonkeyPatch, missing: int) -> None:
    real = torch.sum

    def short(b: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        return real(b[:-missing] if b.numel() == 1 << 20 else b, *rest, **options)

    monkeypatch.setattr(torch, "sum", short)
    with pytest.raises(WrongResult, match=r"read\[0\] is"):
        Memory(op="read", array_bytes="4MiB").prepare(cpu)


def test_write_has_one_value() -> None:
    with pytest.raises(ValueError, match=r"memory\.init: 'uniform': write has one value"):
        Memory(op="write", init="uniform")


def test_a_kernel_of_triton_is_refused_on_a_cpu_and_named_elsewhere(cpu: Place) -> None:
    spec = Memory(op="read", array_bytes="1MiB", backend="triton")
    with pytest.raises(Unsupported, match="use backend=torch"):
        spec.prepare(cpu)
    assert Memory().programs(cpu) == ()
