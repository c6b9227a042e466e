"""``perwatt kernels``: what the Triton kernels of a suite compile to, without a device."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from perwatt.benchmarks import architectures, documents, plan, targets
from perwatt.benchmarks.build import build
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.compiling import Job, Outcome, compile_all
from perwatt.benchmarks.config import BadRequest, composed
from perwatt.benchmarks.options import options
from perwatt.kernels.workload import Workload
from perwatt.results.record import Target
from perwatt.results.static import Static

FORMATS = ("table", "json")
LOADS = ("UTMALDG", "UBLKCP", "LDGSTS", "LDG", "buffer_load", "global_load")


def kernels(arguments: Sequence[str]) -> int:
    """Dispatch to ``inspect``. Raises BadRequest for anything else."""
    if not arguments or arguments[0] != "inspect":
        raise BadRequest(f"{arguments[0] if arguments else 'nothing'}: no such command; choices: inspect")
    return inspect(arguments[1:])


def inspect(arguments: Sequence[str]) -> int:
    """Compile every case for each architecture that was asked for, and show what came of it."""
    given, overrides = options(
        arguments, "kernels.matmul.m=4096", target="", architecture="", format="table", config_dir="", jobs=0.0
    )
    if given["format"] not in FORMATS:
        raise BadRequest(f"format={given['format']}: choices: {', '.join(FORMATS)}")
    directories = [given["config_dir"]] if given["config_dir"] else []
    cases = specs(overrides, directories)
    jobs = [
        Job(spec, name, target, tuple(directories)) for name, target in _places(given, directories) for spec in cases
    ]
    outcomes = []
    for done, outcome in enumerate(compile_all(jobs, int(given["jobs"]) or None), start=1):
        if outcome.static or outcome.refused:
            outcomes.append(outcome)
        if sys.stderr.isatty():
            print(f"\r{done}/{len(jobs)} compiled", end="" if done < len(jobs) else "\n", file=sys.stderr, flush=True)
    if given["format"] == "json":
        print(json.dumps([_plain(o) for o in outcomes], indent=1))
        return 0
    _table(outcomes)
    compiled = sum(bool(o.static) for o in outcomes)
    last_line(compiled=compiled, refused=len(outcomes) - compiled, exit=0)
    return 0


def specs(overrides: Sequence[str], directories: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The cases of a suite (triton, unless the overrides name another) that have Triton programs, as nodes."""
    wanted = [*([] if any(o.startswith("suite=") for o in overrides) else ["suite=triton"]), *overrides]
    cases = plan.check(composed(wanted, directories), [Path(d) for d in directories]).cases("accelerator", 1)
    chosen = []
    for planned in cases:
        workload: Workload = build(planned.spec, "perwatt.kernels", "kernels")
        own = str(getattr(workload, "backend", "triton")).startswith("triton")
        if own and type(workload).programs is not Workload.programs:
            chosen.append(planned.spec)
    if not chosen:
        raise BadRequest("none of these cases has a kernel in Triton; try suite=triton")
    return chosen


def _places(given: dict[str, Any], directories: Sequence[str]) -> list[tuple[str, Target | None]]:
    """The architectures to compile for, each with the target if one was named."""
    known = architectures.names(documents.folders(directories, "triton"))
    if given["target"]:
        target = targets.target_named(given["target"], targets.load_targets(documents.folders(directories, "target")))
        if target.architecture not in known:
            raise BadRequest(f"target={target.name}: Triton does not compile for it here; choices: {', '.join(known)}")
        return [(target.architecture, target)]
    wanted = given["architecture"].strip("[]").split(",") if given["architecture"] else known
    for name in wanted:
        if name not in known:
            raise BadRequest(f"architecture={name}: choices: {', '.join(known)}")
    return [(name, None) for name in wanted]


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "case": outcome.label,
        "architecture": outcome.job.architecture,
        "spec": outcome.job.spec,
        "refused": outcome.refused or None,
        "static": [msgspec.to_builtins(s) for s in outcome.static],
    }


def _table(outcomes: Sequence[Outcome]) -> None:
    """One table an architecture; what was refused below it."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    for name in dict.fromkeys(o.job.architecture for o in outcomes):
        mine = [o for o in outcomes if o.job.architecture == name]
        target = mine[0].job.target
        table = Table(title=f"{name}{f' ({target.name})' if target else ''}", title_justify="left", box=None)
        table.add_column("kernel", overflow="fold")
        for column in HEADINGS:
            table.add_column(column, justify="right", overflow="fold")
        for outcome in mine:
            for static in outcome.static:
                table.add_row(_name(outcome, static), *_row(static))
        console.print(table)
        for outcome in mine:
            if outcome.refused:
                console.print(f"  refused  {outcome.label}: {outcome.refused}")
        versions = {f"{k} {v}" for o in mine for s in o.static for k, v in s.versions.items()}
        console.print(f"  {', '.join(sorted(versions))}\n")
    console.print(LEGEND)


HEADINGS = (
    "regs",
    "spills",
    "shared",
    "of",
    "stages",
    "warps",
    "on core",
    "main loop",
    "tensor",
    "issue",
    "memory",
    "binds",
)
LEGEND = """\
regs: of a thread. spills: loads + stores of local memory. shared: bytes of shared memory; of: their share of the limit.
warps: asked -> as compiled, where some only load. on core: blocks that fit, and what limits them. main loop: its
matrix and load instructions. tensor, issue, memory: clocks that an iteration takes at least; binds: the largest."""


def _name(outcome: Outcome, static: Static) -> str:
    return outcome.label if len(outcome.static) == 1 else f"{outcome.label}: {static.kernel}"


def _row(static: Static) -> list[str]:
    spills = static.spills
    loop = static.main_loop
    warps = f"{static.warps}" if static.warps_asked == static.warps else f"{static.warps_asked} -> {static.warps}"
    cells = [
        str(static.registers),
        "0"
        if not spills.any
        else f"{spills.loads}+{spills.stores}"
        if spills.registers is None
        else f"{spills.registers}",
        str(static.shared_bytes),
        f"{static.shared_bytes / static.shared_limit_bytes:.0%}",
        str(static.stages or ""),
        warps,
        f"{static.blocks_per_core} {static.limiter}",
    ]
    if loop is None:
        return [*cells, "", "", "", "", ""]
    kinds = {k: v for k, v in loop.families.items() if k in LOADS or _is_product(k)}
    floors = [f"{f:.0f}" if f is not None else "?" for f in (loop.tensor_floor, loop.issue_floor, loop.memory_floor)]
    return [*cells, " ".join(f"{v} {k}" for k, v in kinds.items()), *floors, loop.binds]


def _is_product(family: str) -> bool:
    return "MMA" in family or family.startswith("v_mfma")
