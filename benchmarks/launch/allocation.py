"""How long the allocation that this process is in will last: known ahead, so that what cannot be measured is said."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping

from perwatt.benchmarks.launch.slurm import ALLOCATION, SIGNAL_S, ask

LEFT = "PERWATT_LEFT_S"  # told by the leader of a fleet to its nodes, so that not all of them ask Slurm
END = "SLURM_JOB_END_TIME"  # Unix time; Slurm 23.02 and newer
SHARE = 0.2  # of a short allocation, at most, for the same


def seconds_left(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds to the end of the allocation; None outside one, without a limit, and if nobody can tell."""
    try:
        if LEFT in environment:
            return float(environment[LEFT])
        if END in environment:
            return float(environment[END]) - time.time()
        if ALLOCATION not in environment:
            return None
        return parse(ask("squeue", "--noheader", f"--jobs={environment[ALLOCATION]}", "--format=%L").strip())
    except ValueError:
        return None


def parse(text: str) -> float | None:
    """Slurm's ``[DAYS-][[HOURS:]MINUTES:]SECONDS`` in seconds; None for its words, such as UNLIMITED."""
    if not (found := re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text)):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def usable(left_s: float) -> float:
    """Seconds of those that are left in which cases may run: the last ones are for writing them down."""
    return max(0.0, left_s - min(SIGNAL_S, SHARE * left_s))
