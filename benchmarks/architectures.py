"""The limits of GPU architectures that static records are judged by: data, in ``conf/triton/ARCHITECTURE.yaml``.

A new architecture is a new file, in the package or in a directory of the user's; there a file with limits replaces the
shipped one of the same name. They stand under ``architecture``, each with unit and source; the same file may hold other
keys that are not read here. A wrong file is refused with a ValueError of one line that names the file and the key.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from perwatt.benchmarks import documents
from perwatt.kernels.triton.static.architecture import Architecture


def load(name: str, extra_dirs: Iterable[str | Path] = ()) -> Architecture:
    """The architecture called ``name`` (``sm_90``, ``gfx942``); ValueError with the choices if there is none.

    A later directory of ``extra_dirs`` comes before an earlier one, and before the package.
    """
    found = _files(extra_dirs)
    if name not in found:
        raise ValueError(f"no architecture {name!r}: choose from {', '.join(sorted(found))}")
    return _read(found[name], name)


def names(extra_dirs: Iterable[str | Path] = ()) -> list[str]:
    """The architectures that :func:`load` knows, in order of name."""
    return sorted(_files(extra_dirs))


def _files(extra_dirs: Iterable[str | Path]) -> dict[str, Traversable]:
    found: dict[str, Traversable] = {}
    for directory in (files("perwatt.conf") / "triton", *map(Path, extra_dirs)):
        if not directory.is_dir():
            raise ValueError(f"{directory}: no such directory of architectures")
        for path in (p for p in directory.iterdir() if p.name.endswith(".yaml")):
            name = path.name.removesuffix(".yaml")
            if name not in found or _describes(documents.read(path)):  # a table alone leaves the limits as they are
                found[name] = path
    return found


def _describes(node: object) -> bool:
    return isinstance(node, dict) and "architecture" in node


def _read(path: Traversable, name: str) -> Architecture:
    node = documents.read(path)
    if not _describes(node):
        raise ValueError(f"{path}: the key 'architecture' is needed")
    architecture = Architecture.from_mapping(node["architecture"], f"{path}: architecture")
    if architecture.name != name:
        raise ValueError(f"{path}: architecture.name: {architecture.name!r} must be the name of the file")
    return architecture
