"""A group of configuration as a dataclass: what is unknown, missing or of another type is said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from perwatt.benchmarks.config import BadRequest

Made = TypeVar("Made")
NAMED = {"bool": "true or false", "str": "text", "int": "a whole number", "float": "a number"}


def refuse_unknown(config: Iterable[object], allowed: Collection[str], group: str) -> None:
    """Raises BadRequest for a key that is not ``allowed``, with the one that was perhaps meant."""
    for key in config:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, 1)
            hint = f", perhaps {close[0]}" if close else ""
            raise BadRequest(f"{group}.{key}: unknown; allowed {', '.join(allowed)}{hint}")


def build(of: type[Made], config: Mapping[str, Any], group: str) -> Made:
    """``of``, a dataclass of bool, str, int and float, from a plain configuration. Raises BadRequest naming the key."""
    types = {field.name: str(field.type) for field in fields(of)}  # type: ignore[arg-type]
    refuse_unknown(config, types, group)
    for key, wanted in types.items():
        if key not in config:
            raise BadRequest(f"{group}.{key}: found nothing; allowed {', '.join(types)}")
        if not _fits(config[key], wanted):
            raise BadRequest(f"{group}.{key}: found {config[key]!r}; allowed {NAMED[wanted]}")
    return of(**config)


def _fits(value: object, wanted: str) -> bool:
    if wanted in ("bool", "str"):
        return isinstance(value, bool if wanted == "bool" else str)
    return not isinstance(value, bool) and isinstance(value, int if wanted == "int" else int | float)
