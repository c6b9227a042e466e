"""The KEY=VALUE of a command: its own, and what is left for the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perwatt.benchmarks.config import BadRequest


def only(arguments: Sequence[str], choices: str, **defaults: str) -> dict[str, str]:
    """The KEY=VALUE of a command that takes nothing else. Raises BadRequest, which lists ``choices``, for the rest."""
    found: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in defaults:
            raise BadRequest(f"{argument}: choices: {choices}")
        _once(found, key, value)
    return defaults | found


def _once(given: dict[str, str], key: str, value: str) -> None:
    """BadRequest for a key that is given another value already."""
    if given.setdefault(key, value) != value:
        raise BadRequest(f"{key}: found {given[key]} and {value}; allowed one of the two")


def options(arguments: Sequence[str], more: str = "meter=...", **allowed: Any) -> tuple[dict[str, Any], list[str]]:
    """The command's own KEY=VALUE by their defaults' types, and what is left for the configuration, of which ``more``
    is an example. Raises BadRequest for a flag and for a value of the wrong type."""
    mine, rest = dict(allowed), []
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key in allowed:
            _once(given, key, value)
        if argument.startswith("-"):
            raise BadRequest(f"{argument}: no such flag; options: {', '.join(f'{k}=' for k in allowed)}{more}")
        if key not in allowed or not equals:
            rest.append(argument)
        elif isinstance(allowed[key], bool):
            if value not in ("true", "false"):
                raise BadRequest(f"{argument}: allowed: true, false")
            mine[key] = value == "true"
        elif isinstance(allowed[key], float):
            try:
                mine[key] = float(value)
            except ValueError:
                raise BadRequest(f"{argument}: not a number of seconds") from None
        else:
            mine[key] = value
    return mine, rest
