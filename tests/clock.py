"""A clock that a test sets ahead: the machine has stood still for so long, and nobody on it has noticed."""

from __future__ import annotations

import time
from typing import Any

import pytest

from perwatt.benchmarks import watched
from perwatt.benchmarks.cluster import screening


class Clock:
    """The module ``time`` as whoever watches others sees it, ``ahead_s`` seconds later."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def stands_still(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of those who watch ranks and nodes."""
    clock = Clock()
    for module in (watched, screening):
        monkeypatch.setattr(module, "time", clock)
    return clock
