"""``perwatt import``: what somebody else's tool measured, as a run folder that reports and verdicts read.

With ``run=`` it is a power log that is brought to a run of perwatt (:mod:`perwatt.benchmarks.importing`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perwatt.benchmarks import folder
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import only
from perwatt.results.imports import formats
from perwatt.results.imports.figures import Read, records

if TYPE_CHECKING:
    from perwatt.results.record import Record

WHOLE = {"ranks": "a whole number above 0"}  # options that are whole numbers
DEFAULTS = {"file": "", "format": "", "runs_dir": "results/runs", "host": ""}
SHOWN = 20  # bad lines on stderr; all of them are in the run's environment.json


def import_results(arguments: Sequence[str]) -> int:
    """Import one file. Returns 0, 1 if a line could not be read or a case had failed, 3 if nothing could be read.

    Raises ValueError for a wrong request and for content that is none of the formats.
    """
    if any(argument.startswith("run=") for argument in arguments):
        from perwatt.benchmarks.importing import import_trace

        return import_trace(arguments)
    known = dict.fromkeys((o for form in formats.FORMATS.values() for o in form.options), "")
    choices = (
        f"file=FILE, format={'|'.join(formats.FORMATS)}, host=NAME, runs_dir=DIR, {', '.join(f'{k}=' for k in known)}"
    )
    asked = only(arguments, f"{choices}; with run=RUN a power log for that run", **DEFAULTS, **known)
    if not asked["file"]:
        raise BadRequest("file: found nothing; allowed file=FILE, what another tool wrote")
    path = formats.chosen(Path(asked["file"]))
    content, text = formats.load(path)
    name = asked["format"] or formats.told(text)
    if name not in formats.FORMATS:
        about = "; ".join(f"{key}: {form.what}" for key, form in formats.FORMATS.items())
        found = f"format={asked['format']}: no such format" if asked["format"] else f"{path}: found none of the formats"
        raise BadRequest(f"{found}; choices: {about}")
    options = _options(asked, name, known)
    other = formats.told(text) if asked["format"] else name
    another = f"; it looks like {other}: {formats.FORMATS[other].what}" if other not in ("", name) else ""
    try:
        read = formats.read(path, text, name, options)
    except ValueError as error:
        raise BadRequest(f"{error}{another}") from None
    if another and not read.figures:
        read.bad.clear()  # of another format each line is one
    for bad in read.bad[:SHOWN]:
        print(f"perwatt import: {bad.told(path)}", file=sys.stderr)
    if len(read.bad) > SHOWN:
        print(f"perwatt import: and {len(read.bad) - SHOWN} more lines", file=sys.stderr)
    if not read.figures:
        if not read.bad:
            print(f"perwatt import: {path}: {_nothing(name, another, read)}", file=sys.stderr)
        last_line(file=str(path), format=name, imported=0, failed=0, unread=len(read.bad), exit=3)
        return 3
    return _write(path, content, name, options, read, asked)


def _nothing(name: str, another: str, read: Read) -> str:
    """Why a file in which no line is bad has nothing to import."""
    if read.passed_over and not another:
        return (
            f"found {', '.join(f'{count} {what}' for what, count in read.passed_over.items())}, which is not imported"
        )
    return f"found nothing of the format {name}{another}"


def _options(asked: dict[str, str], name: str, known: dict[str, str]) -> dict[str, Any]:
    """What the request says in place of the file, of the type that the reader takes."""
    found: dict[str, Any] = {}
    for key in known:
        if not asked[key]:
            continue
        if key not in formats.FORMATS[name].options:
            raise BadRequest(
                f"{key}: found together with format {name}; allowed {', '.join(formats.FORMATS[name].options)}"
            )
        if key in WHOLE:
            if not asked[key].isdecimal() or int(asked[key]) < 1:
                raise BadRequest(f"{key}={asked[key]}: allowed {WHOLE[key]}")
            found[key] = int(asked[key])
        else:
            found[key] = asked[key]
    return found


def _sampled(where: Path, read: Read, made: Sequence[Record]) -> None:
    """Polled power as the run's telemetry."""
    import numpy as np

    from perwatt.results.telemetry import fold, write_part

    for figure, record in zip(read.figures, made, strict=False):
        if figure.polled is None:
            continue  # of a format that has no power: figures and records may then differ in number
        meter, t_ns, power_w = figure.polled
        none = np.zeros(len(t_ns), dtype=np.int64)
        series = {"t_ns": t_ns, "value": power_w, "repetition": none, "n": none}
        write_part(where, record.case.key, record.case.device_index, {f"power_w:{meter}": series})
    fold(where)


def _write(path: Path, content: bytes, name: str, options: dict[str, Any], read: Read, asked: dict[str, str]) -> int:
    """The run folder: records, where they are from, the report."""
    from perwatt.benchmarks.environment import utc
    from perwatt.benchmarks.targets import load_targets, recognise
    from perwatt.results.reports.formats import render, show
    from perwatt.results.store import Store, StoreError, write_atomically

    targets = load_targets()
    where = folder.create(Path(asked["runs_dir"]), f"import-{name}")
    made = records(
        read,
        file=path,
        content=content,
        form=name,
        run=where.name,
        time_utc=utc(),
        host=asked["host"],
        target=lambda device: recognise(device, targets),
    )
    about = {
        "imported": {
            "file": str(path.resolve()),
            "format": name,
            "options": options,
            "hosts": read.hosts,
            "unread": [bad.told(path.name) for bad in read.bad],
            "passed_over": read.passed_over,
        }
    }
    try:
        folder.write_environment(where, about)
        with Store(where) as store:
            for record in made:
                store.append(record)
        _sampled(where, read, made)
        show(where)
        write_atomically(where / folder.REPORT, render(where, "html"))
    except (OSError, StoreError) as error:
        raise BadRequest(f"{where}: {error}") from None
    failed = sum(r.measured is None for r in made)
    for what, count in read.passed_over.items():
        print(f"not imported: {count} {what}")
    code = 1 if failed or read.bad else 0
    last_line(
        run=str(where), format=name, imported=len(made) - failed, failed=failed, unread=len(read.bad), exit=code
    )  # fmt: skip
    return code
