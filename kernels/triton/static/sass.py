"""NVIDIA's machine code (SASS) of a cubin, by the tools that come with Triton.

``nvdisasm -c -hex`` prints each instruction with its 128-bit word, the low half on its line and the high half on the
next. Since Volta bits 105 to 108 of that word are the stall count: the clocks that the warp waits before its next
instruction may issue (Jia et al., Dissecting the NVIDIA Volta GPU Architecture via Microbenchmarking, 2018, 2.1).

Triton's tools are found without importing Triton. What the disassembler needs is almost all its own start, 0.2 to
0.4 s; ``-ndf`` leaves out an analysis that costs a quarter of that and that old cubins do not get anyway.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from perwatt.kernels.triton.static.assembly import Instruction, Listing, Resources, Unreadable

_LABEL = re.compile(r"^([.$\w]+):")
_LINE = re.compile(
    r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)\s*"  # address, predicate, opcode
    r"(.*?)\s*;?\s*(?:\(\*(.*?)\*\);\s*)?/\* 0x[0-9a-f]{16} \*/"  # operands, targets of an indirect jump, low half
)
_HIGH = re.compile(r"^\s*/\* 0x([0-9a-f]{16}) \*/")
_TARGET = re.compile(r"`\(([^)]+)\)")
_LISTED = re.compile(r"\.L\w+")  # what follows BRANCH_TARGETS
_USAGE = re.compile(r"Function ([\w$.]+):\s*REG:(\d+) STACK:(\d+)")
_STALL_SHIFT = 105 - 64
_JUMPS = frozenset({"BRA", "JMP", "BRX", "JMX", "CALL"})
_ENDS = frozenset({"EXIT", "RET", "BRA", "JMP", "BRX", "JMX", "KILL"})


def tools_folder() -> Path:
    """Where the installed Triton keeps nvdisasm and cuobjdump; :class:`Unreadable` without Triton."""
    spec = importlib.util.find_spec("triton")
    if spec is None or not spec.submodule_search_locations:
        raise Unreadable("triton is not installed: its copies of nvdisasm and cuobjdump are needed")
    return Path(spec.submodule_search_locations[0]) / "backends" / "nvidia" / "bin"


def disassemble(cubin: bytes, tools: Path | None = None) -> tuple[Listing, Resources]:
    """The listing of a cubin and the resources of its kernel, by the tools in ``tools`` (default: Triton's own)."""
    folder = tools or tools_folder()
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:  # nvdisasm does not read from a pipe
        file.write(cubin)
        file.flush()
        usage = _run(folder / "cuobjdump", "-res-usage", file.name)
        return parse(_run(folder / "nvdisasm", "-c", "-hex", "-ndf", file.name)), resources(usage)


def parse(text: str) -> Listing:
    """The instructions of what ``nvdisasm -c -hex`` printed.

    A section of its own, such as a function that was not inlined, follows with addresses that begin anew: it is placed
    behind what came before.
    """
    rows: list[Instruction] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    base = last = 0
    for line in text.splitlines():
        if found := _LINE.match(line):
            address = base + int(found[1], 16)
            if rows and address <= last:
                base = last + 16
                address = base + int(found[1], 16)
            labels |= dict.fromkeys(waiting, address)
            waiting.clear()
            last = address
            rows.append(_instruction(address, found[3], found[4], found[2] or "", found[5] or ""))
        elif rows and (high := _HIGH.match(line)):
            stall = int(high[1], 16) >> _STALL_SHIFT & 15
            rows[-1] = rows[-1]._replace(stall_clocks=stall)
        elif label := _LABEL.match(line):
            waiting.append(label[1])
    if not rows:
        raise Unreadable("nvdisasm printed no instruction")
    return Listing(tuple(rows), labels)


def resources(text: str) -> Resources:
    """Registers and stack of the first kernel in what ``cuobjdump -res-usage`` printed.

    Its SHARED is what the driver keeps for itself (since Hopper 1 KiB); Triton's own shared memory is dynamic and
    stands in the kernel's metadata.
    """
    found = _USAGE.search(text)
    if found is None:
        raise Unreadable(f"cuobjdump names no registers: {' '.join(text.split())[:200]}")
    return Resources(registers=int(found[2]), stack_bytes=int(found[3]))


@cache
def version(tool: Path) -> str:
    """The release of one of NVIDIA's tools, as ``13.1.80``; empty if it does not say."""
    try:
        found = re.search(r"\bV(\d+(?:\.\d+)+)", _run(tool, "--version"))
    except Unreadable:
        return ""
    return found[1] if found else ""


def _instruction(address: int, opcode: str, operands: str, predicate: str, listed: str) -> Instruction:
    base = opcode.partition(".")[0]
    targets: tuple[str, ...] = ()
    falls = True
    if base in _JUMPS:
        targets = (*_TARGET.findall(operands), *_LISTED.findall(listed))
    if base == "CALL":
        # to a function: it returns. To a label within the kernel ptxas also writes far jumps as calls: both may be.
        targets = tuple(t for t in targets if t.startswith(".L"))
    elif base in _ENDS:
        # a condition is a predicate before, or an operand before the label: BRA.U !UP0, BRA P1, BRA.DIV UR4
        conditional = predicate not in ("", "@PT", "@UPT")
        if base in ("BRA", "JMP"):
            conditional = conditional or not operands.startswith("`")
        falls = conditional
    return Instruction(address, opcode, operands, predicate, targets, falls)


def _run(tool: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreadable(f"{tool}: {error}") from None
    if done.returncode:
        raise Unreadable(f"{tool.name}: {' '.join((done.stderr or done.stdout).split())[:300]}")
    return done.stdout
