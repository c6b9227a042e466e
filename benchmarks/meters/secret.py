"""User names and passwords of remote meters: from the environment or from a file that only its owner can read.

They never stand in a configuration, which is recorded: a YAML names the file at most. They never reach a record, a log
or a message: a :class:`Secret` prints as asterisks.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from perwatt.benchmarks.meters.meter import Unavailable


@dataclass(frozen=True)
class Secret:
    """A user name and a password (or a token, a community) that do not print."""

    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.user}:***"


def secret(meter: str, file: str | None = None) -> Secret | None:
    """The secret of ``meter``: ``PERWATT_<METER>_USER`` and ``..._PASSWORD``, else the lines ``user=`` and
    ``password=`` of ``file`` (mode 0600), else None. Raises :class:`Unavailable` for a file that others could read."""
    prefix = f"PERWATT_{meter.upper()}_"
    if (password := os.environ.get(prefix + "PASSWORD")) is not None:
        return Secret(os.environ.get(prefix + "USER", ""), password)
    if file is None:
        return None
    path = Path(file).expanduser()
    try:
        status = path.stat()
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid != os.geteuid():
            raise Unavailable(f"{path}: others than you may read it", f"chmod 600 {path}; chown $USER {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}", f"set {prefix}USER and {prefix}PASSWORD") from None
    found = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    found = {key.strip(): value.strip() for key, value in found.items()}
    if "password" not in found:
        raise Unavailable(f"{path}: has no line password=...", "lines user=NAME and password=SECRET")
    return Secret(found.get("user", ""), found["password"])
