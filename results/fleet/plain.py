"""Files of a run that hold plain values, as types say."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

Plain = TypeVar("Plain")


def decoded(path: Path, type: type[Plain], allowed: str) -> Plain | None:
    """What a JSON file holds; None where there is none. Raises ValueError, one line, for what cannot be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}; allowed {allowed}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
