"""NVIDIA boards through NVML: the energy counter, and the polled power beside it as a witness.

``nvmlDeviceGetTotalEnergyConsumption`` counts mJ since the driver was loaded (Volta and newer), renewed about every
100 ms. Field 186 is the power of the last sensor window, field 185 (or ``nvmlDeviceGetPowerUsage``, on what is newer
than GA100) the mean of the last second. All come from one sensor and share its gain error of about 5 % (class D), which
is the board's own: it is no noise, and no repetition removes it. That sensor looks 25 ms in every 100 ms on A100 and
H100; whether the counter sees more is documented nowhere, so counter and poll are kept side by side.

A scope says what is metered: the GPU, the module (a superchip's CPU included) or the memory. Each has its own boundary
and they are never added. A slice of a partitioned board (MIG) has no power: the board is metered, under its own UUID.

A counter that went back was started anew with the driver: what came between is not known, so that it says no more. One
that leaps further than the board can draw is not believed; back in line at the next reading, it goes on.
Source: nvml.h of the CUDA toolkit; Yang et al., SC24, for the sensors.
"""

from __future__ import annotations

import functools
import time
from abc import abstractmethod

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
from perwatt.benchmarks.meters.nvml_board import (
    AVERAGED_SINCE,
    LIMIT_NOW,
    PART_TIME,
    SCOPES,
    STATUS,
    Board,
    Field,
)
from perwatt.benchmarks.meters.nvml_health import Health

POWER_AVERAGE, POWER_INSTANT = 185, 186
ENERGY_FIELDS = (83, 191)
PERIOD_S = 0.1  # of counter and sensor on what has been characterised; `perwatt meter characterise` finds this board's
IMPOSSIBLE_W = 100_000.0  # no board; what a driver says when it does not know
LEAP_FACTOR, LEAP_S = 2.0, 1.0  # of the greatest limit, over the time since the counter last moved and this much more
REMEDY = {
    "unsupported": "another of nvml_energy, nvml_instant and nvml_average may answer, or a newer driver",
    "no_permission": "let this user open /dev/nvidiactl and the board's /dev/nvidia*",
    "lost": "see nvidia-smi and the kernel's log: the board may need a reset",
}


class _Nvml(Meter):
    """One board and the one question asked of it. ``board``: the index of a board to meter whatever runs the load."""

    scope = "device"
    name: str
    kind: Kind

    def __init__(self, poll_s: float = 0.05, board: int | None = None) -> None:
        if not isinstance(poll_s, int | float) or not 0.005 <= poll_s <= 10:
            raise ValueError(f"meter.{self.name}.poll_s: {poll_s!r} is not between 0.005 and 10 s")
        if board is not None and (isinstance(board, bool) or not isinstance(board, int) or board < 0):
            raise ValueError(f"meter.{self.name}.board: {board!r} is neither null nor the index of a board")
        self.poll_s, self.board_index = poll_s, board

    def open(self, part: Part) -> Capabilities:
        """Find the board by its UUID and read it once. Raises :class:`Unavailable`."""
        self._board = Board(part, self.board_index)
        self._zero, self._last, self._moved_ns = 0.0, float("nan"), 0
        self._leapt = self._restarted = False
        self._most_w = IMPOSSIBLE_W
        how = self._find()
        first = self.read()
        if first.value is None:
            raise Unavailable(
                f"NVML: this board does not answer {how} ({first.status})", REMEDY.get(first.status, "try again")
            )
        if self.kind == "energy":
            self._zero = first.value
        capability, limit_w = self._board.capability, self._limit_w()
        if limit_w is not None:  # the limit may be raised while a meter is open, but not above the board's range
            self._most_w = LEAP_FACTOR * max(limit_w, self._board.range_w.get("max", limit_w))
        return Capabilities(
            name=self.name,
            kind=self.kind,
            boundary=self._boundary(),
            packages=(self._board.uuid,),
            period_s=PERIOD_S,
            poll_s=self.poll_s,
            quantum=1e-3,
            accuracy_class="D",
            accuracy=0.05,
            accuracy_source="Yang et al., SC24: boards were found between -6 and +11 %, most within 5 %",
            averaging_s=self._averaging_s(capability),
            attention=PART_TIME.get(capability) if self._averaging_s(capability) == 0 else None,
            limit_w=limit_w,
            instrument=f"nvml:{self._board.uuid}:{self._boundary()}",
            facts={**self._board.facts(), "call": how, "scope": self._boundary()},
        )

    def _limit_w(self) -> float | None:
        """The enforced limit of what is metered: the board's, or where a driver tells it the module's."""
        if self._boundary() == "gpu":
            return self._board.limits_w.get("enforced")
        return self._board.watts(LIMIT_NOW, "module") or None if self._boundary() == "module" else None

    @abstractmethod
    def _find(self) -> str:
        """Choose the way to ask that this driver knows; its name."""

    @abstractmethod
    def _ask(self) -> tuple[float, int | None]:
        """The value in J or W and the driver's own time stamp in us. Raises what :class:`Board` raises."""

    def _boundary(self) -> str:
        return "gpu"

    def _averaging_s(self, capability: tuple[int, int]) -> float:
        return 0.0

    def read(self) -> Reading:
        """One call into the driver; its error becomes the reading's status."""
        start = time.monotonic_ns()
        status: Status = "ok"
        value: float | None = None
        stamp: int | None = None
        try:
            value, stamp = self._ask()
        except Field as error:
            status = STATUS.get(error.code, "lost")
        except self._board.nvml.NVMLError as error:
            status = STATUS.get(error.value, "lost")
        end = time.monotonic_ns()
        if value is not None:
            value, status = self._checked(value, (start + end) // 2)
        return Reading((start + end) // 2, end - start, value, status, None if stamp is None else stamp * 1000)

    def _checked(self, value: float, at_ns: int) -> tuple[float | None, Status]:
        if self.kind == "power":
            # what answers draws something: a driver that is asked too fast has been seen to say 0
            return (value, "ok") if 0 < value < IMPOSSIBLE_W else (None, "out_of_range")
        if self._restarted or value < self._last:
            self._restarted = True
            return None, "lost"
        most_j = self._most_w * ((at_ns - self._moved_ns) * 1e-9 + LEAP_S)
        if value - self._last > most_j:
            self._restarted, self._leapt = self._leapt, True  # twice: it will not come back
            return None, "out_of_range"
        self._leapt = False
        if value != self._last:
            self._last, self._moved_ns = value, at_ns
        return value - self._zero, "ok"

    def snapshot(self) -> Snapshot | None:
        """Throttling, temperatures, clocks, limits, ECC counts and processes of the board."""
        return self._board.snapshot()

    def vitals(self) -> Vitals | None:
        """Errors, repaired memory, links and XIDs of the board."""
        return self._health.read()

    @functools.cached_property
    def _health(self) -> Health:
        return Health(self._board)


class NvmlEnergy(_Nvml):
    """The board's energy counter in J since it was opened; on a superchip that of the module."""

    name, kind = "nvml_energy", "energy"

    def _find(self) -> str:
        if self._board.tell("nvmlDeviceGetTotalEnergyConsumption") is None:
            for number in ENERGY_FIELDS:
                self._field: int | None = number
                try:
                    self._ask()
                    return f"field {number}"
                except (Field, self._board.nvml.NVMLError):
                    continue
        self._field = None
        return "nvmlDeviceGetTotalEnergyConsumption"

    def _ask(self) -> tuple[float, int | None]:
        if self._field is None:
            return self._board.ask("nvmlDeviceGetTotalEnergyConsumption") * 1e-3, None
        value, stamp = self._board.field(self._field)
        return value * 1e-3, stamp

    def _boundary(self) -> str:
        return "module" if self._board.is_module else "gpu"


class NvmlInstant(_Nvml):
    """The power of the sensor's last window in W. ``of``: what is metered, null for the GPU or, where the driver
    refuses that (a superchip), the module."""

    name, kind = "nvml_instant", "power"
    fields: tuple[int, ...] = (POWER_INSTANT,)

    def __init__(self, poll_s: float = 0.05, board: int | None = None, of: str | None = None) -> None:
        super().__init__(poll_s, board)
        if of is not None and of not in SCOPES:
            raise ValueError(f"meter.{self.name}.of: {of!r}; allowed: null, {', '.join(SCOPES)}")
        self.of = of

    def _find(self) -> str:
        for number in self.fields:
            for scope in (self.of,) if self.of else ("gpu", "module"):
                self._field, self._scope = number, scope
                try:
                    self._ask()
                    return f"field {number}, scope {scope}"
                except (Field, self._board.nvml.NVMLError):
                    continue
        self._field, self._scope = self.fields[0], self.of or "gpu"
        return f"field {self.fields[0]}"

    def _ask(self) -> tuple[float, int | None]:
        value, stamp = self._board.field(self._field, SCOPES[self._scope])
        return value * 1e-3, stamp

    def _boundary(self) -> str:
        return "gpu_memory" if self._scope == "memory" else self._scope


class NvmlAverage(NvmlInstant):
    """The mean power of the last second in W (field 185), or what ``nvmlDeviceGetPowerUsage`` gives: the same on what
    is newer than GA100 with a driver too old for the field, the power of the moment on GA100 and older."""

    name, kind = "nvml_average", "power"
    fields = (POWER_AVERAGE,)

    def _find(self) -> str:
        self._usage = False
        # GA100 and older have no mean of a second, whatever the field may say there
        older = (0, 0) < self._board.capability < AVERAGED_SINCE and self.of in (None, "gpu")
        how = "" if older else super()._find()
        if older:
            self._field, self._scope = POWER_AVERAGE, "gpu"
        self._usage = "scope" not in how and self.of in (None, "gpu")
        return "nvmlDeviceGetPowerUsage" if self._usage else how

    def _ask(self) -> tuple[float, int | None]:
        if self._usage:
            return self._board.ask("nvmlDeviceGetPowerUsage") * 1e-3, None
        return super()._ask()

    def _averaging_s(self, capability: tuple[int, int]) -> float:
        return 1.0 if not self._usage or capability >= AVERAGED_SINCE else 0.0
