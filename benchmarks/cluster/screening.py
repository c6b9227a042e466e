"""Every node measures itself, alone; whoever leads only watches, and names each one that does not come back.

A node is watched by the sign of life that it writes. Its beats are counted, not its clock read: the watcher's own
clock says how long a node has been silent, but for the time in which the watcher could not look: a shared file system
that answers nobody for a while keeps the nodes from writing as well. A node that is silent for longer than
``silent_s``, or whose process ended without a word, is missing; the others are waited for as long as they beat.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perwatt.benchmarks.cluster.clocks import Clocks
from perwatt.benchmarks.cluster.node import TRY, VARIABLE
from perwatt.benchmarks.launch.allocation import LEFT, seconds_left
from perwatt.benchmarks.launch.job import Job, Launcher
from perwatt.benchmarks.launch.start import start
from perwatt.benchmarks.watched import away
from perwatt.results.accept.screened import Screened
from perwatt.results.fleet import versions
from perwatt.results.fleet.clocks import Compared, compared
from perwatt.results.fleet.layout import ALIVE, NODES
from perwatt.results.fleet.nodesets import some
from perwatt.results.rounds import each_round
from perwatt.results.run import ENVIRONMENT
from perwatt.results.store import load

POLL_S = 0.5
INTERRUPTED, CUT_SHORT = 130, "it was interrupted"
LAST_WORDS_S = 10.0  # for what a node wrote last to be seen here, once its process has ended
NODE = "perwatt.benchmarks.cluster.node"


@dataclass
class _Watched:
    """A node's last word: the text, when it changed by our clock, and its exit code once it has one."""

    text: str = ""
    heard: float = 0.0
    exit: int | None = None


def alone(run: Path, hosts: Sequence[str], more: Mapping[str, str] | None = None) -> Job:
    """Every host's own run, each by itself, with ``more`` in its environment."""
    left_s = seconds_left()
    environment = {**(more or {}), **({} if left_s is None else {LEFT: f"{left_s:.0f}"})}
    return Job(
        len(hosts), run / "logs", environment, hosts=tuple(hosts), group=False, module=NODE, arguments=(str(run),)
    )


def watch(
    launcher: Launcher,
    run: Path,
    hosts: Sequence[str],
    silent_s: float,
    tell: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
    environment: Mapping[str, str] | None = None,
    doubt: Callable[[], object] = lambda: None,
) -> dict[str, str]:
    """Start the nodes' own runs and wait for them; for each host that did not end its run, why (empty: it ended it).

    ``stopped``: whether somebody asked to stop; the nodes are asked in turn, and their last words waited for.
    ``environment``: what each node's process finds in its own besides. ``doubt``: called whenever one more node was
    interrupted or fell silent, or the launcher ended: it may be the allocation that has gone.
    """
    log = run / NODES / "launcher.log"
    own = run / f"{TRY}{secrets.token_hex(4)}"
    job = alone(run, hosts, {**(environment or {}), VARIABLE: str(own)})
    job.log_dir.mkdir(exist_ok=True)
    command = launcher.command(job)
    seen = {host: _Watched(heard=time.monotonic()) for host in hosts}
    for host in hosts:
        (run / NODES / host / ALIVE).unlink(missing_ok=True)  # an earlier try's
    for earlier in run.glob(f"{TRY}*"):  # of a leader that was killed
        earlier.unlink(missing_ok=True)
    own.touch()
    with open(log, "ab") as out:
        process = start(command, out)
    try:
        ended_at: float | None = None
        asked, doubts = False, 0
        away_s = 0.0  # in the pass before
        while waiting := [host for host, one in seen.items() if one.exit is None]:
            now = time.monotonic()
            missed_s, away_s = away_s, 0.0
            for host in waiting:
                began = time.monotonic()
                seen[host].heard += missed_s
                _look(run / NODES / host / ALIVE, seen[host], now, own.name)
                away_s += away(began, 0.0)
            silent = [host for host in waiting if now - seen[host].heard > silent_s]
            found = len(silent) + (process.poll() is not None) + sum(one.exit == INTERRUPTED for one in seen.values())
            if found > doubts and not asked:
                doubts = found
                doubt()
            if stopped() and not asked:
                asked = True
                own.unlink(missing_ok=True)
            if process.poll() is not None:
                ended_at = ended_at or now
                if now - ended_at > LAST_WORDS_S:
                    break
            if len(silent) == len(waiting):
                break
            quiet = f"; silent: {some(silent)}" if silent else ""
            tell(f"{len(hosts) - len(waiting)} of {len(hosts)} nodes done{quiet}")
            began = time.monotonic()
            time.sleep(POLL_S)
            away_s += away(began, POLL_S)
    finally:
        with contextlib.suppress(OSError):
            own.unlink()  # who was given up stops
        _end(process)
    full = _full(run)
    return {
        host: _why(one, process.returncode, silent_s) + (full if one.exit is None else "") for host, one in seen.items()
    }


def ended(node: Path) -> bool:
    """Whether a node has come to the end of its run, in this allocation or an earlier one."""
    watched = _Watched()
    _look(node / ALIVE, watched, 0.0)
    return watched.exit is not None and watched.exit != INTERRUPTED


def _full(run: Path) -> str:
    """What keeps the nodes from writing, if anything does: they then cannot say so themselves."""
    probe = run / f".room.{os.getpid()}"
    try:
        probe.write_bytes(bytes(4096))
    except OSError as error:
        return f"; nothing can be written in {run}: {error.strerror}"
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return ""


def _look(path: Path, watched: _Watched, now: float, own: str = "") -> None:
    """``own``: the try whose words count, if not every try's do: one that was given up may write its last ones late."""
    with contextlib.suppress(OSError, ValueError):
        text = path.read_text()
        if text != watched.text:
            found = json.loads(text)
            if own and found.get("try", own) != own:
                return
            watched.text, watched.heard, watched.exit = text, now, found.get("exit")


def _why(watched: _Watched, code: int | None, silent_s: float) -> str:
    if watched.exit is not None:
        return CUT_SHORT if watched.exit == INTERRUPTED else ""
    if not watched.text:
        return "it never said that it had started"
    return f"its run never ended: silent for {silent_s:g} s, or its process died (launcher: exit status {code})"


def _end(process: subprocess.Popen[bytes]) -> None:
    """No process of a node that was given up goes on beside the next test."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def judge(run: Path, lost: Mapping[str, str], clocks: Clocks | None = None) -> dict[str, Screened]:
    """Who passed, by what the nodes wrote. ``lost``: what :func:`watch` returned. Devices or software that differ from
    most nodes' fail a node: both are reasons for a group to be slow. ``clocks``: how a node's clock is judged; None
    where nobody told the nodes the time."""
    found = {host: _facts(run / NODES / host) for host in lost}
    known = [facts for facts in found.values() if facts]
    usual = {key: _most_common([facts[key] for facts in known]) for key in ("devices", "software")}
    return {host: _judged(run / NODES / host, found[host], why, usual, clocks) for host, why in lost.items()}


def _judged(
    node: Path, facts: Mapping[str, Any], why: str, usual: Mapping[str, Any], clocks: Clocks | None
) -> Screened:
    if why:
        return Screened("missing", why)
    if not facts:
        return Screened("failed", f"it measured nothing: see {node.parent.parent / 'logs'}", "its records")
    if facts["devices"] != usual["devices"]:
        told = f"{_counted(facts['devices'])}, most nodes have {_counted(usual['devices'])}"
        return Screened("failed", told, "its machine")
    if differs := sorted(k for k, v in usual["software"].items() if facts["software"].get(k) != v):
        told = ", ".join(f"{k} {facts['software'].get(k)} (most: {usual['software'][k]})" for k in differs)
        return Screened("failed", f"other software than most nodes: {told}", "its machine")
    records = load(node)
    # a case that was measured anew is judged by that, in each round; an output that was wrong stays wrong
    for record in (*each_round(records), *filter(lambda r: r.measured, records)):
        if record.failure is not None:
            when = f" (round {record.round.number})" if record.round else ""
            told = f"{record.case.kernel} {record.case.label}: {record.failure}{when}"
            return Screened("failed", told, "its records")
    # collectives alone leave nothing to a node of one device
    if not records or not any(record.measured or record.case.collective for record in records):
        return Screened("failed", "it measured nothing", "its records")
    return _timed(node, clocks) if clocks else Screened("passed")


def _counted(devices: Sequence[str]) -> str:
    return f"{len(devices)} device{'' if len(devices) == 1 else 's'} ({', '.join(sorted(set(devices)))})"


def _timed(node: Path, clocks: Clocks) -> Screened:
    """What a node's clock makes of one that came through all else."""
    try:
        verdict, told = clocks.judge(compared(node))
    except ValueError as error:
        verdict, told = clocks.judge(Compared(error=str(error)))
    return Screened("failed" if verdict == "fail" else "passed", told, "its clock" if told else "")


def _facts(node: Path) -> dict[str, Any]:
    """What the node has; empty if it never got as far as looking."""
    try:
        found = versions.read(node / ENVIRONMENT)
    except ValueError:
        return {}
    if found is None:
        return {}
    software = {"kernel": None, **found.versions["kernel"], **found.versions["packages"], **found.versions["driver"]}
    software |= {f"{name} vbios": vbios for name, vbios in found.versions["vbios"].items()}
    return {"devices": found.devices, "software": software}


def _most_common(found: Sequence[Any]) -> Any:
    """The value that most share; the first of equals."""
    keys = [json.dumps(value, sort_keys=True) for value in found]
    return found[keys.index(Counter(keys).most_common(1)[0][0])] if found else {}
