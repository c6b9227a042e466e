"""The sustained power limit (PL1) of an Intel GPU, as the kernel's drivers ``xe`` and ``i915`` have it.

``power1_max`` of the card's hwmon folder is in microwatts and may be written; 0 means that no limit is set.
``power1_rated_max`` is the default limit, above which none may be set; the least is not told.
Source: Linux kernel, Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon.
"""

from __future__ import annotations

from pathlib import Path

from perwatt.benchmarks.caps.limit import PowerLimit, Refusal, written
from perwatt.benchmarks.meters.xe import cards, scaled, told


class Card(PowerLimit):
    """A card by its index among those that have sensors."""

    def __init__(self, index: int, root: str) -> None:
        found = cards(Path(root))
        if index >= len(found):
            raise Refusal(f"{root}: found {len(found)} cards with sensors of xe or i915; there is no card {index}")
        card, hwmon = found[index]
        self.name, self._file = f"{card.name} ({told(hwmon / 'name')})", hwmon / "power1_max"
        self.most_w = scaled(hwmon / "power1_rated_max", 1e-6)
        if self.read() == 0 and not self.most_w:
            raise Refusal(f"{self.name}: no limit is set, and its driver does not say the most that it allows")

    def read(self) -> float:
        """The limit that is set, in W; 0 if none is."""
        if (watts := scaled(self._file, 1e-6)) is None:
            raise Refusal(f"{self.name}: its driver tells no power limit ({self._file})")
        return watts

    def write(self, watts: float) -> None:
        """Set it; 0 takes it away."""
        written(self._file, watts)
