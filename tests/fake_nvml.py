"""Builds the stand-in libnvidia-ml.so.1 and says how to have a process load it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "benchmarks" / "meters" / "fake_nvml.c"


def build(compiler: str, folder: Path, *flags: str) -> Path:
    """Compile the library into ``folder``; returns the folder."""
    out = folder / "libnvidia-ml.so.1"
    shared = ["-O1", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-o", str(out)]
    subprocess.run([compiler, *shared, *flags, str(SOURCE), "-lm"], check=True)
    return folder


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """The environment of a process that finds the library in ``folder``; settings as ``curve="square:..."``."""
    given = {f"FAKE_NVML_{name.upper()}": str(value) for name, value in settings.items()}
    return {**os.environ, "LD_LIBRARY_PATH": str(folder), **given}
