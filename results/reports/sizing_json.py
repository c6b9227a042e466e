"""A sizing as JSON: all of it, to keep, to compare and to read back; SI units, the field names of the types."""

from __future__ import annotations

import msgspec

from perwatt.results.size.sizing import Sizing


def render(sizing: Sizing) -> str:
    """The document, indented. A sizing that stands alone reads back as itself by :func:`load`."""
    return msgspec.json.format(msgspec.json.encode(sizing), indent=2).decode() + "\n"


def load(text: str | bytes, name: str = "sizing") -> Sizing:
    """The sizing in ``text``; ValueError of one line, naming ``name`` (its file) and the key, if it holds none."""
    try:
        return msgspec.json.decode(text, type=Sizing)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}: found {error}; allowed what perwatt size wrote as JSON") from None
