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

SUMMARY = "mlperf_log_summary.txt"
PLACE = "perwatt.results.imports."


@dataclass(frozen=True)
class Format:
    """A format: what it is, the module with ``is_it`` and ``read``, and which options its reader takes."""

    what: str
    module: str
    options: tuple[str, ...] = ()
    beside: bool = False  # whether it reads files that lie beside this one


FORMATS = {
    "nccl_json": Format("the JSON of nccl-tests -J", "nccl_json", ("kernel", "ranks")),
    "mlperf": Format(
        "mlperf_log_summary.txt of MLPerf inference, or its folder, with spl.txt beside it",
        "mlperf_inference",
        ("boundary", "timezone", "label"),
        beside=True,
    ),
    "mamf": Format("the report of mamf-finder", "mamf", ("dtype",)),
    "superbench": Format("results-summary.jsonl of SuperBench", "superbench"),
    "smi": Format(
        "power of nvidia-smi (--query-gpu --format=csv, dmon) or dcgmi dmon", "smi", ("period_s", "timezone", "start")
    ),
    "dcgm": Format("what dcgm-exporter serves, several scrapes", "dcgm_exporter", ("period_s",)),
    "nccl": Format("what nccl-tests or rccl-tests printed", "nccl_text", ("kernel", "ranks")),
}


def chosen(path: Path) -> Path:
    """The file itself; of a folder the summary in it, or in its only run."""
    if not path.is_dir():
        return path
    found = [path / SUMMARY] if (path / SUMMARY).is_file() else sorted(path.glob(f"**/run_*/{SUMMARY}"))
    if len(found) != 1:
        raise ValueError(
            f"{path}: found {len(found)} files {SUMMARY} in it; allowed a file, or a folder with one of them"
        )
    return found[0]


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
    """Read ``text`` of the file ``path`` in the format ``name``. Raises ValueError, beginning with a file."""
    reader: Callable[..., Read] = _module(FORMATS[name]).read
    place = {"path": path} if FORMATS[name].beside else {}
    try:
        return reader(text, **place, **{key: value for key, value in options.items() if key in FORMATS[name].options})
    except ValueError as error:
        raise ValueError(str(error) if FORMATS[name].beside else f"{path}: {error}") from None


def _module(form: Format) -> Any:
    return import_module(PLACE + form.module)
