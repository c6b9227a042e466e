"""A device of known speed: a queue that runs behind the host, with events, a spin and a clock of its own.

It keeps time itself: the host's launches cost ``host_s`` each, the device's work ``device_s``; nothing sleeps. What a
timer reports can therefore be compared with what is true.
"""

from __future__ import annotations

import time
from typing import Any

import pytest


class FakeDevice:
    """Stands in for ``torch.get_device_module(device)``."""

    spins_at_hz = 2e9

    def __init__(self, monkeypatch: pytest.MonkeyPatch, device_s: float, host_s: float, drift: float = 0.0) -> None:
        self.now = 100.0  # the host's clock
        self.free_at = 100.0  # when the queue will be empty
        self.device_s, self.host_s, self.drift = device_s, host_s, drift
        self.launched = self.spins = 0
        monkeypatch.setattr(time, "monotonic_ns", lambda: round(self.now * 1e9))

        device = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing
                self.at: float | None = None

            def record(self) -> None:
                self.at = max(device.now, device.free_at)

            def query(self) -> bool:
                return self._at() <= device.now

            def synchronize(self) -> None:
                device.now = max(device.now, self._at())

            def elapsed_time(self, other: Any) -> float:
                return (other._at() - self._at()) * 1e3 * (1 + device.drift)

            def _at(self) -> float:
                assert self.at is not None
                return self.at

        self.Event = Event

    def launch(self) -> None:
        self.launched += 1
        self.now += self.host_s
        self.free_at = max(self.now, self.free_at) + self.device_s

    def synchronize(self) -> None:
        self.now = max(self.now, self.free_at)

    def _sleep(self, cycles: int) -> None:
        self.spins += 1
        self.free_at = max(self.now, self.free_at) + cycles / self.spins_at_hz
