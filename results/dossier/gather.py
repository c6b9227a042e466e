"""The folder of a dossier filled: what was measured, as it was written, beside what is made of it.

DOSSIER/run/           the run as it lies, without what its processes left for each other
DOSSIER/before/RUN/    those that were before it, where devices were tested again
DOSSIER/criteria.yaml  what it was held against, the very file; topology.yaml, if where hosts stand was told
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from perwatt.results.fleet.layout import FLEET, MERGED
from perwatt.results.fleet.merge import load, merge
from perwatt.results.telemetry import PARTS, TELEMETRY

RUN, BEFORE, CRITERIA, TOPOLOGY = "run", "before", "criteria.yaml", "topology.yaml"
SKIPPED = ("accept", PARTS)  # made of it anew, or scratch


def copy(run: Path, folder: Path, telemetry: bool = True) -> None:
    """Copy a run into ``folder``. ``telemetry``: with every sample of every meter.

    Of links there is what they point to: a dossier holds what it shows.
    """
    for path in _files(run):
        if not telemetry and path.name == TELEMETRY:
            continue
        to = folder / path.relative_to(run)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, to)


def merge_anew(folder: Path, run: Path) -> None:
    """Merge the copy of a fleet again: what is judged is then what its records say now, whenever they were merged.

    Raises ValueError if ``run`` was merged with records of other folders, which are not in the copy.
    """
    if not (folder / FLEET).is_file():
        return
    if not (folder / MERGED).is_dir():
        merge(folder)
        return
    files = load(folder).columns(("file",), ("file",))["file"].cat.categories
    if elsewhere := next((name for name in files if Path(name).is_absolute()), ""):
        raise ValueError(
            f"{run}: found merged with {elsewhere}; allowed a fleet whose records all lie in its own folder, as "
            "`perwatt run resume=` leaves them"
        )
    merge(folder)


def _files(run: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    for where, folders, names in os.walk(run, followlinks=True):
        real = Path(where).resolve()
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED and real not in seen)
        seen.add(real)  # a link may lead back up
        for name in sorted(names):
            path = Path(where, name)
            if not name.startswith(".") and name not in SKIPPED and path.is_file():
                yield path
