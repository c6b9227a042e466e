"""Plain values, of a run's files or of a user's YAML, as types say; what does not fit is told in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

Plain = TypeVar("Plain")
WORDS: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.VarTupleType: "a list",
}


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


def converted(plain: Any, type: type[Plain], where: str) -> Plain:
    """A parsed YAML as a struct. Raises ValueError, one line with file, key, what was found and what is allowed."""
    if isinstance(odd := _odd(plain), tuple):
        raise ValueError(f"{where}: found the key {odd[0]!r}; allowed keys that are text")
    try:
        return msgspec.convert(plain, type)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        key = path.strip("`").removeprefix("$").lstrip(".")
        raise ValueError(f"{where}: {_told(message, key, plain, inspect.type_info(type))}") from None


def _odd(plain: Any) -> tuple[Any] | None:
    """The first key that is no text, of all mappings in ``plain``; None without one."""
    if isinstance(plain, dict):
        return next(((key,) for key in plain if not isinstance(key, str)), None) or _odd(list(plain.values()))
    return next(filter(None, map(_odd, plain)), None) if isinstance(plain, list) else None


def _told(message: str, key: str, value: Any, of: inspect.Type) -> str:
    """msgspec's message on the value at ``key`` as: key: found; allowed."""
    for name, at in re.findall(r"(\w+)|\[(\d+)\]", key):
        if at:
            value, of = value[int(at)], getattr(_one(of), "item_type")  # noqa: B009 - of a list, as msgspec found
        else:
            value, of = value.get(name), _field(of, name)
    if unknown := re.search(r"unknown field `(.*)`", message):
        message = f"found the unknown key {unknown[1]!r}; allowed {', '.join(_keys(of))}"
    elif missing := re.search(r"missing required field `(.*)`", message):
        key = f"{key}.{missing[1]}" if key else missing[1]
        message = f"found nothing; allowed {_allowed(_field(of, missing[1]))}"
    elif message.startswith(("Expected", "Invalid enum value")):
        message = f"found {_found(value)}; allowed {_allowed(of)}"
    return f"{key}: {message}" if key else message


def _one(of: inspect.Type) -> inspect.Type:
    """The type itself, of one that may be absent."""
    return next(t for t in of.types if not isinstance(t, inspect.NoneType)) if isinstance(of, inspect.UnionType) else of


def _field(of: inspect.Type, name: str) -> inspect.Type:
    one = _one(of)
    assert isinstance(one, inspect.StructType)
    return next(field.type for field in one.fields if field.encode_name == name)


def _keys(of: inspect.Type) -> list[str]:
    one = _one(of)
    return [field.encode_name for field in one.fields] if isinstance(one, inspect.StructType) else []


def _found(value: Any) -> str:
    return "a list" if isinstance(value, list) else "keys" if isinstance(value, dict) else repr(value)[:80]


def _allowed(of: inspect.Type) -> str:
    """A type in words; of choices each."""
    of = _one(of)
    if isinstance(of, inspect.LiteralType):
        return ", ".join(map(str, of.values))
    if keys := _keys(of):
        return f"the keys {', '.join(keys)}"
    if isinstance(of, inspect.VarTupleType) and (keys := _keys(of.item_type)):
        return f"a list, each with the keys {', '.join(keys)}"
    return WORDS.get(type(of), type(of).__name__)
