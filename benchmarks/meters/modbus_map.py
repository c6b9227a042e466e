"""From 16-bit registers to W and J: what a maker's register map says of one value.

Modbus carries registers in big-endian order and knows no larger number. Makers put 32 and 64 bits into two and four of
them, with the high word first (most) or last, and a few swap the bytes as well. A meter that has no value answers NaN
or, where it follows SunSpec, the largest or the most negative number of its type.
Source: Modbus Application Protocol Specification V1.1b3; IEEE 754 for float32; SunSpec Device Information Model.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perwatt.benchmarks.meters.facility import UNITS, choice, number, whole
from perwatt.benchmarks.meters.meter import Kind

# struct code, registers, and the raw value that means "no value" for makers who follow SunSpec
TYPES: dict[str, tuple[str, int, int | None]] = {
    "float32": (">f", 2, None),
    "float64": (">d", 4, None),
    "int16": (">h", 1, -(1 << 15)),
    "uint16": (">H", 1, (1 << 16) - 1),
    "int32": (">i", 2, -(1 << 31)),
    "uint32": (">I", 2, (1 << 32) - 1),
    "uint64": (">Q", 4, (1 << 64) - 1),
}
ORDERS = ("big", "little")


@dataclass(frozen=True)
class Register:
    """One value of the map: where it stands, what it looks like, and how many W or J one count is."""

    name: str
    address: int
    device_id: int
    function: int
    type: str
    word_order: str
    byte_order: str
    si: float

    def decode(self, registers: Sequence[int]) -> float | None:
        """The number in W or J, None where the meter says that it has none. Raises ValueError for too few or many."""
        code, count, absent = TYPES[self.type]
        if len(registers) != count:
            raise ValueError(f"{len(registers)} registers instead of {count}")
        words = registers if self.word_order == "big" else list(reversed(registers))
        order = ">" if self.byte_order == "big" else "<"
        raw = struct.unpack(code, struct.pack(f"{order}{count}H", *words))[0]
        return None if raw == absent or not math.isfinite(raw) else raw * self.si

    def quantum(self, value: float) -> float:
        """The step of this register near ``value`` W or J: one count, or the last bit of a float."""
        if self.type == "float64":
            return math.ulp(value / self.si) * self.si
        if self.type == "float32":
            exponent = math.frexp(abs(value / self.si))[1]
            return math.ldexp(1.0, max(exponent - 24, -149)) * self.si
        return self.si


def read_map(at: str, node: Mapping[str, Any], common: Mapping[str, Any], kind: Kind) -> Register:
    """One entry of the map with what it inherits from the meter. Raises ValueError."""
    allowed = ("name", "address", *common)
    if not isinstance(node, Mapping) or (unknown := [key for key in node if key not in allowed]):
        found = unknown[0] if isinstance(node, Mapping) else node
        raise ValueError(f"{at}: found {found!r}, allowed the keys {', '.join(allowed)}")
    has = {**common, **node}
    unit = choice(f"{at}.unit", has["unit"], tuple(UNITS[kind]))
    return Register(
        name=str(has.get("name") or f"register {has.get('address')}"),
        address=whole(f"{at}.address", has.get("address"), 0, 65535),
        device_id=whole(f"{at}.device_id", has["device_id"], 0, 255),
        function=whole(f"{at}.function", has["function"], 3, 4),
        type=choice(f"{at}.type", has["type"], tuple(TYPES)),
        word_order=choice(f"{at}.word_order", has["word_order"], ORDERS),
        byte_order=choice(f"{at}.byte_order", has["byte_order"], ORDERS),
        si=number(f"{at}.scale", has["scale"], 1e-9, 1e9) * UNITS[kind][unit],
    )
