"""``perwatt meter import``: the log of a meter that recorded by itself, brought to a run after the fact.

An analyser of class A often cannot be read while a run goes on: it has its own controller, its own log and its own
clock. The log becomes energies of the run's windows once it is known where it lies in time. Records are appended,
never changed: of a case the last one counts, so what was measured first stays readable. What was imported, from which
file and by how much it was shifted, is kept in ``traces/NAME.json`` of the run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perwatt.benchmarks import folder
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest

if TYPE_CHECKING:
    from perwatt.results.record import Record
    from perwatt.results.traces.align import Alignment, RunClock
    from perwatt.results.traces.attach import Attached
    from perwatt.results.traces.trace import Trace

TRACES = "traces"  # the folder in a run that says what was imported
FORMATS = ("spec", "mlperf", "csv")
# Class of the format's meter where the request names none: SPEC accepts analysers only, training nodes log their BMC.
CLASS = {"spec": "A", "mlperf": "C"}
OPTIONS = {
    "run": "RUN",
    "file": "LOG",
    "format": "|".join(FORMATS),
    "boundary": "node_ac|node_dc|rack|...",
    "offset_s": "SECONDS",
    "align": "auto|none",
    "reference": "METER",
    "search_s": "SECONDS",
    "clock_s": "SECONDS",
    "class": "A|B|C|D|E",
    "accuracy": "0.01",
    "timezone": "UTC",
    "name": "NAME",
    "instrument": "ID",
    "time": "COLUMN",
    "power": "COLUMN",
    "unit": "t_s|t_ms|t_us|t_ns|iso",
    "start": "TIME",
    "runs_dir": "DIR",
}
OF_CSV = ("time", "power", "unit", "start")


@dataclass(frozen=True)
class Placed:
    """Where the trace lies: what was added to its stamps, how that was found, and to within what it is right."""

    offset_s: float
    clock_s: float
    alignment: Alignment | None
    clock: RunClock


def import_trace(arguments: Sequence[str]) -> int:
    """Import one log into one run. Returns 0, or 3 if it covers no window; raises ValueError for a wrong request."""
    options = _options(arguments)
    where = folder.find(options.get("run", "latest"), Path(options.get("runs_dir", "results/runs")))
    environment = folder.read_environment(where)
    clock = _clock(environment, where)
    trace = _trace(options)
    placed = _place(options, trace, clock, where)
    attached = _attach(where, trace, placed, options.get("instrument", ""), str(environment.get("host", "")))
    _show(trace, placed, attached)
    windows, covered = sum(a.windows for a in attached), sum(a.covered for a in attached)
    found = placed.alignment
    summary: dict[str, Any] = {
        "meter": trace.name,
        "offset_s": round(placed.offset_s, 4),
        "correlation": round(found.correlation, 4) if found else None,
        "residual_s": round(found.residual_s, 4) if found else None,
        "clock_s": round(placed.clock_s, 4),
        "windows": windows,
        "covered": covered,
        "dropped": trace.dropped,
    }
    if covered:
        _keep(where, options, trace, summary)
    code = 0 if covered else 3
    last_line(run=str(where), **summary, exit=code)
    return code


def _options(arguments: Sequence[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in OPTIONS:
            raise BadRequest(f"{argument}: choices: {', '.join(f'{k}={v}' for k, v in OPTIONS.items())}")
        options[key] = value
    if not options.get("file"):
        raise BadRequest("file: found nothing; allowed file=LOG, the log that the meter wrote")
    kind = options.get("format", "")
    if kind not in FORMATS:
        raise BadRequest(f"format={kind}: choices: {', '.join(FORMATS)}")
    if kind != "csv" and (extra := [key for key in OF_CSV if key in options]):
        raise BadRequest(f"{extra[0]}: only a CSV has columns to be named; found format={kind}")
    if not re.fullmatch(r"[\w.+-]*", options.get("name", "")):
        raise BadRequest(f"name={options['name']}: allowed letters, digits and . + - _")
    if options.get("align", "none") not in ("auto", "none"):
        raise BadRequest(f"align={options['align']}: choices: auto, none")
    if options.get("align") == "auto" and "offset_s" in options:
        raise BadRequest("offset_s: found together with align=auto; allowed one of the two")
    if kind == "csv" and (missing := [key for key in ("boundary", "class") if not options.get(key)]):
        raise BadRequest(f"{missing[0]}: a CSV does not say; allowed {missing[0]}={OPTIONS[missing[0]]}")
    return options


def _number(options: dict[str, str], key: str, least: float | None = None) -> float | None:
    """An option as a finite number; None if it was not given."""
    if key not in options:
        return None
    try:
        value = float(options[key])
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf") or (least is not None and value < least):
        at_least = "" if least is None else f", {least:g} or more"
        raise BadRequest(f"{key}={options[key]}: allowed a number{at_least}")
    return value


def _clock(environment: dict[str, Any], where: Path) -> RunClock:
    """The pairs of monotonic clock and UTC that the run took. Raises BadRequest for a run without them."""
    from perwatt.results.traces.clocks import ClockPair, RunClock, several

    pairs = environment.get("clock")
    try:
        # a run that was killed has taken the first pair only
        first, last = pairs["start"], pairs.get("end") or pairs["start"]  # type: ignore[index,union-attr]
        start, end = (ClockPair(int(p["mono_ns"]), int(p["utc_ns"])) for p in (first, last))
        reason = several(pairs)  # type: ignore[arg-type]
    except (TypeError, KeyError, ValueError, AttributeError):
        raise BadRequest(
            f"{where / 'environment.json'}: found no clock pairs, so a meter's UTC leads nowhere; allowed a run that "
            "recorded clock.start and clock.end (mono_ns, utc_ns)"
        ) from None
    if reason:
        raise BadRequest(f"{where / 'environment.json'}: {reason}: a meter's UTC leads to none of them; allowed one")
    return RunClock(start, end)


def _trace(options: dict[str, str]) -> Trace:
    path, kind = Path(options["file"]), options["format"]
    about: dict[str, Any] = {
        "boundary": options.get("boundary") or "node_ac",
        "accuracy_class": options.get("class") or CLASS.get(kind, ""),
        "name": options.get("name", ""),
    }
    accuracy = _number(options, "accuracy", 0.0)
    if accuracy is not None:
        about["accuracy"] = accuracy
    elif about["accuracy_class"] != CLASS.get(kind):
        about["accuracy"] = None  # the format's own figure is of the format's own meter
    if kind == "csv":
        from perwatt.results.traces.table import read_table

        about |= {key: options[key] for key in (*OF_CSV, "timezone") if key in options}
        return read_table(path, **about)
    if kind == "mlperf":
        from perwatt.results.traces.mlperf import read_node

        return read_node(path, **about).trace
    from perwatt.results.traces.spec import read_spl

    return read_spl(path, timezone=options.get("timezone", "UTC"), **about)


def _place(options: dict[str, str], trace: Trace, clock: RunClock, where: Path) -> Placed:
    """The shift of the trace: as given, as found by correlation, or none."""
    from perwatt.results.traces.align import SEARCH_S, RunClock, align

    bound_s = _number(options, "clock_s", 0.0)
    if options.get("align") == "auto":
        from perwatt.results.run import read
        from perwatt.results.traces.reference import reference

        if clock.stepped:
            # the trace is found on the monotonic clock itself: what UTC did after the start does not matter
            clock = RunClock(clock.start, clock.start)
        mono_ns, power_w = reference(read(where).telemetry, options.get("reference", ""))
        search_s = _number(options, "search_s", 0.0)
        found = align(trace, clock.utc(mono_ns), power_w, search_s=SEARCH_S if search_s is None else search_s)
        return Placed(found.offset_s, found.bound_s if bound_s is None else bound_s, found, clock)
    offset_s = _number(options, "offset_s") or 0.0
    jump_s = abs(clock.change_s) if clock.stepped else 0.0
    if jump_s > trace.period_s and bound_s is None:
        raise BadRequest(
            f"{where}: the host's UTC was stepped by {clock.change_s:.3f} s during the run; allowed align=auto, "
            "or clock_s= for how far off the trace may be"
        )
    # nobody has verified the meter's clock: within one of its periods is what is believed of NTP and its stamps
    return Placed(offset_s, trace.period_s + jump_s if bound_s is None else bound_s, None, clock)


def _attach(where: Path, trace: Trace, placed: Placed, instrument: str, host: str) -> list[Attached]:
    """Append the records that gained an energy or a caution; all or nothing is decided before the first is written."""
    from perwatt.results.store import Store, StoreError, latest
    from perwatt.results.traces.attach import attach

    t_ns = placed.clock.mono(trace.shifted(placed.offset_s).t_ns)
    try:
        with Store(where) as store:
            records = latest(store.records)
            _free(trace.name, records, where)
            # the pairs are of one host's clocks: another host's windows cannot be placed by them
            mine = [r for r in records if r.measured and (not host or r.host == host)]
            found = [
                attach(r, trace, t_ns, clock_s=placed.clock_s, instrument=instrument, others=records) for r in mine
            ]
            if any(a.covered for a in found):
                for old, new in zip(mine, found, strict=True):
                    if new.record != old:
                        store.append(new.record)
    except StoreError as error:
        raise BadRequest(str(error)) from None
    return found


def _free(name: str, records: Sequence[Record], where: Path) -> None:
    """An import replaces an earlier import of its name, never what the run's own meter of that name has measured."""
    own = {e.meter for r in records if r.measured for p in r.measured.repetitions for e in p.energies}
    if name in own and not (where / TRACES / f"{name}.json").is_file():
        raise BadRequest(f"name={name}: a meter of the run itself; allowed another name=")


def _keep(where: Path, options: dict[str, str], trace: Trace, summary: dict[str, Any]) -> None:
    """Where the energies came from, so that they can be made again."""
    from perwatt.benchmarks.environment import utc
    from perwatt.results.store import write_atomically

    about = {
        **summary,
        "time_utc": utc(),
        "file": str(Path(options["file"]).resolve()),
        "sha256": hashlib.sha256(Path(options["file"]).read_bytes()).hexdigest(),
        "request": options,
        "boundary": trace.boundary,
        "accuracy_class": trace.accuracy_class,
        "accuracy": trace.accuracy,
        "period_s": trace.period_s,
        "readings": len(trace.t_ns),
        "first_utc_ns": int(trace.t_ns[0]),
        "last_utc_ns": int(trace.t_ns[-1]),
    }
    (where / TRACES).mkdir(exist_ok=True)
    write_atomically(where / TRACES / f"{trace.name}.json", json.dumps(about, indent=2, sort_keys=True) + "\n")


def _show(trace: Trace, placed: Placed, attached: Sequence[Attached]) -> None:
    """The table on stdout: where the trace lies, and which windows it covers."""
    import sys

    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    found = placed.alignment
    how = f"correlation {found.correlation:.3f}, residual {found.residual_s:.3f} s" if found else "not verified"
    console.print(
        f"{trace.name} ({trace.boundary}, class {trace.accuracy_class}): {len(trace.t_ns)} readings every "
        f"{trace.period_s:.3g} s, {trace.dropped} dropped; offset {placed.offset_s:+.3f} s, {how}; "
        f"right to within {placed.clock_s:.3g} s",
        markup=False,
    )
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for title in ("case", "windows", "mean power", "flags"):
        table.add_column(title, justify="right" if title in ("windows", "mean power") else "left")
    for a in attached:
        measured = a.record.measured
        pairs = [
            (r, e) for r in (measured.repetitions if measured else ()) for e in r.energies if e.meter == trace.name
        ]
        seconds = sum(r.window_s for r, _ in pairs)
        watts = f"{sum(e.energy_j for _, e in pairs) / seconds:.1f} W" if pairs else ""
        flags = sorted({*a.missing, *(flag for _, e in pairs for flag in e.flags)})
        label = f"{a.record.case.kernel} {a.record.case.label}"
        table.add_row(label, f"{a.covered} of {a.windows}", watts, ", ".join(flags))
    console.print(table)
