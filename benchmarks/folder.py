"""The folder of a run: made so that no two runs share one, found again by id, path or ``latest``."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from perwatt.benchmarks.config import BadRequest, run_id
from perwatt.results.fleet.layout import NODES
from perwatt.results.run import ENVIRONMENT
from perwatt.results.store import RECORDS, write_atomically

REPORT = "report.html"


def create(parent: Path, suite: str, name: str | None = None) -> Path:
    """A new folder under ``parent``; called ``name`` if it is a job of a sweep, whose folder Hydra may have made.

    Raises BadRequest if it cannot be made or written to, or holds a run already.
    """
    run = parent / (name or run_id(suite))
    try:
        run.mkdir(parents=True, exist_ok=name is not None)
        (run / RECORDS).touch(exist_ok=False)
    except OSError as error:
        raise BadRequest(f"runs_dir={parent}: cannot make {run}: {error.strerror}") from None
    return run


def discard(run: Path) -> None:
    """Remove a run that turned out to be a wrong request before anything was measured, on its nodes as well; keep any
    other."""
    if not any(path.stat().st_size for path in (run / RECORDS, *run.glob(f"{NODES}/*/{RECORDS}"))):
        shutil.rmtree(run)


def find(text: str, parent: Path, key: str = "run") -> Path:
    """A run by path, by id under ``parent``, or the ``latest`` one there. Raises BadRequest, naming the ``key`` that
    asks for it, if there is none."""
    # a run of its own, or a job of a sweep
    runs = sorted([*parent.glob(f"*/{RECORDS}"), *parent.glob(f"*/*/{RECORDS}")], key=lambda p: p.stat().st_mtime)
    if text == "latest":
        if not runs:
            raise BadRequest(f"{key}=latest: {parent} holds no run")
        return runs[-1].parent
    for candidate in (Path(text), parent / text):
        if (candidate / RECORDS).is_file():
            return candidate
    known = ", ".join(str(p.parent.relative_to(parent)) for p in runs[-5:]) or "none"
    raise BadRequest(f"{key}={text}: no run there (a folder with {RECORDS}); the newest in {parent}: {known}")


def once(paths: Sequence[Path]) -> None:
    """Raises BadRequest for a run that was named twice, by whatever name."""
    resolved = [path.resolve() for path in paths]
    if twice := [path for at, path in enumerate(paths) if resolved[at] in resolved[:at]]:
        raise BadRequest(f"runs: found {twice[0]} twice; allowed each run once")


def write_environment(run: Path, environment: dict[str, Any]) -> None:
    """Write ``environment.json``."""
    write_atomically(run / ENVIRONMENT, json.dumps(environment, indent=2, sort_keys=True) + "\n")


def stamp_clock(run: Path, when: Literal["start", "end"], whole: bool = True) -> None:
    """Keep what the host's two clocks say: by it a recorded wall trace is laid over the run's monotonic time. At the
    end also whether the run is ``whole``: what it never measured is not among its records.

    ``clock`` holds ``start`` and ``end`` of the clock that the run began by, and ``allocations``: whoever leads it
    later has a pair of its own, for on another machine, or after a boot, the monotonic clock is another one.
    """
    environment = read_environment(run)
    before_ns, utc_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    pair = {"mono_ns": (before_ns + after_ns) // 2, "utc_ns": utc_ns}
    clock = environment.setdefault("clock", {})
    allocations = clock.setdefault("allocations", [])
    mine = {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid()}
    if when == "start":
        allocations.append({**mine, "start": pair})
        clock.setdefault("start", pair)
    elif allocations and mine.items() <= allocations[-1].items():  # not of one that ended before it had begun
        allocations[-1] |= {"end": pair, "whole": whole}
        if allocations[0]["boot"] == mine["boot"]:
            clock["end"] = pair
    write_environment(run, environment)


def _boot() -> str:
    """What tells one run of a kernel, and of its monotonic clock, from another; elsewhere than on Linux the host."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def read_environment(run: Path) -> dict[str, Any]:
    """Read ``environment.json``; empty if the run was killed before it was written."""
    try:
        found = json.loads((run / ENVIRONMENT).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise BadRequest(f"{run / ENVIRONMENT}: {error}") from None
    return dict(found)
