"""NVIDIA boards through NVML: the energy counter, and the polled power beside it as a witness.

``nvmlDeviceGetTotalEnergyConsumption`` counts mJ since the driver was loaded (Volta and newer), renewed about every
100 ms. ``nvmlDeviceGetPowerUsage`` gives mW, since Ampere (except GA100) the mean of the last second, on GA100 and
older the instant. Both come from the same sensor and share its gain error of about 5 % (class D).
Source: nvml.h of the CUDA toolkit; Yang et al., SC24, for the sensors.
"""

from __future__ import annotations

import time
from typing import Any

from perwatt.benchmarks.meters.meter import Capabilities, Kind, Meter, Part, Reading, Status, Unavailable

INSTALL = "pip install 'perwatt[nvidia]'"

# NVML return codes that a single reading may meet, and what they mean for it; anything else loses the meter.
STATUS: dict[int, Status] = {3: "unsupported", 4: "no_permission", 13: "unsupported", 15: "lost", 999: "stale"}


def _handle(part: Part) -> tuple[Any, Any]:
    """The pynvml module, initialised, and the handle of one board. Raises :class:`Unavailable`."""
    try:
        import pynvml
    except ImportError:
        raise Unavailable("nvidia-ml-py is not installed", INSTALL) from None
    if part.type != "cuda":
        raise Unavailable("the device under test is not an NVIDIA board")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise Unavailable(f"NVML: {error}", "install the NVIDIA driver; in a container, pass the driver in") from None
    try:
        if part.uuid:
            uuid = part.uuid if part.uuid.startswith("GPU-") else f"GPU-{part.uuid}"
            return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return pynvml, pynvml.nvmlDeviceGetHandleByIndex(part.index)
    except pynvml.NVMLError as error:
        raise Unavailable(f"NVML does not know the board {part.uuid or part.index}: {error}") from None


class _Board(Meter):
    """One board and the one question asked of it."""

    scope = "device"
    name: str
    kind: Kind
    call: str
    scale = 1e-3  # mJ and mW

    def __init__(self, poll_s: float = 0.05) -> None:
        if not isinstance(poll_s, int | float) or not 0.005 <= poll_s <= 10:
            raise ValueError(f"meter.{type(self).__name__}.poll_s: {poll_s!r} is not between 0.005 and 10 s")
        self.poll_s = poll_s

    def open(self, part: Part) -> Capabilities:
        """Find the board by its UUID and read it once."""
        self._nvml, self._board = _handle(part)
        self._zero = 0.0
        first = self.read()
        if first.value is None:
            raise Unavailable(f"NVML: this board does not answer {self.call} ({first.status})")
        self._zero = first.value if self.kind == "energy" else 0.0
        uuid = self._nvml.nvmlDeviceGetUUID(self._board)
        return Capabilities(
            name=self.name,
            kind=self.kind,
            boundary="gpu",
            packages=(uuid if isinstance(uuid, str) else uuid.decode(),),
            period_s=0.1,
            poll_s=self.poll_s,
            quantum=1e-3,
            accuracy_class="D",
        )

    def read(self) -> Reading:
        """One call into the driver; its error becomes the reading's status."""
        start = time.monotonic_ns()
        status: Status = "ok"
        value: float | None = None
        try:
            value = getattr(self._nvml, self.call)(self._board) * self.scale - self._zero
        except self._nvml.NVMLError as error:
            status = STATUS.get(error.value, "lost")
        end = time.monotonic_ns()
        if value is not None and value < 0:  # the driver was reloaded and the counter began again
            value, status = None, "lost"
        return Reading((start + end) // 2, end - start, value, status)


class NvmlEnergy(_Board):
    """The board's energy counter in J since it was opened."""

    name, kind, call = "nvml_energy", "energy", "nvmlDeviceGetTotalEnergyConsumption"


class NvmlPower(_Board):
    """The board's power in W: the mean of the last second on most parts."""

    name, kind, call = "nvml_power", "power", "nvmlDeviceGetPowerUsage"
