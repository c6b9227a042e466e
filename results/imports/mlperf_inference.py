"""A result of MLPerf inference: the rate of the load generator's summary, and the power of ``spl.txt`` beside it.

Power is integrated over exactly ``power_begin`` to ``power_end`` of ``mlperf_log_detail.txt``. Those are UTC of the
machine under test; PTDaemon stamps by its own host, whose rules say UTC as well, but which may have run by local time.
A log that does not reach over the window is therefore refused, with the time zone in which it would; nothing is
shifted unasked. How far the two clocks are apart is what ``power/client.json`` shows of it (the director asks for the
time before and after each run), else one period of the analyser. Sources: mlcommons/inference (loadgen),
mlcommons/power-dev, submission rules (the layout SYSTEM/BENCHMARK/SCENARIO/performance/run_1).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from perwatt.results.imports.figures import UNNAMED, Figure, LineError, Read, measured, positive
from perwatt.results.record import SCHEMA, Case, Check, Failed, Measured, Record, Repetition, Work
from perwatt.results.traces.attach import attach
from perwatt.results.traces.spec import LoadWindow, read_spl, read_window
from perwatt.results.traces.trace import Trace

DETAIL, ANALYSER = "mlperf_log_detail*.txt", "spl.txt"
LINE = re.compile(r"^\s*([A-Za-z][A-Za-z0-9 _().]*?)\s*:\s*(.*?)\s*$")
RATES = {
    "Offline": ("Samples per second",),
    "Server": ("Completed samples per second", "Scheduled samples per second"),
}
TOKENS = ("Tokens per second", "Completed tokens per second")
QUARTER_NS, DAY_NS = 900 * 10**9, 86_400 * 10**9


def is_it(text: str) -> bool:
    """Whether this is a summary of the load generator."""
    return "MLPerf Results Summary" in text[:2000]


def read(text: str, path: Path, boundary: str = "node_ac", timezone: str = "UTC", label: str = "") -> Read:
    """The one figure of the summary ``text`` at ``path``. ``label``: the benchmark, where the folders do not say it.

    Raises ValueError for a summary without a rate, files beside it that cannot be read, a log of other hours.
    """
    told: dict[str, tuple[int, str]] = {}
    for number, content in enumerate(text.splitlines(), 1):
        if found := LINE.match(content):
            told.setdefault(found[1], (number, found[2]))
    system, benchmark = _layout(path)
    if not (benchmark := label or benchmark):
        raise ValueError(f"{path}: found no BENCHMARK/SCENARIO/performance above it; allowed that, or label=resnet50")
    scenario, mode = (_said(told, key, path) for key in ("Scenario", "Mode"))
    if scenario not in RATES or mode != "PerformanceOnly":
        raise ValueError(f"{path}: found {scenario}, {mode}; allowed {' or '.join(RATES)}, PerformanceOnly")
    name = next((key for key in RATES[scenario] if key in told), "")
    if not name:
        raise ValueError(f"{path}: found no line '{RATES[scenario][0]}: N'; allowed a summary that is whole")
    line, stated = told[name]
    outcome: Measured | Failed
    flags: tuple[str, ...] = ()
    if (valid := _said(told, "Result is", path)) != "VALID":
        outcome = Failed(f"the load generator calls its result {valid}")
    else:
        try:
            rate = positive(name, stated)
            tokens = next((positive(key, told[key][1]) for key in TOKENS if key in told), 0.0)
        except LineError as error:
            raise ValueError(f"{path} line {line}: found {error.args[0]}; allowed {error.args[1]}") from None
        outcome, flags = _outcome(path, rate, tokens, _queried(told, scenario), boundary, timezone)
    params: dict[str, object] = {"benchmark": benchmark, "scenario": scenario}
    figure = Figure(
        line, "mlperf", f"{benchmark} {scenario}", scenario, ("samples", 1.0), params, outcome,
        f"the samples of the whole test over '{name}'", collective=True, hosts=(system,) if system else (), flags=flags,
        tool="MLPerf inference, load generator",
    )  # fmt: skip
    return Read([figure])


def _layout(path: Path) -> tuple[str, str]:
    """System and benchmark by the folders of a submission; empty where they lie otherwise."""
    parts = path.resolve().parts
    at = len(parts) - 3 if len(parts) > 5 and parts[-3] == "performance" else 0
    return (parts[at - 3], parts[at - 2]) if at else ("", "")


def _said(told: dict[str, tuple[int, str]], key: str, path: Path) -> str:
    if key not in told:
        raise ValueError(f"{path}: found no line '{key} : ...'; allowed a summary of the load generator that is whole")
    return told[key][1]


def _queried(told: dict[str, tuple[int, str]], scenario: str) -> int:
    """How many samples the one query of an offline test had; 0: not stated."""
    _, text = told.get("samples_per_query", (0, ""))
    return int(text) if scenario == "Offline" and text.isdecimal() else 0


def _outcome(
    path: Path, rate: float, tokens: float, samples: int, boundary: str, timezone: str
) -> tuple[Measured, tuple[str, ...]]:
    """The test as one launch, with the energy of its window if there is a log of it."""
    detail, log = next(iter(sorted(path.parent.glob(DETAIL))), None), path.parent / ANALYSER
    why, window, trace = "", None, None
    if not log.is_file():
        why = f"there is no {ANALYSER} beside the summary"
    elif detail is None:
        why = f"there is no {DETAIL} beside the summary, which says when the test was"
    else:
        window, trace = read_window(detail), read_spl(log, boundary=boundary, timezone=timezone)
        _reaches(trace, window, timezone)
    seconds = (window.end_ns - window.begin_ns) * 1e-9 if window else 0.0
    samples = samples or round(rate * seconds) or 1
    work = Work(0, 0, "samples", samples=samples, tokens=round(samples / rate * tokens))
    windows = (Repetition(window.begin_ns, seconds, 1, 1),) if window else ()
    check = Check(0.0, 0.0, "the load generator calls its result VALID; accuracy has a test of its own", 0)
    done = measured(work, samples / rate, timer="load generator", check=check, repetitions=windows, unmetered=why)
    if trace is None:
        return done, ()
    none = Case("", "", "", "", "", "", 0.0, {})
    about = attach(
        Record(SCHEMA, "", "", "", none, UNNAMED, done), trace, trace.t_ns, clock_s=_apart_s(path, trace.period_s)
    )
    assert isinstance(about.record.outcome, Measured)
    return about.record.outcome, about.record.flags


def _reaches(trace: Trace, window: LoadWindow, timezone: str) -> None:
    """Raise ValueError for a log that does not reach over the window, naming the time zone in which it would."""
    first, last = int(trace.t_ns[0]), int(trace.t_ns[-1])
    fits = [
        by for by in range(-DAY_NS, DAY_NS, QUARTER_NS) if first + by <= window.begin_ns and window.end_ns <= last + by
    ]
    if 0 in fits:
        return
    late_s = max(first - window.begin_ns, window.end_ns - last) * 1e-9
    zone = f"timezone={timezone}: found a log that leaves out {late_s:.0f} s of power_begin to power_end (UTC)"
    if not fits or timezone != "UTC":
        raise ValueError(f"{trace.source}: {zone}; allowed the log of that test")
    minutes = -min(fits, key=abs) // (60 * 10**9)
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    raise ValueError(
        f"{trace.source}: {zone}; it would fit timezone={offset}: allowed that if PTDaemon ran by such a clock"
    )


def _apart_s(path: Path, period_s: float) -> float:
    """How far the clocks of the analyser's host and of the machine under test may be apart, in s: the largest that the
    director's questions for the time allow, ``period_s`` where they were not kept."""
    kept = path.parent.parent / "power" / "client.json"
    if not kept.is_file():
        return period_s
    try:
        asked = [m for m in json.loads(kept.read_text(encoding="utf-8"))["messages"] if m["cmd"] == "time"]
        gone = [(float(m["cmd_time"]), float(m["reply"]), float(m["reply_time"])) for m in asked]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{kept}: found {error!r}; allowed messages with cmd, reply, cmd_time, reply_time") from None
    return max((abs(said - (a + b) / 2) + (b - a) / 2 for a, said, b in gone), default=period_s)
