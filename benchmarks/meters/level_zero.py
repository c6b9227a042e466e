"""Intel GPUs through Level Zero's Sysman: the energy counter of the card, by ctypes, without any binding.

A device has power domains: one that is not on a sub-device is the card (or, on parts without one, the package), those
on sub-devices are tiles inside it and are never added. A counter is microjoules with a time stamp in microseconds, both
of an epoch of their own. The kernel's own counters (``meter=xe``) need no library at all.
Source: Level Zero specification, Sysman programming guide and zes_api.h.
"""

from __future__ import annotations

import ctypes
import os
import time
from ctypes import byref, c_bool, c_char, c_int32, c_uint32, c_uint64, c_void_p
from typing import Any

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Status, Unavailable
from perwatt.benchmarks.meters.sysfs import number

INSTALL = "install Intel's compute runtime with Level Zero (libze1 of Intel's repositories), or use meter=xe"
OK = 0
STATUS: dict[int, Status] = {
    0x70000001: "lost",  # ZE_RESULT_ERROR_DEVICE_LOST
    0x70010000: "no_permission",  # ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS
    0x70010001: "stale",  # ZE_RESULT_ERROR_NOT_AVAILABLE
    0x78000003: "unsupported",  # ZE_RESULT_ERROR_UNSUPPORTED_FEATURE
}
POWER_PROPERTIES = 0x13  # ZES_STRUCTURE_TYPE_POWER_PROPERTIES
PCI_PROPERTIES = 0x2  # ZES_STRUCTURE_TYPE_PCI_PROPERTIES


class _Energy(ctypes.Structure):
    _fields_ = [("energy_uj", c_uint64), ("timestamp_us", c_uint64)]


class _PowerProperties(ctypes.Structure):
    _fields_ = [
        ("stype", c_int32),
        ("next", c_void_p),
        ("on_subdevice", c_bool),
        ("subdevice", c_uint32),
        ("can_control", c_bool),
        ("threshold", c_bool),
        ("default_mw", c_int32),
        ("min_mw", c_int32),
        ("max_mw", c_int32),
    ]


class _PciProperties(ctypes.Structure):
    _fields_ = [
        ("stype", c_int32),
        ("next", c_void_p),
        ("domain", c_uint32),
        ("bus", c_uint32),
        ("device", c_uint32),
        ("function", c_uint32),
        ("rest", c_char * 128),
    ]


class LevelZero(Meter):
    """The card's energy counter. ``board`` meters that device whatever runs the load; ``library`` is the loader."""

    scope = "device"

    def __init__(self, board: int | None = None, library: str = "libze_loader.so.1", poll_s: float = 0.05) -> None:
        if board is not None:
            number("level_zero", "board", board, 0, 1024)
        number("level_zero", "poll_s", poll_s, 0.005, 10)
        self.board, self.library, self.poll_s = board, library, poll_s

    def open(self, part: Part) -> Capabilities:
        """Find the device and its card domain, and read it once. Raises :class:`Unavailable`."""
        if part.type != "xpu" and self.board is None:
            raise Unavailable(
                "the device under test is not an Intel GPU", "meter.level_zero.board=0 meters one all the same"
            )
        self._load()
        devices = self._devices()
        index = part.index if self.board is None else self.board
        if index >= len(devices):
            raise Unavailable(f"Level Zero knows {len(devices)} devices, not one of index {index}")
        self._domain, properties = self._card(devices[index])
        self._zero = self._last = 0.0
        first = self.read()
        if first.value is None:
            remedy = "as root, or the group that owns /dev/dri/renderD*" if first.status == "no_permission" else ""
            raise Unavailable(f"Level Zero: the card's counter is {first.status}", remedy)
        self._zero = first.value
        address = self._address(devices[index]) or f"device-{index}"
        limit_w = properties.default_mw / 1000 if properties.default_mw > 0 else None
        return Capabilities(
            name="level_zero",
            kind="energy",
            boundary="gpu",
            packages=(address,),
            period_s=0.001,
            poll_s=self.poll_s,
            quantum=1e-6,
            accuracy_class="D",
            limit_w=limit_w,
            instrument=f"level_zero:{address}",
        )

    def _load(self) -> None:
        try:
            self._ze = ctypes.CDLL(self.library)
        except OSError as error:
            raise Unavailable(f"Level Zero: {error}", INSTALL) from None
        if hasattr(self._ze, "zesInit"):
            code = self._ze.zesInit(0)
        elif hasattr(self._ze, "zeInit"):  # a loader older than zesInit has Sysman behind a variable
            os.environ["ZES_ENABLE_SYSMAN"] = "1"
            code = self._ze.zeInit(0)
        else:
            raise Unavailable(f"{self.library}: not a Level Zero loader", INSTALL)
        if code != OK:
            raise Unavailable(f"Level Zero does not start (0x{code & 0xFFFFFFFF:x})", INSTALL)

    def _handles(self, call: str, owner: Any = None) -> list[c_void_p]:
        """What an enumerating call returns: asked first for the number, then for the handles."""
        function = getattr(self._ze, call, None)
        if function is None:
            raise Unavailable(f"{self.library} lacks {call}", INSTALL)
        count = c_uint32(0)
        first = () if owner is None else (owner,)
        if function(*first, byref(count), None) != OK or count.value == 0:
            return []
        handles = (c_void_p * count.value)()
        return [c_void_p(h) for h in handles[: count.value]] if function(*first, byref(count), handles) == OK else []

    def _devices(self) -> list[c_void_p]:
        return [device for driver in self._handles("zesDriverGet") for device in self._handles("zesDeviceGet", driver)]

    def _card(self, device: c_void_p) -> tuple[c_void_p, _PowerProperties]:
        """The domain that is on no sub-device."""
        for domain in self._handles("zesDeviceEnumPowerDomains", device):
            properties = _PowerProperties(stype=POWER_PROPERTIES)
            if self._ze.zesPowerGetProperties(domain, byref(properties)) == OK and not properties.on_subdevice:
                return domain, properties
        raise Unavailable("Level Zero: this device has no power domain of the card", INSTALL)

    def _address(self, device: c_void_p) -> str:
        found = _PciProperties(stype=PCI_PROPERTIES)
        call = getattr(self._ze, "zesDevicePciGetProperties", None)
        if call is None or call(device, byref(found)) != OK:
            return ""
        return f"{found.domain:04x}:{found.bus:02x}:{found.device:02x}.{found.function:x}"

    def read(self) -> Reading:
        """Joules since opened, and the driver's own stamp, good for differences only."""
        start = time.monotonic_ns()
        said = _Energy()
        code = self._ze.zesPowerGetEnergyCounter(self._domain, byref(said)) & 0xFFFFFFFF
        end = time.monotonic_ns()
        status: Status = "ok" if code == OK else STATUS.get(code, "lost")
        raw = said.energy_uj * 1e-6
        if status == "ok" and raw < self._last:  # the driver was loaded anew
            status = "lost"
        if status != "ok":
            return Reading((start + end) // 2, end - start, None, status)
        self._last = raw
        return Reading((start + end) // 2, end - start, raw - self._zero, "ok", said.timestamp_us * 1000)
