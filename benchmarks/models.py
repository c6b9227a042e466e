"""Published model shapes: the names in a kernel's ``model`` become what the files of ``conf/model`` say.

``kernels.step.model=llama3_70b`` names a file of the package or of the user's (``DIR/model/mine.yaml`` with
``--config-dir DIR``; there a file replaces the shipped one of its name). Names are resolved once, before anything is
built: configuration, case and record then hold the shape itself. A mapping in place of a name is taken as it is.
A wrong file is refused with a ValueError of one line that names the file, the key and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from perwatt.benchmarks import documents
from perwatt.benchmarks.config import BadRequest
from perwatt.kernels.model import parse

KEY = "model"


def resolve(kernels: Mapping[str, Any], directories: Iterable[Path] = ()) -> dict[str, Any]:
    """The entries of a run with every name of a model replaced by its shape, in lists and in points as well."""
    places = list(directories)
    return {name: _entry(name, node, places) for name, node in kernels.items()}


def _entry(name: str, node: Any, directories: list[Path]) -> Any:
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str) or KEY not in node:
        return node
    where = f"kernels.{name}.{KEY}"
    changed = {**node, KEY: _shapes(node[KEY], where, directories)}
    if isinstance(points := node.get("points"), list):
        changed["points"] = [
            {**p, KEY: _shapes(p[KEY], where, directories)} if isinstance(p, dict) and KEY in p else p for p in points
        ]
    return changed


def _shapes(value: Any, where: str, directories: list[Path]) -> Any:
    if isinstance(value, list):
        return [_shapes(one, where, directories) for one in value]
    return load(value, where, directories) if isinstance(value, str) else value


def load(name: str, where: str, directories: Iterable[Path] = ()) -> dict[str, Any]:
    """The shape in the file called ``name``; BadRequest with the choices if there is none."""
    found = documents.among(directories, "model")
    if name not in found:
        near = difflib.get_close_matches(name, found, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise BadRequest(f"{where}={name}: no such file in conf/model{hint}; choices: {', '.join(sorted(found))}")
    path = found[name]
    node = documents.read(path)
    model = parse(node, str(path))
    if model.name != name:
        raise BadRequest(f"{path}: name: {model.name!r} must be the name of the file")
    if not model.source:
        raise BadRequest(f"{path}: source: missing; where the shape was read")
    return dict(node)
