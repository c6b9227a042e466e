"""Intel GPUs without any library: the energy counters that the drivers ``xe`` and ``i915`` keep under hwmon.

``energy1_input`` is the card, ``energy2_input`` the package, in uJ, both renewed faster than they can be read usefully;
``power1_max`` is the sustained limit in uW. The card contains the package: one of them is read, never their sum.
Source: Linux kernel, Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon and -i915-hwmon.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from perwatt.benchmarks.meters.meter import Capabilities, Part, Scope, Unavailable
from perwatt.benchmarks.meters.sysfs import FileMeter, OutOfRange, first_word, number

INPUTS = {"card": "energy1_input", "package": "energy2_input"}
DRIVERS = ("xe", "i915")


class Xe(FileMeter):
    """The counter of ``of``: null for the card or, where there is none, the package. ``board`` meters that card
    whatever runs the load."""

    scope: ClassVar[Scope] = "device"
    kind: Literal["energy"] = "energy"

    def __init__(
        self, of: str | None = None, board: int | None = None, root: str = "/sys/class/drm", poll_s: float = 0.05
    ) -> None:
        if of is not None and of not in INPUTS:
            raise ValueError(f"meter.xe.of: found {of!r}, allowed null, {', '.join(INPUTS)}")
        if board is not None:
            number("xe", "board", board, 0, 1024)
        number("xe", "poll_s", poll_s, 0.005, 10)
        self.of, self.board, self.poll_s, self.root = of, board, poll_s, Path(root)

    def open(self, part: Part) -> Capabilities:
        """Find the card and read it once. Raises :class:`Unavailable`."""
        if part.type != "xpu" and self.board is None:
            raise Unavailable("the device under test is not an Intel GPU", "meter.xe.board=0 meters one all the same")
        index = part.index if self.board is None else self.board
        cards = self._cards()
        if index >= len(cards):
            raise Unavailable(
                f"no card {index} of the drivers {', '.join(DRIVERS)} under {self.root}", "Linux 6.5 or newer"
            )
        card = cards[index]
        for name in (self.of,) if self.of else ("card", "package"):
            if (card / INPUTS[name]).is_file():
                break
        else:
            raise Unavailable(f"{card} has no energy counter of the {self.of or 'card'}", "Linux 6.5 or newer")
        self.start({"card": partial(first_word, card / INPUTS[name], 1e-6)}, f"chmod a+r {card / INPUTS[name]}")
        address = (card.parent.parent).resolve().name  # the PCI address of the device
        return Capabilities(
            name="xe",
            kind="energy",
            boundary="gpu",
            packages=(address,),
            period_s=0.001,
            poll_s=self.poll_s,
            quantum=1e-6,
            accuracy_class="D",
            limit_w=self._limit_w(card),
            instrument=f"xe:{address}:{name}",
            facts={"of": name, "driver": (card / "name").read_text().strip()},
        )

    def _cards(self) -> list[Path]:
        """The hwmon folders of Intel's cards, in the order of their numbers."""
        found = []
        cards = [c for c in self.root.glob("card*") if c.name.removeprefix("card").isdigit()]
        for card in sorted(cards, key=lambda c: int(c.name.removeprefix("card"))):
            for hwmon in sorted((card / "device" / "hwmon").glob("hwmon*")):
                if (hwmon / "name").is_file() and (hwmon / "name").read_text().strip() in DRIVERS:
                    found.append(hwmon)
                    break
        return found

    @staticmethod
    def _limit_w(card: Path) -> float | None:
        for name in ("power1_max", "power1_rated_max"):
            try:
                return first_word(card / name, 1e-6) or None
            except (OSError, OutOfRange):
                continue
        return None
