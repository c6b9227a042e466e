"""Libraries of an extra, loaded where they are used: without them the rest of the package stays whole."""

from __future__ import annotations

import importlib
from types import ModuleType


def library(name: str, extra: str) -> ModuleType:
    """The module ``name``. Raises ValueError that says which ``extra`` installs it where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.split(".", maxsplit=1)[0]
        raise ValueError(f"{package} is not installed: pip install 'perwatt[{extra}]'") from None
