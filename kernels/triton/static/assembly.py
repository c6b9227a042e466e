"""A compiled kernel as its assembly shows it: instructions, labels and resources, the same for every vendor.

:mod:`sass` and :mod:`amdgcn` read a listing into this form, :mod:`loops` and :mod:`operations` work on nothing else.
Nothing here has run: what is read off a listing says what was compiled, never how fast it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Unreadable(Exception):
    """The assembly could not be had or not be read; the message says why and, where it can, what to do."""


class Instruction(NamedTuple):
    """One instruction.

    ``address`` in bytes (in AMD's text, which has none, its number in the listing). ``targets`` are labels to which it
    may jump; ``falls_through`` says that the next instruction may follow. ``stall_clocks`` is how long the compiler
    has its warp wait before that one issues; None where an architecture has no such field.
    """

    address: int
    opcode: str
    operands: str = ""
    predicate: str = ""
    targets: tuple[str, ...] = ()
    falls_through: bool = True
    stall_clocks: int | None = None


@dataclass(frozen=True)
class Listing:
    """All instructions in order of address; ``labels`` leads to an address."""

    instructions: tuple[Instruction, ...]
    labels: Mapping[str, int]


@dataclass(frozen=True)
class Resources:
    """What one thread holds, as the compiler's own tables say.

    ``registers`` are 32-bit registers of one thread; with AMD, vector registers including the accumulator registers,
    ``scalar_registers`` those of one wave. ``stack_bytes`` lie in local (scratch) memory. ``spilled_registers`` is the
    number of registers that AMD's compiler spilled, to memory or to accumulator registers; NVIDIA's tables have none.
    """

    registers: int
    stack_bytes: int
    accumulator_registers: int | None = None
    scalar_registers: int | None = None
    spilled_registers: int | None = None
