"""What every format of somebody else's results comes down to: figures, each with the line that it stands on, and the
lines that could not be read. A reader guesses nothing: what its file does not say is absent, empty or None."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from perwatt.results.origin import Origin
from perwatt.results.record import (
    SCHEMA,
    Case,
    Check,
    Communication,
    Device,
    Failed,
    Measured,
    Over,
    Record,
    Repetition,
    Seconds,
    Target,
    Work,
)
from perwatt.results.stats import summarise

NAMED = 8  # hosts that are a group's name
UNKNOWN_HOST = "unknown"  # where the source names none: not the name of the machine that imports


UNNAMED = Device(type="gpu", name="")  # where the source says nothing of its devices


@dataclass(frozen=True)
class Bad:
    """A line that could not be read: its number, what was found there, and what is allowed."""

    line: int
    found: str
    allowed: str

    def told(self, file: Path | str) -> str:
        """In one line."""
        return f"{file} line {self.line}: found {' '.join(self.found.split())[:80]}; allowed {self.allowed}"


@dataclass(frozen=True)
class Figure:
    """One result of the file. ``statistic``: what its time per launch is; ``hosts``: all machines of a collective, the
    first of them its host; ``time`` of day and ``tool`` as stated, empty where they are not; ``polled``: a meter, its
    stamps in ns and power in W."""

    line: int
    kernel: str
    label: str
    series: str
    size: tuple[str, float]
    params: dict[str, object]
    outcome: Measured | Failed
    statistic: str
    ranks: int = 1
    collective: bool = False
    device_index: int = 0
    hosts: tuple[str, ...] = ()
    device: Device = UNNAMED
    flags: tuple[str, ...] = ()
    tool: str = ""
    time: str = ""
    polled: tuple[str, Any, Any] | None = None


@dataclass(frozen=True)
class Read:
    """What a file gave: its figures in their order, and its bad lines. ``passed_over``: what else stands in it, counted
    by what it is. ``hosts``: the nodes that it names, with figures or without."""

    figures: list[Figure] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)


class LineError(ValueError):
    """A line that cannot be read; the reader turns it into a :class:`Bad` and goes on."""


def wrong(found: str, allowed: str) -> NoReturn:
    """Raise :class:`LineError`."""
    raise LineError(found, allowed)


def positive(what: str, text: object) -> float:
    """A finite number above 0. Raises LineError for anything else."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(text, bool) or not 0 < value < math.inf:
        wrong(f"{what} {text!r}", "a number above 0")
    return value


def measured(
    work: Work,
    seconds: float | Seconds,
    *,
    timer: str,
    check: Check | None = None,
    note: str = "",
    collective: Communication | None = None,
    repetitions: tuple[Repetition, ...] = (),
    unmetered: str = "the source states no power",
) -> Measured:
    """A measurement of one figure (``seconds`` a launch, of which no dispersion is known) or of many samples.

    ``check`` None: the tool did not say that it compared anything. Buffers are not known: 0.
    """
    if not isinstance(seconds, Seconds):
        seconds = summarise([seconds])
    none = Check(0.0, 0.0, "not checked by the tool that measured it", 0)
    return Measured(
        work, check or none, seconds, repetitions, 0, timer, unmetered, note=note, collective=collective
    )  # fmt: skip


def records(
    read: Read,
    *,
    file: Path,
    content: bytes,
    form: str,
    run: str,
    time_utc: str,
    host: str = "",
    target: Callable[[Device], Target | None] = lambda device: None,
) -> list[Record]:
    """The figures as records of the run ``run``, each of a case once: figures that a file repeats are its samples.

    ``host`` stands where the file names none.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    found: dict[str, list[tuple[Figure, Record]]] = {}
    for figure in read.figures:
        hosts = figure.hosts or (host or UNKNOWN_HOST,)
        case = Case(
            key=_key(figure, hosts),
            kernel=figure.kernel,
            entry=figure.kernel,
            label=figure.label,
            series=figure.series,
            size_name=figure.size[0],
            size=figure.size[1],
            params=figure.params,
            ranks=figure.ranks,
            device_index=figure.device_index,
            collective=figure.collective,
            over=Over("all", _named(hosts), hosts) if figure.collective and len(hosts) > 1 else None,
        )
        origin = Origin(form, file.name, sha256, figure.line, figure.statistic, figure.tool, figure.time)
        flags = ("imported", *figure.flags)
        record = Record(
            SCHEMA, run, time_utc, hosts[0], case, figure.device, figure.outcome,
            target(figure.device), flags, "imported", origin,
        )  # fmt: skip
        found.setdefault(case.key, []).append((figure, record))
    return [_joined([r for _, r in same]) for same in found.values()]


def _named(hosts: tuple[str, ...]) -> str:
    """What tells the groups of one file apart."""
    return ",".join(hosts) if len(hosts) <= NAMED else f"{hosts[0]} to {hosts[-1]}, {len(hosts)} nodes"


def _key(figure: Figure, hosts: tuple[str, ...]) -> str:
    """As of perwatt's own cases, with the machine: one folder holds the results of many."""
    identity = [figure.kernel, figure.params, figure.ranks, figure.device_index, hosts, figure.label]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _joined(same: Sequence[Record]) -> Record:
    """One record of a case that a file has several times; a failure of one is the failure of the case."""
    from msgspec.structs import replace

    failed = next((r for r in same if not r.measured), None)
    if failed is not None or len(same) == 1:
        return failed or same[0]
    parts = [m for r in same if (m := r.measured)]
    if any(m.seconds.samples > 1 or m.repetitions for m in parts):
        return same[-1]  # each has a distribution of its own: the last, as of perwatt's own cases
    first, origin = parts[0], same[0].origin
    assert origin is not None
    times = summarise([m.seconds.median for m in parts])
    many = replace(origin, statistic=f"{len(parts)} times: {origin.statistic}")
    return replace(same[0], outcome=replace(first, seconds=times), origin=many)
