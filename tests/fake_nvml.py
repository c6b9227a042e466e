"""Builds the stand-in libnvidia-ml.so.1, says how to have a process load it, and drives its load."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "benchmarks" / "meters" / "fake_nvml.c"


def build(compiler: str, folder: Path, *flags: str) -> Path:
    """Compile the library into ``folder``; returns the folder."""
    out = folder / "libnvidia-ml.so.1"
    shared = ["-O1", "-shared", "-fPIC", "-pthread", "-Wl,-soname,libnvidia-ml.so.1", "-o", str(out)]
    subprocess.run([compiler, *shared, *flags, str(SOURCE), "-lm"], check=True)
    return folder


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """The environment of a process that finds the library in ``folder``; settings as ``curve="square:..."``."""
    given = {f"FAKE_NVML_{name.upper()}": str(value) for name, value in settings.items()}
    return {**os.environ, "LD_LIBRARY_PATH": str(folder), **given}


class LoadFile:
    """What the board is doing now, for ``curve=f"load:{path}:100:600"``: a share of 0 to 1, from any process."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)

    def set(self, share: float) -> None:
        """Draw so much from now on; the library looks every millisecond."""
        struct.pack_into("d", self._map, 0, share)
