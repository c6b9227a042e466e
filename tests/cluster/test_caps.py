"""Power limits over a cluster: each node sets its own, and puts them back before nodes are tested together."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster.conftest import Cluster, over
from powercap import BEFORE_W, draws, limit_w, package

from perwatt.results.store import load

pytestmark = [pytest.mark.slow, pytest.mark.root]
ASKED = (
    *("suite=smoke", "device=cpu", "only=[matmul,all_reduce]", "kernels.matmul_cpu.dtype=fp32", "meter=rapl"),
    *("profile.window_s=0.2", "profile.repetitions=2", "profile.warmup_s=0.1", "groups.pairs=false"),
    *("kernels.all_reduce.message_bytes=64KiB", "sweep=power_cap", "sweep.caps_w=[150,90]", "allow_settings=true"),
)


def test_every_node_is_measured_at_each_cap_and_groups_at_what_was_set_before(cluster: Cluster, tmp_path: Path) -> None:
    nodes, root = ("n1", "n2"), tmp_path / "powercap"
    root.mkdir()
    before, given = over(cluster, "ssh", *nodes)
    asked = (*ASKED, f"meter.rapl.root={root}", f"sweep.powercap_root={root}")
    with ExitStack() as stack:
        for node in nodes:  # each has one of its own there
            stack.enter_context(draws(package(tmp_path / node)))
            mounted = cluster.on(node, "mount", "--bind", str(tmp_path / node), str(root), cwd=tmp_path)
            assert mounted.code == 0, mounted.err
            stack.callback(cluster.on, node, "umount", str(root), cwd=tmp_path)
        done = cluster.on("head", *before, "perwatt", "run", *asked, *given, cwd=tmp_path)
        assert done.code == 0, done.err
        assert {limit_w(tmp_path / node) for node in nodes} == {BEFORE_W}
    run = tmp_path / done.last["run"]
    for node in nodes:
        records = [record for record in load(run / "nodes" / node) if record.case.kernel == "matmul"]
        assert records
        assert [record.case.cap_w for record in records] == [cap_w for cap_w in (150.0, 90.0) for _ in records[::2]]
        for record in records:
            assert record.power_w == pytest.approx(record.case.cap_w, rel=0.05)
    together = load(run)
    assert together
    assert {record.case.cap_w for record in together if record.measured} == {None}
