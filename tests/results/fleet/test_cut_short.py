"""Nodes that were killed: what they drew until they died is in the sum, which says on how many nodes it rests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from power_files import UTC_NS, write_node

from perwatt.results.fleet import power, samples, stated
from perwatt.results.fleet.summed import Summed, summed
from perwatt.results.telemetry import PARTS


def at(of: Summed, second: float) -> tuple[float, int, int]:
    """Power, devices and nodes of the cell of a moment."""
    row = of.frame.iloc[int(np.argmin(np.abs(of.frame["t_ns"] - UTC_NS - second * 1e9)))]
    return float(row["power_w"]), int(row["devices"]), int(row["nodes"])


@pytest.mark.parametrize("offset_s", [0.0, None])
def test_what_a_node_drew_until_it_was_killed_counts(tmp_path: Path, offset_s: float | None) -> None:
    write_node(tmp_path, "n0", [np.full(600, 500.0)] * 2, offset_s=offset_s)
    write_node(tmp_path, "n1", [np.full(200, 300.0)] * 2, offset_s=offset_s, cases=4, killed=True)
    found = summed(tmp_path)
    assert (found.devices, found.nodes, found.missing) == (4, 2, {})
    assert at(found, 10.05) == (pytest.approx(1600), 4, 2)
    assert at(found, 40.05) == (pytest.approx(1000), 2, 1)
    assert found.cut_short == {"n1": pytest.approx(UTC_NS + 19.9e9, abs=1e8)}
    # no figure of the fleet rests on a part of it; what the rest drew is told beside
    assert (found.peak_w, found.mean_w) == (pytest.approx(1600), pytest.approx(1600))
    assert max(r.down_w_s or 0 for r in found.ramps) == pytest.approx(0, abs=1e-6)
    assert len(found.complete) == pytest.approx(199, abs=1)
    assert list(power.devices(tmp_path, jobs=1).frame["samples"]) == [600, 600, 200, 200]
    (tmp_path / "merged").mkdir()
    lines = "\n".join(stated.state(tmp_path, ["n0", "n1"]))
    assert "killed or still at work, counted until their last readings: n1 (to 19.9 s)" in lines
    assert "all devices known for 19.9 of 59.9 s" in lines
    told = json.loads((tmp_path / "merged" / "power.json").read_text())
    assert told["cut_short_ns"] == found.cut_short
    assert (told["known_peak"]["nodes"], told["nodes"]) == (2, 2)


def test_a_node_that_drew_most_after_another_had_died_is_told_of(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [np.repeat([100.0, 900.0], 300)])
    write_node(tmp_path, "n1", [np.full(200, 300.0)], killed=True)
    found = summed(tmp_path)
    assert found.peak_w == pytest.approx(400)
    peak = found.known_peak
    assert peak is not None
    assert (peak.power_w, peak.nodes) == (pytest.approx(900), 1)


def test_a_part_that_the_kill_damaged_is_named_and_the_others_count(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [np.full(600, 500.0)])
    node = write_node(tmp_path, "n1", [np.full(600, 300.0)], cases=3, killed=True)
    torn = node / PARTS / "k2.0.parquet"  # the middle one in time
    torn.write_bytes(torn.read_bytes()[:100])
    found = summed(tmp_path)
    assert list(found.missing) == ["n1 k2.0.parquet"]
    assert [at(found, s)[0] for s in (10.05, 30.05, 50.05)] == pytest.approx([800, 500, 800])
    for part in (node / PARTS).iterdir():
        part.write_bytes(b"")
    found = summed(tmp_path)
    assert (found.devices, found.nodes, list(found.missing)) == (1, 1, ["n1"])


def test_the_spread_between_nodes_is_of_nodes_all_of_whose_devices_are_known(tmp_path: Path) -> None:
    for n, watts in enumerate((500.0, 300.0, 400.0)):
        write_node(tmp_path, f"n{n}", [np.full(100, watts)] * 2)
    write_node(tmp_path, "n3", [np.full(100, 100.0), np.full(50, 100.0)])
    frame = summed(tmp_path, jobs=1).frame
    early, late = frame.iloc[20], frame.iloc[80]
    assert (early["node_min_w"], early["node_max_w"]) == (pytest.approx(200), pytest.approx(1000))
    assert (late["node_min_w"], late["node_max_w"]) == (pytest.approx(600), pytest.approx(1000))
    assert (late["nodes"], late["devices"]) == (4, 7)


def test_a_copy_of_a_node_beside_it_is_not_counted_twice(tmp_path: Path) -> None:
    node = write_node(tmp_path, "n0", [np.full(100, 500.0)])
    shutil.copytree(node, node.with_name("n0.copy"))
    node.with_name("n1.copy").mkdir()
    assert list(samples.nodes(tmp_path)) == ["n0", "n1"]
    assert summed(tmp_path).peak_w == pytest.approx(500)


@pytest.mark.slow
def test_a_run_that_is_killed_for_good_leaves_what_its_meter_said(tmp_path: Path) -> None:
    """Power is cut in the middle of the second case: the first one's readings count."""
    keys = ["suite=smoke", "only=memory*", "meter=constant", "meter.constant.power_w=250", "profile.window_s=1"]
    with subprocess.Popen(
        [sys.executable, "-m", "perwatt.benchmarks.cli", "run", *keys, "launcher=inline", f"runs_dir={tmp_path}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        end = time.monotonic() + 180
        while not (parts := list(tmp_path.glob(f"*/{PARTS}/*.parquet"))) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
    node = parts[0].parent.parent
    assert not (node / "telemetry.parquet").exists()
    (tmp_path / "fleet" / "nodes").mkdir(parents=True)
    node.rename(tmp_path / "fleet" / "nodes" / "n0")
    found = summed(tmp_path / "fleet")
    assert found.peak_w == pytest.approx(250, rel=1e-4)
    assert (found.nodes, list(found.cut_short)) == (1, ["n0"])
