"""A launcher's command set going, apart from the terminal."""

from __future__ import annotations

import os
import subprocess
from typing import BinaryIO

from perwatt.benchmarks.launch.job import Command


def start(command: Command, log: BinaryIO) -> subprocess.Popen[bytes]:
    """The running process, whatever it says written to ``log``. Ctrl-C on the terminal does not reach it: whoever
    leads ends it."""
    return subprocess.Popen(
        command.argv,
        env={**os.environ, **command.environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
