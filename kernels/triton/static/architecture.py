"""The limits of one GPU architecture, as far as a compiled kernel alone can be judged by them.

The numbers are data: ``conf/triton/ARCHITECTURE.yaml`` holds each with its unit and its source under the key
``architecture``, and this turns such a mapping into an :class:`Architecture`. A *core* is a streaming multiprocessor
(NVIDIA) or a compute unit (AMD), a *scheduler* one of its four partitions or SIMDs, a *warp* a wave there, a *block* a
thread block or a workgroup. What is absent is unknown, and what would follow from it stays unknown too.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeGuard

from perwatt.kernels.triton.static.operations import Vendor


@dataclass(frozen=True)
class Architecture:
    """What one core holds and does.

    ``shared_*`` in bytes: what a block may have, what a core has, what the driver keeps of it for each block, and the
    unit of allocation. Registers are 32 bits wide, counted over all lanes: a warp takes ``warp_size`` times those of a
    thread, rounded up to ``register_granularity``, from the ``registers_per_core / schedulers`` of one scheduler.
    ``issue_clocks`` is how long a scheduler is taken by one instruction; with ``issue_vector_only`` by one vector
    instruction, others going beside it. ``tensor_flops`` maps a format to dense FLOP per clock of a core (``int8``:
    OP), ``fma_flops`` is the same of its fp32 lanes, a fused multiply-add counted as two.
    """

    name: str
    vendor: Vendor
    shared_per_block: int
    shared_per_core: int
    shared_reserved: int
    shared_granularity: int
    registers_per_core: int
    registers_per_thread: int
    register_granularity: int
    warps_per_core: int
    blocks_per_core: int
    warp_size: int
    schedulers: int
    issue_clocks: int | None = None
    issue_vector_only: bool = False
    fma_flops: int | None = None
    tensor_flops: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, node: object, where: str) -> Architecture:
        """The architecture that a YAML's mapping describes; ValueError of one line, with ``where``, for a wrong one."""
        found = _keys(node, tuple(_UNITS) + _PLAIN, where)
        absent = [key for key in _REQUIRED if key not in found]
        if absent:
            raise ValueError(f"{where}: {', '.join(absent)}: missing")
        values: dict[str, Any] = {}
        for key, value in found.items():
            if key == "tensor_flops":
                rates = _keys(value, _FORMATS, f"{where}.{key}")
                unit = _UNITS[key]
                values[key] = {
                    dtype: _value(rate, "OP" if dtype == "int8" else unit, f"{where}.{key}.{dtype}")
                    for dtype, rate in rates.items()
                }
            elif key in _UNITS:
                values[key] = _value(value, _UNITS[key], f"{where}.{key}", least=0 if key == "shared_reserved" else 1)
            else:
                values[key] = value
        if not isinstance(values["name"], str) or values["vendor"] not in ("NVIDIA", "AMD"):
            raise ValueError(f"{where}: name must be a string and vendor NVIDIA or AMD")
        if not isinstance(values.get("issue_vector_only", False), bool):
            raise ValueError(f"{where}.issue_vector_only: true or false is needed")
        return cls(**values)


_FORMATS = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "int8", "fp4")
_PLAIN = ("name", "vendor", "issue_vector_only")
_UNITS = {
    "shared_per_block": "B",
    "shared_per_core": "B",
    "shared_reserved": "B",
    "shared_granularity": "B",
    "registers_per_core": "registers",
    "registers_per_thread": "registers",
    "register_granularity": "registers",
    "warps_per_core": "warps",
    "blocks_per_core": "blocks",
    "warp_size": "lanes",
    "schedulers": "schedulers",
    "issue_clocks": "clocks",
    "fma_flops": "FLOP",
    "tensor_flops": "FLOP",
}
_REQUIRED = tuple(f.name for f in fields(Architecture) if f.default is MISSING and f.default_factory is MISSING)


def _value(node: object, unit: str, where: str, least: int = 1) -> int:
    """The value of ``{value, unit, source}``, a whole number in ``unit``."""
    found = _keys(node, ("value", "unit", "source"), where)
    value, source = found.get("value"), found.get("source")
    sourced = isinstance(source, str) and source.strip() != ""
    if not _whole(value) or value < least or found.get("unit") != unit or not sourced:
        raise ValueError(f"{where}: a whole value of at least {least} in {unit} with a source is needed, not {node}")
    return int(value)


def _whole(value: Any) -> TypeGuard[int | float]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value % 1 == 0


def _keys(node: object, keys: tuple[str, ...], where: str) -> Mapping[str, Any]:
    if not isinstance(node, Mapping):
        raise ValueError(f"{where}: keys and values are needed, not {node!r}")
    for key in node:
        if key not in keys:
            nearest = difflib.get_close_matches(str(key), keys, 1)
            raise ValueError(f"{where}: unknown key {key!r}" + (f", is {nearest[0]!r} meant?" if nearest else ""))
    return node
