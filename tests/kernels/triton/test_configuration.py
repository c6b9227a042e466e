from __future__ import annotations

from typing import Any

import pytest

from perwatt.kernels.triton.configuration import MatmulDescriptor, MatmulPointer, Table, kinds
from perwatt.kernels.triton.device import table_of
from perwatt.kernels.workload import Place, Unsupported


def table(*entries: dict[str, Any], kernel: str = "matmul_pointer") -> Table:
    return Table("h100_sxm", "sm_90.yaml", {kernel: entries}, 132, "sm_90")


CASE = {"dtype": "bf16", "m": 4096, "n": 4096, "k": 4096, "fast_accum": False, "aligned": True}


def test_the_first_entry_whose_conditions_hold_is_taken() -> None:
    found = table(
        {"dtype": "fp16", "stages": 1},
        {"dtype": ["bf16", "fp16"], "m_at_most": 64, "stages": 2},
        {"dtype": ["bf16", "fp16"], "n": [4096, 8192], "stages": 3},
        {"stages": 4},
    )
    assert found.choose(MatmulPointer, **CASE).stages == 3
    assert found.choose(MatmulPointer, **CASE | {"m": 64}).stages == 2
    assert found.choose(MatmulPointer, **CASE | {"m": 65, "n": 5}).stages == 4
    assert found.choose(MatmulPointer, **CASE | {"dtype": "fp16"}).stages == 1


@pytest.mark.parametrize("reason", ["refused", "emulated"])
def test_what_cannot_be_had_is_said_with_the_reason_and_names_torch(reason: str) -> None:
    with pytest.raises(Unsupported, match=r"^matmul_pointer bf16 on h100_sxm: no such thing; backend=torch"):
        table({"dtype": "bf16", reason: "no such thing"}).choose(MatmulPointer, **CASE)
    with pytest.raises(Unsupported, match=r"no configuration for h100_sxm in sm_90\.yaml; use backend=torch"):
        table({"dtype": "fp16"}).choose(MatmulPointer, **CASE)
    with pytest.raises(Unsupported, match="matmul_descriptor bf16: no configuration"):
        table({}).choose(MatmulDescriptor, **CASE)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"warp": 4}, r"sm_90\.yaml: kernels\.matmul_pointer: warp: no such key; choices: dtype, m, n, k, "),
        ({"block_m": 96}, r"sm_90\.yaml: kernels\.matmul_pointer: block_m: 96 is not a power of two"),
        ({"stages": "3"}, r"stages: '3' is not a whole number"),
        ({"fnuz": 1}, r"fnuz: 1 is not true or false"),
        ({"stages": True}, r"stages: True is not a whole number"),
    ],
)
def test_a_wrong_entry_is_one_line_with_file_and_key(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        table(entry).choose(MatmulPointer, **CASE)


def test_every_kernel_has_its_kind_by_name() -> None:
    found = kinds()
    assert found["matmul_descriptor"] is MatmulDescriptor
    assert all(name == kind.kernel for name, kind in found.items())
    assert {"flash_forward", "matmul_grouped"} <= found.keys()


def test_values_leave_out_what_stands_at_nothing() -> None:
    assert MatmulPointer(warps=8).values() == {
        "warps": 8, "stages": 3, "block_m": 128, "block_n": 128, "block_k": 64, "group_m": 8,
    }  # fmt: skip


def test_a_place_without_a_table_or_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    with pytest.raises(Unsupported, match=r"needs a GPU .* this is a CPU; use backend=torch"):
        table_of(Place("cpu", table=table({})))
    with pytest.raises(Unsupported, match="no configurations for this kind of device; use backend=torch"):
        table_of(Place("xpu:0"))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(Unsupported, match="TRITON_INTERPRET=1 is set: the interpreter is not timed"):
        table_of(Place("cuda:0", table=table({})))
