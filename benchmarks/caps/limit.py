"""The power limit of a device, as it can be set: read back, with the range that the device allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Refusal(Exception):
    """A limit cannot be read or set; the message is one line for the user."""


class PowerLimit(ABC):
    """One device. ``name`` is for people; ``least_w`` and ``most_w`` are what may be set, None where it does not say.
    Every method raises :class:`Refusal`."""

    name: str
    least_w: float | None = None
    most_w: float | None = None

    @abstractmethod
    def read(self) -> float:
        """The limit that is set, in W."""

    @abstractmethod
    def write(self, watts: float) -> None:
        """Set it."""


def limits(kind: str, devices: Sequence[Mapping[str, Any]], root: str) -> list[PowerLimit]:
    """The power limits of ``devices``, which have ``index`` and, where it is known, ``uuid``. ``kind``: torch's type;
    ``root``: where the kernel has those that are files. Raises :class:`Refusal` where one cannot be found."""
    if kind == "cpu":
        from perwatt.benchmarks.caps.rapl import Packages

        return [Packages(root)]
    if kind == "cuda":
        from perwatt.benchmarks.caps.boards import board

        return [board(int(device["index"]), str(device.get("uuid", ""))) for device in devices]
    if kind == "xpu":
        from perwatt.benchmarks.caps.xe import Card

        return [Card(int(device["index"]), root) for device in devices]
    raise Refusal(f"device {kind}: its power limit cannot be set here; choices: cuda (NVIDIA, ROCm), xpu, cpu")


def written(file: Path, watts: float) -> None:
    """Set a limit that the kernel has as a file, in microwatts. Raises :class:`Refusal`."""
    try:
        file.write_text(str(round(watts * 1e6)))
    except PermissionError:
        raise Refusal(f"{file}: setting it needs root") from None
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror}") from None
