"""From a case to what its Triton kernels were compiled to: ahead of time for an architecture that is not here, or on
the device that has just run them.

A case is compiled from its workload's own programs on operands without values, so what is judged is what would be
launched. Many cases are compiled side by side, each process with an interpreter of Triton's to itself.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from perwatt.benchmarks import architectures, documents, tables
from perwatt.benchmarks.build import build
from perwatt.kernels.triton.configuration import REASONS, Table
from perwatt.kernels.triton.device import ABSENT
from perwatt.kernels.triton.program import Program
from perwatt.kernels.triton.static.architecture import Architecture
from perwatt.kernels.triton.static.floors import Memory
from perwatt.kernels.triton.static.record import static_record
from perwatt.kernels.workload import Place, Unsupported, Workload
from perwatt.results.record import Target
from perwatt.results.static import Static

# Triton's names of the compilers, and how each writes an architecture.
_BACKENDS = {"NVIDIA": "cuda", "AMD": "hip"}


@dataclass(frozen=True)
class Job:
    """One case for one architecture. ``target`` makes memory floors possible; ``even_refused`` tries what the table
    says cannot be had."""

    spec: dict[str, Any]
    architecture: str
    target: Target | None = None
    directories: tuple[str, ...] = ()
    even_refused: bool = False


@dataclass(frozen=True)
class Outcome:
    """The static records of the case's programs in the order of their launch, or why there are none."""

    job: Job
    label: str
    static: tuple[Static, ...] = ()
    refused: str = ""


def compile_all(jobs: Sequence[Job], processes: int | None = None) -> Iterator[Outcome]:
    """The outcomes in the order of the jobs, as they become known."""
    workers = min(processes or os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        yield from map(compile_job, jobs)
        return
    # a fresh interpreter each: a fork would share the threads of a torch that is already there
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(compile_job, jobs)


def compile_job(job: Job) -> Outcome:
    """Compile one case. What the table or the compiler refuses is an outcome, a wrong file a ValueError."""
    from perwatt.kernels.triton.ahead import Refused, compile_ahead

    workload: Workload = build(job.spec, "perwatt.kernels", "kernels")
    label = f"{workload.name} {workload.label()}"
    architecture = architectures.load(job.architecture, documents.folders(job.directories, "triton"))
    name = job.target.name if job.target else ""
    cores = int(job.target.cores.value) if job.target and job.target.cores else 128
    table = tables.load(job.architecture, name, cores, job.directories)
    if table is not None and job.even_refused:
        table = _trying_all(table)
    arch = architecture.name.removeprefix("sm_")
    records = []
    try:
        for program in workload.programs(Place(ABSENT, table=table)):
            kernel = compile_ahead(
                program,
                _BACKENDS[architecture.vendor],
                int(arch) if arch.isdigit() else arch,
                architecture.warp_size,
            )
            records.append(_record(program, kernel, architecture, workload, job.target))
    except (Unsupported, Refused) as reason:
        return Outcome(job, label, refused=str(reason))
    return Outcome(job, label, tuple(records))


def launched(
    workload: Workload, place: Place, target: Target | None, directories: Sequence[str] = ()
) -> tuple[Static, ...]:
    """The static records of what a workload launches at ``place``, where it has just been launched: Triton finds the
    kernels that it compiled. Empty for a workload without Triton programs."""
    if place.table is None:
        return ()
    programs = workload.programs(dataclasses.replace(place, device=ABSENT))
    if not programs:
        return ()
    architecture = architectures.load(place.table.architecture, documents.folders(directories, "triton"))
    return tuple(
        _record(
            p,
            p.function.warmup(**p.arguments, **p.constants, **p.options, grid=p.grid),
            architecture,
            workload,
            target,
        )
        for p in programs
    )


def _record(
    program: Program, kernel: Any, architecture: Architecture, workload: Workload, target: Target | None
) -> Static:
    dtype = str(workload.params().get("dtype", ""))
    flops = program.flops_per_iteration
    configuration = {k: v for k, v in {**program.constants, **program.options}.items() if isinstance(v, int | str)}
    found = static_record(
        kernel.asm,
        kernel.metadata,
        architecture,
        program.name,
        configuration,
        memory=_memory(program, architecture, workload, target),
        flops_per_iteration=(flops, dtype) if flops is not None else None,
    )
    return msgspec.convert(dataclasses.asdict(found), Static)


def _memory(program: Program, architecture: Architecture, workload: Workload, target: Target | None) -> Memory | None:
    """Global memory as a core of ``target`` sees it; None if too little is published of it.

    The clock is that at which the target's peak and the cores' FLOP per clock agree. Tiles are loaded by several
    blocks and come from memory once: ``reuse`` is how often.
    """
    if target is None or target.cores is None or target.memory_bandwidth is None:
        return None
    peak, rate = target.peak_flops.get("bf16"), architecture.tensor_flops.get("bf16")
    if peak is None or rate is None:
        return None
    clock_hz = peak.value / (target.cores.value * rate)
    work = workload.work()
    if program.iterations is not None and program.bytes_per_iteration is not None:
        reuse = max(1.0, program.iterations * program.bytes_per_iteration / work.bytes)
    elif work.headline == "bytes":  # what moves data moves each byte once
        reuse = 1.0
    else:
        return None
    return Memory(target.memory_bandwidth.value, int(target.cores.value), clock_hz, reuse)


def _trying_all(table: Table) -> Table:
    """The table with every entry as if it could be had."""
    kernels = {
        kernel: [{k: v for k, v in entry.items() if k not in REASONS} for entry in entries]
        for kernel, entries in table.kernels.items()
    }
    return dataclasses.replace(table, kernels=kernels)
