"""How many blocks of a kernel one core holds at a time, and what keeps out one more.

As NVIDIA's occupancy calculator counts it: a warp's registers are rounded up to the unit of allocation and come from
the register file of one scheduler, so the warps that fit are counted scheduler by scheduler; shared memory is rounded
up, and what the driver keeps for each block comes on top. AMD's compute units follow the same rule with other numbers:
vector registers of one SIMD, in units of eight a lane, and LDS (LLVM, AMDGPUBaseInfo.cpp,
getNumWavesPerEUWithNumVGPRs).
"""

from __future__ import annotations

from dataclasses import dataclass

from perwatt.kernels.triton.static.architecture import Architecture


@dataclass(frozen=True)
class Occupancy:
    """``blocks`` on one core at a time, ``warps`` of them together, their share of the ``warps_per_core``.

    ``limiter`` is what ran out first: ``registers``, ``shared memory``, ``warps`` or ``blocks``; of several, the first
    in this order. With ``blocks`` 0 the kernel cannot be launched.
    """

    blocks: int
    warps: int
    share: float
    limiter: str


def occupancy(architecture: Architecture, registers: int, warps: int, shared_bytes: int) -> Occupancy:
    """Blocks of ``warps`` warps, ``registers`` a thread and ``shared_bytes`` a block that one core holds."""
    a = architecture
    limits = {
        "registers": blocks_by_registers(a, registers, warps),
        "shared memory": blocks_by_shared(a, shared_bytes),
        "warps": a.warps_per_core // warps,
        "blocks": a.blocks_per_core,
    }
    limiter = min(limits, key=lambda name: limits[name])
    blocks = limits[limiter]
    return Occupancy(blocks, blocks * warps, blocks * warps / a.warps_per_core, limiter)


def blocks_by_registers(architecture: Architecture, registers: int, warps: int) -> int:
    """Blocks whose registers fit; 0 if a thread asks for more than it may have."""
    a = architecture
    if registers > a.registers_per_thread:
        return 0
    of_a_warp = _up(max(registers, 1) * a.warp_size, a.register_granularity)
    by_scheduler = a.registers_per_core // a.schedulers // of_a_warp
    return by_scheduler * a.schedulers // warps


def blocks_by_shared(architecture: Architecture, shared_bytes: int) -> int:
    """Blocks whose shared memory fits; 0 if a block asks for more than it may have."""
    a = architecture
    if shared_bytes > a.shared_per_block:
        return 0
    of_a_block = _up(shared_bytes + a.shared_reserved, a.shared_granularity)
    return a.shared_per_core // of_a_block if of_a_block else a.blocks_per_core


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
