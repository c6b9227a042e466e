"""The folder of a dossier filled: what was measured, as it was written, beside what is made of it.

DOSSIER/run/           the run as it lies, without what its processes left for each other
DOSSIER/criteria.yaml  what it was held against, the very file
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

RUN, CRITERIA = "run", "criteria.yaml"
SKIPPED = ("accept", "telemetry.parts")  # made of it anew, or scratch
TELEMETRY = "telemetry.parquet"


def copied(run: Path, folder: Path, telemetry: bool = True) -> int:
    """Copy a run into ``folder``/run. Returns how many bytes. ``telemetry``: with every sample of every meter.

    Links are left out, as sockets are: a dossier holds what it shows.
    """
    total = 0
    for path in _files(run):
        if not telemetry and path.name == TELEMETRY:
            continue
        to = folder / RUN / path.relative_to(run)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
        shutil.copystat(path, to)
        total += to.stat().st_size
    return total


def _files(run: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(run):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED)
        for name in sorted(names):
            path = Path(where, name)
            if not name.startswith(".") and name not in SKIPPED and path.is_file() and not path.is_symlink():
                yield path
