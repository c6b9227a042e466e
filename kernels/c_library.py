"""Compile a C file for exactly this CPU, once, and load it.

``-march=native`` is the point: a wheel cannot know whether it will meet AVX2, AVX-512 or NEON. The compiled library is
kept in the user's cache (``$XDG_CACHE_HOME/perwatt``), named after a hash of everything that it depends on: source,
options, the compiler's version and the processor. It is put in place by renaming, so that of several processes which
compile at once none can load a half-written file.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from perwatt.kernels.dtypes import one_line
from perwatt.kernels.workload import Unsupported

COMPILERS = ("cc", "gcc", "clang")


def compiler() -> str:
    """Path of the first C compiler on the PATH; Unsupported if there is none."""
    for name in COMPILERS:
        if path := shutil.which(name):
            return path
    raise Unsupported(f"no C compiler found ({', '.join(COMPILERS)}): install one")


def options() -> tuple[str, ...]:
    """Optimise for this processor and contract a multiplication and an addition into one instruction."""
    target = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
    return ("-O3", target, "-ffp-contract=fast", "-fPIC", "-shared", "-pthread")


def processor(cpuinfo: str = "/proc/cpuinfo") -> str:
    """What identifies the processor: its model and features where the kernel tells, else the platform's name."""
    told = f"{platform.machine()} {platform.processor()}"
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return told
    keys = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    # of the cores of one machine the first speaks for all; a set, since every core repeats the same lines
    return "\n".join([told, *sorted({line for line in lines if line.partition(":")[0].strip() in keys})])


def load(source: Path) -> ctypes.CDLL:
    """The library made of ``source``. Raises Unsupported without a compiler or if it fails."""
    command = [compiler(), *options()]
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=False).stdout
    parts = ("\0".join(command), version, processor(), source.read_text(encoding="utf-8"))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    library = _cache() / f"{source.stem}-{digest}.so"
    if not library.exists():
        _compile(command, source, library)
    return ctypes.CDLL(str(library))


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perwatt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="perwatt-"))  # a home that cannot be written to: compile for this process


def _compile(command: list[str], source: Path, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        result = subprocess.run([*command, "-o", str(made), str(source)], capture_output=True, text=True, check=False)
        if result.returncode:
            raise Unsupported(f"{command[0]} could not compile {source.name}: {one_line(result.stderr)}")
        made.replace(library)
