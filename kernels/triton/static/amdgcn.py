"""AMD's assembly text, as Triton keeps it (``asm["amdgcn"]``): no tool is needed.

The listing is the compiler's own output, so it has no addresses: an instruction is known by its number. Resources are
read from the metadata of the code object (LLVM, User Guide for AMDGPU Backend, code object V5): ``.vgpr_count`` is the
total of the unified register file, accumulator registers (``.agpr_count``) included.
"""

from __future__ import annotations

import re

from perwatt.kernels.triton.static.assembly import Instruction, Listing, Resources, Unreadable

_LABEL = re.compile(r"^([.\w$]+):")
_LINE = re.compile(r"^\s+([a-z][a-z0-9]*_[a-z0-9_]+)\s*([^;]*)")
_JUMPS = ("s_branch", "s_cbranch")
_ENDS = frozenset({"s_endpgm", "s_branch", "s_setpc_b64"})
_KEYS = ("vgpr_count", "agpr_count", "sgpr_count", "vgpr_spill_count", "sgpr_spill_count", "private_segment_fixed_size")


def parse(text: str) -> Listing:
    """The instructions of the kernel's text section."""
    rows: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in _code(text).splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(rows)
        elif found := _LINE.match(line):
            opcode, operands = found[1], found[2].strip()
            targets = (operands.split(",")[-1].strip(),) if opcode.startswith(_JUMPS) else ()
            rows.append(Instruction(len(rows), opcode, operands, "", targets, opcode not in _ENDS))
    if not rows:
        raise Unreadable("the AMD assembly holds no instruction")
    return Listing(tuple(rows), {name: at for name, at in labels.items() if at < len(rows)})


def resources(text: str) -> Resources:
    """Registers, spills and scratch memory of the kernel, from its metadata."""
    metadata = text.partition(".amdgpu_metadata")[2]
    found = {key: re.search(rf"\.{key}:\s+(\d+)", metadata) for key in _KEYS}
    value = {key: int(match[1]) for key, match in found.items() if match}
    if "vgpr_count" not in value:
        raise Unreadable("the AMD assembly has no metadata of the kernel")
    return Resources(
        registers=value["vgpr_count"],
        stack_bytes=value.get("private_segment_fixed_size", 0),
        accumulator_registers=value.get("agpr_count"),
        scalar_registers=value.get("sgpr_count"),
        spilled_registers=value.get("vgpr_spill_count", 0) + value.get("sgpr_spill_count", 0),
    )


def stated_waves(text: str) -> int | None:
    """Waves on a SIMD as LLVM states them in a comment, by registers alone; None if it does not."""
    found = re.search(r"^; Occupancy: (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def _code(text: str) -> str:
    """What lies before the tables and debug sections: from ``.text`` to the kernel's descriptor or its end."""
    start = text.find("\t.text")
    ends = [at for mark in (".section\t.rodata", ".amdgpu_metadata") if (at := text.find(mark, start)) > 0]
    return text[max(start, 0) : min(ends, default=len(text))]
