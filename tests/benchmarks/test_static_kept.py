"""What a rank keeps of compiled kernels: what the workload says, what can be had of its programs, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from perwatt.benchmarks import compiling
from perwatt.benchmarks.task import Task
from perwatt.benchmarks.worker import _static
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.triton.static.loop_record import Loop
from perwatt.kernels.triton.static.record import Spills, Static
from perwatt.kernels.workload import Check, Place, Prepared

LOOP = Loop(0, 16, 1, None, 4, {"tensor": 4}, {"HGMMA": 4}, 9, 8, 64, 32, 1.0, 2.0, None, "issue")
COMPILED = Static(
    "k", "sm_90", {"block_m": 128}, {"triton": "3.7.1"}, 32, None, None, Spills(0, 0, 0, None), 0, 232_448, None, 3, 8,
    8, 1, 0.125, "registers", True, 9, {"tensor": 4}, {"HGMMA": 4}, (LOOP,),
)  # fmt: skip
TASK = Task("key", {}, "rotate", {}, {}, {}, "run")
WITH_TABLE = Place("cpu", table=Table("sm_90", "x", {}))


def prepared(*static: Static) -> Prepared:
    return Prepared(lambda: None, Check(0.0, 1.0, "none", 1), 1, "", static)


def test_what_prepare_knows_is_kept() -> None:
    (kept,) = _static(Matmul(), prepared(COMPILED), Place("cpu"), TASK)
    assert kept.loops[0].families == {"HGMMA": 4}
    assert kept.configuration == {"block_m": 128}


def test_without_a_table_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "launched", pytest.fail)
    assert _static(Matmul(), prepared(), Place("cpu"), TASK) == ()


def test_programs_are_asked_where_there_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "launched", lambda *_: (COMPILED,))
    assert [s.kernel for s in _static(Matmul(), prepared(), WITH_TABLE, TASK)] == ["k"]


def test_what_cannot_be_had_costs_no_result(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no nvdisasm\nand more")

    monkeypatch.setattr(compiling, "launched", fails)
    assert _static(Matmul(), prepared(), WITH_TABLE, TASK) == ()
    assert "static record of key: RuntimeError: no nvdisasm" in capsys.readouterr().out
