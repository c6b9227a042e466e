"""AMD packages as AMD SMI tells of them: found, described, and their state beside their power.

What draws power is a package; what is listed are its partitions. An MI300X cut into eight (CPX) is listed eight times
under one PCI bus and device, and only partition 0 can tell the power of them all. An MI250X is two devices of one
serial number, of which one tells the power of both and the other tells 0. So a package is known by its PCI (domain,
bus, device), is asked through its partition 0, and is never counted twice. HIP numbers devices differently from AMD
SMI: by HIP's number or UUID they are matched, not by their order. Releases before ROCm 7.2 are not thread safe: one
lock goes round every call.
Source: amdsmi.h and the partition guide of ROCm; the amdgpu driver of Linux.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from dataclasses import dataclass
from typing import Any

from perwatt.benchmarks.meters.meter import Part, Snapshot, Status, Unavailable

INSTALL = "pip install /opt/rocm/share/amd_smi (the copy of the ROCm release in use fits its driver best), or amdsmi"
DRIVER = "install the amdgpu driver; in a container, pass /dev/kfd and /dev/dri in"
LOCK = threading.RLock()

# AMD SMI status codes that a single reading may meet, and what they mean for it; anything else loses the meter.
STATUS: dict[int, Status] = {
    1: "unsupported",
    2: "unsupported",
    3: "unsupported",
    8: "stale",
    9: "stale",
    10: "no_permission",
    30: "stale",
    40: "stale",
}
ABSENT = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # "not known", in the width of the field
TEMPERATURES = {"gpu": "EDGE", "hotspot": "JUNCTION", "memory": "VRAM"}
CLOCKS = {"gfx": "GFX", "memory": "MEM"}
NOISE = (KeyError, AttributeError, OSError, ValueError, TypeError)  # what the binding raises where a release differs


def number(value: Any) -> float | None:
    """A number that the driver knows; None for "N/A" and for all bits set."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value in ABSENT:
        return None
    return float(value)


def binding() -> Any:
    """The module ``amdsmi``, initialised. Raises :class:`Unavailable`: its import fails in many ways, and prints."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            import amdsmi
    except ImportError:
        raise Unavailable("amdsmi is not installed", INSTALL) from None
    except (KeyError, AttributeError, OSError) as error:
        reason = f"amdsmi does not load: libamd_smi.so is missing or of another release ({error!r})"
        raise Unavailable(reason, INSTALL) from None
    try:
        with LOCK:  # never shut down: other meters of this process hold handles
            amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
    except (amdsmi.AmdSmiException, *NOISE) as error:
        raise Unavailable(f"AMD SMI: {_said(error)}", DRIVER) from None
    return amdsmi


def _said(error: Exception) -> str:
    return " ".join(str(error).split())


@dataclass(frozen=True)
class Device:
    """One entry of AMD SMI's list: a package, or a partition of one."""

    handle: Any
    package: str
    partition: int
    hip_id: int | None
    uuids: tuple[str, ...]
    serial: str


class Board:
    """The package behind a part, asked through its partition 0."""

    def __init__(self, part: Part, index: int | None = None) -> None:
        """Find the package of ``part``, or package ``index`` whatever runs the load. Raises :class:`Unavailable`."""
        if part.type != "cuda" and index is None:
            raise Unavailable("the device under test is not an AMD GPU", "meter.NAME.board=0 meters one all the same")
        self.smi = binding()
        self.device: Device | None = None
        try:
            with LOCK:
                handles = list(self.smi.amdsmi_get_processor_handles())
        except (self.smi.AmdSmiException, *NOISE) as error:
            raise Unavailable(f"AMD SMI: {_said(error)}", DRIVER) from None
        self.devices = [self._device(handle, place) for place, handle in enumerate(handles)]
        if not self.devices:
            raise Unavailable("AMD SMI lists no GPU", DRIVER)
        self.package = self._by_index(index) if index is not None else self._by_part(part)
        self._ask_through(self.package)

    def _device(self, handle: Any, place: int) -> Device:
        bdf = str(self.tell("amdsmi_get_gpu_device_bdf", on=handle) or f"gpu-{place}")
        package, _, function = bdf.partition(".")
        kfd = self.tell("amdsmi_get_gpu_kfd_info", on=handle) or {}
        partition = number(kfd.get("current_partition_id"))
        if partition is None:
            partition = float(function) if function.isdigit() else 0.0
        listed = self.tell("amdsmi_get_gpu_enumeration_info", on=handle) or {}
        hip_id = number(listed.get("hip_id"))
        uuids = (listed.get("hip_uuid"), self.tell("amdsmi_get_gpu_device_uuid", on=handle), bdf)
        serial = str((self.tell("amdsmi_get_gpu_asic_info", on=handle) or {}).get("asic_serial") or "")
        return Device(
            handle=handle,
            package=package,
            partition=int(partition),
            hip_id=None if hip_id is None else int(hip_id),
            uuids=tuple(str(uuid).lower() for uuid in uuids if uuid),
            serial="" if serial == "N/A" or not serial.lower().removeprefix("0x").strip("0") else serial,
        )

    def _by_index(self, index: int) -> str:
        packages = list(dict.fromkeys(device.package for device in self.devices))
        if index >= len(packages):
            raise Unavailable(f"AMD SMI lists {len(packages)} packages; there is no package {index}")
        return packages[index]

    def _by_part(self, part: Part) -> str:
        wanted = _uuids(part.uuid)
        named = {device.package for device in self.devices if wanted.intersection(device.uuids)}
        if len(named) == 1:
            return named.pop()
        if _foreign(part.uuid):
            raise Unavailable("the device under test is not an AMD GPU", "meter.NAME.board=0 meters one all the same")
        index = _unmasked(part.index)
        if any(device.hip_id is not None for device in self.devices):
            counted = [device.package for device in self.devices if device.hip_id == index]
        else:
            counted = [device.package for device in self.devices][index : index + 1]
        if not counted:
            remedy = "meter.NAME.board=0 (or another index) meters a board by its place in AMD SMI's list"
            raise Unavailable(f"AMD SMI does not know HIP device {index}", remedy)
        return counted[0]

    def _ask_through(self, package: str) -> None:
        first = [device for device in self.devices if device.package == package and device.partition == 0]
        if not first:
            reason = f"only partition 0 of {package} tells its power, and it is not visible here"
            raise Unavailable(reason, "pass every partition of the board into the container")
        self.device, self.package = first[0], package

    def siblings(self) -> list[str]:
        """Other devices with the serial number of this package: the dies that share its power."""
        assert self.device is not None
        serial, mine = self.device.serial, self.package
        return list(
            dict.fromkeys(d.package for d in self.devices if serial and d.serial == serial and d.package != mine)
        )

    def move_to(self, package: str) -> None:
        """Ask through another die of the same package from now on."""
        self._ask_through(package)

    def ask(self, call: str, *arguments: Any, on: Any = None) -> Any:
        """One call under the lock; raises amdsmi's AmdSmiException and what the binding lets through."""
        handle = on if on is not None or self.device is None else self.device.handle
        with LOCK:
            return getattr(self.smi, call)(handle, *arguments)

    def tell(self, call: str, *arguments: Any, on: Any = None) -> Any:
        """As :meth:`ask`, but None for whatever the driver does not tell."""
        try:
            return self.ask(call, *arguments, on=on)
        except (self.smi.AmdSmiException, *NOISE):
            return None

    @property
    def limits_w(self) -> dict[str, float]:
        """Power limits in W: enforced now, and the board's default. AMD SMI tells microwatts."""
        told = self.tell("amdsmi_get_power_cap_info") or {}
        found = {"enforced": number(told.get("power_cap")), "default": number(told.get("default_power_cap"))}
        return {name: value * 1e-6 for name, value in found.items() if value}

    def facts(self) -> dict[str, str]:
        """What identifies the package and the state that it was measured in."""
        assert self.device is not None
        asic = self.tell("amdsmi_get_gpu_asic_info") or {}
        driver = self.tell("amdsmi_get_gpu_driver_info") or {}
        found = {
            "board": asic.get("market_name"),
            "driver": driver.get("driver_version"),
            "compute_partition": self.tell("amdsmi_get_gpu_compute_partition"),
            "partitions": sum(device.package == self.package for device in self.devices),
            "amdsmi": getattr(self.smi, "__version__", None),
            **{f"limit_{name}_w": watts for name, watts in self.limits_w.items()},
        }
        return {name: str(value) for name, value in found.items() if value not in (None, "", "N/A")}

    def snapshot(self) -> Snapshot:
        """Temperatures, clocks, limits, ECC counts and processes, as far as this release tells."""
        degrees = {name: self._degrees(which) for name, which in TEMPERATURES.items()}
        clocks = {name: self._mhz(which) for name, which in CLOCKS.items()}
        counted = self.tell("amdsmi_get_gpu_total_ecc_count") or {}
        ecc = {
            name[: -len("able")] + "ed": number(counted.get(f"{name}_count"))
            for name in ("correctable", "uncorrectable")
        }
        return Snapshot(
            temperature_c={name: value for name, value in degrees.items() if value is not None},
            clock_hz={name: value * 1e6 for name, value in clocks.items() if value is not None},
            limit_w=self.limits_w,
            ecc={name: int(value) for name, value in ecc.items() if value is not None},
            processes=self._processes(),
        )

    def _degrees(self, which: str) -> float | None:
        try:
            kind, now = self.smi.AmdSmiTemperatureType[which], self.smi.AmdSmiTemperatureMetric.CURRENT
        except NOISE:
            return None
        value = number(self.tell("amdsmi_get_temp_metric", kind, now))
        return value if value is not None and 0 < value < 200 else None

    def _mhz(self, which: str) -> float | None:
        try:
            kind = self.smi.AmdSmiClkType[which]
        except NOISE:
            return None
        return number((self.tell("amdsmi_get_clock_info", kind) or {}).get("clk"))

    def _processes(self) -> tuple[int, ...] | None:
        """Those of every partition: they share the package's power."""
        lists = [
            self.tell("amdsmi_get_gpu_process_list", on=d.handle) for d in self.devices if d.package == self.package
        ]
        known = [entry for entries in lists if entries is not None for entry in entries]
        if all(entries is None for entries in lists):
            return None
        return tuple(sorted({int(entry["pid"]) for entry in known if isinstance(entry, dict) and entry.get("pid")}))


def _uuids(uuid: str) -> set[str]:
    """The ways to write a device's UUID: torch prints HIP's sixteen characters as if they were sixteen raw bytes."""
    if not uuid:
        return set()
    ways = {uuid.lower(), f"gpu-{uuid.lower()}"}
    with contextlib.suppress(ValueError):  # not hexadecimal, or not text behind it
        ways.add("gpu-" + bytes.fromhex(uuid.replace("-", "")).decode("ascii").lower())
    return ways


def _foreign(uuid: str) -> bool:
    """Whether a UUID is sixteen bytes that are no text: HIP's are text, another vendor's are not."""
    try:
        raw = bytes.fromhex(uuid.replace("-", ""))
    except ValueError:
        return False
    return len(raw) == 16 and not raw.isascii()


def _unmasked(index: int) -> int:
    """HIP's number of the device that this process calls ``index``. Raises :class:`Unavailable`."""
    masks = [os.environ.get("HIP_VISIBLE_DEVICES") or os.environ.get("CUDA_VISIBLE_DEVICES")]
    masks.append(os.environ.get("ROCR_VISIBLE_DEVICES"))
    for mask in filter(None, masks):
        try:
            index = int(mask.split(",")[index])
        except (ValueError, IndexError):
            raise Unavailable(
                f"which device {index} of the visible {mask!r} is cannot be told", "set meter.NAME.board"
            ) from None
    return index
