"""What only Triton's own intermediate form says: partitions, bytes of bulk copies, shapes of tcgen05 products.

A bulk copy (TMA) and a product in Blackwell's tensor memory are single instructions whose sizes are operands; in the
TTGIR they are types. ``!ttg.memdesc<128x64xbf16, ...>`` is a tile of 128 x 64 elements.

A product of tcgen05 is cut into instructions of at most 128 rows (one block's share), 256 columns and 32 bytes of K:
K is 8 for tf32, 16 for 16-bit, 32 for 8-bit and 64 for 4-bit formats (PTX ISA, tcgen05.mma, shapes).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

_NUM_WARPS = re.compile(r'"ttg\.num-warps" = (\d+)')
_PARTITION = re.compile(r"^\s*partition\d+\(.*num_warps\((\d+)\)")
_LOOP = re.compile(r"\bscf\.(for|while)\b")
_MEMDESC = re.compile(r"!ttg\.memdesc<([\dx]+)x(\w+)")
_LOAD = re.compile(r"ttng\.async_tma_copy_global_to_local\b.*->\s*!ttg\.memdesc<([\dx]+)x(\w+)")
_STORE = re.compile(r"ttng\.async_tma_copy_local_to_global\b")
_SCALED = re.compile(r"\blhs = (\w+) rhs = (\w+)")
_BITS = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16, "i8": 8, "i16": 16, "i32": 32, "i64": 64}
_DTYPES = {"f32": "tf32", "bf16": "bf16", "f16": "fp16", "f8E4M3FN": "fp8_e4m3", "f8E5M2": "fp8_e5m2", "i8": "int8"}
_SCALED_DTYPES = {"e4m3": "fp8_e4m3", "e5m2": "fp8_e5m2", "e2m1": "fp4"}
_DEPTH = {"tf32": 8, "bf16": 16, "fp16": 16, "fp8_e4m3": 32, "fp8_e5m2": 32, "int8": 32, "fp4": 64}


@dataclass
class Partition:
    """One group of warps of a block: all of them, or a partition of a warp-specialised kernel.

    ``bulk_bytes`` is, for each loop with bulk loads of its own, how deep it lies (1: in no other) and their bytes in
    one iteration.
    """

    warps: int
    tensor: bool = False
    bulk_bytes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def bulk(self) -> bool:
        """Whether it loads by bulk copies."""
        return bool(self.bulk_bytes)


@dataclass(frozen=True)
class Facts:
    """``warps`` as asked for; ``partitions``, of which a kernel that is not specialised has one; ``product`` is
    (FLOP of one tcgen05 instruction, format), None without such or if they are of several shapes."""

    warps: int | None
    partitions: tuple[Partition, ...]
    product: tuple[int, str] | None


def facts(text: str) -> Facts:
    """Read a kernel's TTGIR; what cannot be recognised is left out."""
    asked = _NUM_WARPS.search(text)
    warps = int(asked[1]) if asked else None
    partitions = [Partition(warps or 0)]
    products: set[tuple[int, str] | None] = set()
    loops: list[tuple[int, int]] = []  # the indent of each loop around the line, and its bytes so far
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.lstrip().startswith("}"):
            while loops and loops[-1][0] >= indent:
                depth, moved = len(loops), loops.pop()[1]
                if moved:
                    partitions[-1].bulk_bytes.append((depth, moved))
        if partition := _PARTITION.match(line):
            partitions.append(Partition(int(partition[1])))
        elif _LOOP.search(line):
            loops.append((indent, 0))
        elif load := _LOAD.search(line):
            if loops:
                loops[-1] = (loops[-1][0], loops[-1][1] + _bytes(load[1], load[2]))
        elif "tc_gen5_mma" in line:
            partitions[-1].tensor = True
            products.add(_product(line))
        elif "warp_group_dot " in line or "tt.dot " in line:
            partitions[-1].tensor = True
    known = products.pop() if len(products) == 1 else None
    return Facts(warps, tuple(partitions), known)


def _bytes(shape: str, element: str) -> int:
    bits = _BITS.get(element, 8 if element.startswith("f8") else 0)
    return math.prod(map(int, shape.split("x"))) * bits // 8


def _product(line: str) -> tuple[int, str] | None:
    """FLOP of one instruction of a product, and its format; None if it is not of a known form."""
    tiles = _MEMDESC.findall(line.partition(" : ")[2])
    if len(tiles) < 3:
        return None
    dtype = _DTYPES.get(tiles[0][1], "")
    if scaled := _SCALED.search(line):
        names = [_SCALED_DTYPES.get(name, "") for name in scaled.groups()]
        dtype = "" if "" in names else max(names, key=lambda name: name.startswith("fp8"))
    rows, columns = map(int, tiles[2][0].split("x")[-2:])
    if dtype not in _DEPTH or "two_ctas" in line:
        return None
    return 2 * min(rows, 128) * min(columns, 256) * _DEPTH[dtype], dtype
