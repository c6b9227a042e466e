"""XIDs from the kernel's log, for drivers that tell no events: ``NVRM: Xid (PCI:0000:41:00): 79, ...``.

Reading ``/dev/kmsg`` needs ``kernel.dmesg_restrict=0`` or root; where that is missing, nobody listens.
Source: Documentation/ABI/testing/dev-kmsg of Linux; NVIDIA's XID documentation for the form of the line.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

KMSG = Path("/dev/kmsg")
XID = re.compile(rb"NVRM: Xid \(PCI:([0-9a-fA-F]+:[0-9a-fA-F]+:[0-9a-fA-F]+)[^)]*\): (\d+)")
MOST = 10_000  # lines of one look


class KernelLog:
    """The XIDs of the board on ``bus`` (``0000:41:00``) from now on. Raises OSError where the log may not be read."""

    def __init__(self, bus: str, path: Path = KMSG) -> None:
        self.bus = _place(bus)
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._file, 0, os.SEEK_END)

    def heard(self) -> list[int]:
        """The XIDs since the last look, in their order."""
        found = []
        for _ in range(MOST):
            try:
                line = os.read(self._file, 8192)  # one record a read
            except BrokenPipeError:  # some were overwritten before they were read
                continue
            except OSError:  # nothing more for now
                break
            if not line:
                break
            found += [int(xid) for bus, xid in XID.findall(line) if _place(bus.decode()) == self.bus]
        return found

    def close(self) -> None:
        """Let go of the log."""
        with contextlib.suppress(OSError):
            os.close(self._file)


def _place(bus: str) -> tuple[int, ...]:
    """Domain, bus and device as numbers: NVML writes more digits of the domain than the kernel does."""
    return tuple(int(part, 16) for part in bus.split(".", maxsplit=1)[0].split(":"))
