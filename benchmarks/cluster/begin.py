"""When a node's load begins: at the moment that all nodes of the fleet agreed on with their leader."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from perwatt.benchmarks.cluster.clocks import Clocks
from perwatt.benchmarks.cluster.comparing import asking, compare
from perwatt.benchmarks.cluster.reference import VARIABLE
from perwatt.results.fleet.clocks import Comparison
from perwatt.results.fleet.layout import START
from perwatt.results.fleet.starts import Agreed, agreed
from perwatt.results.store import write_atomically


def awaited() -> bool:
    """Whether this process is a node whose leader says when to begin."""
    return VARIABLE in os.environ


def agree(node: Path, settings: Clocks, stopped: Callable[[], bool]) -> int | None:
    """Say that this node is ready, and wait for the moment at which all begin: in ns on this machine's monotonic clock,
    and kept in the folder ``node``. None, to begin at once, if nobody is to wait, or the leader does not answer."""
    if not settings.start_wait_s:
        return None
    path, until = Path(os.environ[VARIABLE]), time.monotonic() + settings.start_wait_s
    try:
        while not stopped():
            try:
                with asking(path, settings.timeout_s) as ask:
                    told = ask("begin", host=node.name)
                    if told["start_ns"] is not None:
                        return _kept(node, told["start_ns"], compare(ask, settings.messages))
            except TimeoutError:  # thousands ask at once
                if time.monotonic() > until:
                    return None
                continue
            time.sleep(told["again_s"])
    except (OSError, ValueError, KeyError):
        pass
    return None


def _kept(node: Path, start_ns: int, now: Comparison) -> int:
    """The leader's moment on this machine's monotonic clock, which is kept."""
    mono_ns = now.mono_ns + (start_ns - now.leader_ns)
    text = json.dumps([[*one] for one in (*agreed(node), Agreed(mono_ns, start_ns))])
    write_atomically(node / START, text + "\n")
    return mono_ns
