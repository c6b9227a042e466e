"""``perwatt compare``: runs against runs, case by case, from their records alone."""

from __future__ import annotations

import math
import secrets
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from perwatt.benchmarks import documents, folder, regression
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import only
from perwatt.results.compare.pairing import Cases
from perwatt.results.store import folder_atomically, write_atomically

if TYPE_CHECKING:
    from perwatt.results.compare.caps import Limit
    from perwatt.results.compare.comparison import Comparison, Member

CHOICES = (
    "runs=[A,B,...], reference=RUN, run=RUN, baseline=RUN or store, store=DIR, keep=true, fail_on=worse, "
    "effect=PERCENT, boundary=NAME, across=boundary, limit_kw=KW, pue=1, rest_w=0, prices=FILE.yaml, "
    "export=pytest-benchmark, out=DIR or none, runs_dir=DIR"
)
OF_LIMIT = {"pue": "1", "rest_w": "0"}  # what a limit takes besides
ALLOWED = {
    "across": ("", "boundary"),
    "fail_on": ("", "worse"),
    "keep": ("false", "true"),
    "export": ("", "pytest-benchmark"),
}


def compare(arguments: Sequence[str]) -> int:
    """Compare runs, print what came of it and leave it in files. Returns 0, or what a gate that was asked for says."""
    from perwatt.results.compare.compare import compare as laid
    from perwatt.results.compare.gate import gate
    from perwatt.results.compare.members import members
    from perwatt.results.compare.prices import from_plain
    from perwatt.results.reports.comparison import console

    asked = only(
        arguments,
        CHOICES,
        **dict.fromkeys(("runs", "reference", "run", "baseline", "store", "fail_on", "effect", "boundary"), ""),
        across="",
        limit_kw="",
        prices="",
        **OF_LIMIT,
        keep="false",
        export="",
        out="results/comparisons",
        runs_dir="results/runs",
    )
    for key, allowed in ALLOWED.items():
        if asked[key] not in allowed:
            raise BadRequest(f"{key}={asked[key]}: allowed: {', '.join(filter(None, allowed))}")
    asking = regression.asked(asked)
    if asking is not None and asking.baseline is None:
        return asking.keep()
    effect, source = _effect(asked["effect"])
    who, cases = members(asking.paths if asking else _paths(asked))
    _known(asked["boundary"], cases)
    limit = _limit(asked, cases)
    found = laid(
        who,
        cases,
        effect=effect,
        effect_source=source,
        boundary=asked["boundary"],
        across=asked["across"],
        history=asking.history() if asking else (),
        limit=limit,
        prices=from_plain(documents.read(Path(asked["prices"])), asked["prices"]) if asked["prices"] else None,
    )
    if not found.pairs and limit is None:
        first = found.refused[0] if found.refused else None
        told = f"; {first.kernel} {first.label}: {first.why}" if first else ""
        raise BadRequest(f"runs: found no case that two of them have in common{told}")
    sys.stdout.write(console(found))
    out = _write(found, asked, who)
    code, why = gate(found) if asked["fail_on"] else (0, "")
    for line in [*(asking.told() if asking else ()), *([f"fail_on=worse: {why}"] if why else ())]:
        print(line)
    kept = {"kept": str(asking.kept())} if asking is not None and asked["keep"] == "true" else {}
    last_line(
        reference=found.reference.name,
        runs=[member.name for member in found.members[1:]],
        compared=len(found.pairs),
        refused=len(found.refused),
        out=out,
        **kept,
        exit=code,
    )
    return code


def _paths(asked: dict[str, str]) -> list[Path]:
    """The folders of the runs, the reference first."""
    names = [name.strip() for name in asked["runs"].strip("[]").split(",") if name.strip()]
    if len(names) < (1 if asked["limit_kw"] else 2):  # one run at several caps answers by itself
        raise BadRequest(f"runs={asked['runs']}: found {len(names)}; allowed two runs or more: runs=[A,B]")
    parent = Path(asked["runs_dir"])
    paths = [folder.find(name, parent, "runs") for name in names]
    if asked["reference"]:
        first = folder.find(asked["reference"], parent, "reference").resolve()
        others = [path for path in paths if path.resolve() != first]
        if len(others) == len(paths):
            raise BadRequest(f"reference={asked['reference']}: is none of the runs; allowed {', '.join(names)}")
        paths = [next(path for path in paths if path.resolve() == first), *others]
    folder.once(paths)
    return paths


def _known(boundary: str, cases: Sequence[Cases]) -> None:
    """Raises BadRequest for a boundary that no meter has, of the runs or of any that perwatt knows."""
    from perwatt.results.reconcile import NAMES

    metered = (meter[0] for one in cases for sample in one.measured.values() for meter in sample.meters)
    if boundary and boundary not in (known := dict.fromkeys([*NAMES, *metered])):
        raise BadRequest(f"boundary={boundary}: found no such boundary; allowed {', '.join(known)}")


def _limit(asked: dict[str, str], cases: Sequence[Cases]) -> Limit | None:
    """What the facility's power allows; None if no limit was stated."""
    from perwatt.results.compare.caps import under

    if not asked["limit_kw"]:
        for key, plain in OF_LIMIT.items():
            if asked[key] != plain:
                raise BadRequest(f"{key}={asked[key]}: found no limit that it is for; allowed with limit_kw=KW")
        return None
    numbers = {}
    for key in ("limit_kw", *OF_LIMIT):
        try:
            numbers[key] = float(asked[key])
        except ValueError:
            raise BadRequest(f"{key}={asked[key]}: allowed: a number") from None
    limit_w = 1e3 * numbers["limit_kw"]
    found = under(limit_w, cases, pue=numbers["pue"], rest_w=numbers["rest_w"], boundary=asked["boundary"])
    if not found.cases:
        raise BadRequest(f"limit_kw={asked['limit_kw']}: found no case to answer for: {found.left_out[0]}")
    return found


def _effect(text: str) -> tuple[float, str]:
    """The least relative effect that matters, and who says so."""
    from perwatt.results.size.parameter import Parameter

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
    if not 0 < value < 100:  # by no effect at all two runs are never the same
        raise BadRequest(f"effect={text}: allowed a number of per cent above 0 and below 100")
    return value / 100, ""


def _write(found: Comparison, asked: dict[str, str], who: Sequence[Member]) -> str | None:
    """Everything into a new folder, whole or not there; None if none was asked for."""
    from perwatt.results.reports.comparison_files import FILES

    out = asked["out"]
    if out in ("none", "null"):
        if asked["export"]:
            raise BadRequest(f"export={asked['export']}: needs a folder: out=DIR")
        return None
    where = Path(out) / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    try:
        with folder_atomically(where) as begun:
            for file, render in FILES.items():
                write_atomically(begun / file, render(found))
            if asked["export"]:
                _export(begun, who)
    except OSError as error:
        raise BadRequest(f"out={out}: cannot be written: {error.strerror or error}") from None
    return str(where)


def _export(where: Path, who: Sequence[Member]) -> None:
    """A file of pytest-benchmark for each run."""
    from perwatt.results.compare.pairing import read
    from perwatt.results.compare.pytest_benchmark import document
    from perwatt.results.run import read as read_run

    for member in who:
        path = Path(member.path)
        about = read_run(path, telemetry=False).environment
        write_atomically(where / f"{member.letter}-{member.name}.pytest-benchmark.json", document(read(path), about))
