"""The meters that the leader of a fleet reads, laid beside the nodes behind them: RUN/remote, and what is said of it.

Readings are stamped on the leader's clock when they come. The load's own step is that of the node: its first power
sample after the moment that all agreed on, on the leader's clock by the clock check; without samples that moment. What
a meter's delay should be is what it was characterised with (``perwatt meter characterise``), to one of its periods.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from perwatt.results.energy import GAP_PERIODS
from perwatt.results.fleet import clocks, samples
from perwatt.results.fleet.following import Floats, Mask, correlations, followed, step
from perwatt.results.fleet.layout import MERGED, METERS, REMOTE
from perwatt.results.fleet.nodesets import some
from perwatt.results.fleet.power import choose
from perwatt.results.fleet.starts import agreed
from perwatt.results.store import write_atomically
from perwatt.results.traces.align import Series
from perwatt.results.traces.trace import Stamps

FOUND = "remote.json"
REACH_S = 30.0  # round the load's step
MOST_POINTS = 1024  # of a run, for whom a meter goes along with
COURSE_POINTS = 1000
NAMED = 4  # nodes behind a meter
PAUSE_S = 1.0  # between samples of a node: the load of its first case is over


@dataclass(frozen=True)
class Meter:
    """A meter of the leader: the ``nodes`` behind it, its ``series`` and ``rank`` in RUN/remote's telemetry, what is
    known of it. ``delay_s`` is None of one that was never characterised; ``reason``: why it could not be read."""

    name: str
    nodes: tuple[str, ...]
    series: str = ""
    rank: int = 0
    boundary: str = ""
    period_s: float = 0.0
    delay_s: float | None = None
    u_delay_s: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Followed:
    """What is said of a meter. ``verdict``: ok, late, early, no_step, no_load (it steps though its nodes do not), other
    (it follows ``instead``), unknown. ``delay_s`` as found, ``expected_s`` as characterised, to ``allowed_s``."""

    meter: str
    nodes: tuple[str, ...]
    verdict: str
    delay_s: float | None
    expected_s: float | None
    allowed_s: float
    instead: tuple[str, ...] = ()
    match: float | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Node:
    """A node's load: when it began and for how long it went on, in ns of the leader's UTC and s; its devices' power."""

    start_ns: int | None
    lasts_s: float
    clock_s: float
    parts: tuple[tuple[Stamps, Floats], ...] = ()


def keep(run: Path, meters: Iterable[Meter]) -> None:
    """Write what the meters of a run are."""
    (run / REMOTE).mkdir(exist_ok=True)
    write_atomically(run / REMOTE / METERS, json.dumps([asdict(one) for one in meters], indent=1) + "\n")


def meters(run: Path) -> tuple[Meter, ...]:
    """The meters of a run's leader; none if it had none. Raises ValueError for a file that cannot be read."""
    path = run / REMOTE / METERS
    try:
        return tuple(Meter(**{**one, "nodes": tuple(one["nodes"])}) for one in json.loads(path.read_text()))
    except FileNotFoundError:
        return ()
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: found no meters ({error}); allowed what perwatt wrote") from None


def state(run: Path, meter: str = "") -> list[str]:
    """Write RUN/merged/remote.json and say in lines what is in it; none where the leader read no meters. ``meter``:
    that of the nodes, as of the summed power."""
    out = run / MERGED / FOUND
    if not (known := meters(run)):
        out.unlink(missing_ok=True)
        return []
    found = check(run, known, meter)
    write_atomically(out, json.dumps([asdict(one) for one in found], indent=1) + "\n")
    return [_line(one) for one in found]


def check(run: Path, known: Sequence[Meter], meter: str = "") -> tuple[Followed, ...]:
    """Each meter beside its nodes. Raises ValueError for files that cannot be read."""
    said = {one.name: heard for one in known if (heard := _heard(run, one)) is not None}
    folders = samples.nodes(run)
    try:
        name = choose(run, meter).name
    except ValueError:
        name = ""  # nodes without a meter: the step is seen all the same
    loads = {host: _node(path, name) for host, path in folders.items()}
    steps = {one.name: _timed(one, said.get(one.name), loads) for one in known}
    return tuple(_whom(known, said, steps, loads))


def _heard(run: Path, one: Meter) -> tuple[Stamps, Floats] | None:
    """What a meter said; None where that is too little to be laid beside anything."""
    if one.reason:
        return None
    mine = [s for s in samples.read(run / REMOTE, one.series) if s.device == one.rank and len(s.t_ns) > 1]
    return (mine[0].t_ns, mine[0].power_w) if mine else None


def _node(path: Path, name: str) -> _Node:
    try:
        clock = clocks.clock(path)
        moments = [one.leader_ns for one in agreed(path)]
        found = list(samples.read(path, name)) if name else []
    except ValueError:
        return _Node(None, 0.0, 0.0)  # the sum names it
    if clock is None or clock.jumped:
        return _Node(None, 0.0, 0.0)
    parts = tuple((clock.utc(one.t_ns), one.power_w) for one in found if len(one.t_ns) > 1)
    bound_s = clock.uncertainty_s or 0.0
    if not parts:
        return _Node(moments[0] if moments else None, REACH_S, bound_s)
    t_ns = np.unique(np.concatenate([t for t, _ in parts]))
    t_ns = t_ns[t_ns >= min(moments, default=0) - round(bound_s * 1e9)]
    if not len(t_ns):
        return _Node(None, 0.0, bound_s, parts)
    pauses = np.flatnonzero(np.diff(t_ns) > max(PAUSE_S * 1e9, GAP_PERIODS * float(np.median(np.diff(t_ns)))))
    end_ns = int(t_ns[pauses[0]]) if len(pauses) else int(t_ns[-1])
    return _Node(int(t_ns[0]), (end_ns - int(t_ns[0])) * 1e-9, bound_s, parts)


def _timed(one: Meter, heard: tuple[Stamps, Floats] | None, loads: dict[str, _Node]) -> Followed:
    """When a meter steps, beside its nodes."""
    mine = [loads[host] for host in one.nodes if host in loads]
    begun = [node for node in mine if node.start_ns is not None]
    clock_s = max((node.clock_s for node in begun), default=0.0)
    unknown = Followed(one.name, one.nodes, "unknown", None, one.delay_s, one.period_s + clock_s + 2 * one.u_delay_s)
    if heard is None:
        return _because(unknown, one.reason or "fewer than two readings")
    others = [node for node in loads.values() if node.start_ns is not None]
    if not (begun or others):
        return _because(unknown, "no node began a load")
    of = begun or others
    start_ns = min(node.start_ns for node in of if node.start_ns is not None)
    late_s = one.delay_s or 0.0
    reach_s = max(REACH_S, 4 * (late_s + one.period_s))
    course = _course([node for node in of if node.start_ns is not None], start_ns, reach_s)
    t_s = np.asarray((heard[0] - start_ns) * 1e-9, dtype=np.float64)
    found = step(t_s, heard[1], *course, reach_s)
    if isinstance(found, str):
        if found != "no step":
            return _because(unknown, found)
        idle = "" if begun else ", nor did its nodes begin a load"
        return _because(unknown, "it does not step with the load" + idle, "no_step" if begun else "ok")
    allowed_s = max(one.period_s, found.within_s) + clock_s + 2 * one.u_delay_s
    told = Followed(one.name, one.nodes, "ok", found.delay_s, one.delay_s, allowed_s)
    if not begun:
        return _because(told, "it steps though its nodes began no load", "no_load")
    if one.delay_s is None:
        return _because(told, "never characterised: how late it should be is not known", "unknown")
    if abs(found.delay_s - one.delay_s) <= allowed_s:
        return told
    return _because(told, "", "late" if found.delay_s > one.delay_s else "early")


def _course(of: Sequence[_Node], start_ns: int, reach_s: float) -> tuple[Floats, Floats]:
    """What nodes drew together from the start of their load on, for as long as it went on without a pause; of nodes
    whose power nobody knows that it went on."""
    until_s = min(reach_s, *(node.lasts_s for node in of)) if of else reach_s
    at_s = np.linspace(0.0, max(until_s, 1e-3), COURSE_POINTS)
    parts = [part for node in of for part in node.parts]
    if not parts:
        return at_s, np.ones(len(at_s))
    return at_s, np.sum([np.interp(at_s, (t_ns - start_ns) * 1e-9, power_w) for t_ns, power_w in parts], axis=0)


def _because(of: Followed, reason: str, verdict: str = "") -> Followed:
    return replace(of, verdict=verdict or of.verdict, reason=reason)


def _whom(
    known: Sequence[Meter],
    said: dict[str, tuple[Stamps, Floats]],
    steps: dict[str, Followed],
    loads: dict[str, _Node],
) -> list[Followed]:
    """What was said of each meter, and whom it goes along with where that is plainly not its own nodes."""
    metered = {host: node for host, node in loads.items() if node.parts}
    heard = [one for one in known if one.name in said]
    if not heard or not metered:
        return [steps[one.name] for one in known]
    zero_ns = min(int(t_ns[0]) for node in metered.values() for t_ns, _ in node.parts)
    series = {host: [_series(*part, zero_ns) for part in node.parts] for host, node in metered.items()}
    last_s = max(float(one.t[-1]) for of in series.values() for one in of)
    step_s = max(*(one.period_s for one in heard), *(p.period_s for of in series.values() for p in of))
    left = np.arange(0.0, last_s, max(step_s, last_s / MOST_POINTS))
    right = left + (left[1] if len(left) > 1 else step_s)
    rows: dict[tuple[str, ...], tuple[Floats, Mask]] = {
        (host,): _sum([one.mean(left, right) for one in of]) for host, of in series.items()
    }
    for one in heard:
        if len(one.nodes) > 1 and all((host,) in rows for host in one.nodes):
            rows[one.nodes] = _sum([rows[host,] for host in one.nodes])
    groups = list(rows)
    mine = [_series(*said[one.name], zero_ns) for one in heard]
    theirs = _stack([rows[group] for group in groups])
    # by its own step, and by what it was characterised with: beside the wrong node the first is chance
    late_s = [(of.delay_s or 0.0, of.expected_s or 0.0) for of in (steps[one.name] for one in heard)]
    at = [_stack([m.mean(left + s[n], right + s[n]) for m, s in zip(mine, late_s, strict=True)]) for n in (0, 1)]
    match = np.fmax(*(correlations(said_w, theirs) for said_w in at))
    for one, row in zip(heard, match, strict=True):
        alike = np.array([(len(group) > 1) == (len(one.nodes) > 1) for group in groups])
        own = groups.index(one.nodes) if one.nodes in rows else None
        told = steps[one.name]
        match_own = None if own is None or np.isnan(row[own]) else float(row[own])
        steps[one.name] = replace(told, match=match_own)
        if (other := followed(np.where(alike, row, np.nan), own)) is not None:
            why = f"correlation {row[other]:.3f}, with its own {'none' if match_own is None else f'{match_own:.3f}'}"
            steps[one.name] = replace(steps[one.name], verdict="other", instead=groups[other], reason=why)
    return [steps[one.name] for one in known]


def _series(t_ns: Stamps, power_w: Floats, zero_ns: int) -> Series:
    return Series(np.asarray((t_ns - zero_ns) * 1e-9, dtype=np.float64), power_w)


def _sum(parts: Sequence[tuple[Floats, Mask]]) -> tuple[Floats, Mask]:
    """What parts draw together, where all of them are known."""
    return np.sum([power_w for power_w, _ in parts], axis=0), np.all([seen for _, seen in parts], axis=0)


def _stack(rows: Sequence[tuple[Floats, Mask]]) -> tuple[Floats, Mask]:
    return np.array([power_w for power_w, _ in rows]), np.array([seen for _, seen in rows])


def _line(of: Followed) -> str:
    """What is said of one meter; the first word is what to look for."""
    found = "" if of.delay_s is None else f"{of.delay_s:.3g} s after the load"
    should = "" if of.expected_s is None else f", characterised with {of.expected_s:.3g} s (± {of.allowed_s:.2g} s)"
    behind = f"{of.meter} of {some(of.nodes, NAMED)}"
    match of.verdict:
        case "ok":
            return f"METER {behind}: " + (of.reason or f"steps {found}{should}")
        case "other":
            return f"METER FOLLOWS ANOTHER {behind}: goes along with {some(of.instead, NAMED)} instead: {of.reason}"
        case "late" | "early":
            return f"METER {of.verdict.upper()} {behind}: steps {found}{should}"
        case "no_step" | "no_load":
            return f"METER DOES NOT FOLLOW {behind}: {of.reason}"
        case _:
            return f"METER UNDECIDED {behind}: " + "; ".join(filter(None, (of.reason, found and f"steps {found}")))
