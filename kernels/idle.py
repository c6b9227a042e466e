"""Nothing, for a while: what a device draws with its context created and no work, measured as any case is.

A case of its own, with windows, energies and uncertainty like the others, beside the short look that every run takes
at rest. ``resident_bytes`` of memory are allocated and written once: memory that holds something is refreshed, and
some devices clock it down only when they hold nothing.

No work is counted, so there is neither a rate nor a figure per watt: power and energy are what is asked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from perwatt.kernels import data, dtypes
from perwatt.kernels.collectives.message import format_bytes, parse_bytes
from perwatt.kernels.workload import Check, Place, Prepared, Size, Work, Workload, WrongResult

_SHORTEST_S, _LONGEST_S = 0.001, 60.0


@dataclass(frozen=True)
class Idle(Workload):
    """One launch waits ``seconds``; ``resident_bytes`` (an integer or text with a binary unit) are held meanwhile.
    Raises ValueError for a value that is not allowed."""

    name: ClassVar[str] = "idle"

    seconds: float = 0.05
    resident_bytes: int | str = 0

    def __post_init__(self) -> None:
        seconds = self.seconds
        if (
            not isinstance(seconds, int | float)
            or isinstance(seconds, bool)
            or not _SHORTEST_S <= seconds <= _LONGEST_S
        ):
            raise ValueError(f"idle.seconds: {seconds!r} is not between {_SHORTEST_S:g} and {_LONGEST_S:g} seconds")
        object.__setattr__(self, "seconds", float(seconds))
        if self.resident_bytes != 0 or isinstance(self.resident_bytes, bool):
            object.__setattr__(self, "resident_bytes", parse_bytes("idle", "resident_bytes", self.resident_bytes))

    @property
    def _resident(self) -> int:
        assert isinstance(self.resident_bytes, int)
        return self.resident_bytes

    def work(self, ranks: int = 1) -> Work:
        """None: only time passes."""
        return Work(flops=0, bytes=0, headline="time")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """What is held."""
        return self._resident

    def label(self) -> str:
        """``context``, or ``1 GiB held``."""
        return f"{format_bytes(self._resident)} held" if self._resident else "context"

    def series(self) -> str:
        """As the label."""
        return self.label()

    def size(self) -> Size:
        """Bytes that are held."""
        return Size("resident_bytes", float(self._resident))

    def prepare(self, place: Place) -> Prepared:
        """Create the context, hold the memory, see that it was written."""
        import torch

        data.require_memory(self._resident, place)
        held = torch.ones(max(1, self._resident), dtype=torch.int8, device=place.device)
        wrong = sum(part.numel() - int(part.count_nonzero()) for part in torch.split(held, 1 << 28))
        if wrong:
            raise WrongResult(f"idle: {wrong} of {held.numel()} bytes do not hold what was written to them")
        dtypes.synchronize(place.device)
        check = Check(0.0, 0.0, "what is held, read back", held.numel())
        why = "to read back what is held would wake the device that is measured at rest"
        return Prepared(partial(_rest, self.seconds, held), check, 1, whole=True, unverified=why)


def _rest(seconds: float, held: object) -> None:
    """Wait; ``held`` stays alive as long as the launch does."""
    time.sleep(seconds)
