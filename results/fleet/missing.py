"""Who of a fleet has no record, and why: a line for each, so that nobody is missing silently."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perwatt.results.fleet.layout import SCREENING

if TYPE_CHECKING:
    import pandas as pd


def missing(run: Path, asked: Mapping[str, Any], devices: pd.DataFrame, lines: Mapping[str, int]) -> list[str]:
    """``MISSING HOST [device N]: reason`` for each host of ``asked`` without a record and for each of its devices.

    How many devices a host must have is ``asked["devices"]`` (a number, or a number by host), else as many as most
    hosts have. ``lines``: the readable records of each host.
    """
    hosts = devices["host"].to_numpy(), devices["device"].to_numpy()
    have: dict[str, set[int]] = {}
    for host, device in zip(*hosts, strict=True):
        have.setdefault(str(host), set()).add(int(device))
    usual = Counter(len(found) for found in have.values()).most_common()
    most = max((n for n, times in usual if times == usual[0][1]), default=0)
    screened = _screened(run)
    found = []
    for host in asked["hosts"]:
        expected = asked.get("devices")
        count = expected.get(host) if isinstance(expected, dict) else expected
        if host not in have:
            found.append(f"MISSING {host}: {_why(run, host, lines, screened)}")
            continue
        lost = sorted(set(range(most if count is None else count)) - have[host])
        found += [f"MISSING {host} device {n}: {len(have[host])} devices of this node have a record" for n in lost]
    return found


def _why(run: Path, host: str, lines: Mapping[str, int], screened: Mapping[str, str]) -> str:
    if told := screened.get(host):
        return told
    if host not in lines:
        return "the node never wrote"
    return "the node began and no record of a single device is there" if lines[host] else "no readable record"


def _screened(run: Path) -> dict[str, str]:
    """What the screening said of each host; empty where there is none."""
    try:
        found = json.loads((run / SCREENING).read_text())
        return {host: str(one.get("reason", "")) for host, one in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}
