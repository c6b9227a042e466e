"""The section on compiled kernels: what it says, and that it is silent where there are none."""

from __future__ import annotations

from typing import Any

import msgspec
from records import measured, record

from perwatt.results.record import Record
from perwatt.results.reports.html_static import compiled
from perwatt.results.reports.layout import groups
from perwatt.results.static import Loop, Spills, Static


def loop(**changes: Any) -> Loop:
    base: dict[str, Any] = {
        "start": 0x2400,
        "end": 0x3120,
        "depth": 1,
        "parent": None,
        "instructions": 81,
        "classes": {"other": 60, "sync": 15, "tensor": 4, "bulk_load": 2},
        "families": {"SYNCS": 15, "HGMMA": 4, "UTMALDG": 2},
        "stall_clocks": 205,
        "warps": 8,
        "flops": 4194304,
        "bytes": 49152,
        "tensor_floor": 1024.0,
        "issue_floor": 162.0,
        "binds": "tensor",
    }
    return Loop(**base | changes)


def static(**changes: Any) -> Static:
    base: dict[str, Any] = {
        "kernel": "matmul_descriptor",
        "architecture": "sm_90",
        "configuration": {"block_m": 128},
        "versions": {"triton": "3.7.1"},
        "registers": 154,
        "accumulator_registers": None,
        "scalar_registers": None,
        "spills": Spills(0, 0, 0),
        "shared_bytes": 147_480,
        "shared_limit_bytes": 232_448,
        "tensor_memory_columns": None,
        "stages": 3,
        "warps_asked": 8,
        "warps": 8,
        "blocks_per_core": 1,
        "occupancy": 0.125,
        "limiter": "registers",
        "fp_fusion": True,
        "instructions": 800,
        "classes": {"other": 700},
        "families": {},
        "loops": (loop(),),
    }
    return Static(**base | changes)


def with_static(key: str, *found: Static) -> Record:
    return record(key, outcome=msgspec.structs.replace(measured(), static=found))


def shown(*records: Record) -> str:
    return compiled(groups(records))


def test_nothing_is_shown_without_compiled_kernels() -> None:
    assert shown(record("k0"), record("k1")) == ""
    assert shown() == ""


def test_a_kernel_is_described_in_one_row() -> None:
    text = shown(with_static("k0", static()))
    assert text.count("<tr>") == 2  # the heads and the row
    for part in ("154", "none", "144 KiB <small>of 227 KiB</small>", "12.5", "1 block, by registers", ">tensor<"):
        assert part in text
    assert "4 HGMMA, 2 UTMALDG of 81; <b>tensor 1024</b>, issue 162" in text
    assert "matmul_descriptor, sm_90" in text


def test_cases_of_the_same_machine_code_share_a_row() -> None:
    text = shown(with_static("k0", static()), with_static("k1", static()), with_static("k2", static(registers=155)))
    assert text.count('<th scope="row"') == 2
    assert "fp32 k0 and 1 more" in text


def test_spills_specialised_warps_and_what_does_not_fit_stand_out() -> None:
    bad = static(
        spills=Spills(520, 154, 218),
        warps=12,
        warps_asked=4,
        blocks_per_core=0,
        occupancy=0.0,
        limiter="shared memory",
        tensor_memory_columns=256,
    )
    text = shown(with_static("k0", bad))
    assert "<b>154 loads, 218 stores</b><br><small>520 B of stack</small>" in text
    assert "12 <small>of 4 asked</small>" in text
    assert "<b>does not fit</b><br><small>shared memory</small>" in text
    assert "256 columns of tensor memory" in text
    amd = static(spills=Spills(404, 120, 120, 408), accumulator_registers=256)
    assert "<small>408 registers</small>" in shown(with_static("k0", amd))
    assert "256 of them accumulators" in shown(with_static("k0", amd))


def test_a_stack_alone_is_no_spill_and_a_kernel_without_loops_binds_nowhere() -> None:
    text = shown(with_static("k0", static(spills=Spills(8, 0, 0), loops=())))
    assert "<td>none</td>" in text
    assert text.count("<td>\u2013</td>") == 2


def test_the_loop_that_multiplies_comes_first_and_idle_ones_not_at_all() -> None:
    waits = loop(classes={"sync": 3, "other": 40}, families={"SYNCS": 3}, binds="issue", tensor_floor=0.0)
    loads = loop(classes={"bulk_load": 2}, families={"UTMALDG": 2}, tensor_floor=0.0, flops=0, binds="issue")
    text = shown(with_static("k0", static(loops=(waits, loads, loop()))))
    cell = text.rpartition("<td>")[2].partition("</td>")[0]
    assert [part.split(" of ")[0] for part in cell.split("<br>")] == ["4 HGMMA, 2 UTMALDG", "2 UTMALDG"]


def test_names_are_escaped() -> None:
    assert "<evil>" not in shown(with_static("k0", static(kernel="<evil>", limiter="<evil>", blocks_per_core=0)))
