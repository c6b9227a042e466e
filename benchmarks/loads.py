"""A load that can be switched on and off to the millisecond, to find out how a sensor follows it."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Load(Protocol):
    """Something that draws power while it is on."""

    def on(self, share: float = 1.0) -> None:
        """Draw power from now on; a share below 1 works so much of the time, in turns of a few milliseconds."""

    def off(self) -> None:
        """Draw none, once what was begun has ended: a few milliseconds."""

    def close(self) -> None:
        """Let go of the device."""


class Matmul:
    """Matrix products one after the other on a device of torch's ``kind``, each about two milliseconds long."""

    def __init__(self, kind: str, index: int = 0) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(kind, index) if kind != "cpu" else torch.device("cpu")
        size, dtype = (1024, torch.float32) if kind == "cpu" else (8192, torch.bfloat16)
        self._a = torch.randn(size, size, device=self._device, dtype=dtype)
        self._out = torch.empty_like(self._a)
        self._run, self._leave = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._share = 1.0
        self._thread = threading.Thread(target=self._loop, daemon=True, name="load")
        self._thread.start()

    def _loop(self) -> None:
        while not self._leave.is_set():
            self._idle.set()
            if not self._run.wait(0.1):
                continue
            self._idle.clear()
            while self._run.is_set():
                began_s = time.perf_counter()
                self._torch.mm(self._a, self._a, out=self._out)
                if self._device.type != "cpu":
                    self._torch.accelerator.synchronize(self._device)
                if self._share < 1:
                    time.sleep((time.perf_counter() - began_s) * (1 / self._share - 1))

    def on(self, share: float = 1.0) -> None:
        """Begin at once."""
        self._share = share
        self._run.set()

    def off(self) -> None:
        """Return when the last product has ended."""
        self._run.clear()
        self._idle.wait(5)

    def close(self) -> None:
        """End the thread."""
        self._run.clear()
        self._leave.set()
        self._thread.join(5)
