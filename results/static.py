"""What a Triton kernel was compiled to, as a part of a record: read off its assembly, not measured.

The fields are those of the static record that the kernel's side makes; a core is an SM or a compute unit, a block a
thread block or a workgroup, a warp a wave there. None stands for what the assembly does not tell.
"""

from __future__ import annotations

import msgspec


class Spills(msgspec.Struct, frozen=True):
    """What did not fit into registers. ``loads`` and ``stores`` are instructions in the listing; ``stack_bytes`` of one
    thread; ``registers`` those that AMD's compiler spilled."""

    stack_bytes: int
    loads: int
    stores: int
    registers: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything was spilled: a stack alone is none."""
        return bool(self.loads or self.stores or self.registers)


class Loop(msgspec.Struct, frozen=True):
    """One loop, innermost first in the record. Counts are of instructions that lie in no loop inside it; ``flops``,
    ``bytes`` and floors (in clocks of a core) are of one iteration of one block; ``binds`` names the largest floor."""

    start: int
    end: int
    depth: int
    parent: int | None
    instructions: int
    classes: dict[str, int]
    families: dict[str, int]
    stall_clocks: int | None = None
    warps: int | None = None
    flops: int | None = None
    bytes: int | None = None
    tensor_floor: float | None = None
    issue_floor: float | None = None
    memory_floor: float | None = None
    binds: str = ""


class Static(msgspec.Struct, frozen=True):
    """One compiled kernel of a case: ``kernel`` its name, ``configuration`` what was asked for, ``versions`` of the
    tools, registers of one thread, shared memory of one block beside the most that it may have."""

    kernel: str
    architecture: str
    configuration: dict[str, bool | int | float | str | None]
    versions: dict[str, str]
    registers: int
    accumulator_registers: int | None
    scalar_registers: int | None
    spills: Spills
    shared_bytes: int
    shared_limit_bytes: int
    tensor_memory_columns: int | None
    stages: int | None
    warps_asked: int | None
    warps: int
    blocks_per_core: int
    occupancy: float
    limiter: str
    fp_fusion: bool | None
    instructions: int
    classes: dict[str, int]
    families: dict[str, int]
    loops: tuple[Loop, ...] = ()

    @property
    def main_loop(self) -> Loop | None:
        """The loop that does the work: of those with matrix instructions, else of all innermost ones, the one whose
        iteration takes longest by its floors; None without loops."""
        multiplying = [loop for loop in self.loops if loop.classes.get("tensor")]
        deepest = max((loop.depth for loop in self.loops), default=0)
        return max(multiplying or [loop for loop in self.loops if loop.depth == deepest], key=_longest, default=None)


def _longest(loop: Loop) -> tuple[float, int]:
    floors = (loop.tensor_floor, loop.issue_floor, loop.memory_floor)
    return max((floor for floor in floors if floor is not None), default=0.0), loop.instructions
