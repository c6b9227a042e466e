"""The static record of one compiled Triton kernel: what it needs and what it consists of, without a GPU.

:func:`static_record` takes what Triton's ``CompiledKernel`` carries, ``asm`` and ``metadata``, and the
:class:`Architecture` that it was compiled for. What cannot be known from these is None, and what follows from it is
None too. All of it can be written as JSON: ``dataclasses.asdict`` gives plain values.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perwatt.kernels.triton.static import amdgcn, sass, ttgir
from perwatt.kernels.triton.static.architecture import Architecture
from perwatt.kernels.triton.static.assembly import Listing, Resources, Unreadable
from perwatt.kernels.triton.static.floors import Memory
from perwatt.kernels.triton.static.loop_record import Loop, LoopReader
from perwatt.kernels.triton.static.loops import natural_loops
from perwatt.kernels.triton.static.occupancy import occupancy
from perwatt.kernels.triton.static.operations import tally


@dataclass(frozen=True)
class Spills:
    """What did not fit into registers. ``loads`` and ``stores`` are instructions in the listing, not executions;
    ``stack_bytes`` of one thread (other things can lie there, too); ``registers`` those that AMD's compiler says it
    spilled, to memory or to accumulator registers."""

    stack_bytes: int
    loads: int
    stores: int
    registers: int | None


@dataclass(frozen=True)
class Static:
    """One compiled kernel. ``versions`` are of the tools that made and read it; ``configuration`` is what its author
    asked for; registers are one thread's; ``tensor_memory_columns`` of Blackwell's 512, None where there is none.
    ``warps_asked`` and ``warps`` differ in a warp-specialised kernel. ``blocks_per_core`` 0: it cannot be launched,
    and ``limiter`` says why."""

    kernel: str
    architecture: str
    configuration: dict[str, Any]
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
    loops: tuple[Loop, ...]


def static_record(
    asm: Mapping[str, Any],
    metadata: object,
    architecture: Architecture,
    name: str,
    configuration: Mapping[str, Any] | None = None,
    *,
    memory: Memory | None = None,
    flops_per_iteration: tuple[int, str] | None = None,
    tools: Path | None = None,
) -> Static:
    """What ``k.asm`` and ``k.metadata`` of a compiled kernel say about it on ``architecture``.

    ``memory`` makes a memory floor possible. ``flops_per_iteration`` is (FLOP, format) of one block in one iteration,
    for a loop with matrix instructions whose FLOP nothing else tells. ``tools`` is the folder of nvdisasm and
    cuobjdump. Raises :class:`Unreadable` if the assembly cannot be had, ValueError if it is of another architecture.
    """
    _same_architecture(_of(metadata, "arch"), architecture)
    listing, resources = _read(asm, architecture, tools)
    facts = ttgir.facts(str(asm.get("ttgir", "")))
    configuration = {key: _plain(value) for key, value in (configuration or {}).items()}
    warps = int(_of(metadata, "num_warps") or facts.warps or 0)
    if warps < 1:
        raise Unreadable(f"{name}: neither its metadata nor its TTGIR says how many warps a block has")
    shared = int(_of(metadata, "shared") or 0)
    resident = occupancy(architecture, resources.registers, warps, shared)
    classes, families = tally(listing.instructions, architecture.vendor)
    asked = configuration.get("num_warps", facts.warps)
    tmem = _of(metadata, "tmem_size")
    reader = LoopReader(architecture, facts, warps, memory, flops_per_iteration)
    return Static(
        kernel=name,
        architecture=architecture.name,
        configuration=configuration,
        versions=_versions(asm, metadata, architecture, tools),
        registers=resources.registers,
        accumulator_registers=resources.accumulator_registers,
        scalar_registers=resources.scalar_registers,
        spills=Spills(
            resources.stack_bytes,
            classes.get("spill_load", 0),
            classes.get("spill_store", 0),
            resources.spilled_registers,
        ),
        shared_bytes=shared,
        shared_limit_bytes=architecture.shared_per_block,
        tensor_memory_columns=int(tmem) if tmem else None,
        stages=_of(metadata, "num_stages"),
        warps_asked=int(asked) if asked else None,
        warps=warps,
        blocks_per_core=resident.blocks,
        occupancy=resident.share,
        limiter=resident.limiter,
        fp_fusion=_of(metadata, "enable_fp_fusion"),
        instructions=len(listing.instructions),
        classes=classes,
        families=families,
        loops=reader.read(natural_loops(listing)),
    )


def _read(asm: Mapping[str, Any], architecture: Architecture, tools: Path | None) -> tuple[Listing, Resources]:
    key = "cubin" if architecture.vendor == "NVIDIA" else "amdgcn"
    if key not in asm:
        raise Unreadable(f"the compiled kernel has no {key}: it is not of {architecture.name}")
    if key == "cubin":
        return sass.disassemble(bytes(asm[key]), tools)
    return amdgcn.parse(asm[key]), amdgcn.resources(asm[key])


def _of(metadata: object, key: str) -> Any:
    """An entry of the metadata, which is a named tuple at run time and a mapping in Triton's cache; None without."""
    return metadata.get(key) if isinstance(metadata, Mapping) else getattr(metadata, key, None)


def _plain(value: object) -> object:
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _same_architecture(compiled: object, architecture: Architecture) -> None:
    said = re.search(r"\d+", str(compiled or ""))
    if said and said[0] != "".join(re.findall(r"\d+", architecture.name)):
        raise ValueError(f"the kernel was compiled for {compiled}, not for {architecture.name}")


def _versions(
    asm: Mapping[str, Any], metadata: object, architecture: Architecture, tools: Path | None
) -> dict[str, str]:
    found = {"triton": str(_of(metadata, "triton_version") or "")}
    if architecture.vendor == "AMD":
        lld = re.search(rb"LLD (\d[\w.]*)", bytes(asm.get("hsaco", b"")))
        found["llvm"] = lld[1].decode() if lld else ""
    else:
        stamped = re.search(rb"Cuda compilation tools, release [\d.]+, V([\d.]+)", bytes(asm["cubin"]))
        found["ptxas"] = stamped[1].decode() if stamped else _ptxas(architecture)
        found["nvdisasm"] = sass.version((tools or sass.tools_folder()) / "nvdisasm")
    return {tool: version for tool, version in found.items() if version}


def _ptxas(architecture: Architecture) -> str:
    """The ptxas that the Triton of this process compiles with; empty if there is none, or it does not say."""
    if "triton" not in sys.modules:
        return ""
    try:
        from triton.backends.nvidia.compiler import get_ptxas

        return sass.version(Path(get_ptxas(int(architecture.name.removeprefix("sm_"))).path))
    except (ImportError, AttributeError, ValueError, RuntimeError):
        return ""
