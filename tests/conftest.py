"""Shared by all tests: what a test may require, small records, and runs of the real command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REQUIRED = set(filter(None, os.environ.get("PERWATT_REQUIRE", "").split(",")))


def require(what: str, present: bool) -> None:
    """Skip the test where ``what`` is absent, unless this machine promised to have it: then fail."""
    if present:
        return
    if what in REQUIRED:
        pytest.fail(f"{what} is missing, and PERWATT_REQUIRE asks for it")
    pytest.skip(f"needs {what}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "root" in item.keywords:
            item.add_marker(pytest.mark.usefixtures("as_root"))


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """A run that was stopped leaves its process deaf to SIGTERM; this process goes on, and starts others."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def as_root() -> None:
    require("root", os.geteuid() == 0)


@pytest.fixture
def compiler() -> str:
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), "")
    require("compiler", bool(found))
    return found


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of published recordings and statistics; the test is skipped, saying so, where none is named."""
    found = os.environ.get("PERWATT_DATA")
    if not found:
        pytest.skip("PERWATT_DATA is not set: no published recordings to test against")
    return Path(found)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU compute in formats that it only emulates: slow, but right."""
    monkeypatch.setattr("perwatt.kernels.dtypes.not_emulated", lambda *_: "")


class Finished:
    """A finished command: exit code, stdout, stderr, and the JSON of its last line."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    @property
    def last(self) -> dict[str, Any]:
        found = json.loads(self.out.strip().splitlines()[-1])
        assert isinstance(found, dict)
        return found

    @property
    def run(self) -> Path:
        return Path(self.last["run"])


Perwatt = Callable[..., Finished]


@pytest.fixture
def perwatt(tmp_path: Path) -> Perwatt:
    """Run the real command in a folder of its own: ``perwatt("run", "suite=matmul")``."""

    def command(*arguments: str, cwd: Path | None = None, timeout: float = 300, **environment: str) -> Finished:
        argv = [sys.executable, "-m", "perwatt.benchmarks.cli", *arguments]
        env = {**os.environ, **environment}
        where = cwd or tmp_path
        return Finished(
            subprocess.run(argv, cwd=where, env=env, capture_output=True, text=True, timeout=timeout, check=False)
        )

    return command
