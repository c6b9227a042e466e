"""What a program took: time, processor time and memory of it and all its processes, and what others took meanwhile."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CORES, OTHERS = 2, 0.1


class Spent(NamedTuple):
    """Seconds on the clock, seconds of processors, those of everybody else on this machine, and peak bytes."""

    took_s: float
    mine_s: float
    others_s: float
    peak_bytes: int

    def __str__(self) -> str:
        processors = f"{self.mine_s:.1f} s of processors (others: {self.others_s:.1f} s)"
        return f"{self.took_s:.1f} s, {processors}, {self.peak_bytes / 2**30:.2f} GiB"

    def within(self, seconds: float) -> bool:
        """Whether that is less than ``seconds`` on ``CORES`` processors.

        Where others use the processors too, the time on the clock says nothing: it counts where they used no more than
        ``OTHERS`` of them. The processor time always does.
        """
        quiet = self.others_s <= OTHERS * CORES * self.took_s
        return self.mine_s < CORES * seconds and (self.took_s < seconds or not quiet)


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


def watched(command: Sequence[str], code: int = 0) -> Spent:
    """Run a program to its end. Raises CalledProcessError if that is another than ``code``."""
    began, all_before, mine_before = time.monotonic(), busy_s(), spent_s()
    process, peak = subprocess.Popen(command), 0
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.05)
    took, mine = time.monotonic() - began, spent_s() - mine_before
    if process.returncode != code:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Spent(took, mine, busy_s() - all_before - mine, peak)
