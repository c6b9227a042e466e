"""The record of one loop: what it consists of, which warps run it, what one iteration computes, moves and needs.

In a warp-specialised kernel each partition has loops of its own, run by its own warps. The assembly does not say which
partition a loop belongs to: it is told by what it does, loading by bulk copies, multiplying, or neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perwatt.kernels.triton.static import ttgir
from perwatt.kernels.triton.static.architecture import Architecture
from perwatt.kernels.triton.static.floors import Memory, floors
from perwatt.kernels.triton.static.loops import NaturalLoop
from perwatt.kernels.triton.static.operations import kind, lane_bytes, product, tally

_LANE_MOVES = frozenset({"global_load", "global_store", "async_copy"})
_IDLE = frozenset({"sync", "branch", "other"})
_WAIT_AT_MOST = 16  # instructions of a loop that only waits for a barrier


@dataclass(frozen=True)
class Loop:
    """One loop. Counts are of the instructions that lie in no loop inside it; floors are clocks of one iteration of
    one block on a core (:mod:`floors`).

    ``start`` and ``end`` are addresses, ``parent`` the place of the loop around it in the record, ``warps`` of a block
    that run it (None where a warp-specialised kernel does not say which). ``flops`` of matrix instructions and
    ``bytes`` to and from global memory are one block's in one iteration. ``stall_clocks`` is the sum of the compiler's
    stall counts: what one warp needs if nothing else holds it up.
    """

    start: int
    end: int
    depth: int
    parent: int | None
    instructions: int
    classes: dict[str, int]
    families: dict[str, int]
    stall_clocks: int | None
    warps: int | None
    flops: int | None
    bytes: int | None
    tensor_floor: float | None
    issue_floor: float | None
    memory_floor: float | None
    binds: str


class LoopReader:
    """From natural loops to records of them, with what the kernel as a whole has to say."""

    def __init__(
        self,
        architecture: Architecture,
        facts: ttgir.Facts,
        warps: int,
        memory: Memory | None,
        hint: tuple[int, str] | None,
    ) -> None:
        self.architecture, self.facts, self.warps = architecture, facts, warps
        self.memory, self.hint = memory, hint

    def read(self, natural: Sequence[NaturalLoop]) -> tuple[Loop, ...]:
        """The loops that do something, innermost first."""
        parents = {loop.parent for loop in natural}
        counts = [tally(loop.own, self.architecture.vendor) for loop in natural]
        kept = [n for n, loop in enumerate(natural) if n in parents or not _waits(loop, counts[n][0])]
        bulk = self._bulk({n: natural[n].depth for n in kept if counts[n][0].get("bulk_load")})
        return tuple(self._loop(natural[n], *counts[n], kept, bulk.get(n)) for n in kept)

    def _bulk(self, depths: Mapping[int, int]) -> dict[int, int]:
        """Bytes that bulk loads move in one iteration of a loop, where it is clear which loop of the source is meant.

        ``depths`` are those of the loops with bulk loads. Compared is the order of depths, because the dispatch of a
        specialised kernel may be a loop round all others.
        """
        known = [entry for partition in self.facts.partitions for entry in partition.bulk_bytes]
        here, there = sorted(set(depths.values())), sorted({depth for depth, _ in known})
        found: dict[int, int] = {}
        for depth, same in zip(here, there, strict=False) if len(here) == len(there) else ():
            loops = [n for n, deep in depths.items() if deep == depth]
            moved = [size for deep, size in known if deep == same]
            if len(loops) == len(moved) and len(set(moved)) == 1:
                found |= dict.fromkeys(loops, moved[0])
        return found

    def _loop(
        self, loop: NaturalLoop, classes: dict[str, int], families: dict[str, int], kept: list[int], bulk: int | None
    ) -> Loop:
        warps = self._warps(classes)
        flops = self._flops(loop, warps) if classes.get("tensor") else {}
        moved = self._bytes(loop, classes, warps, bulk)
        only_vector = self.architecture.issue_vector_only
        issued = sum(i.opcode.startswith("v_") for i in loop.own) if only_vector else len(loop.own)
        floor = floors(self.architecture, flops, issued, warps, moved, self.memory)
        stalls = [i.stall_clocks for i in loop.own if i.stall_clocks is not None]
        return Loop(
            start=loop.start,
            end=loop.end,
            depth=loop.depth,
            parent=None if loop.parent is None else kept.index(loop.parent),
            instructions=len(loop.own),
            classes=classes,
            families=families,
            stall_clocks=sum(stalls) if stalls else None,
            warps=warps,
            flops=None if flops is None else sum(flops.values()),
            bytes=moved,
            tensor_floor=floor.tensor,
            issue_floor=floor.issue,
            memory_floor=floor.memory,
            binds=floor.binds,
        )

    def _warps(self, classes: Mapping[str, int]) -> int | None:
        """How many warps run a loop: all, or in a warp-specialised kernel those of the partition that does its work."""
        if len(self.facts.partitions) == 1:
            return self.warps
        does = bool(classes.get("tensor")), bool(classes.get("bulk_load"))
        widths = {p.warps for p in self.facts.partitions if (p.tensor, p.bulk) == does}
        return widths.pop() if len(widths) == 1 else None

    def _flops(self, loop: NaturalLoop, warps: int | None) -> dict[str, int] | None:
        """FLOP of matrix instructions by format, None if that of any is not known."""
        vendor = self.architecture.vendor
        times = {"warp": warps, "warpgroup": warps // 4 if warps else None, "block": 1}
        found: dict[str, int] = {}
        for instruction in loop.own:
            if kind(instruction, vendor) == "tensor":
                flops, scope, dtype = product(instruction, vendor)
                if scope == "block" and self.facts.product:
                    flops, dtype = self.facts.product
                many = times[scope]
                if flops is None or many is None:
                    return {self.hint[1]: self.hint[0]} if self.hint else None
                found[dtype] = found.get(dtype, 0) + flops * many
        return found

    def _bytes(self, loop: NaturalLoop, classes: Mapping[str, int], warps: int | None, bulk: int | None) -> int | None:
        if classes.get("bulk_store") or (classes.get("bulk_load") and bulk is None):
            return None
        vendor, lanes = self.architecture.vendor, self.architecture.warp_size
        moves = [i for i in loop.own if kind(i, vendor) in _LANE_MOVES]
        if moves and warps is None:
            return None
        return (bulk or 0) + sum(lane_bytes(i, vendor) for i in moves) * lanes * (warps or 0)


def _waits(loop: NaturalLoop, classes: Mapping[str, int]) -> bool:
    return len(loop.own) <= _WAIT_AT_MOST and not classes.keys() - _IDLE
