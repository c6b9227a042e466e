"""What a rank keeps of compiled kernels: what its programs were compiled to, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from perwatt.benchmarks import compiling
from perwatt.benchmarks.task import Task
from perwatt.benchmarks.worker import _static
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.workload import Place

TASK = Task("key", {}, "rotate", {}, {}, {}, "run")
WITH_TABLE = Place("cpu", table=Table("sm_90", "x", {}))


def test_without_a_table_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "launched", pytest.fail)
    assert _static(Matmul(), Place("cpu"), TASK) == ()


def test_programs_are_asked_where_there_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(compiling, "launched", lambda *of: asked.append(of) or ("static",))
    spec = Matmul()
    assert _static(spec, WITH_TABLE, TASK) == ("static",)
    assert asked == [(spec, WITH_TABLE, None, ())]


def test_what_cannot_be_had_costs_no_result(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no nvdisasm\nand more")

    monkeypatch.setattr(compiling, "launched", fails)
    assert _static(Matmul(), WITH_TABLE, TASK) == ()
    assert "static record of key: RuntimeError: no nvdisasm" in capsys.readouterr().out
