"""perwatt merge, the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from power_files import write_node
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
    none = f"NO POWER: {run}: found no power samples of any meter; allowed a run of nodes with a meter"
    assert lines == ["MISSING n2: the node never wrote", none, f"report: {run / 'report.html'}"]
    told = json.loads(last)
    assert (told["records"], told["missing"], told["damaged"]) == (1, 1, 0)
    for wrong in (["runs"], ["speed=1"], [f"run={run}", f"runs=[{run}]"], [f"run={tmp_path / 'none'}"]):
        assert main(["merge", *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_folder_given_twice_is_refused_and_a_copy_of_one_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, copied, other = (tmp_path / name for name in ("run", "copied", "other"))
    for path, key in ((run, "a"), (other, "b")):
        for host in ("n1", "n2"):
            (path / "nodes" / host).mkdir(parents=True)
            (path / "nodes" / host / "records.jsonl").write_bytes(msgspec.json.encode(record(key)) + b"\n")
        (path / "fleet.json").write_text(json.dumps({"hosts": ["n1", "n2"]}))
        (path / "records.jsonl").touch()
    shutil.copytree(run, copied)
    assert main(["merge", f"runs=[{run},{tmp_path}/other/../run]"]) == 2
    assert (
        capsys.readouterr().err == f"perwatt merge: runs: found {tmp_path}/other/../run twice; allowed each run once\n"
    )
    assert main(["merge", f"runs=[{run},{copied}]"]) == 0
    told = "found 2 files of records as in {}, nodes/n1/records.jsonl the first; each record counts once"
    out, err = capsys.readouterr()
    assert err == f"perwatt merge: {copied}: {told.format(run)}\n"
    assert json.loads(out.splitlines()[-1])["records"] == 2
    assert main(["merge", f"runs=[{run},{other}]"]) == 0
    assert capsys.readouterr().err == ""


def test_what_all_devices_drew_together_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fleet.json").write_text(json.dumps({"hosts": ["n1", "n2", "n3"]}))
    (tmp_path / "records.jsonl").touch()
    for host in ("n1", "n2"):
        node = write_node(tmp_path, host, [np.repeat([100.0, 700.0, 100.0], 50)], offset_s=None)
        (node / "records.jsonl").write_bytes(msgspec.json.encode(record("a")) + b"\n")
    assert main(["merge", f"run={tmp_path}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "POWER of 2 devices on 2 nodes by nvml, means over 0.1 s" in lines
    # 149 cells of the grid are known whole: half a reading of 100 W is lost at either end
    assert "  highest 1.4 kW, mean 0.6027 kW" in lines
    assert "  each device's highest, added up 1.4 kW, coincidence 1.000" in lines
    assert "  over 1 s: up 1.2 kW/s, down 1.2 kW/s" in lines
    assert "  clocks as they are, nobody compared them: n1, n2" in lines
    assert "NO POWER n3: the node never wrote" in lines
    told = json.loads((tmp_path / "merged" / "power.json").read_text())
    assert (told["peak_w"], told["clock_s"], list(told["missing"])) == (pytest.approx(1400), None, ["n3"])
    assert len(pd.read_parquet(tmp_path / "merged" / "device_power.parquet")) == 2
    assert "Power of the fleet" in (tmp_path / "report.html").read_text()
    for wrong in ("step_s=0", "step_s=fast", "meter=rapl"):
        assert main(["merge", f"run={tmp_path}", wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
