"""From a YAML node to an object: the only place where ``_target_`` is followed, and only into perwatt's own parts."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any


def build(node: Mapping[str, Any], package: str, where: str) -> Any:
    """Call the class that ``node['_target_']`` names with the rest of the node as keyword arguments.

    The target must lie under ``package`` (``perwatt.kernels``, ``perwatt.benchmarks.meters``, ...); ``where`` is the
    node's place in the configuration, for messages. Raises ValueError for anything wrong with the node.
    """
    target = node.get("_target_")
    if not isinstance(target, str) or not target.startswith(package + "."):
        raise ValueError(f"{where}._target_: {target!r} does not lie in {package}")
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ValueError(f"{where}._target_: there is no {target}") from None
    if not inspect.isclass(cls) or not cls.__module__.startswith(package):
        raise ValueError(f"{where}._target_: {target} is not a class of {package}")
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    allowed = list(inspect.signature(cls).parameters)
    if unknown := [key for key in arguments if key not in allowed]:
        raise ValueError(f"{where}.{unknown[0]}: no such key; choices: {', '.join(allowed)}")
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None
    except ValueError as error:
        # a class names its own key (matmul.dtype: ...); the entry may have another name
        raise ValueError(
            f"{where}: {error}" if where.rsplit(".", maxsplit=1)[-1] not in str(error) else str(error)
        ) from None
