"""The ranks of the tests of comparisons made again over gloo. Started as a process.

Arguments: a folder, and the sizes of the groups. Rank r of n writes n-r.json (scenario -> outcome) to the folder.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import gloo_ranks
import torch
from beyond_ranks import memory, small
from faults import Faulty
from gloo_rank import KINDS, Rank
from step_ranks import _doubled, _ungathered, spec

from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.collectives.collective import Buffers, Collective
from perwatt.kernels.collectives.moe_all_to_all import MoeAllToAll
from perwatt.kernels.collectives.overlap import OPERATIONS, PARTS
from perwatt.kernels.collectives.symmetric_all_reduce import SymmetricAllReduce, _AllReduce
from perwatt.kernels.step_sync import Sync
from perwatt.kernels.workload import Workload, WrongResult

Fault = Callable[[Rank], contextlib.AbstractContextManager[Any]]

LAUNCHES = 5


def scenarios(me: Rank) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names and actions, the same on all ranks and in the same order."""
    for name, (kernel, fault) in cases().items():
        yield name, (lambda kernel=kernel, fault=fault: rechecked(me, kernel, fault))
    yield "broken", lambda: broken(me)
    for in_place in (False, True):
        for kind in KINDS:
            one = kind(message_bytes="3KiB", dtype="fp32", in_place=in_place)
            yield f"restored {kind.name} {in_place}", (lambda one=one: restored(me, one))
    yield "usable after all", lambda: me.prepare(AllReduce(message_bytes="1KiB"))


def cases() -> dict[str, tuple[Workload, Fault]]:
    """Each kernel of several ranks with what makes it go wrong on rank 1."""
    found: dict[str, tuple[Workload, Fault]] = {}
    for kind in KINDS:
        in_place = kind.name in ("all_reduce", "broadcast")
        found[kind.name] = kind(message_bytes="3KiB", dtype="bf16", in_place=in_place), spoiling(kind)
    found["summed"] = AllReduce(message_bytes="3KiB", dtype="fp16", op="sum"), spoiling(AllReduce)
    moe = MoeAllToAll(tokens=37, hidden=48, experts=12, top_k=3, skew=1, dtype="fp32")
    found["moe"] = moe, spoiling(MoeAllToAll)
    for part in PARTS:
        fault = product if part == "compute" else spoiling(OPERATIONS["all_gather"])
        found[f"overlap {part}"] = small("all_gather", part), fault
    found["overlap product"] = small("all_gather"), product
    found["symmetric"] = SymmetricAllReduce(message_bytes=3000, dtype="fp32"), spoiling(_AllReduce)
    for sync in ("none", "all_reduce", "reduce_scatter"):
        found[f"step {sync} product"] = spec(sync=sync), product
    found["step all_reduce sent"] = spec(), patched("_send", _doubled)
    found["step reduce_scatter gathered"] = spec(sync="reduce_scatter"), patched("_gather", _ungathered)
    return found


def spoiling(kind: type[Any]) -> Fault:
    """What rank 1 receives has another last element."""

    @contextlib.contextmanager
    def fault(me: Rank) -> Iterator[None]:
        bind = kind.bind

        def binding(one: Any, buffers: Buffers, place: Any) -> Callable[..., Any]:
            call = bind(one, buffers, place)

            def both(**options: Any) -> Any:
                handle = call(**options)
                if options:  # what goes on beside it must not write over the fault
                    handle.wait()
                buffers.target[-1:].add_(1)
                return handle

            return both if me.rank == 1 else call

        with mock.patch.object(kind, "bind", binding):
            yield

    return fault


@contextlib.contextmanager
def product(me: Rank) -> Iterator[None]:
    """Products on rank 1 have another first element."""
    with Faulty(r"aten\.(add|b)?mm" if me.rank == 1 else "(?!)"):
        yield


def patched(name: str, wrong: Callable[..., None]) -> Fault:
    """An exchange of gradients that goes wrong."""
    return lambda me: mock.patch.object(Sync, name, lambda *arguments: wrong(me, *arguments))


def rechecked(me: Rank, kernel: Workload, fault: Fault) -> dict[str, Any]:
    """Launches, and between them comparisons of what is right, wrong on rank 1, and right again."""
    with memory():
        prepared = kernel.prepare(me.place())
        assert prepared.verify is not None
        said: dict[str, Any] = {}
        for turn in ("before", "wrong", "after"):
            for _ in range(LAUNCHES):
                prepared.launch()
            with fault(me) if turn == "wrong" else contextlib.nullcontext():
                try:
                    check = prepared.verify()
                except WrongResult as wrong:
                    said[turn] = {"said": str(wrong), "wrong": wrong.wrong, "error": wrong.error}
                    said[turn] |= {"at": wrong.at, "ranks": wrong.ranks}
                else:
                    said[turn] = check.compared
    return {**said, "prepared": prepared.check.compared}


def restored(me: Rank, one: Collective) -> dict[str, Any]:
    """What a comparison leaves: the operands of the beginning, which the launches after it take to where the ones
    before it took them."""
    prepared, (buffers,) = me.noted(one)
    assert prepared.verify is not None
    start = buffers.source.clone()
    ends = []
    for _ in range(2):
        prepared.launch()
        ends.append(buffers.target.clone())
        prepared.verify()
    return {"source": torch.equal(buffers.source, start), "target": torch.equal(*ends), "differs": bool(start.any())}


def broken(me: Rank) -> int:
    """Not a wrong value but a failure that no one foresaw, on one rank."""
    prepared = AllReduce(message_bytes="1KiB").prepare(me.place())
    assert prepared.verify is not None
    with me.spoiled(AllReduce, mock.Mock(side_effect=OSError("link down"))):
        return prepared.verify().compared


if __name__ == "__main__":
    gloo_ranks.scenarios = scenarios
    sys.exit(gloo_ranks.main())
