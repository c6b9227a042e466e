"""What a node runs, by its ``environment.json``: versions of driver, VBIOS, firmware, kernel and packages by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import msgspec

from perwatt.results.fleet.plain import decoded

Kind = Literal["driver", "vbios", "firmware", "kernel", "packages"]
KINDS: tuple[Kind, ...] = get_args(Kind)
AT_ONCE = 16  # files of a network's disk come as fast as they are asked for


@dataclass(frozen=True)
class Machine:
    """``devices``: the names of its devices; ``versions``: of each kind the version of each name, as far as told."""

    devices: tuple[str, ...] = ()
    versions: Mapping[Kind, Mapping[str, str]] = field(default_factory=dict)


class _Device(msgspec.Struct):
    name: str = ""


class _Meter(msgspec.Struct):
    name: str
    driver: str = ""
    vbios: str = ""


class _Environment(msgspec.Struct):
    devices: tuple[_Device, ...] = ()
    meters: tuple[_Meter, ...] = ()
    kernel: str | None = None
    packages: dict[str, str] = {}
    firmware: dict[str, str] = {}


def read(path: Path) -> Machine | None:
    """What a node said of itself; None if it said nothing. Raises ValueError for a file that cannot be understood."""
    if (found := decoded(path, _Environment, "what a run writes of its machine")) is None:
        return None
    versions: dict[Kind, dict[str, str]] = {
        "driver": {meter.name: meter.driver for meter in found.meters if meter.driver},
        "vbios": {meter.name: meter.vbios for meter in found.meters if meter.vbios},
        "firmware": found.firmware,
        "kernel": {"kernel": found.kernel} if found.kernel else {},
        "packages": found.packages,
    }
    return Machine(tuple(device.name for device in found.devices), versions)


def read_all(paths: Iterable[Path]) -> list[Machine | None]:
    """Of many nodes, in their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(read, paths, chunksize=64))
