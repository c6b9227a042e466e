"""The configurations of Triton kernels for the device at hand: data, read from YAML.

``conf/triton/ARCHITECTURE.yaml`` holds them for an architecture, under ``kernels``. What ``perwatt tune`` found for one
target lies in ``tuned/TARGET.yaml`` of a directory of the user's (``--config-dir``) and comes first; so does a table of
the user's own in ``triton/ARCHITECTURE.yaml`` there. A wrong table is refused with one line that names file and key.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from perwatt.benchmarks import documents
from perwatt.kernels.triton.configuration import Table, kinds

TUNED = "tuned"


def load(architecture: str, target: str = "", cores: int = 1, directories: Iterable[str | Path] = ()) -> Table | None:
    """The table of ``architecture`` (``sm_90``, ``gfx942``), that of ``target`` before it; None if there is neither.

    ``cores`` are the device's SMs or compute units; ``directories`` the user's. Raises ValueError for a wrong file.
    """
    places: list[Traversable] = []
    for directory in map(Path, directories):
        places += [directory / TUNED / f"{target}.yaml", directory / "triton" / f"{architecture}.yaml"]
    places.append(files("perwatt.conf") / "triton" / f"{architecture}.yaml")
    found = [place for place in places if place.is_file()]
    if not found:
        return None
    merged: dict[str, list[Any]] = {}
    for place in found:
        for kernel, entries in _kernels(place).items():
            merged.setdefault(kernel, []).extend(entries)
    return Table(target or architecture, str(found[-1]), merged, cores, architecture)


def _kernels(path: Traversable) -> dict[str, list[dict[str, Any]]]:
    """What stands under ``kernels`` in one file, every entry of it checked."""
    node = documents.read(path)
    kernels = node.get("kernels", {}) if isinstance(node, dict) else None
    if not isinstance(kernels, dict):
        raise ValueError(f"{path}: kernels: a list of configurations for each kernel is needed")
    known = kinds()
    for kernel, entries in kernels.items():
        if kernel not in known:
            raise ValueError(f"{path}: kernels.{kernel}: no such kernel; choices: {', '.join(sorted(known))}")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{path}: kernels.{kernel}: a list of configurations is needed, not {entries!r}")
        for entry in entries:
            Table("", str(path), {}).configuration(known[str(kernel)], entry)
    return {str(kernel): entries for kernel, entries in kernels.items()}
