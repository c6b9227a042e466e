"""``perwatt compare``: runs against runs, case by case, from their records alone."""

from __future__ import annotations

import math
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from perwatt.benchmarks import documents, folder
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import only
from perwatt.results.compare.comparison import Comparison
from perwatt.results.size.parameter import Parameter
from perwatt.results.store import write_atomically

CHOICES = "runs=[A,B,...], reference=RUN, effect=PERCENT, boundary=NAME, across=boundary, out=DIR or none, runs_dir=DIR"
ACROSS = ("", "boundary")


def compare(arguments: Sequence[str]) -> int:
    """Compare runs, print what came of it and leave it in files. Returns 0, or what a gate that was asked for says."""
    from perwatt.results.compare.compare import compare as laid
    from perwatt.results.compare.members import members
    from perwatt.results.reports.comparison import console

    asked = only(
        arguments,
        CHOICES,
        runs="",
        reference="",
        effect="",
        boundary="",
        across="",
        out="results/comparisons",
        runs_dir="results/runs",
    )
    if asked["across"] not in ACROSS:
        raise BadRequest(f"across={asked['across']}: allowed: boundary")
    effect, source = _effect(asked["effect"])
    who, cases = members(_paths(asked))
    found = laid(who, cases, effect=effect, effect_source=source, boundary=asked["boundary"], across=asked["across"])
    if not found.pairs:
        first = found.refused[0] if found.refused else None
        told = f"; {first.kernel} {first.label}: {first.why}" if first else ""
        raise BadRequest(f"runs: found no case that two of them have in common{told}")
    sys.stdout.write(console(found))
    out = _write(found, asked["out"])
    last_line(
        reference=found.reference.name,
        runs=[member.name for member in found.members[1:]],
        compared=len(found.pairs),
        refused=len(found.refused),
        out=out,
        exit=0,
    )
    return 0


def _paths(asked: dict[str, str]) -> list[Path]:
    """The folders of the runs, the reference first."""
    names = [name.strip() for name in asked["runs"].strip("[]").split(",") if name.strip()]
    if len(names) < 2:
        raise BadRequest(f"runs={asked['runs']}: found {len(names)}; allowed two runs or more: runs=[A,B]")
    parent = Path(asked["runs_dir"])
    paths = [folder.find(name, parent) for name in names]
    if asked["reference"]:
        first = folder.find(asked["reference"], parent).resolve()
        others = [path for path in paths if path.resolve() != first]
        if len(others) == len(paths):
            raise BadRequest(f"reference={asked['reference']}: is none of the runs; allowed {', '.join(names)}")
        paths = [next(path for path in paths if path.resolve() == first), *others]
    resolved = [path.resolve() for path in paths]
    if twice := [str(path) for at, path in enumerate(paths) if resolved[at] in resolved[:at]]:
        raise BadRequest(f"runs: found {twice[0]} twice; allowed each run once")
    return paths


def _effect(text: str) -> tuple[float, str]:
    """The least relative effect that matters, and who says so."""
    if not text:
        path = files("perwatt.conf") / "compare" / "effects.yaml"
        try:
            found = msgspec.convert(documents.read(path)["effect"], Parameter)
        except (msgspec.ValidationError, KeyError, TypeError) as error:
            raise BadRequest(f"{path}: effect: {error}") from None
        return found.mode / 100, f"{found.kind}: {found.source}"
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value < 100:
        raise BadRequest(f"effect={text}: allowed a number of per cent from 0 up to 100")
    return value / 100, ""


def _write(found: Comparison, out: str) -> str | None:
    """Everything into a new folder, whole or not there; None if none was asked for."""
    from perwatt.results.reports.comparison_files import FILES

    if out in ("none", "null"):
        return None
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    where, begun = Path(out) / name, Path(out) / f".{name}"
    try:
        begun.mkdir(parents=True)
        for file, render in FILES.items():
            write_atomically(begun / file, render(found))
        begun.rename(where)
    except OSError as error:
        shutil.rmtree(begun, ignore_errors=True)
        raise BadRequest(f"out={out}: cannot be written: {error.strerror}") from None
    return str(where)
