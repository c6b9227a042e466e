"""One node has the shared folder over sshfs, on a link of its own that is slow, or that is lost while it measures."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from cluster.conftest import Cluster, begun, in_background, over, records, wait_for
from conftest import Finished, require

from perwatt.results.record import Record
from perwatt.results.store import RECORDS, load

pytestmark = [pytest.mark.slow, pytest.mark.root]
SHORT = (
    *("suite=smoke", "device=cpu", "meter=none", "only=[matmul,all_reduce]", "kernels.matmul_cpu.dtype=fp32"),
    *("profile.warmup_s=0.1", "clocks.lead_s=0.5", "clocks.start_wait_s=5"),
    *("groups.pairs=false", "groups.bisect=false", "kernels.all_reduce.message_bytes=16KiB"),
)
WINDOW_S, SLOW = 0.5, "40kbit"
FOLLOWS_S = 0.02  # between two looks at what was written
TICK_NS = 10**7  # by which the time of a file may be early: what it is stamped with goes on tick by tick


class Storage:
    """The folder of the runs, which ``node`` alone has over a network."""

    def __init__(self, cluster: Cluster, folder: Path, node: str) -> None:
        self.cluster, self.node, self.path, self._cwd = cluster, node, folder / "results", folder
        self.path.mkdir()
        head, other = (int((cluster.path / "pids" / f"{name}.init").read_text()) for name in ("head", node))
        ends = ("netns", str(head), "type", "veth", "peer", "name", "store", "netns", str(other))
        subprocess.run(["ip", "link", "add", "store", *ends], check=True)
        for machine, address in (("head", "10.78.0.1"), (node, "10.78.0.2")):
            self._do(machine, f"ip addr add {address}/24 dev store; ip link set store up")
        self.mount()

    def _do(self, machine: str, *script: str) -> Finished:
        done = self.cluster.on(machine, "sh", "-ec", *script, cwd=self._cwd)
        assert done.code == 0, done.err
        return done

    def mount(self) -> None:
        """As it is after the node has come up."""
        config, log = self.cluster.path / "ssh" / "config", self.cluster.path / "log" / "sshfs"
        options = f"-F {config} -o sftp_server=/usr/lib/openssh/sftp-server"
        self._do(self.node, f"sshfs {options} 10.78.0.1:{self.path} {self.path} </dev/null >{log} 2>&1")

    def shape(self, rate: str) -> None:
        """No more than that in each direction."""
        for machine in ("head", self.node):
            self._do(machine, f"tc qdisc replace dev store root tbf rate {rate} burst 1600 latency 60s")

    def stop(self) -> None:
        """The file system answers nobody any more."""
        self._do(self.node, "kill -STOP $(pgrep -x sshfs)")

    def go_on(self) -> None:
        """It answers again, and has lost nothing."""
        self._do(self.node, "kill -CONT $(pgrep -x sshfs)")

    def cut(self) -> None:
        """Its network is lost."""
        self._do(self.node, "ip link set store down")

    def replace(self) -> None:
        """Another one is mounted in its place."""
        self._do(self.node, f"kill -KILL $(pgrep -x sshfs); umount --lazy {self.path}; ip link set store up")
        self.mount()

    def gone(self) -> None:
        """The node is as it was."""
        self.cluster.on(
            self.node, "sh", "-c", f"kill -KILL $(pgrep -x sshfs); umount --lazy {self.path}", cwd=self._cwd
        )
        self._do("head", "ip link del store")


@pytest.fixture
def storage(cluster: Cluster, tmp_path: Path) -> Iterator[Storage]:
    require("sshfs", bool(shutil.which("sshfs")) and Path("/dev/fuse").exists())
    made = Storage(cluster, tmp_path, "n2")
    yield made
    made.gone()


def follow(folder: Path, until: Callable[[], object]) -> set[tuple[str, int]]:
    """What is written into a folder, as it arrives there: names of files, and when, in ns of the monotonic clock."""
    found = set()
    ahead_ns = time.time_ns() - time.monotonic_ns()
    while not until():
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    found.add((path.name, path.stat().st_mtime_ns - ahead_ns))
        time.sleep(FOLLOWS_S)
    return found


def windows(measured: Iterable[Record]) -> list[tuple[int, int]]:
    """Begin and end of each, in ns of the monotonic clock."""
    every = [one for record in measured if record.measured for one in record.measured.repetitions]
    return [(one.start_ns, one.start_ns + round(one.window_s * 1e9)) for one in every]


def lengths_s(measured: Iterable[Record]) -> list[float]:
    """Of their windows."""
    return [(end - begin) * 1e-9 for begin, end in windows(measured)]


def times_s(measured: Iterable[Record]) -> list[float]:
    """Of one launch, by case."""
    return [record.measured.seconds.median for record in measured if record.measured]


def rests_s(measured: Sequence[Record]) -> list[float]:
    """From the end of each case's last window to the begin of the next one's first."""
    cases = [windows([record]) for record in measured]
    return [(after[0][0] - before[-1][1]) * 1e-9 for before, after in pairwise(cases)]


def test_a_node_that_writes_slowly_is_measured_as_the_others_are(
    cluster: Cluster, tmp_path: Path, storage: Storage
) -> None:
    storage.shape(SLOW)
    before, given = over(cluster, "slurm", "n1", "n2")
    sizes = ("kernels.matmul_cpu.m=[512,640,768]", "profile.repetitions=2", f"profile.window_s={WINDOW_S}")
    future = in_background(cluster, tmp_path, *before, "perwatt", "run", *SHORT, *sizes, *given)
    run = begun(tmp_path)
    written = follow(run / "nodes" / "n2", lambda: records(run / "nodes" / "n2") == 3 + 1 or future.done())
    storage.shape("1mbit")  # the report of its own
    wait_for(lambda: (run / "screening.json").exists() or future.done())
    storage.shape(SLOW)
    done = future.result()
    assert done.code == 0, done.err
    assert "MISSING" not in done.err
    quick, slow = ([r for r in load(run / "nodes" / name) if r.measured] for name in ("n1", "n2"))
    print("between cases, in s:", rests_s(quick), rests_s(slow))
    assert len(quick) == len(slow) == 3
    assert sum(rests_s(slow)) > sum(rests_s(quick)) + 2  # the time that it takes to write
    # as far as two nodes on two shared cores can show it
    assert median(lengths_s(slow)) < 1.5 * median(lengths_s(quick))
    assert 0.5 < median(a / b for a, b in zip(times_s(slow), times_s(quick), strict=True)) < 2
    assert RECORDS in {name for name, _ in written}
    # of the node itself, not of the rank that measures
    inside = {
        name.strip(".").partition(".json")[0] for name, t in written for a, b in windows(slow) if a <= t < b - TICK_NS
    }
    assert inside <= {"alive", "clock"}
    assert together(run) == [("n1", "n2")]  # who was quick has waited for the other


# Slurm ends what was given up as soon as it can; what ssh has started lives on, until it sees that nobody waits for it
@pytest.mark.parametrize(
    ("launcher", "nodes", "lose", "mend"),
    [
        ("slurm", ("n0", "n1", "n2"), Storage.cut, Storage.replace),
        ("ssh", ("n1", "n2"), Storage.stop, Storage.go_on),
    ],
)
def test_a_node_whose_storage_is_lost_is_named_and_finishes_the_rest_once_it_is_back(
    cluster: Cluster,
    tmp_path: Path,
    storage: Storage,
    launcher: str,
    nodes: tuple[str, ...],
    lose: Callable[[Storage], None],
    mend: Callable[[Storage], None],
) -> None:
    others, (*_, lost) = nodes[:-1], nodes
    before, given = over(cluster, launcher, *nodes)
    sizes = ("kernels.matmul_cpu.m=[64,128,192]", "profile.repetitions=1", "profile.window_s=3")
    limit = "launcher.timeout_s=12"
    future = in_background(cluster, tmp_path, *before, "perwatt", "run", *SHORT, *sizes, *given, limit)
    run = begun(tmp_path)
    wait_for(lambda: records(run / "nodes" / lost))
    lose(storage)
    had = (run / "nodes" / lost / RECORDS).read_bytes()
    done = future.result()
    assert done.code == 1, done.err
    missing = [line for line in done.err.splitlines() if line.startswith("MISSING")]
    assert len(missing) == 1
    assert missing[0].startswith(f"MISSING {lost}: its run never ended: silent for 12 s")
    assert [whole(run / "nodes" / name) for name in others] == [3 + 1] * len(others)  # the collective is skipped there
    assert together(run) == ([others] if len(others) > 1 else [])
    assert whole(run / "nodes" / lost) < 3
    mend(storage)
    if launcher == "slurm":
        idle = ("sinfo", "-h", "-n", lost, "-o", "%T")
        wait_for(lambda: cluster.on("head", *idle, cwd=tmp_path).out.strip() == "idle")
    again = cluster.on("head", *before, "perwatt", "run", f"resume={run}", cwd=tmp_path)
    assert again.code == 0, again.err
    assert (run / "nodes" / lost / RECORDS).read_bytes().startswith(had)
    assert [whole(run / "nodes" / name) for name in nodes] == [3 + 1] * len(nodes)
    assert together(run)[-1] == nodes


def together(run: Path) -> list[tuple[str, ...]]:
    """The groups that measured."""
    return [record.case.over.hosts for record in load(run) if record.measured and record.case.over]


def whole(run: Path) -> int:
    """How many cases have a whole record; each has one."""
    found = [r.case.key for r in load(run) if "interrupted" not in r.flags]
    assert len(set(found)) == len(found)
    return len(found)
