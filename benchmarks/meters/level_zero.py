"""Intel GPUs through the sysman interface of Level Zero: the energy counter of the card.

A device has several power domains that lie inside each other: the card, its package, its stacks (tiles), its memory.
The card is metered, where there is none the package, and nothing is ever added. The counter tells microjoules and a
time stamp in microseconds; both only grow, and the stamp serves for differences alone. The library is reached through
ctypes, so that nothing need be installed beside Intel's driver.
Source: the Level Zero specification (oneAPI), sysman power and PCI; zes_api.h.
"""

from __future__ import annotations

import ctypes
import os
import time
from ctypes import POINTER, byref, c_int32, c_int64, c_uint8, c_uint32, c_uint64, c_void_p

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Status, Unavailable

INSTALL = "install Intel's Level Zero loader and driver (Debian, Ubuntu: apt install libze1 libze-intel-gpu1)"
ACCESS = "add this user to the groups render and video, or ask the administrator for read access"
# ze_result_t codes that a single reading may meet, and what they mean for it; anything else loses the meter.
UNSUPPORTED, NO_PERMISSION = 0x78000003, 0x70010000
STATUS: dict[int, Status] = {UNSUPPORTED: "unsupported", NO_PERMISSION: "no_permission", 0x70010001: "stale"}
PCI_PROPERTIES, POWER_PROPERTIES, POWER_EXT_PROPERTIES = 0x2, 0xD, 0x28  # zes_structure_type_t
UNKNOWN, CARD, PACKAGE = 0, 1, 2  # zes_power_domain_t; stack, memory and GPU are parts and never stand for the board
PREFERRED = (CARD, UNKNOWN, PACKAGE)


class _Pci(ctypes.Structure):
    _fields_ = (
        ("stype", c_uint32),
        ("next", c_void_p),
        ("address", c_uint32 * 4),  # domain, bus, device, function
        ("speed", c_int32 * 2),
        ("bandwidth", c_int64),
        ("counters", c_uint8 * 3),
    )


class _Extended(ctypes.Structure):
    _fields_ = (("stype", c_uint32), ("next", c_void_p), ("domain", c_uint32), ("limit", c_void_p))


class _Power(ctypes.Structure):
    _fields_ = (
        ("stype", c_uint32),
        ("next", c_void_p),
        ("on_subdevice", c_uint8),
        ("subdevice", c_uint32),
        ("can_control", c_uint8),
        ("has_threshold", c_uint8),
        ("default_mw", c_int32),
        ("least_mw", c_int32),
        ("most_mw", c_int32),
    )


class _Energy(ctypes.Structure):
    _fields_ = (("energy_uj", c_uint64), ("stamp_us", c_uint64))


ARGUMENTS = {
    "zesInit": (c_uint32,),
    "zesDriverGet": (POINTER(c_uint32), c_void_p),
    "zesDeviceGet": (c_void_p, POINTER(c_uint32), c_void_p),
    "zesDeviceEnumPowerDomains": (c_void_p, POINTER(c_uint32), c_void_p),
    "zesDevicePciGetProperties": (c_void_p, POINTER(_Pci)),
    "zesPowerGetProperties": (c_void_p, POINTER(_Power)),
    "zesPowerGetEnergyCounter": (c_void_p, POINTER(_Energy)),
}


class _Refused(Exception):
    """A call that did not succeed; its ze_result_t."""

    def __init__(self, call: str, code: int) -> None:
        super().__init__(f"{call} answers {code:#x}")
        self.code = code


class _Library:
    """The calls that are used here, each raising :class:`_Refused`."""

    def __init__(self, path: str) -> None:
        self._loaded = ctypes.CDLL(path)
        for name, arguments in ARGUMENTS.items():
            function = getattr(self._loaded, name, None)
            if function is not None:
                function.argtypes, function.restype = arguments, c_uint32

    def call(self, name: str, *arguments: object) -> None:
        function = getattr(self._loaded, name, None)
        code = UNSUPPORTED if function is None else function(*arguments)
        if code:
            raise _Refused(name, code)

    def listed(self, name: str, *of: object) -> list[int]:
        """The handles that a call lists: asked for their number first, as the interface wants it."""
        count = c_uint32(0)
        self.call(name, *of, byref(count), None)
        if count.value == 0:
            return []
        handles = (c_void_p * count.value)()
        self.call(name, *of, byref(count), handles)
        return [handle for handle in handles[: count.value] if handle]


class LevelZero(Meter):
    """The card's energy in J since it was opened.

    ``path``: the loader library; ``board``: the index of a device to meter whatever runs the load.
    """

    scope = "device"

    def __init__(self, path: str = "libze_loader.so.1", poll_s: float = 0.05, board: int | None = None) -> None:
        if not isinstance(path, str) or not path:
            raise ValueError(f"meter.level_zero.path: {path!r} is not the name of a library")
        if isinstance(poll_s, bool) or not isinstance(poll_s, int | float) or not 0.001 <= poll_s <= 10:
            raise ValueError(f"meter.level_zero.poll_s: {poll_s!r} is not between 0.001 and 10 s")
        if board is not None and (isinstance(board, bool) or not isinstance(board, int) or board < 0):
            raise ValueError(f"meter.level_zero.board: {board!r} is neither null nor the index of a device")
        self.path, self.poll_s, self.board = path, poll_s, board

    def open(self, part: Part) -> Capabilities:
        """Find the device and its widest power domain, and read it once. Raises :class:`Unavailable`."""
        if part.type != "xpu" and self.board is None:
            remedy = "meter.level_zero.board=0 meters one all the same"
            raise Unavailable("the device under test is not an Intel GPU", remedy)
        try:
            self._library = _Library(self.path)
        except OSError as error:
            raise Unavailable(f"Level Zero: {error}", INSTALL) from None
        device, index = self._device(part)
        self._domain, properties, domain = self._choose(device)
        self._zero, self._last, self._lost = 0.0, float("-inf"), False
        first = self.read()
        if first.value is None:
            remedy = ACCESS if first.status == "no_permission" else ""
            raise Unavailable(f"Level Zero: device {index} does not tell its energy ({first.status})", remedy)
        self._zero = first.value
        package, boundary = self._package(device, index), "gpu_package" if domain == PACKAGE else "gpu"
        limit_mw = max(properties.default_mw, properties.most_mw)
        return Capabilities(
            name="level_zero",
            kind="energy",
            boundary=boundary,
            packages=(package,),
            period_s=0.1,  # not documented; the renewal of this board is found by `perwatt meter characterise`
            poll_s=self.poll_s,
            quantum=1e-6,
            accuracy_class="D",
            limit_w=limit_mw * 1e-3 if limit_mw > 0 else None,
            instrument=f"level_zero:{package}:{boundary}",
            facts={"call": "zesPowerGetEnergyCounter", "domain": {1: "card", 2: "package"}.get(domain, "not told")},
        )

    def _device(self, part: Part) -> tuple[int, int]:
        try:
            self._library.call("zesInit", 0)
            devices = [
                device
                for driver in self._library.listed("zesDriverGet")
                for device in self._library.listed("zesDeviceGet", driver)
            ]
        except _Refused as error:
            raise Unavailable(f"Level Zero: {error}", ACCESS if error.code == NO_PERMISSION else INSTALL) from None
        index = self.board if self.board is not None else _unmasked(part.index)
        if index >= len(devices):
            # each tile may be a device of torch's (ZE_FLAT_DEVICE_HIERARCHY), while sysman lists cards
            remedy = "meter.level_zero.board names the card by its place in sysman's list"
            raise Unavailable(f"Level Zero lists {len(devices)} devices; there is no device {index}", remedy)
        return devices[index], index

    def _choose(self, device: int) -> tuple[int, _Power, int]:
        """The handle, properties and kind of the widest domain."""
        try:
            handles = self._library.listed("zesDeviceEnumPowerDomains", device)
        except _Refused as error:
            remedy = ACCESS if error.code == NO_PERMISSION else INSTALL
            raise Unavailable(f"Level Zero: {error} ({STATUS.get(error.code, 'lost')})", remedy) from None
        if not handles:
            raise Unavailable("Level Zero: this device has no power domain", ACCESS)
        found: dict[int, tuple[int, _Power, int]] = {}
        for handle in handles:
            properties, domain = self._properties(handle)
            if not properties.on_subdevice:
                found.setdefault(domain, (handle, properties, domain))
        for domain in PREFERRED:
            if domain in found:
                return found[domain]
        raise Unavailable("Level Zero: this device tells the power of its parts, and none of the whole card")

    def _properties(self, handle: int) -> tuple[_Power, int]:
        """What a domain is. An old driver tells no kind; what it does not tell at all is taken to be the whole."""
        extended = _Extended(stype=POWER_EXT_PROPERTIES)
        for following in (ctypes.cast(byref(extended), c_void_p), None):
            properties = _Power(stype=POWER_PROPERTIES, next=following, default_mw=-1, most_mw=-1)
            try:
                self._library.call("zesPowerGetProperties", handle, byref(properties))
            except _Refused:
                continue
            return properties, int(extended.domain) if following else UNKNOWN
        return _Power(default_mw=-1, most_mw=-1), UNKNOWN

    def _package(self, device: int, index: int) -> str:
        told = _Pci(stype=PCI_PROPERTIES)
        try:
            self._library.call("zesDevicePciGetProperties", device, byref(told))
        except _Refused:
            return f"level-zero-{index}"
        domain, bus, place, _ = told.address
        return f"{domain:04x}:{bus:02x}:{place:02x}"

    def read(self) -> Reading:
        """One call into the driver; its error becomes the reading's status."""
        told = _Energy()
        status: Status = "ok"
        start = time.monotonic_ns()
        try:
            self._library.call("zesPowerGetEnergyCounter", self._domain, byref(told))
        except _Refused as error:
            status = STATUS.get(error.code, "lost")
        end = time.monotonic_ns()
        joules = told.energy_uj * 1e-6
        if status == "ok" and joules < self._last:  # reset: what came between is not known
            self._lost = True
        if self._lost:
            status = "lost"
        if status != "ok":
            return Reading((start + end) // 2, end - start, None, status)
        self._last = joules
        return Reading((start + end) // 2, end - start, joules - self._zero, status, told.stamp_us * 1000 or None)


def _unmasked(index: int) -> int:
    """Level Zero's number of the device that this process calls ``index``. Raises :class:`Unavailable`."""
    mask = os.environ.get("ZE_AFFINITY_MASK")
    if not mask:
        return index
    try:
        return int(mask.split(",")[index])
    except (ValueError, IndexError):
        reason = f"which device {index} of ZE_AFFINITY_MASK={mask!r} is cannot be told"
        raise Unavailable(reason, "set meter.level_zero.board") from None
