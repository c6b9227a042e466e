"""Clocks below which one iteration of a loop cannot take on a core, for each thing that it needs.

For one block that has the core to itself:

* tensor: FLOP of its matrix instructions / the core's dense FLOP per clock in that format;
* issue: instructions x warps that run them x clocks of one / schedulers. All are counted, predicated off or not;
* memory: bytes of its loads and stores / the bytes per clock of global memory that are a core's share.

The largest binds. These are floors, not forecasts: latency, bank conflicts, throttling and the rest of the kernel come
on top, and several blocks on one core share what it has. Tiles that several blocks read come from the L2 cache: unless
:class:`Memory` is told how often a fetched byte is used, the memory floor of such a loop is too high.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perwatt.kernels.triton.static.architecture import Architecture


@dataclass(frozen=True)
class Memory:
    """Global memory as one core sees it. ``bandwidth`` in B/s of the whole device, ``clock_hz`` that of its cores.

    ``reuse`` is how often a byte is loaded by some block for each time that it comes from memory: the bytes that all
    blocks load together over those of the operands, each once. 1 where every byte is used once.
    """

    bandwidth: float
    cores: int
    clock_hz: float
    reuse: float = 1.0

    @property
    def bytes_per_clock(self) -> float:
        """Bytes that a core can load in one clock."""
        return self.bandwidth / (self.cores * self.clock_hz) * self.reuse


@dataclass(frozen=True)
class Floors:
    """Clocks of one iteration and block; None where something is not known, 0 where there is nothing to do.

    ``binds`` names the largest: ``tensor``, ``issue`` or ``memory``; empty if none is known.
    """

    tensor: float | None
    issue: float | None
    memory: float | None
    binds: str


def floors(
    architecture: Architecture,
    flops: Mapping[str, int] | None,
    issued: int,
    warps: int | None,
    moved_bytes: int | None,
    memory: Memory | None = None,
) -> Floors:
    """The floors of one iteration.

    ``flops`` of matrix instructions by format (None: not known), ``issued`` instructions of one warp, ``warps`` that
    run the loop, ``moved_bytes`` to and from global memory, each by one block.
    """
    a = architecture
    tensor: float | None = None
    if flops is not None and all(dtype in a.tensor_flops for dtype in flops):
        tensor = sum(amount / a.tensor_flops[dtype] for dtype, amount in flops.items())
    issue = issued * warps * a.issue_clocks / a.schedulers if warps is not None and a.issue_clocks else None
    moved = moved_bytes / memory.bytes_per_clock if memory is not None and moved_bytes is not None else None
    known = {name: value for name, value in (("tensor", tensor), ("issue", issue), ("memory", moved)) if value}
    return Floors(tensor, issue, moved, max(known, key=lambda name: known[name], default=""))
