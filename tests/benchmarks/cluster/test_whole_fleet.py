"""A fleet of 12,500 nodes planned by the command itself, within bounds of memory and of processor time; and what some
of these nodes wrote, merged: under the same names, the others named as missing."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from pathlib import Path

import pytest
from fleet_files import CASES, DEVICES, write_fleet
from spent import Spent, watched

from perwatt.results.fleet.merge import load, merge
from perwatt.results.fleet.nodesets import expand

pytestmark = pytest.mark.slow
NODES, LEAF, WROTE = 12_500, 32, 25
PROCESSORS_S, BYTES = 40.0, 512 << 20  # found: 4.8 s and 76 MiB
NAMES = f"n[00000-{NODES - 1}]"


def dry_run(folder: Path, nodes: int) -> tuple[list[str], Spent]:
    """What a dry run over so many nodes on leaves of 32 says, and what it took."""
    leaves = {f"leaf{i // LEAF:03}": f"n[{i:05}-{min(i + LEAF, nodes) - 1:05}]" for i in range(0, nodes, LEAF)}
    topology = {"name": "whole", "source": "given", "leaves": leaves, "rails": {}, "racks": {}}
    (folder / "topology").mkdir(parents=True)
    (folder / "topology" / "whole.yaml").write_text(f"# generated\n{json.dumps(topology)}\n")
    asked = ("--config-dir", str(folder), "--dry-run", "suite=acceptance", "device=cpu", "topology=whole")
    hosts = ("launcher=ssh", f"launcher.hosts='n[00000-{nodes - 1:05}]'", f"runs_dir={folder}")
    command = shlex.join([sys.executable, "-m", "perwatt.benchmarks.cli", "run", *asked, *hosts])
    spent = watched(["sh", "-c", f"exec {command} > {shlex.quote(str(folder / 'said'))}"])
    return (folder / "said").read_text().splitlines(), spent


def test_a_fleet_is_planned_in_rounds_that_grow_with_its_logarithm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, took = {}, {}
    for nodes in (NODES // 10, NODES):
        said, spent = dry_run(tmp_path / str(nodes), nodes)
        with capsys.disabled():
            print(f"\n{nodes} nodes planned: {spent}")
        told[nodes], took[nodes] = json.loads(said[-1]), spent
        assert told[nodes]["rounds"] == 2 * math.ceil(math.log2(nodes))
        assert told[nodes]["pairs"] == told[nodes]["rounds"] * nodes // 2
        assert told[nodes]["groups"] == math.ceil(nodes / LEAF) + 1
        assert sum(line.startswith("leaf ") for line in said) == math.ceil(nodes / LEAF)
        assert any(line.startswith("pair ") and "about " in line for line in said)
        (started,) = {line.split(" -w ")[1].split()[0] for line in said if " -w " in line}
        assert list(expand(started)) == list(expand(f"n[00000-{nodes - 1:05}]"))
    assert took[NODES].peak_bytes < BYTES
    assert took[NODES].mine_s < PROCESSORS_S
    # ten times the nodes, and no step that compares each with each
    assert took[NODES].mine_s < 20 * took[NODES // 10].mine_s


def test_what_some_of_its_nodes_wrote_is_merged_under_the_same_names_and_the_others_are_missing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_fleet(run, WROTE, NODES)
    merge(run, jobs=min(2, os.cpu_count() or 1))
    found = load(run)
    names = list(expand(NAMES))
    assert sorted(set(found.index["host"])) == names[:WROTE]
    assert len(found.index) == found.records == WROTE * DEVICES * CASES
    assert len(found.cases) == CASES
    assert list(found.missing) == [f"MISSING {name}: the node never wrote" for name in names[WROTE:]]
