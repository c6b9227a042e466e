"""Hardware targets: which published peaks belong to the device at hand. Data, never ``if "h100" in name``.

``conf/target/`` holds one YAML file a target: its peaks, each with unit and source, and under ``match`` what a driver
reports for it. A device is recognised if every condition of one entry holds; a condition on something that the driver
did not report does not hold. Unknown hardware matches nothing, and then there is no peak to compare with.

New hardware is a new file, in the package or in a directory of the user's; there a file replaces the shipped target of
the same name. A wrong file is refused with a ValueError of one line that names the file and the key.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import msgspec

from perwatt.benchmarks import documents
from perwatt.kernels.dtypes import NAMES
from perwatt.results.record import Device, Quantity, Target

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
# What a peak may be stated for: the formats that perwatt computes in.
_PEAK_UNITS = dict.fromkeys((*NAMES, "fp4"), "FLOP/s") | {"int8": "OP/s"}
_AUTO = "auto.yaml"  # stands among the targets in the configuration: the choice to recognise the device
_UNITS = {"memory_bandwidth": "B/s", "memory": "B", "tdp": "W", "llc": "B", "cores": "cores"}


class Match(msgspec.Struct, frozen=True):
    """Conditions on a device, all of which must hold; None asks for nothing.

    ``name`` is the exact string, ``pattern`` a regular expression for all of it; ``arch`` is without the features that
    ROCm appends after a colon. ``cores`` are SMs or compute units: a device with fewer is a slice, not the target.
    """

    type: str | None = None
    vendor: str | None = None
    name: str | None = None
    pattern: str | None = None
    arch: str | None = None
    cores: int | None = None
    memory_gib_min: float | None = None
    memory_gib_max: float | None = None

    def __post_init__(self) -> None:
        re.compile(self.pattern or "")  # a wrong one is refused now, not when the first device is met
        if all(getattr(self, field) is None for field in self.__struct_fields__):
            raise ValueError("asks for nothing, so every device would match")

    def holds(self, device: Device) -> bool:
        """Whether ``device`` meets every condition."""
        gib = math.nan if device.memory_bytes is None else device.memory_bytes / 2**30  # nan is in no range
        return (
            self.type in (None, device.type)
            and self.vendor in (None, device.vendor)
            and self.name in (None, device.name)
            and (self.pattern is None or re.fullmatch(self.pattern, device.name) is not None)
            and self.arch in (None, device.arch.partition(":")[0])
            and self.cores in (None, device.cores)
            and (self.memory_gib_min is None or gib >= self.memory_gib_min)
            and (self.memory_gib_max is None or gib <= self.memory_gib_max)
        )


class TargetFile(msgspec.Struct, frozen=True):
    """One file: the target, the entries that select it, and where it was read, for messages."""

    target: Target
    match: tuple[Match, ...]
    path: str


def load_targets(extra_dirs: Iterable[str | Path] = ()) -> list[TargetFile]:
    """All targets, in order of name; a later file replaces an earlier one of its name. ValueError for a wrong one."""
    found: dict[str, TargetFile] = {}
    for directory in (files("perwatt.conf") / "target", *map(Path, extra_dirs)):
        if not directory.is_dir():
            raise ValueError(f"{directory}: no such directory of targets")
        found |= {p.name: _read(p) for p in directory.iterdir() if p.name.endswith(".yaml") and p.name != _AUTO}
    return [found[name] for name in sorted(found)]


def recognise(device: Device, targets: Sequence[TargetFile]) -> Target | None:
    """The target that ``device`` is; None if it is none of them, ValueError if two files claim it."""
    claims = [file for file in targets if any(entry.holds(device) for entry in file.match)]
    if len(claims) > 1:
        raise ValueError(f"{device.name!r} is matched by {' and by '.join(c.path for c in claims)}: make one narrower")
    return claims[0].target if claims else None


def target_named(name: str, targets: Sequence[TargetFile]) -> Target:
    """The target called ``name``; ValueError with the choices if there is none."""
    named = {file.target.name: file.target for file in targets}
    if name in named:
        return named[name]
    raise ValueError(f"no target {name!r}: choose from {', '.join(named)}")


def _read(path: Traversable) -> TargetFile:
    node = documents.read(path)
    fields = _mapping(node, ("match", *Target.__struct_fields__), str(path))
    peaks = _mapping(fields.get("peak_flops", {}), _PEAK_UNITS, f"{path}: peak_flops")
    for dtype, quantity in peaks.items():
        _check(quantity, _PEAK_UNITS[dtype], f"{path}: peak_flops.{dtype}")
    for key in _UNITS.keys() & fields.keys():
        _check(fields[key], _UNITS[key], f"{path}: {key}")
    entries = fields.pop("match", None)
    target = _struct(Target, fields, str(path))
    if target.name != path.name.removesuffix(".yaml"):
        raise ValueError(f"{path}: name: {target.name!r} must be the name of the file")
    if not isinstance(entries, list):
        raise ValueError(f"{path}: match: a list of what drivers report for this target is needed")
    match = tuple(_struct(Match, entry, f"{path}: match[{i}]") for i, entry in enumerate(entries))
    return TargetFile(target, match, str(path))


def _check(node: object, unit: str, where: str) -> None:
    quantity = _struct(Quantity, node, where)
    if quantity.unit != unit or not 0 < quantity.value < math.inf or not quantity.source.strip():
        raise ValueError(f"{where}: a value above 0 in {unit} with a source is needed, not {node}")


def _struct(kind: type[_Struct], node: object, where: str) -> _Struct:
    try:
        return msgspec.convert(_mapping(node, kind.__struct_fields__, where), kind)
    except (msgspec.ValidationError, re.error) as error:
        raise ValueError(f"{where}: {error}") from None


def _mapping(node: object, keys: Collection[str], where: str) -> dict[str, object]:
    """``node`` if it is a mapping with no other keys than ``keys``; else ValueError, with the nearest key that is."""
    if not isinstance(node, dict):
        raise ValueError(f"{where}: keys and values are needed, not {node!r}")
    for key in node:
        if key not in keys:
            nearest = difflib.get_close_matches(str(key), keys, 1)
            raise ValueError(f"{where}: unknown key {key!r}" + (f", is {nearest[0]!r} meant?" if nearest else ""))
    return node
