"""A load that can be switched on and off to the millisecond, to find out how a sensor follows it."""

from __future__ import annotations

import threading
import time
from typing import Protocol

SIZES = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288)
PRODUCT_S = 1e-3  # the first size whose product takes this long: short to switch, long beside the launch


class Load(Protocol):
    """Something that draws power while it is on."""

    def on(self, share: float = 1.0) -> None:
        """Draw power from now on; a share below 1 works so much of the time, in turns of a few milliseconds."""

    def off(self) -> None:
        """Draw none, once what was begun has ended: a few milliseconds."""

    def close(self) -> None:
        """Let go of the device."""


class Matmul:
    """Matrix products one after the other on a device of torch's ``kind``, each a millisecond or two long."""

    def __init__(self, kind: str, index: int = 0) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(kind, index) if kind != "cpu" else torch.device("cpu")
        self.product_s = 0.0
        for size in SIZES:  # what is long on one device is nothing to another
            self._allocate(size)
            self._product()  # the first one also chooses the kernel
            self.product_s = min(self._product() for _ in range(3))
            if self.product_s >= PRODUCT_S:
                break
        self._run, self._leave = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._share = 1.0
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._loop, daemon=True, name="load")
        self._thread.start()

    def _allocate(self, size: int) -> None:
        dtype = self._torch.float32 if self._device.type == "cpu" else self._torch.bfloat16
        self._a = self._torch.randn(size, size, device=self._device, dtype=dtype)
        self._out = self._torch.empty_like(self._a)

    def _product(self) -> float:
        """One product, waited for; the seconds that it took."""
        began_s = time.perf_counter()
        self._torch.mm(self._a, self._a, out=self._out)
        if self._device.type != "cpu":
            self._torch.accelerator.synchronize(self._device)
        return time.perf_counter() - began_s

    def _loop(self) -> None:
        while not self._leave.is_set():
            self._idle.set()
            if not self._run.wait(0.1):
                continue
            self._idle.clear()
            try:
                while self._run.is_set():
                    took_s = self._product()
                    if self._share < 1:
                        time.sleep(took_s * (1 / self._share - 1))
            except Exception as error:  # told to whoever switches: a load that stopped must not pass for one that is on
                self._failed = error
                self._idle.set()
                return

    def on(self, share: float = 1.0) -> None:
        """Begin at once. Raises RuntimeError if the device has failed since."""
        if self._failed is not None:
            raise RuntimeError(f"the load has ended: {self._failed}") from self._failed
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
