"""Static records as a part of records: the same fields as the kernels' side has, and files without them."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from records import measured, record

from perwatt.kernels.triton.static import loop_record
from perwatt.kernels.triton.static import record as made
from perwatt.results.record import Measured, Record
from perwatt.results.static import Loop, Spills, Static


@pytest.mark.parametrize(("kept", "original"), [(Static, made.Static), (Spills, made.Spills), (Loop, loop_record.Loop)])
def test_fields_are_those_that_the_kernels_side_makes(kept: type[msgspec.Struct], original: type) -> None:
    assert list(kept.__struct_fields__) == [f.name for f in dataclasses.fields(original)]


def loop(depth: int, tensor: int = 0, floor: float | None = None) -> Loop:
    return Loop(0, 16, depth, None, 10, {"tensor": tensor} if tensor else {}, {}, tensor_floor=floor)


def static(*loops: Loop) -> Static:
    return Static(
        "k", "sm_90", {}, {}, 32, None, None, Spills(0, 0, 0), 0, 1, None, None, 4, 4, 1, 1.0, "warps", True, 9, {}, {},
        loops,
    )  # fmt: skip


def test_the_main_loop_multiplies_or_else_lies_innermost() -> None:
    first, second = loop(1, 4, 512.0), loop(1, 8, 1024.0)
    assert static(loop(2), first, second).main_loop is second
    inner = loop(2)
    assert static(inner, loop(1, floor=9.0)).main_loop is inner
    assert static().main_loop is None


def test_a_record_keeps_it_and_files_without_it_are_read() -> None:
    kept = record(outcome=msgspec.structs.replace(measured(), static=(static(loop(1, 4, 512.0)),)))
    read = msgspec.json.decode(msgspec.json.encode(kept), type=Record)
    assert read == kept
    plain = msgspec.to_builtins(record())
    del plain["outcome"]["static"]
    old = msgspec.convert(plain | {"schema": 1}, Record).outcome
    assert isinstance(old, Measured)
    assert old.static == ()
