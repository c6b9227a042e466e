"""AMD GPUs through AMD SMI: the energy counter, and the socket power beside it as a witness.

The counter adds up in units of its own, about 15.3 uJ, told with every reading: J = count x resolution x 1e-6 in
float64. The driver renews it at most every millisecond. On MI250X and MI300A power taken from the counter follows a
load faster than the filtered power reading. Which power a board tells depends on its generation: the current one on
MI300 and newer, an average on MI200, Navi and older. A power of 0 is the answer of a die that does not know.
Source: amdsmi.h of ROCm.
"""

from __future__ import annotations

import time
from abc import abstractmethod

from perwatt.benchmarks.meters.amd_board import LOCK, NOISE, STATUS, Board, number
from perwatt.benchmarks.meters.amd_health import Health
from perwatt.benchmarks.meters.meter import (
    Capabilities,
    Kind,
    Meter,
    Part,
    Reading,
    Snapshot,
    Status,
    Unavailable,
    Vitals,
)

PERIOD_S = 1e-3
IMPOSSIBLE_W = 100_000.0
POWERS = ("current_socket_power", "average_socket_power", "socket_power")


class _Unknown(Exception):
    """The call succeeded and the driver said that it does not know."""


class _Amd(Meter):
    """One package and the one question asked of it. ``board``: a package by its index, whatever runs the load."""

    scope = "device"
    name: str
    kind: Kind
    quantum: float | None

    def __init__(self, poll_s: float = 0.05, board: int | None = None) -> None:
        if isinstance(poll_s, bool) or not isinstance(poll_s, int | float) or not 0.001 <= poll_s <= 10:
            raise ValueError(f"meter.{self.name}.poll_s: {poll_s!r} is not between 0.001 and 10 s")
        if board is not None and (isinstance(board, bool) or not isinstance(board, int) or board < 0):
            raise ValueError(f"meter.{self.name}.board: {board!r} is neither null nor the index of a board")
        self.poll_s, self.board_index = poll_s, board

    def open(self, part: Part) -> Capabilities:
        """Find the package and read it once. Raises :class:`Unavailable`."""
        self._board = Board(part, self.board_index)
        self._zero, self._last, self._lost, self._how = 0.0, float("-inf"), False, ""
        asked, first = self._board.package, self.read()
        for package in self._board.siblings() if first.value is None else ():
            # the second die of an MI250X tells nothing: the first tells the power of both
            self._board.move_to(package)
            first = self.read()
            if first.value is not None:
                break
        if first.value is None:
            remedy = (
                "on a virtual machine ask the host; for the second die of an MI250X set meter.NAME.board to its first"
            )
            raise Unavailable(f"AMD SMI: {asked} does not tell its {self.kind} ({first.status})", remedy)
        if self.kind == "energy":
            self._zero = first.value
        return Capabilities(
            name=self.name,
            kind=self.kind,
            boundary="gpu",
            packages=(self._board.package,),
            period_s=PERIOD_S,
            poll_s=self.poll_s,
            quantum=self.quantum,
            accuracy_class="D",
            detail="" if self._board.package == asked else f"{asked} is the second die of {self._board.package}",
            limit_w=self._board.limits_w.get("enforced"),
            instrument=f"amdsmi:{self._board.package}:gpu",
            facts={**self._board.facts(), "call": self._how},
        )

    @abstractmethod
    def _ask(self) -> tuple[float, int | None]:
        """The value in J or W and the driver's time stamp in ns. Raises what :class:`Board` raises, and _Unknown."""

    def read(self) -> Reading:
        """One call into the driver; its error becomes the reading's status."""
        value: float | None = None
        stamp: int | None = None
        status: Status = "ok"
        with LOCK:  # taken first, so that waiting for it is not taken for a slow driver
            start = time.monotonic_ns()
            try:
                value, stamp = self._ask()
            except _Unknown:
                status = "unsupported"
            except self._board.smi.AmdSmiLibraryException as error:
                status = STATUS.get(error.get_error_code(), "lost")
            except (self._board.smi.AmdSmiException, *NOISE):
                status = "unsupported"
            end = time.monotonic_ns()
        if value is not None:
            value, status = self._checked(value)
        return Reading((start + end) // 2, end - start, value, status, stamp)

    def _checked(self, value: float) -> tuple[float | None, Status]:
        if self.kind == "power":
            return (value, "ok") if 0 < value < IMPOSSIBLE_W else (None, "out_of_range")
        if value < self._last:  # the driver was reset and the counter began again: what came between is not known
            self._lost = True
        if self._lost:
            return None, "lost"
        self._last = value
        return value - self._zero, "ok"

    def snapshot(self) -> Snapshot | None:
        """Temperatures, clocks, limits, ECC counts and processes of the package."""
        return self._board.snapshot()

    def vitals(self) -> Vitals | None:
        """RAS counts, bad pages and links of the package."""
        return Health(self._board).read()


class AmdEnergy(_Amd):
    """The package's energy counter in J since it was opened."""

    name, kind = "amd_energy", "energy"
    quantum = 15.259e-6

    def _ask(self) -> tuple[float, int | None]:
        told = self._board.ask("amdsmi_get_energy_count")
        self._how = "energy_accumulator" if "energy_accumulator" in told else "power"  # its name before ROCm 6.4
        count, unit_uj = number(told.get(self._how)), number(told.get("counter_resolution"))
        if count is None or not unit_uj:
            raise _Unknown
        if count == 0 and self._last <= 0:  # a die that does not know; a count that was and is 0 now has been reset
            raise _Unknown
        self.quantum = unit_uj * 1e-6
        return count * unit_uj * 1e-6, int(told.get("timestamp") or 0) or None


class AmdPower(_Amd):
    """The package's power in W, from the first of the driver's three readings that it knows."""

    name, kind = "amd_power", "power"
    quantum = 1.0

    def _ask(self) -> tuple[float, int | None]:
        told = self._board.ask("amdsmi_get_power_info")
        for name in POWERS if not self._how else (self._how,):  # one reading for the whole session: they differ
            watts = number(told.get(name))
            if watts:
                self._how = name
                return watts, None
        raise _Unknown
