"""A YAML file that data lie in (targets, architectures, tables, models), read with one line for what is wrong.

A file is parsed once for as long as it does not change: reading it takes longer than using it.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from perwatt.benchmarks.config import BadRequest


def read(path: Traversable) -> Any:
    """What the file holds, a copy of it. Raises BadRequest, naming the file, if it cannot be read or is no YAML."""
    try:
        changed_ns = Path(str(path)).stat().st_mtime_ns
        return copy.deepcopy(_parsed(str(path), changed_ns))
    except RecursionError:
        raise BadRequest(f"{path}: found a document that contains itself; allowed one that ends") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise BadRequest(f"{path}: {' '.join(str(error).split())}") from None


def folders(directories: Iterable[str | Path], name: str) -> list[Path]:
    """The folders called ``name`` in the user's directories: those that there are."""
    return [folder for d in directories if (folder := Path(d) / name).is_dir()]


def among(directories: Iterable[str | Path], name: str) -> dict[str, Traversable]:
    """The files that ship in conf/``name``, by their names without .yaml; a user's replace those of the same name."""
    places = [files("perwatt.conf") / name, *folders(directories, name)]
    return {p.name.removesuffix(".yaml"): p for place in places for p in place.iterdir() if p.name.endswith(".yaml")}


@functools.lru_cache(maxsize=256)
def _parsed(path: str, changed_ns: int) -> Any:
    return OmegaConf.to_container(OmegaConf.create(Path(path).read_text(encoding="utf-8")))
