"""Static records of kernels compiled here, against what must be true of them."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perwatt.benchmarks.architectures import load
from perwatt.kernels.triton.static import amdgcn, sass
from perwatt.kernels.triton.static.assembly import Unreadable
from perwatt.kernels.triton.static.floors import Memory
from perwatt.kernels.triton.static.loop_record import Loop
from perwatt.kernels.triton.static.occupancy import blocks_by_registers
from perwatt.kernels.triton.static.record import Static, static_record

Of = Callable[..., Static]


def multiplying(record: Static) -> list[Loop]:
    return [loop for loop in record.loops if loop.classes.get("tensor")]


@pytest.mark.parametrize(
    ("name", "tile", "family"),
    [
        ("matmul.sm_80", (128, 128, 64), "HMMA"),
        ("matmul.sm_90", (128, 128, 64), "HGMMA"),
        ("matmul.sm_100", (128, 128, 64), "UTCHMMA"),
        ("matmul.sm_120", (128, 128, 64), "HMMA"),
        ("matmul.gfx942", (128, 128, 64), "v_mfma_f32_32x32x8_bf16"),
        ("matmul.gfx950", (128, 128, 64), "v_mfma_f32_32x32x16_bf16"),
        ("descriptors.sm_90", (128, 256, 64), "HGMMA"),
        ("descriptors.sm_100", (128, 256, 64), "UTCHMMA"),
        ("eight.sm_90", (128, 128, 128), "QGMMA"),
        ("tf32.sm_80", (128, 128, 32), "HMMA"),
        ("spilled.sm_90", (256, 128, 64), "HGMMA"),
        ("spilled.gfx942", (256, 256, 64), "v_mfma_f32_32x32x8_bf16"),
    ],
)
def test_flop_of_an_iteration_are_those_of_the_tile(
    static: Of, name: str, tile: tuple[int, int, int], family: str
) -> None:
    m, n, k = tile
    (loop,) = multiplying(static(name))
    assert loop.families[family] == loop.classes["tensor"]
    assert loop.flops == 2 * m * n * k
    rates = load(name.partition(".")[2]).tensor_flops
    dtype = {"eight": "fp8_e4m3", "tf32": "tf32"}.get(name.partition(".")[0], "bf16")
    assert loop.tensor_floor == pytest.approx(2 * m * n * k / rates[dtype])
    assert loop.depth == 1
    assert loop.parent is None


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100", "sm_120", "gfx942", "gfx950"])
def test_bytes_of_an_iteration_are_those_of_the_operands(static: Of, arch: str) -> None:
    (loop,) = multiplying(static(f"matmul.{arch}"))
    assert loop.bytes == (128 * 64 + 64 * 128) * 2


def test_bulk_loads_are_counted_by_the_tiles_of_the_ttgir(static: Of) -> None:
    (loop,) = multiplying(static("descriptors.sm_90"))
    assert loop.families["UTMALDG"] == 2
    assert loop.bytes == (128 + 256) * 64 * 2


def test_bulk_loads_of_nested_loops_belong_to_the_loop_that_issues_them(static: Of) -> None:
    (loop,) = multiplying(static("persistent.sm_90"))
    assert loop.depth == 2
    assert loop.bytes == (128 + 256) * 64 * 2
    assert loop.flops == 2 * 128 * 256 * 64
    assert loop.parent is not None
    outer = static("persistent.sm_90").loops[loop.parent]
    assert outer.families["STG"]
    assert not outer.classes.get("tensor")


def test_partitions_of_a_specialised_kernel_have_loops_of_their_own(static: Of) -> None:
    hopper = static("specialised.sm_90")
    assert (hopper.warps_asked, hopper.warps) == (4, 12)
    halves = multiplying(hopper)
    assert [loop.warps for loop in halves] == [4, 4]
    assert sum(loop.flops or 0 for loop in halves) == 2 * 128 * 256 * 64
    (loading,) = [loop for loop in hopper.loops if loop.classes.get("bulk_load")]
    assert (loading.bytes, loading.warps, loading.flops) == ((128 + 256) * 64 * 2, 4, 0)
    blackwell = static("specialised.sm_100")
    assert blackwell.warps == 8
    (one,) = multiplying(blackwell)
    assert (one.warps, one.flops) == (1, 2 * 128 * 256 * 64)
    assert not one.classes.get("bulk_load")
    assert blackwell.tensor_memory_columns == 256


@pytest.mark.parametrize("name", ["matmul.sm_80", "spilled.sm_90", "matmul.sm_100", "nested.sm_90"])
def test_registers_and_stack_are_what_cuobjdump_says(static: Of, kernels: Any, tmp_path: Path, name: str) -> None:
    cubin = tmp_path / "k.cubin"
    cubin.write_bytes(kernels[name][0]["cubin"])
    said = subprocess.check_output([sass.tools_folder() / "cuobjdump", "-res-usage", cubin], text=True)
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", said).groups()  # type: ignore[union-attr]
    assert (static(name).registers, static(name).spills.stack_bytes) == (int(registers), int(stack))


def test_a_tile_too_large_for_its_warps_spills(static: Of) -> None:
    spilled, fits = static("spilled.sm_90"), static("matmul.sm_90")
    assert spilled.registers == 255
    assert min(spilled.spills.stack_bytes, spilled.spills.loads, spilled.spills.stores) > 0
    assert spilled.families["LDL"] == spilled.spills.loads
    assert (fits.spills.stack_bytes, fits.spills.loads, fits.spills.stores) == (0, 0, 0)
    amd = static("spilled.gfx942")
    assert amd.spills.registers
    assert amd.spills.loads > 0
    assert static("matmul.gfx942").spills.registers == 0


@pytest.mark.parametrize("arch", ["sm_90", "gfx942"])
def test_shared_memory_over_the_limit_is_seen(static: Of, arch: str) -> None:
    record = static(f"large.{arch}")
    assert record.shared_bytes > record.shared_limit_bytes
    assert (record.blocks_per_core, record.occupancy, record.limiter) == (0, 0.0, "shared memory")


def test_loops_nest_as_they_were_written(static: Of) -> None:
    hopper = static("nested.sm_90")
    inner = [loop for loop in hopper.loops if loop.depth == 2]
    assert inner
    for loop in inner:
        assert loop.parent is not None
        outer = hopper.loops[loop.parent]
        assert outer.depth == 1
        assert outer.families.get("MUFU")  # the exponential lies in the outer one only
        assert not loop.families.get("MUFU")
        assert loop.classes["fp32"]
        assert outer.start < loop.start <= loop.end < outer.end
    amd = static("nested.gfx942")
    *deep, outermost = amd.loops  # the inner one may have been unrolled, and then has a remainder
    assert deep
    assert {(loop.depth, loop.parent) for loop in deep} == {(2, len(deep))}
    assert (outermost.depth, outermost.parent) == (1, None)
    assert not static("triad.sm_90").loops


def test_a_kernel_without_products_binds_nowhere_but_at_issue_or_memory(static: Of) -> None:
    memory = Memory(bandwidth=3.35e12, cores=132, clock_hz=1.83e9)
    record = static("nested.sm_90", memory=memory)
    unrolled = max((loop for loop in record.loops if loop.depth == 2), key=lambda loop: loop.bytes or 0)
    assert unrolled.flops == 0
    assert unrolled.bytes is not None
    assert unrolled.memory_floor == pytest.approx(unrolled.bytes / (3.35e12 / 132 / 1.83e9))
    assert unrolled.binds == "memory"
    assert static("nested.sm_90").loops[0].binds == "issue"


@pytest.mark.parametrize("name", ["matmul", "nested", "triad", "spilled", "large"])
def test_amd_registers_and_waves_are_what_the_assembly_says(static: Of, kernels: Any, name: str) -> None:
    text = kernels[f"{name}.gfx942"][0]["amdgcn"]
    record = static(f"{name}.gfx942")
    total = int(re.search(r"; TotalNumVgprs: (\d+)", text)[1])  # type: ignore[index]
    assert record.registers == total
    assert record.accumulator_registers == int(re.search(r"; NumAgprs: (\d+)", text)[1])  # type: ignore[index]
    assert record.spills.stack_bytes == int(re.search(r"; ScratchSize: (\d+)", text)[1])  # type: ignore[index]
    one_wave_a_simd = blocks_by_registers(load("gfx942"), record.registers, warps=4)
    assert min(one_wave_a_simd, 8) == amdgcn.stated_waves(text)


def test_the_record_says_how_it_was_made(static: Of, kernels: Any) -> None:
    record = static("matmul.sm_100", configuration={"num_warps": 8, "BM": 128})
    assert record.configuration == {"num_warps": 8, "BM": 128}
    assert record.versions["triton"] == kernels["matmul.sm_100"][1]["triton_version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", record.versions["ptxas"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", record.versions["nvdisasm"])
    assert static("matmul.gfx942").versions["llvm"]
    assert record.fp_fusion is True
    unfused = static("unfused.sm_90")
    assert unfused.fp_fusion is False
    assert unfused.families["FMUL"]
    assert not unfused.families.get("FFMA")
    assert record.stages == 2


def test_a_record_is_plain_values(static: Of) -> None:
    record = static("specialised.sm_90")
    assert json.loads(json.dumps(dataclasses.asdict(record)))["loops"][0]["depth"] == 2
    assert sum(record.classes.values()) == record.instructions


def test_what_nothing_tells_is_taken_from_the_caller_or_unknown(kernels: Any) -> None:
    asm, metadata = kernels["matmul.sm_100"]
    bare = {key: value for key, value in asm.items() if key != "ttgir"}
    (loop,) = multiplying(static_record(bare, metadata, load("sm_100"), "bare"))
    assert (loop.flops, loop.tensor_floor) == (None, None)
    said = static_record(bare, metadata, load("sm_100"), "bare", flops_per_iteration=(2 * 128 * 128 * 64, "bf16"))
    assert multiplying(said)[0].flops == 2 * 128 * 128 * 64


def test_another_architecture_and_missing_assembly_are_refused(kernels: Any, tmp_path: Path) -> None:
    asm, metadata = kernels["matmul.sm_90"]
    with pytest.raises(ValueError, match="sm90, not for sm_80"):
        static_record(asm, metadata, load("sm_80"), "k")
    with pytest.raises(Unreadable, match="no cubin"):
        static_record({}, metadata, load("sm_90"), "k")
    with pytest.raises(Unreadable, match="nowhere"):
        static_record(asm, metadata, load("sm_90"), "k", tools=tmp_path / "nowhere")
    with pytest.raises(Unreadable, match="cuobjdump"):
        static_record({**asm, "cubin": b"no cubin"}, metadata, load("sm_90"), "k")
