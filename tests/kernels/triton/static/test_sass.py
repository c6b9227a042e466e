"""Reading what nvdisasm and cuobjdump print, on lines as they print them."""

from __future__ import annotations

from typing import Any

import pytest

from perwatt.kernels.triton.static import sass
from perwatt.kernels.triton.static.assembly import Unreadable

LOW = "/* 0x0000000000007947 */"


def high(stall: int) -> str:
    return f"{' ' * 92}/* 0x{stall << 41 | 1 << 45:016x} */"


def text(*lines: str, stall: int = 5) -> str:
    rows = []
    for number, line in enumerate(lines):
        if line.endswith(":"):
            rows.append(line)
        else:
            at = 16 * sum(not earlier.endswith(":") for earlier in lines[:number])
            rows += [f"        /*{at:04x}*/ {line} {LOW}", high(stall)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("line", "targets", "falls"),
    [
        ("BRA `(.L_x_0) ;", (".L_x_0",), False),
        ("@!P0 BRA `(.L_x_0) ;", (".L_x_0",), True),
        ("@PT BRA `(.L_x_0) ;", (".L_x_0",), False),
        ("BRA.U !UP0, `(.L_x_0) ;", (".L_x_0",), True),
        ("BRA.DIV UR4, `(.L_x_0) ;", (".L_x_0",), True),
        ("@P0 EXIT ;", (), True),
        ("EXIT ;", (), False),
        ("RET.REL.NODEC R8 `(kernel) ;", (), False),
        ("BRX R2 -0x190 ;", (), False),
        ('BRX R2 -0x190 (*"BRANCH_TARGETS .L_x_0,.L_x_1"*);', (".L_x_0", ".L_x_1"), False),
        ("CALL.REL.NOINC `($__internal_0_$trap) ;", (), True),
        ("@P1 CALL.REL.NOINC `(.L_x_0) ;", (".L_x_0",), True),
        ("BSSY B0, `(.L_x_0) ;", (), True),
        ("BSYNC B0 ;", (), True),
        ("FFMA R0, R1, R2, R3 ;", (), True),
    ],
)
def test_where_an_instruction_leads(line: str, targets: tuple[str, ...], falls: bool) -> None:
    (found,) = sass.parse(text(line)).instructions
    assert (found.targets, found.falls_through) == (targets, falls)


def test_an_instruction_in_full() -> None:
    found = sass.parse(
        text("kernel:", "MOV R1, R2 ;", ".L_x_0:", "@!UP0 HGMMA.64x256x16.F32.BF16 R24, gdesc[UR8], R24 ;")
    )
    assert found.labels == {"kernel": 0, ".L_x_0": 16}
    last = found.instructions[1]
    assert (last.address, last.opcode, last.predicate) == (16, "HGMMA.64x256x16.F32.BF16", "@!UP0")
    assert (last.operands, last.stall_clocks) == ("R24, gdesc[UR8], R24", 5)


def test_a_section_of_its_own_is_placed_behind() -> None:
    found = sass.parse(text("a:", "MOV R1, R2 ;", "EXIT ;") + "\n" + text("b:", "NOP ;", "EXIT ;"))
    assert [i.address for i in found.instructions] == [0, 16, 32, 48]
    assert found.labels == {"a": 0, "b": 32}


def test_nothing_to_read_is_said() -> None:
    with pytest.raises(Unreadable, match="no instruction"):
        sass.parse("nothing")
    with pytest.raises(Unreadable, match="names no registers"):
        sass.resources("nothing")


def test_every_jump_of_a_real_kernel_leads_to_an_instruction(kernels: Any) -> None:
    for name in ("specialised.sm_90", "specialised.sm_100", "spilled.sm_90", "matmul.sm_80"):
        listing, _ = sass.disassemble(kernels[name][0]["cubin"])
        addresses = {i.address for i in listing.instructions}
        jumps = [t for i in listing.instructions for t in i.targets]
        assert jumps
        assert all(listing.labels[t] in addresses for t in jumps)
        assert all(i.stall_clocks is not None for i in listing.instructions)
        assert {i.stall_clocks for i in listing.instructions} > {1, 2, 4}
