"""One NVIDIA board as NVML tells of it: found, described, and its state beside its power.

What a driver does not know is left out: an old one lacks whole functions (FUNCTION_NOT_FOUND), a new one refuses single
fields, each with a return code of its own. Throttling is read as nanoseconds spent, not as a bit that was seen or not.
Source: nvml.h of the CUDA toolkit.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any

from perwatt.benchmarks.meters.meter import Part, Snapshot, Status, Unavailable

INSTALL = "pip install 'perwatt[nvidia]'"

# NVML return codes that a single reading may meet, and what they mean for it; anything else loses the meter.
UNKNOWN = 999  # met now and then by a driver that is busy: asked once more
UNREADABLE = -1  # none of NVML's: a field of a type that it does not define, or not a number
STATUS: dict[int, Status] = {
    2: "unsupported",  # invalid argument: a field or scope that this driver is too old for
    3: "unsupported",
    4: "no_permission",
    10: "stale",  # timeout
    13: "unsupported",  # function not found
    15: "lost",
    16: "lost",  # reset required
    21: "stale",  # no data
    UNKNOWN: "stale",
    UNREADABLE: "out_of_range",
}

# Fields that count nanoseconds in which clocks were held down, by reason.
THROTTLE = {
    "sw_power_cap": 74,
    "sync_boost": 76,
    "sw_thermal": 269,
    "hw_thermal": 270,
    "hw_power_brake": 271,
}
MEMORY_TEMPERATURE = 82
SCOPES = {"gpu": 0, "module": 1, "memory": 2}
LIMIT_NOW, POWER_NOW = 190, 186  # fields with a scope
SM_CLOCK, MEMORY_CLOCK = 1, 2
# double, unsigned, unsigned long, unsigned long long, signed long long, signed, unsigned short
MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
SWITCH = {0: "off", 1: "on"}
COMPUTE = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}

# Of the sensor's period, the part in which it looks: 25 ms of 100 ms on GA100 and GH100 (Yang et al., SC24).
PART_TIME = {(8, 0): 0.25, (9, 0): 0.25}
AVERAGED_SINCE = (8, 6)  # nvmlDeviceGetPowerUsage is the mean of one second since Ampere, but for GA100 (8.0)


class Field(Exception):
    """A field that the driver refused; its NVML return code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"NVML error {code}")
        self.code = code


class Board:
    """A handle to one board, and the questions that may be asked of it."""

    def __init__(self, part: Part, index: int | None = None) -> None:
        """Find the board of ``part``, or board ``index`` whatever runs the load. Raises :class:`Unavailable`."""
        try:
            import pynvml
        except ImportError:
            raise Unavailable("nvidia-ml-py is not installed", INSTALL) from None
        if part.type != "cuda" and index is None:
            raise Unavailable(
                "the device under test is not an NVIDIA board", "meter.NAME.board=0 meters one all the same"
            )
        self.nvml = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            remedy = "install the NVIDIA driver; in a container, pass the driver in"
            raise Unavailable(f"NVML: {error}", remedy) from None
        try:
            if index is None and part.uuid:
                uuid = part.uuid if part.uuid.startswith(("GPU-", "MIG-")) else f"GPU-{part.uuid}"
                self.handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            else:
                self.handle = pynvml.nvmlDeviceGetHandleByIndex(part.index if index is None else index)
        except pynvml.NVMLError as error:
            named = index if index is not None else part.uuid or part.index
            remedy = "nvidia-smi -L lists the boards; in a container, pass this one in"
            raise Unavailable(f"NVML does not know the board {named}: {error}", remedy) from None
        if self.tell("nvmlDeviceIsMigDeviceHandle"):
            # a slice has no power of its own: what is metered is the whole board
            self.handle = self.tell("nvmlDeviceGetDeviceHandleFromMigDeviceHandle") or self.handle
        self.uuid = str(self.tell("nvmlDeviceGetUUID") or part.uuid or f"board-{part.index}")

    def ask(self, call: str, *arguments: Any) -> Any:
        """One call; raises pynvml's NVMLError. UNKNOWN is asked once more."""
        function = getattr(self.nvml, call, None)
        if function is None:  # a binding older than the function
            raise Field(13)
        try:
            return function(self.handle, *arguments)
        except self.nvml.NVMLError as error:
            if error.value != UNKNOWN:
                raise
            return function(self.handle, *arguments)

    def tell(self, call: str, *arguments: Any) -> Any:
        """As :meth:`ask`, but None for whatever the driver does not tell."""
        try:
            return self.ask(call, *arguments)
        except (Field, self.nvml.NVMLError):
            return None

    def field(self, number: int, scope: int = 0) -> tuple[int, int | None]:
        """A field's value and its time stamp in us since 1970. Raises :class:`Field` or pynvml's NVMLError."""
        answer = self.ask("nvmlDeviceGetFieldValues", [(number, scope)])[0]
        if answer.nvmlReturn == UNKNOWN:
            answer = self.ask("nvmlDeviceGetFieldValues", [(number, scope)])[0]
        return self._value(answer)

    @staticmethod
    def _value(answer: Any) -> tuple[int, int | None]:
        if answer.nvmlReturn != 0:  # the call succeeds although a field was refused
            raise Field(answer.nvmlReturn)
        try:
            return int(getattr(answer.value, MEMBERS[answer.valueType])), int(answer.timestamp) or None
        except (IndexError, ValueError, OverflowError, AttributeError):
            raise Field(UNREADABLE) from None

    def watts(self, number: int, scope: str) -> float | None:
        """A field of power in that scope in W; None if the driver does not tell."""
        try:
            return self.field(number, SCOPES[scope])[0] * 1e-3
        except (Field, self.nvml.NVMLError):
            return None

    @property
    def capability(self) -> tuple[int, int]:
        """CUDA compute capability; (0, 0) if the driver does not tell."""
        found = self.tell("nvmlDeviceGetCudaComputeCapability")
        return (int(found[0]), int(found[1])) if found else (0, 0)

    @cached_property
    def is_module(self) -> bool:
        """A superchip, whose energy counter is that of the whole module, CPU included."""
        info = self.tell("nvmlDeviceGetC2cModeInfoV")
        if info is not None:
            return bool(info.isC2cEnabled)
        # a binding or driver older than that call: what has power as a module and none as a GPU is one too
        return self.watts(POWER_NOW, "gpu") is None and self.watts(POWER_NOW, "module") is not None

    @property
    def limits_w(self) -> dict[str, float]:
        """Power limits in W: enforced now, and the board's default."""
        calls = {"enforced": "nvmlDeviceGetEnforcedPowerLimit", "default": "nvmlDeviceGetPowerManagementDefaultLimit"}
        found = {name: self.tell(call) for name, call in calls.items()}
        return {name: milliwatt / 1000 for name, milliwatt in found.items() if milliwatt is not None}

    @property
    def range_w(self) -> dict[str, float]:
        """The least and the greatest power limit that may be set, in W."""
        found = self.tell("nvmlDeviceGetPowerManagementLimitConstraints") or ()
        return {name: milliwatt / 1000 for name, milliwatt in zip(("min", "max"), found, strict=False)}

    def facts(self) -> dict[str, str]:
        """What identifies the board and the state that it was measured in."""
        major, minor = self.capability
        found = {
            "board": self.tell("nvmlDeviceGetName"),
            "compute_capability": f"{major}.{minor}" if major else None,
            "vbios": self.tell("nvmlDeviceGetVbiosVersion"),
            "persistence": SWITCH.get(self.tell("nvmlDeviceGetPersistenceMode")),
            "ecc": SWITCH.get((self.tell("nvmlDeviceGetEccMode") or [None])[0]),
            "mig": SWITCH.get((self.tell("nvmlDeviceGetMigMode") or [None])[0]),
            "compute_mode": COMPUTE.get(self.tell("nvmlDeviceGetComputeMode")),
        }
        try:
            found["driver"] = self.nvml.nvmlSystemGetDriverVersion()
        except self.nvml.NVMLError:
            found["driver"] = None
        limits = {f"limit_{name}_w": watts for name, watts in {**self.limits_w, **self.range_w}.items()}
        return {name: str(value) for name, value in {**found, **limits}.items() if value is not None}

    def snapshot(self) -> Snapshot:
        """Throttling, temperatures, clocks, limits, ECC counts and processes, as far as this driver tells."""
        numbers = [*THROTTLE.values(), MEMORY_TEMPERATURE]
        values: dict[int, int] = {}
        answers = self.tell("nvmlDeviceGetFieldValues", [(number, 0) for number in numbers]) or ()
        for number, answer in zip(numbers, answers, strict=False):
            with suppress(Field):  # what was refused is absent
                values[number] = self._value(answer)[0]
        degrees = {"gpu": self.tell("nvmlDeviceGetTemperature", 0), "memory": values.get(MEMORY_TEMPERATURE)}
        clocks = {
            "sm": self.tell("nvmlDeviceGetClockInfo", SM_CLOCK),
            "memory": self.tell("nvmlDeviceGetClockInfo", MEMORY_CLOCK),
        }
        ecc = {
            "corrected": self.tell("nvmlDeviceGetTotalEccErrors", 0, 0),
            "uncorrected": self.tell("nvmlDeviceGetTotalEccErrors", 1, 0),
        }
        processes = self.tell("nvmlDeviceGetComputeRunningProcesses")
        return Snapshot(
            throttle_ns={reason: values[number] for reason, number in THROTTLE.items() if number in values},
            temperature_c={k: float(v) for k, v in degrees.items() if v is not None},
            clock_hz={k: v * 1e6 for k, v in clocks.items() if v is not None},
            limit_w=self.limits_w,
            ecc={k: int(v) for k, v in ecc.items() if v is not None},
            processes=None if processes is None else tuple(int(p.pid) for p in processes),
        )
