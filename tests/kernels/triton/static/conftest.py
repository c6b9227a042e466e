"""Kernels that were compiled for the tests here, once, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import require

from perwatt.benchmarks.architectures import load
from perwatt.kernels.triton.static.record import Static, static_record

Kernels = dict[str, tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """asm and metadata by name and architecture: ``matmul.sm_90``."""
    require("triton", importlib.util.find_spec("triton") is not None)
    folder = tmp_path_factory.mktemp("compiled")
    program = Path(__file__).with_name("compile_kernels.py")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder / "cache"), "TRITON_DEFAULT_FP_FUSION": "1"}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, program, folder], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: Kernels = pickle.loads((folder / "kernels.pickle").read_bytes())
    return found


@pytest.fixture(scope="session")
def static(kernels: Kernels) -> Callable[..., Static]:
    """The static record of a compiled kernel by its name; made once if nothing is asked for besides."""
    made: dict[str, Static] = {}

    def of(name: str, **more: Any) -> Static:
        if not more and name in made:
            return made[name]
        asm, metadata = kernels[name]
        found = static_record(asm, metadata, load(name.partition(".")[2]), name, **more)
        if not more:
            made[name] = found
        return found

    return of
