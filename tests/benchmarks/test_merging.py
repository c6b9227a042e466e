"""perwatt merge, the command."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from records import record

from perwatt.benchmarks.cli import main


def test_the_command_prints_who_is_missing_and_refuses_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "nodes" / "n1").mkdir(parents=True)
    (run / "fleet.json").write_text(json.dumps({"hosts": ["n1", "n2"]}))
    (run / "nodes" / "n1" / "records.jsonl").write_bytes(msgspec.json.encode(record("a")) + b"\n")
    (run / "records.jsonl").touch()
    assert main(["merge", f"run={run}"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == ["MISSING n2: the node never wrote"]
    told = json.loads(last)
    assert (told["records"], told["missing"], told["damaged"]) == (1, 1, 0)
    for wrong in (["runs"], ["speed=1"], [f"run={run}", f"runs=[{run}]"], [f"run={tmp_path / 'none'}"]):
        assert main(["merge", *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
