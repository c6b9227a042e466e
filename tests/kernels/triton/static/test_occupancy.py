"""Occupancy against cases that were calculated by hand."""

from __future__ import annotations

import pytest

from perwatt.benchmarks.architectures import load
from perwatt.kernels.triton.static.occupancy import occupancy


@pytest.mark.parametrize(
    ("arch", "registers", "warps", "shared", "blocks", "limiter"),
    [
        # 32 x 32 = 1024 registers a warp, 16 warps on each scheduler: all 64
        ("sm_80", 32, 32, 0, 2, "registers"),
        # 33 x 32 = 1056, rounded to 1280: 12 a scheduler, 48 warps; the whole file divided would hold 51
        ("sm_80", 33, 32, 0, 1, "registers"),
        ("sm_80", 33, 16, 0, 3, "registers"),
        # 64 x 32 = 2048: 8 a scheduler
        ("sm_90", 64, 8, 0, 4, "registers"),
        # 168 x 32 = 5376: 3 a scheduler, 12 warps
        ("sm_90", 168, 12, 0, 1, "registers"),
        ("sm_90", 16, 4, 0, 16, "warps"),
        ("sm_90", 16, 1, 0, 32, "blocks"),
        # (115,712 + 1,024) x 2 = 233,472, all that an SM has
        ("sm_90", 16, 4, 115_712, 2, "shared memory"),
        ("sm_90", 16, 4, 115_713, 1, "shared memory"),
        ("sm_90", 16, 4, 232_448, 1, "shared memory"),
        ("sm_90", 16, 4, 232_449, 0, "shared memory"),
        ("sm_120", 16, 4, 0, 12, "warps"),
        ("sm_120", 16, 4, 101_376, 1, "shared memory"),
        # 128 of 512 vector registers: 4 waves on a SIMD, 16 on a unit; 129 take 136: 3
        ("gfx942", 128, 8, 0, 2, "registers"),
        ("gfx942", 129, 4, 0, 3, "registers"),
        ("gfx942", 512, 4, 0, 1, "registers"),
        ("gfx942", 64, 4, 0, 8, "registers"),
        ("gfx942", 32, 4, 0, 8, "warps"),
        ("gfx942", 32, 4, 32_768, 2, "shared memory"),
        ("gfx942", 32, 4, 32_769, 1, "shared memory"),
        ("gfx950", 32, 4, 80_640, 2, "shared memory"),  # 63 units of 1280
        ("gfx950", 32, 4, 81_921, 1, "shared memory"),
        ("gfx950", 32, 4, 163_841, 0, "shared memory"),
    ],
)
def test_blocks_and_what_limits_them(
    arch: str, registers: int, warps: int, shared: int, blocks: int, limiter: str
) -> None:
    architecture = load(arch)
    found = occupancy(architecture, registers, warps, shared)
    assert (found.blocks, found.limiter) == (blocks, limiter)
    assert found.warps == blocks * warps
    assert found.share == blocks * warps / architecture.warps_per_core


def test_more_registers_than_a_thread_may_have() -> None:
    assert occupancy(load("sm_90"), 256, 4, 0).blocks == 0
