"""NCCL's own log, switched on where something is to be learnt and off before anything is timed.

From 2.20 on rank 0 writes a line for every collective at level INFO, subsystem TUNING, from the thread that launches it
(src/enqueue.cc): a formatted write to a file in each launch, which must not be timed. NCCL reads NCCL_DEBUG once a
process, but 2.24 and later can be told to read it anew (``ncclResetDebugInit``, src/debug.cc; in 2.30 deprecated for
applications, and exported all the same). So the log is on while communicators are made and for one launch of each case,
and off for all others.

A library without that function is asked for its subsystem INIT alone, which is silent once a communicator stands: then
version, channels and NVLS are known, and the algorithm of a case is not. A level that the user has set is left alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path

LEVEL, SUBSYSTEMS, FILE = "NCCL_DEBUG", "NCCL_DEBUG_SUBSYS", "NCCL_DEBUG_FILE"
# As torch's wheels load it, and where a build has linked it into itself.
LIBRARIES = ("libnccl.so.2", "librccl.so.1", "libtorch_cuda.so", "libtorch_hip.so")
QUIET = ("", "VERSION", "WARN")  # levels of the user's that may be raised for a while

Reset = Callable[[], object]


def find_reset() -> Reset | None:
    """``ncclResetDebugInit`` of the library that this process has loaded; None where there is none. Loads nothing."""
    for name in LIBRARIES:
        with contextlib.suppress(OSError, AttributeError):
            function = ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW).ncclResetDebugInit
            function.restype, function.argtypes = None, []
            return function
    return None


class NcclSwitch:
    """The log of this process. ``stem`` is the path of its files without their number and ``.log``.

    ``reason`` says why single collectives are not logged; empty if they are.
    """

    def __init__(
        self, stem: Path, reset: Reset | None = None, environment: MutableMapping[str, str] = os.environ
    ) -> None:
        self._stem, self._reset, self._environment = stem, reset, environment
        self._before: dict[str, str | None] | None = None
        self._file: Path | None = None
        self._number = 0
        self.reason = ""
        self.mine = environment.get(LEVEL, "").upper() in QUIET
        if not self.mine:
            self.reason = f"{LEVEL}={environment[LEVEL]} is set: NCCL's log goes where the user wants it"
        elif reset is None:
            self.reason = "this library's log of collectives cannot be switched off again (ncclResetDebugInit)"

    def on(self) -> None:
        """Write to a new file from now on. Without a way back that works once, before the library is first used."""
        if not self.mine or self._before is not None or (self._reset is None and self._file is not None):
            return
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        self._number += 1
        self._file = self._stem.with_name(f"{self._stem.name}-{self._number}.log")
        subsystems = "INIT,TUNING" if self._reset else "INIT"
        ours = {LEVEL: "INFO", SUBSYSTEMS: subsystems, FILE: str(self._file).replace("%", "%%")}
        self._before = {name: self._environment.get(name) for name in ours}
        self._environment.update(ours)
        if self._reset:
            self._reset()

    def off(self) -> None:
        """Write nothing more, or as much as the user wants. A file in which nothing was written is removed."""
        if self._before is None:
            return
        for name, value in self._before.items():
            if value is None:
                self._environment.pop(name, None)
            else:
                self._environment[name] = value
        self._before = None
        if self._reset:
            self._reset()
            if self._file is not None and not self.text():
                self._file.unlink(missing_ok=True)

    def text(self) -> str:
        """All that stands in the present file; NCCL writes through to it line by line."""
        try:
            return self._file.read_text(errors="replace") if self._file else ""
        except OSError:
            return ""
