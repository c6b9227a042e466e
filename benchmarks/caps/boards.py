"""Power limits of GPUs: NVIDIA's by NVML, AMD's by AMD SMI, which counts microwatts."""

from __future__ import annotations

from typing import Any

from perwatt.benchmarks.caps.limit import PowerLimit, Refusal
from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.results.reports.table import one_line

ROOT = "setting it needs root, as nvidia-smi -pl and rocm-smi do"


class NvidiaLimit(PowerLimit):
    """Of one NVIDIA board, MIG slices being part of a whole one."""

    def __init__(self, index: int, uuid: str) -> None:
        from perwatt.benchmarks.meters.nvml_board import Board

        self._board = Board(Part("cuda", index, uuid))
        self.name = self._board.uuid
        allowed = self._board.range_w
        self.least_w, self.most_w = allowed.get("min"), allowed.get("max")

    def read(self) -> float:
        """The limit that is set, in W."""
        return float(self._ask("nvmlDeviceGetPowerManagementLimit")) / 1000

    def write(self, watts: float) -> None:
        """Set it."""
        self._ask("nvmlDeviceSetPowerManagementLimit", round(watts * 1000))

    def _ask(self, call: str, *arguments: Any) -> Any:
        from perwatt.benchmarks.meters.nvml_board import Field

        try:
            return self._board.ask(call, *arguments)
        except (Field, self._board.nvml.NVMLError) as error:
            code = getattr(error, "value", getattr(error, "code", 0))
            raise Refusal(f"{self.name}: {call}: {ROOT if code == 4 else one_line(str(error))}") from None


class AmdLimit(PowerLimit):
    """Of one AMD package, through its partition 0."""

    SENSOR = 0

    def __init__(self, index: int, uuid: str) -> None:
        from perwatt.benchmarks.meters.amd_board import Board, number

        self._board = Board(Part("cuda", index, uuid))
        self.name = f"GPU {index}"
        told = self._told()
        least, most = number(told.get("min_power_cap")), number(told.get("max_power_cap"))
        self.least_w = least * 1e-6 if least is not None else None
        self.most_w = most * 1e-6 if most else None

    def read(self) -> float:
        """The limit that is set, in W."""
        from perwatt.benchmarks.meters.amd_board import number

        found = number(self._told().get("power_cap"))
        if not found:
            raise Refusal(f"{self.name}: amdsmi_get_power_cap_info tells no limit")
        return found * 1e-6

    def write(self, watts: float) -> None:
        """Set it."""
        from perwatt.benchmarks.meters.amd_board import NOISE

        try:
            self._board.ask("amdsmi_set_power_cap", self.SENSOR, round(watts * 1e6))
        except (self._board.smi.AmdSmiException, *NOISE) as error:
            code = error.get_error_code() if hasattr(error, "get_error_code") else 0
            raise Refusal(
                f"{self.name}: amdsmi_set_power_cap: {ROOT if code == 10 else one_line(str(error))}"
            ) from None

    def _told(self) -> dict[str, Any]:
        return dict(self._board.tell("amdsmi_get_power_cap_info") or {})


def board(index: int, uuid: str) -> PowerLimit:
    """The limit of a GPU that torch calls ``cuda``, by whichever vendor's library knows it. Refusal if none does."""
    reasons = []
    for of in (NvidiaLimit, AmdLimit):
        try:
            return of(index, uuid)
        except Unavailable as error:
            reasons.append(str(error))
    raise Refusal(f"GPU {index}: {'; '.join(reasons)}")
