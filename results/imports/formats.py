"""Which formats can be imported, how each is told from the others by what is in it, and who reads it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from perwatt.results.imports.figures import Read

PLACE = "perwatt.results.imports."


@dataclass(frozen=True)
class Format:
    """A format: what it is, the module with ``is_it`` and ``read``, and which options its reader takes."""

    what: str
    module: str
    options: tuple[str, ...] = ()


FORMATS = {
    "nccl_json": Format("the JSON of nccl-tests -J", "nccl_json", ("kernel", "ranks")),
    "mamf": Format("the report of mamf-finder", "mamf", ("dtype",)),
    "nccl": Format("what nccl-tests or rccl-tests printed", "nccl_text", ("kernel", "ranks")),
}


def load(path: Path) -> tuple[bytes, str]:
    """The file's bytes and its text, unpacked. Raises ValueError in one line for what is no text."""
    try:
        content = path.read_bytes()
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        return content, plain.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: found bytes that are not UTF-8; allowed text, or text packed by gzip") from None
    except (OSError, EOFError, zlib.error) as error:
        said = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: found {said}; allowed a readable file") from None


def told(text: str) -> str:
    """The format by what is in the text; empty if it is none of them."""
    return next((name for name, form in FORMATS.items() if _module(form).is_it(text)), "")


def read(path: Path, text: str, name: str, options: dict[str, Any]) -> Read:
    """Read ``text`` of the file ``path`` in the format ``name``. Raises ValueError, beginning with the file."""
    reader: Callable[..., Read] = _module(FORMATS[name]).read
    try:
        return reader(text, **{key: value for key, value in options.items() if key in FORMATS[name].options})
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None


def _module(form: Format) -> Any:
    return import_module(PLACE + form.module)
