"""Libraries that only a sizing needs."""

from __future__ import annotations

from types import ModuleType

from perwatt.results import optional


def library(name: str) -> ModuleType:
    """The module ``name``. Raises ValueError that says how to install it where it is missing."""
    return optional.library(name, "sizing")
