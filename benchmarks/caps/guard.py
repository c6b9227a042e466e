"""Puts power limits back if the run that changed them dies, by a signal that it cannot see or by a crash.

It is told what was set before, and waits for its standard input to end. A run that put everything back says so first;
where it did not, this process does it. It has a session of its own, so that what is sent to the run's group misses it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perwatt.benchmarks.caps.limit import Refusal, limits

RESTORED = "restored"


def start(
    kind: str, devices: Sequence[Mapping[str, Any]], root: str, before_w: Sequence[float], kept: Path
) -> subprocess.Popen[str]:
    """A guard that will set ``before_w`` again, and then remove the file ``kept``. It is ready when this returns.

    Raises Refusal if it is not.
    """
    command, pipe = [sys.executable, "-m", __name__], subprocess.PIPE
    guard = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    assert guard.stdin is not None
    assert guard.stdout is not None
    known = [{"index": device["index"], "uuid": device.get("uuid", "")} for device in devices]
    told = {"kind": kind, "devices": known, "root": root, "before_w": list(before_w), "kept": str(kept.resolve())}
    guard.stdin.write(json.dumps(told) + "\n")
    guard.stdin.flush()
    if guard.stdout.readline() != "ready\n":
        raise Refusal("the process that would put the power limits back could not be started")
    return guard


def main() -> int:
    """Wait, and put back what the run did not."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    told = json.loads(sys.stdin.readline())
    found = limits(told["kind"], told["devices"], told["root"])
    print("ready", flush=True)
    if RESTORED in sys.stdin.read():
        return 0
    code = 0
    for limit, watts in zip(found, told["before_w"], strict=True):
        try:
            limit.write(watts)
        except Refusal as refusal:
            print(f"perwatt: {watts:g} W could not be set again: {refusal}", file=sys.stderr)
            code = 1
    if code == 0:
        Path(told["kept"]).unlink(missing_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
