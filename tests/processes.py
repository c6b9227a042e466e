"""Finding a run's own processes from outside, to kill or stop them as a cluster would."""

from __future__ import annotations

import time
from pathlib import Path


def descendants(root: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        pid, rest = int(text.split()[0]), text.rpartition(")")[2].split()
        children.setdefault(int(rest[1]), []).append(pid)
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def ranks(root: int, group: int) -> dict[int, int]:
    """Process id by rank, of a group of ``group`` ranks below ``root``."""
    found = {}
    for pid in descendants(root):
        try:
            variables = dict(v.split("=", 1) for v in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in v)
            words = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        # the agent above the ranks inherits nothing of theirs: WORLD_SIZE is set for the ranks alone
        if "perwatt.benchmarks.worker" in words and variables.get("WORLD_SIZE") == str(group):
            found[int(variables["RANK"])] = pid
    return found


def wait_for_ranks(root: int, group: int, timeout_s: float = 120) -> dict[int, int]:
    """Wait until the whole group is there."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = ranks(root, group)
        if len(found) == group:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no group of {group} ranks came up under {root}")


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: list[int], timeout_s: float = 60) -> None:
    """Wait until every one of these processes has ended."""
    end = time.monotonic() + timeout_s
    while any(alive(p) for p in pids):
        assert time.monotonic() < end, f"still there: {[p for p in pids if alive(p)]}"
        time.sleep(0.05)
