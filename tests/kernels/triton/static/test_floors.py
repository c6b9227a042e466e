"""Floors of an iteration by hand."""

from __future__ import annotations

import pytest

from perwatt.benchmarks.architectures import load
from perwatt.kernels.triton.static.floors import Memory, floors

HOPPER, CDNA = load("sm_90"), load("gfx942")


def test_each_floor_is_an_amount_over_a_rate_and_the_largest_binds() -> None:
    memory = Memory(bandwidth=3.3e12, cores=100, clock_hz=1.65e9)
    assert memory.bytes_per_clock == pytest.approx(20)
    found = floors(HOPPER, {"bf16": 4_194_304}, 81, 8, 49_152, memory)
    assert (found.tensor, found.issue) == (1024, 162)
    assert found.memory == pytest.approx(2457.6)
    assert found.binds == "memory"
    reused = floors(HOPPER, {"bf16": 4_194_304}, 81, 8, 49_152, Memory(3.3e12, 100, 1.65e9, reuse=4))
    assert reused.memory == pytest.approx(614.4)
    assert reused.binds == "tensor"
    assert floors(HOPPER, {"bf16": 4096}, 81, 8, 0).binds == "issue"


def test_formats_of_one_loop_add_up() -> None:
    assert floors(HOPPER, {"bf16": 4096, "fp8_e4m3": 8192}, 0, 8, 0).tensor == 2


def test_what_is_not_known_stays_unknown() -> None:
    assert floors(HOPPER, None, 10, None, None).binds == ""
    assert floors(HOPPER, {"fp4": 1}, 10, 8, 0).tensor is None  # Hopper has no fp4
    assert floors(HOPPER, {}, 10, 8, None, Memory(1e12, 1, 1e9)).memory is None
    assert floors(HOPPER, {}, 10, 8, 64).memory is None


def test_a_vector_instruction_takes_a_simd_four_clocks() -> None:
    assert floors(CDNA, {}, 10, 8, 0).issue == 10 * 8 * 4 / 4
