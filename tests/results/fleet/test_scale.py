"""A fleet of the size of a gigafactory, merged on two cores. The bar: 12,500 nodes of 8 devices and 40 cases in 90 s
and 8 GiB.

PERWATT_WHOLE_FLEET=1 merges all 12,500 nodes. Otherwise a twentieth of them is merged, in a twentieth of the time and
``START_S`` for what no fraction makes less: that much slack lets a fraction pass of which the whole is too slow, so
that the processor time is held as well, of which there is no slack but that.

Where others use the processors too, the time says nothing: it is held where they used no more than ``OTHERS`` of
them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fleet_files import CASES, DEVICES, write_fleet

from perwatt.results.fleet.merge import load

NODES, SECONDS, BYTES = 12_500, 90.0, 8 << 30
SHARE = 1 if os.environ.get("PERWATT_WHOLE_FLEET") else 20
CORES, OTHERS = 2, 0.1
START_S = 5.0  # interpreters and libraries, which no fraction makes less
MERGE = """
import sys
from pathlib import Path
from perwatt.results.fleet.merge import merge
if __name__ == "__main__":
    merge(Path(sys.argv[1]), jobs=2)
"""


def busy_s() -> float:
    """Seconds that all processors of this machine have worked, for whomever."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def spent_s() -> float:
    """Seconds that ended children of this process, and theirs, have worked."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident(pid: int) -> int:
    """Memory in bytes of a process and all below it; shared pages count once each process, so never too little."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        # of all threads: whoever starts a process is its parent
        children = [c for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGESIZE") + sum(resident(int(child)) for child in children)


@pytest.mark.slow
def test_a_fleet_is_merged_within_its_time_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    nodes = NODES // SHARE
    size = write_fleet(run, nodes)
    began, all_before, mine_before = time.monotonic(), busy_s(), spent_s()
    process = subprocess.Popen([sys.executable, "-c", MERGE, str(run)])
    peak, over = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, resident(process.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    code = process.wait()
    took, mine = time.monotonic() - began, spent_s() - mine_before
    others = busy_s() - all_before - mine
    over.set()
    watcher.join()
    with capsys.disabled():
        print(
            f"\n{nodes} nodes, {size / 1e9:.2f} GB: {took:.1f} s, {mine:.1f} s of processors "
            f"(others: {others:.1f} s), {peak / 2**30:.2f} GiB"
        )
    assert code == 0
    assert peak < BYTES
    if SHARE > 1:
        found = load(run)
        assert len(found.index) == found.records == nodes * DEVICES * CASES
        assert len(found.cases) == CASES
        assert (found.missing, found.damaged) == ((), ())
    allowed_s = SECONDS / SHARE + (START_S if SHARE > 1 else 0)
    assert mine < CORES * allowed_s
    if others <= OTHERS * CORES * took:
        assert took < allowed_s
