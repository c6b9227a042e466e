"""Builds the stand-in libamd_smi.so for the installed amdsmi and says how to have a process load it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "benchmarks" / "meters" / "fake_amd.c"


def installed() -> Path | None:
    """The folder of the binding, found without importing it (its import fails without the library)."""
    found = importlib.util.find_spec("amdsmi")
    return Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None


def build(compiler: str, folder: Path) -> Path:
    """Compile the library into ``folder``/lib; returns ``folder``. Every symbol that the binding names exists."""
    binding = installed()
    assert binding is not None
    own = set(re.findall(r"^int (amdsmi_\w+)\(", SOURCE.read_text(), re.MULTILINE))
    text = (binding / "amdsmi_wrapper.py").read_text()
    bound = set(re.findall(r"_libraries\['libamd_smi\.so'\]\.(\w+)", text))
    stubs = folder / "stubs.c"
    stubs.write_text("".join(f"int {name}(void) {{ return 2; }}\n" for name in sorted(bound - own)))
    (folder / "lib").mkdir(exist_ok=True)
    out = folder / "lib" / "libamd_smi.so"
    shared = ["-O1", "-w", "-shared", "-fPIC", "-Wl,-soname,libamd_smi.so", "-o", str(out)]
    subprocess.run([compiler, *shared, str(SOURCE), str(stubs)], check=True)
    return folder


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """The environment of a process that finds the library in ``folder``; settings as ``boards=2``."""
    given = {f"FAKE_AMD_{name.upper()}": str(value) for name, value in settings.items()}
    masks = {"HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ROCM_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in masks}
    return {**kept, "ROCM_PATH": str(folder), **given}
