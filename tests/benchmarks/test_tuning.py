from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from conftest import Perwatt
from records import measured

from perwatt.benchmarks import tables, tuning
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.searching import descend, neighbours
from perwatt.benchmarks.task import Answer, Task
from perwatt.benchmarks.watched import Lost
from perwatt.kernels.triton.configuration import MatmulDescriptor, MatmulPointer
from perwatt.results.record import Device, Failed

H100 = Device(type="cuda", name="NVIDIA H100 80GB HBM3", vendor="NVIDIA", arch="sm_90", cores=132)


def test_neighbours_differ_in_one_field_by_one_step() -> None:
    start = MatmulDescriptor(warps=8, stages=3)
    found = list(neighbours(start))
    for other in found:
        (name,) = [f.name for f in dataclasses.fields(start) if getattr(other, f.name) != getattr(start, f.name)]
        old, new = getattr(start, name), getattr(other, name)
        assert isinstance(old, bool) or new in (2 * old, old // 2, old + 1, old - 1)
    assert {o.stages for o in found} == {2, 3, 4}
    assert {o.block_m for o in found} == {64, 128, 256}
    assert not any(o.fnuz for o in found)  # another format is another case
    assert len(set(found)) == len(found)


def test_the_search_ends_at_the_best_and_never_takes_what_cannot_be_had() -> None:
    def cost(c: MatmulPointer) -> float | None:
        if c.block_m * c.block_n > 128 * 128:
            return None
        return 1 + abs(c.block_m - 64) + abs(c.block_n - 256) + abs(c.stages - 5) + abs(c.warps - 4)

    best, least, tried = descend(MatmulPointer(warps=8, stages=3), cost, 500)
    assert (best.block_m, best.block_n, best.stages, best.warps) == (64, 256, 5, 4)
    assert least == 1
    assert tried < 500
    _, _, few = descend(MatmulPointer(warps=8, stages=3), cost, 7)
    assert few == 7


def test_a_start_that_cannot_be_had_is_left_for_one_that_can() -> None:
    best, least, _ = descend(MatmulPointer(block_m=256), lambda c: None if c.block_m == 256 else 1.0, 40)
    assert (best.block_m, least) == (128, 1.0)


class PlayedCrew:
    """A GPU whose time for a launch depends on the configuration that stands first in its table."""

    def __init__(self, *_: Any) -> None:
        self.environment = {"devices": [msgspec.to_builtins(H100)]}

    def start(self) -> None: ...
    def ready(self) -> None: ...
    def close(self, kill: bool = False) -> None: ...

    def run(self, task: Task, _: Any) -> list[Answer]:
        assert task.table is not None
        first = task.table["kernels"]["matmul_descriptor"][0]
        if first["stages"] == 2:
            raise Lost("it hung")
        if first["block_m"] == 64:
            return [Answer(0, H100, Failed("wrong result: C[0, 0]"))]
        return [Answer(0, H100, measured(median=1e-3 * (9 - first["stages"])))]


def test_what_is_found_is_written_in_front_and_is_chosen_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr(tuning, "Crew", PlayedCrew)
    code = tuning.tune(
        ["suite=matmul", "kernels.matmul.m=8192", "kernels.matmul.backend=triton", f"out={tmp_path}", "candidates=200"]
    )
    assert code == 0
    path = tmp_path / "tuned" / "h100_sxm.yaml"
    (entry,) = yaml.safe_load(path.read_text())["kernels"]["matmul_descriptor"]
    assert entry["stages"] == 8
    assert (entry["dtype"], entry["m"], entry["n"], entry["k"]) == ("bf16", 8192, 8192, 8192)
    assert path.read_text().startswith("# Found by `perwatt tune` on NVIDIA H100 80GB HBM3")
    table = tables.load("sm_90", "h100_sxm", 132, [tmp_path])
    assert table is not None
    assert (
        table.choose(MatmulDescriptor, dtype="bf16", m=8192, n=8192, k=8192, fast_accum=False, aligned=True).stages == 8
    )
    assert (
        table.choose(MatmulDescriptor, dtype="bf16", m=4096, n=8192, k=8192, fast_accum=False, aligned=True).stages == 4
    )  # the shipped one
    assert '"tuned": 1' in capsys.readouterr().out


@pytest.mark.slow
def test_without_a_gpu_one_line_and_exit_code_3(perwatt: Perwatt) -> None:
    done = perwatt("tune", "device=cpu")
    assert done.code == 3
    assert done.err.strip() == "perwatt tune: needs a GPU that Triton compiles for, and this is a CPU"
    assert done.last == {"tuned": 0, "exit": 3}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["objective=speed"], "objective=speed: choices: rate, per_watt"),
        (["candidates=many"], "candidates=many: not a number"),
        (["suite=nope"], "suite=nope: no such file"),
    ],
)
def test_a_wrong_request_is_one_line(arguments: list[str], said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        tuning.tune(arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
