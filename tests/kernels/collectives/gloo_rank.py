"""One rank of the tests over gloo: the cases that it prepares, and what it looks at in each."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist

from perwatt.kernels.collectives.all_gather import AllGather
from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.collectives.all_to_all import AllToAll
from perwatt.kernels.collectives.broadcast import Broadcast
from perwatt.kernels.collectives.collective import Buffers, Collective
from perwatt.kernels.collectives.reduce_scatter import ReduceScatter
from perwatt.kernels.collectives.sendrecv import SendRecv
from perwatt.kernels.workload import Place, Prepared

KINDS: tuple[type[Collective], ...] = (AllReduce, ReduceScatter, AllGather, AllToAll, Broadcast, SendRecv)
SIZE = 3000  # bytes: over 3 ranks a share is rounded down


def cases() -> Iterator[Collective]:
    """Each collective x in and out of place x number formats x operations."""
    for kind, in_place in itertools.product(KINDS, (False, True)):
        for dtype in ("fp32", "bf16"):
            for op in ("avg", "sum", "max", "min") if "op" in kind.__dataclass_fields__ else (None,):
                extra: dict[str, Any] = {} if op is None else {"op": op}
                yield kind(message_bytes=SIZE, dtype=dtype, in_place=in_place, **extra)
    yield AllGather(message_bytes=SIZE, dtype="fp8_e4m3")
    yield AllReduce(message_bytes=SIZE, dtype="fp16", op="sum")
    yield ReduceScatter(message_bytes=SIZE, dtype="fp16", op="sum", in_place=True)
    yield AllReduce(message_bytes=4, dtype="fp32")
    yield SendRecv(message_bytes=2, dtype="bf16")
    yield AllToAll(message_bytes=16, dtype="bf16")


class Rank:
    """This process."""

    def __init__(self, rank: int, ranks: int) -> None:
        self.rank, self.ranks = rank, ranks

    def place(self, **more: Any) -> Place:
        return Place("cpu", rank=self.rank, ranks=self.ranks, **more)

    def noted(self, spec: Collective, **place: Any) -> tuple[Prepared, list[Buffers]]:
        """``spec`` prepared, and the buffers that its launches use."""
        bind, seen = type(spec).bind, []

        def noting(spec: Collective, buffers: Buffers, place: Place) -> Callable[[], object]:
            seen.append(buffers)
            return bind(spec, buffers, place)

        with mock.patch.object(type(spec), "bind", noting):
            prepared = spec.prepare(self.place(**place))
        return prepared, seen[-prepared.buffers :]

    def expected(self, spec: Collective, sources: list[torch.Tensor]) -> torch.Tensor:
        """What this rank should hold, from what all ranks had: written without the tables of the check."""
        me, n = self.rank, self.ranks
        if spec.name in ("all_reduce", "reduce_scatter"):
            stacked = torch.stack(sources).double()
            op = spec.reduction
            if op in ("avg", "sum"):
                whole = stacked.sum(0) / (n if op == "avg" else 1)
            else:
                whole = stacked.amax(0) if op == "max" else stacked.amin(0)
            return whole if spec.name == "all_reduce" else whole.chunk(n)[me]
        if spec.name == "all_gather":
            return torch.cat(sources)
        if spec.name == "all_to_all":
            return torch.cat([source.chunk(n)[me] for source in sources])
        return sources[0] if spec.name == "broadcast" else sources[(me - 1) % n]

    def values(self, spec: Collective) -> dict[str, Any]:
        """Prepare with two sets of buffers, compare a launch of each with float64, then repeat."""
        footprint = spec.footprint_bytes(self.ranks)
        # ranks that would choose differently: the last one wants four sets
        llc = footprint * (2 if self.rank == self.ranks - 1 else 1)
        prepared, sets = self.noted(spec, llc_bytes=llc)
        worst = 0.0
        for buffers in sets:
            sources: list[Any] = [None] * self.ranks
            dist.all_gather_object(sources, buffers.source.clone())
            want = self.expected(spec, sources).double()
            prepared.launch()
            error = (buffers.target.double() - want).abs() / want.abs().clamp(min=1.0)
            worst = max(worst, float(error.max()))
        life = spec.lifetime(self.ranks)
        for _ in range(len(sets) * (life + 6) if life and life < 100 else 16):
            prepared.launch()
        ends = [one.target.float().abs() for one in sets]
        return {
            "worst": worst,
            "sets": len(sets),
            "check": [prepared.check.max_error, prepared.check.tolerance, prepared.check.compared],
            "finite": all(bool(end.isfinite().all()) for end in ends),
            "zeros": max(float((end == 0).double().mean()) for end in ends),
            "note": prepared.note,
            "differ": bool((sources[0] != sources[-1]).any()),
            "elements": buffers.target.numel(),
        }

    def settled(self) -> dict[str, Any]:
        """The default operation in place: does one more launch change anything, how far have the values gone."""
        prepared, sets = self.noted(AllReduce(message_bytes="4KiB", dtype="bf16", op="avg"))
        states = []
        for _ in range(60):
            prepared.launch()
            states.append(sets[0].target.clone())
        moved = (states[-1] / states[0]).float().nan_to_num(1.0).log2().abs().max()  # 0/0: a mean that is zero
        return {"same": bool((states[-1] == states[-2]).all()), "binades": float(moved)}

    @contextlib.contextmanager
    def spoiled(self, kind: type[Collective], spoil: Callable[[Buffers], object], rank: int = 1) -> Iterator[None]:
        """On ``rank``, what ``kind`` does is followed by ``spoil``."""
        bind = kind.bind

        def wrapped(spec: Collective, buffers: Buffers, place: Place) -> Callable[[], object]:
            call = bind(spec, buffers, place)

            def both() -> None:
                call()
                spoil(buffers)

            return both if self.rank == rank % self.ranks else call

        with mock.patch.object(kind, "bind", wrapped):
            yield

    def prepare(self, spec: Collective, **place: Any) -> str:
        return spec.prepare(self.place(**place)).note
