"""``perwatt kernels inspect``: a case is compiled for real here, for a GPU that is not."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import Perwatt, require

from perwatt.benchmarks.inspecting import kernels

ONE = ("kernels", "inspect", "suite=matmul", "kernels.matmul.m=4096", "kernels.matmul.backend=triton", "jobs=1")


@pytest.mark.slow
def test_the_table_says_what_the_kernel_is_made_of_and_what_binds_it(perwatt: Perwatt, tmp_path: Path) -> None:
    require("triton", find_spec("triton") is not None)
    done = perwatt(*ONE, "target=h100_sxm", TRITON_CACHE_DIR=str(tmp_path / "cache"))
    assert done.code == 0, done.err
    line = next(line for line in done.out.splitlines() if line.strip().startswith("matmul bf16 4096x4096x4096"))
    assert "HGMMA" in line
    assert "UTMALDG" in line
    assert line.split()[-1] == "tensor"
    assert done.last == {"compiled": 1, "refused": 0, "exit": 0}


@pytest.mark.slow
def test_json_holds_every_loop_and_what_was_refused(perwatt: Perwatt, tmp_path: Path) -> None:
    require("triton", find_spec("triton") is not None)
    dtypes = "kernels.matmul.dtype=[bf16,fp8_e4m3]"
    done = perwatt(*ONE, dtypes, "architecture=sm_80", "format=json", TRITON_CACHE_DIR=str(tmp_path / "cache"))
    assert done.code == 0, done.err
    right, refused = json.loads(done.out)
    (static,) = right["static"]
    assert static["families"]["HMMA"] > 0
    assert static["spills"]["loads"] == 0
    assert max(loop["flops"] or 0 for loop in static["loops"]) == 2 * 128 * 256 * 64
    assert not refused["static"]
    assert "not supported in this architecture" in refused["refused"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing: no such command; choices: inspect"),
        (["inspect", "target=gaudi3"], "target=gaudi3: Triton does not compile for it here"),
        (["inspect", "target=h1000"], "no target 'h1000'"),
        (["inspect", "architecture=sm_75"], "architecture=sm_75: choices: gfx942"),
        (["inspect", "format=xml"], "format=xml: choices: table, json"),
        (["inspect", "suite=attention"], "none of these cases has a kernel in Triton"),
        (["inspect", "suite=nope"], "suite=nope: no such file"),
    ],
)
def test_a_wrong_request_is_one_line(arguments: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        kernels(arguments)
    assert "\n" not in str(caught.value)


def test_from_the_shell_it_ends_with_code_2(perwatt: Perwatt) -> None:
    done = perwatt("kernels", "inspect", "format=xml")
    assert (done.code, done.out) == (2, "")
    assert done.err == "perwatt kernels: format=xml: choices: table, json\n"
