from __future__ import annotations

from pathlib import Path

import pytest

from perwatt.benchmarks import architectures, tables
from perwatt.kernels.triton.configuration import MatmulDescriptor, MatmulPointer

CASE = {"dtype": "bf16", "m": 4096, "n": 4096, "k": 4096, "fast_accum": False, "aligned": True}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", architectures.names())
def test_every_shipped_table_is_right_and_has_both_styles_of_matmul(name: str) -> None:
    table = tables.load(name, "", 7)
    assert table is not None
    assert (table.name, table.architecture, table.cores) == (name, name, 7)
    assert {"matmul_descriptor", "matmul_pointer"} <= table.kernels.keys()
    for kind in (MatmulDescriptor, MatmulPointer):
        assert table.choose(kind, **CASE).warps >= 4


def test_what_nobody_configured_has_no_table() -> None:
    assert tables.load("sm_70") is None
    assert tables.load("x86_64") is None


def test_a_tuned_table_of_the_target_comes_first_then_the_users_own_then_ours(tmp_path: Path) -> None:
    write(tmp_path / "tuned" / "h100_sxm.yaml", "kernels: {matmul_pointer: [{dtype: bf16, m: 4096, stages: 7}]}")
    write(tmp_path / "triton" / "sm_90.yaml", "kernels: {matmul_pointer: [{dtype: bf16, m_at_most: 4096, stages: 6}]}")
    table = tables.load("sm_90", "h100_sxm", 132, [tmp_path])
    assert table is not None
    assert table.choose(MatmulPointer, **CASE).stages == 7
    assert table.choose(MatmulPointer, **CASE | {"m": 2048}).stages == 6
    assert table.choose(MatmulPointer, **CASE | {"m": 8192}).stages == 3
    other = tables.load("sm_90", "h200_sxm", 132, [tmp_path])
    assert other is not None
    assert other.choose(MatmulPointer, **CASE).stages == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kernels: {matmul_ptr: []}", "kernels.matmul_ptr: no such kernel; choices: "),
        ("kernels: {matmul_pointer: {warps: 4}}", "kernels.matmul_pointer: a list of configurations is needed"),
        ("kernels: {matmul_pointer: [{wraps: 4}]}", "kernels.matmul_pointer: wraps: no such key"),
        ("kernels: [1]", "kernels: a list of configurations for each kernel is needed"),
        ("kernels: {", "h100_sxm.yaml: "),
    ],
)
def test_a_wrong_table_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "tuned" / "h100_sxm.yaml", text)
    with pytest.raises(ValueError, match="h100_sxm") as caught:
        tables.load("sm_90", "h100_sxm", 132, [tmp_path])
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
