"""Message sizes: how they are written, how they are shared out over ranks, and how they are printed.

Sizes are powers of two in bytes in the whole field, so the units are binary; rates are decimal (GB = 1e9 B). "MB" is
refused rather than guessed at: nccl-tests reads ``64M`` as 64 MiB and prints GB/s of 1e9.
"""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_ALIGNMENT_BYTES = 16


def parse_bytes(kernel: str, key: str, value: object) -> int:
    """``value``, a positive integer or text such as ``64KiB``, in bytes; ValueError for anything else."""
    size = 0
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", value)):
        size = int(match[1]) * _UNITS.get(match[2], 0)
    if size < 1:
        units = ", ".join(unit for unit in _UNITS if unit)
        raise ValueError(f"{kernel}.{key}: {value!r} is neither a positive integer nor a size with one of {units}")
    return size


def format_bytes(size: int) -> str:
    """``16 MiB``; exact where the size is a whole number of the unit, else to four digits."""
    number, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.4g} {unit}"


def share_elements(elements: int, itemsize: int, ranks: int) -> int:
    """Elements of one rank's share of a message, rounded down to a multiple of 16 bytes.

    nccl-tests rounds so in all_gather, reduce_scatter and alltoall (its GetCollByteCount functions), which keeps each
    share aligned for vector loads, and takes the message to be what is left. Sizes are compared by that.
    """
    step = max(1, _ALIGNMENT_BYTES // itemsize)
    return elements // ranks // step * step
