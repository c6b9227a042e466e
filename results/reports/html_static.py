"""The section of the HTML report on compiled Triton kernels: what each needs of a core, and what its loops consist of.

It stands only where a case has such kernels. Cases that were compiled to the same machine code share a row: of many
sizes one configuration is often all there is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

import msgspec

from perwatt.results.reports.html_cases import table
from perwatt.results.reports.layout import ABSENT, Group, Line
from perwatt.results.reports.units import binary, number, percent
from perwatt.results.static import Loop, Static

HEADS = (
    "registers",
    "spills",
    "shared<small>of at most</small>",
    "warps",
    "occupancy<small>%</small>",
    "binds",
    "loops<small>instructions; clocks of one iteration at least</small>",
)
INTRO = (
    "Read off the machine code of each Triton kernel, not measured. Occupancy: the share of a core's warps that fit, "
    "and what ran out. An iteration of a loop cannot take fewer clocks than the largest of: its matrix FLOP over the "
    "core's (tensor), its instructions over what the schedulers issue, predicated off or not (issue), and its bytes "
    "over a core's share of the memory's (memory); that one binds."
)
WORKING = frozenset({"tensor", "bulk_load", "async_copy", "global_load", "global_store"})
# The families of those classes: matrix instructions, and what moves to and from global memory.
NAMED = re.compile(r"MMA|mfma|smfmac|UTMALDG|UBLKCP|LDGSTS|^LDG$|^STG$|^(global|buffer|flat)_(load|store)")
# A main loop, the loops beside it in a warp-specialised kernel, a remainder: what a reader can still take in.
MOST_LOOPS = 4


def compiled(tables: Sequence[Group]) -> str:
    """The section; empty where no case has a compiled kernel."""
    parts = [part for group in tables if (part := _kernel(group))]
    if not parts:
        return ""
    body = "\n".join(parts)
    return (
        f'<section class="energy">\n<h2>Compiled kernels</h2>\n<p class="muted">{escape(INTRO)}</p>\n{body}</section>'
    )


def _kernel(group: Group) -> str:
    cases: dict[bytes, tuple[Static, list[Line]]] = {}
    for line in group.lines:
        measured = line.row.record.measured
        for static in measured.static if measured else ():
            cases.setdefault(msgspec.json.encode(static), (static, []))[1].append(line)
    body = [(_name(static, lines), _cells(static)) for static, lines in cases.values()]
    return f"<h3>{escape(group.kernel)}</h3>\n" + table(f"Compiled {group.kernel}", "case", HEADS, body) if body else ""


def _name(static: Static, lines: Sequence[Line]) -> str:
    labels = list(dict.fromkeys(line.cells["case"].text for line in lines))
    more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
    return f"{escape(labels[0])}{more} <small>{escape(static.kernel)}, {escape(static.architecture)}</small>"


def _cells(static: Static) -> list[str]:
    main = static.main_loop
    shown = sorted(static.loops, key=lambda loop: (loop is not main, not _works(loop)))[:MOST_LOOPS]
    loops = "<br>".join(_loop(loop) for loop in shown if loop is main or _works(loop))
    memory = f"<small>{static.tensor_memory_columns} columns of tensor memory</small>"
    return [
        _registers(static),
        _spills(static),
        f"{_size(static.shared_bytes)} <small>of {_size(static.shared_limit_bytes)}</small>"
        + (f"<br>{memory}" if static.tensor_memory_columns else ""),
        str(static.warps)
        + (f" <small>of {static.warps_asked} asked</small>" if static.warps_asked not in (None, static.warps) else ""),
        _occupancy(static),
        escape(main.binds or ABSENT) if main else ABSENT,
        loops or ABSENT,
    ]


def _works(loop: Loop) -> bool:
    return bool(WORKING & loop.classes.keys())


def _registers(static: Static) -> str:
    of_them = static.accumulator_registers
    return f"{static.registers}" + (f" <small>{of_them} of them accumulators</small>" if of_them else "")


def _spills(static: Static) -> str:
    spills = static.spills
    if not spills.any:
        return "none"
    said = [f"{spills.loads} loads, {spills.stores} stores"] if spills.loads or spills.stores else []
    said += [f"{spills.registers} registers"] if spills.registers else []
    said += [f"{spills.stack_bytes} B of stack"] if spills.stack_bytes else []
    return f"<b>{said[0]}</b>" + "".join(f"<br><small>{part}</small>" for part in said[1:])


def _size(size_bytes: int) -> str:
    return binary(size_bytes) if size_bytes else "0"


def _occupancy(static: Static) -> str:
    if not static.blocks_per_core:
        return f"<b>does not fit</b><br><small>{escape(static.limiter)}</small>"
    blocks = f"{static.blocks_per_core} block{'s' * (static.blocks_per_core != 1)}"
    return f"{percent(static.occupancy)}<br><small>{blocks}, by {escape(static.limiter)}</small>"


def _loop(loop: Loop) -> str:
    """``4 HGMMA, 2 UTMALDG of 79; tensor 1024, issue 158``, with what binds in bold."""
    named = [f"{many} {escape(name)}" for name, many in loop.families.items() if NAMED.search(name)]
    floors = {"tensor": loop.tensor_floor, "issue": loop.issue_floor, "memory": loop.memory_floor}
    said = [
        f"<b>{name} {number(value, 4)}</b>" if name == loop.binds else f"{name} {number(value, 4)}"
        for name, value in floors.items()
        if value
    ]
    return f"{', '.join(named)}{' of ' * bool(named)}{loop.instructions}" + (f"; {', '.join(said)}" if said else "")
