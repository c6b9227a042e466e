"""The ranks of the tests of overlap, moe_all_to_all and symmetric memory over gloo. Started as a process.

Arguments: a folder, and the sizes of the groups. Rank r of n writes n-r.json (scenario -> outcome) to the folder.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import gloo_ranks
import torch
import torch.distributed as dist
from gloo_rank import Rank

from perwatt.kernels.collectives import symmetric
from perwatt.kernels.collectives.collective import Buffers, Collective
from perwatt.kernels.collectives.moe_all_to_all import MoeAllToAll
from perwatt.kernels.collectives.overlap import OPERATIONS, PARTS, Overlap
from perwatt.kernels.collectives.symmetric_all_gather import SymmetricAllGather
from perwatt.kernels.collectives.symmetric_all_reduce import METHODS, SymmetricAllReduce
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.workload import Prepared

Action = Callable[[], Any]


def scenarios(me: Rank) -> Iterator[tuple[str, Action]]:
    """Names and actions, the same on all ranks and in the same order."""
    for operation, part in itertools.product(OPERATIONS, PARTS):
        yield f"overlap {operation} {part}", (lambda o=operation, p=part: overlapped(me, o, p))
    yield "overlap order", lambda: order(me)
    yield "overlap wrong product", lambda: spoiled_product(me)
    yield "overlap wrong message", lambda: spoiled_message(me)
    for direction, dtype, skew in itertools.product(("dispatch", "combine"), ("fp32", "bf16", "fp8_e4m3"), (0, 1)):
        spec = MoeAllToAll(tokens=37, hidden=48, experts=12, top_k=3, skew=skew, direction=direction, dtype=dtype)
        yield f"moe {direction} {dtype} {skew}", (lambda spec=spec: routed(me, spec))
    # one token on each rank for one expert: some receive nothing
    lone = MoeAllToAll(tokens=1, hidden=8, experts=8, top_k=1, skew=2, dtype="fp32")
    yield "moe lone", lambda: routed(me, lone)
    yield "moe too few", lambda: MoeAllToAll(experts=1, top_k=1, tokens=2).prepare(me.place()).note
    for name, spoil in SPOILS.items():
        yield f"moe wrong {name}", (lambda spoil=spoil: misrouted(me, spoil))
    for spec in symmetrics():
        yield f"symmetric {spec.name} {spec.label()}", (lambda spec=spec: stood_in(me, spec))
    yield "symmetric none all_reduce", lambda: SymmetricAllReduce().prepare(me.place()).note
    yield "symmetric none all_gather", lambda: SymmetricAllGather().prepare(me.place()).note
    yield "symmetric wrong", lambda: wrong_symmetric(me)
    yield "usable after all", lambda: MoeAllToAll(tokens=8, hidden=8, dtype="fp32").prepare(me.place()).note


# -- overlap -----------------------------------------------------------------------------------------------------------


def small(operation: str, part: str = "both", **more: Any) -> Overlap:
    fields = {"m": 48, "n": 40, "k": 56, "dtype": "fp32", "message_bytes": "12KiB", **more}
    return Overlap(part=part, operation=operation, **fields)


@contextlib.contextmanager
def seen(spec: Overlap) -> Iterator[tuple[list[Buffers], list[Prepared]]]:
    """The buffers that the collective is bound to, and the products that are prepared."""
    kind, buffers, products = OPERATIONS[spec.operation], [], []
    bind, prepare = kind.bind, Matmul.prepare

    def binding(one: Collective, operands: Buffers, place: Any) -> Any:
        buffers.append(operands)
        return bind(one, operands, place)

    def preparing(one: Matmul, place: Any) -> Prepared:
        products.append(prepare(one, place))
        return products[-1]

    with mock.patch.object(kind, "bind", binding), mock.patch.object(Matmul, "prepare", preparing):
        yield buffers, products


def overlapped(me: Rank, operation: str, part: str) -> dict[str, Any]:
    """Launch once more than prepared and look at what both results are."""
    spec = small(operation, part)
    with seen(spec) as (buffers, products):
        prepared = spec.prepare(me.place())
    found: dict[str, Any] = {"check": [prepared.check.max_error, prepared.check.tolerance, prepared.check.compared]}
    output = None
    if products:
        output = products[-1].launch()
        assert isinstance(output, torch.Tensor)
        truth = output.clone()
        output.fill_(7.0)
    want = None
    if buffers:
        sources: list[Any] = [None] * me.ranks
        dist.all_gather_object(sources, buffers[-1].source.clone())
        want = me.expected(spec.message, sources).double()
        if buffers[-1].source is not buffers[-1].target:
            buffers[-1].target.zero_()
    prepared.launch()
    if output is not None:
        found["product"] = float((output - truth).abs().max())
        found["spread"] = float(truth.std())
    if want is not None:
        found["message"] = float((buffers[-1].target.double() - want).abs().max())
    return found


class Handle:
    def __init__(self, work: Any, said: list[str]) -> None:
        self.work, self.said = work, said

    def wait(self) -> None:
        self.said.append("awaited")
        self.work.wait()


def order(me: Rank) -> list[str]:
    """What a launch of both does, in which order."""
    spec, said = small("all_to_all"), []
    begin, prepare = Collective.begin, Matmul.prepare

    def beginning(one: Collective, operands: Buffers, place: Any) -> Any:
        call = begin(one, operands, place)

        def started() -> Handle:
            said.append("started")
            return Handle(call(), said)

        return started

    def preparing(one: Matmul, place: Any) -> Prepared:
        made = prepare(one, place)

        def product() -> object:
            said.append("product")
            return made.launch()

        return made._replace(launch=product)

    with mock.patch.object(Collective, "begin", beginning), mock.patch.object(Matmul, "prepare", preparing):
        prepared = spec.prepare(me.place())
    said.clear()
    prepared.launch()
    return said


def spoiled_product(me: Rank) -> str:
    """On one rank, the product that runs beside the collective has one wrong element."""
    prepare = Matmul.prepare

    def preparing(one: Matmul, place: Any) -> Prepared:
        made, calls = prepare(one, place), itertools.count()

        def product() -> object:
            result = made.launch()
            assert isinstance(result, torch.Tensor)
            if next(calls) >= made.buffers:
                result[3, 4] += 1.0
            return result

        return made._replace(launch=product) if me.rank == 1 else made

    with mock.patch.object(Matmul, "prepare", preparing):
        return small("all_reduce").prepare(me.place()).note


def spoiled_message(me: Rank) -> str:
    """On one rank, the product overwrites what the collective has received: as if they shared memory."""
    kind, held = OPERATIONS["all_gather"], []
    bind, prepare = kind.bind, Matmul.prepare

    def binding(one: Collective, operands: Buffers, place: Any) -> Any:
        held.append(operands)
        return bind(one, operands, place)

    def handle(work: Any) -> Any:
        wait = work.wait

        def waiting() -> None:
            wait()
            held[0].target[5] = 0

        return mock.Mock(wait=waiting)

    begin = Collective.begin

    def beginning(one: Collective, operands: Buffers, place: Any) -> Any:
        call = begin(one, operands, place)
        return (lambda: handle(call())) if me.rank == 0 else call

    with mock.patch.object(kind, "bind", binding), mock.patch.object(Collective, "begin", beginning):
        assert prepare is Matmul.prepare
        return small("all_gather").prepare(me.place()).note


# -- mixture of experts ------------------------------------------------------------------------------------------------


def routed(me: Rank, spec: MoeAllToAll) -> dict[str, Any]:
    """Prepare with two sets, then compare what each launch delivers with what the senders had, row by row."""
    bind, sets = MoeAllToAll.bind, []

    def binding(one: MoeAllToAll, operands: Buffers, place: Any) -> Any:
        sets.append(operands)
        return bind(one, operands, place)

    with mock.patch.object(MoeAllToAll, "bind", binding):
        prepared = spec.prepare(me.place(llc_bytes=spec.footprint_bytes(me.ranks)))
    used = sets[-prepared.buffers :]
    same = True
    for buffers in used:
        splits = spec.splits(me.ranks)
        everybody: list[Any] = [None] * me.ranks
        dist.all_gather_object(everybody, buffers.source.clone())
        parts = []
        for source in range(me.ranks):
            rows = everybody[source].view(-1, spec.hidden)
            parts.append(rows.split(list(splits[source]))[me.rank])
        buffers.target.zero_()
        prepared.launch()
        same = same and torch.equal(buffers.target, torch.cat(parts).reshape(-1))
    return {
        "same": same,
        "sets": len(used),
        "sent": used[0].source.numel() // spec.hidden,
        "received": used[0].target.numel() // spec.hidden,
        "message_bytes": spec.work(me.ranks).message_bytes,
        "check": [prepared.check.max_error, prepared.check.tolerance, prepared.check.compared],
        "zeros": bool((used[0].source == 0).all()),
        "note": prepared.note,
    }


SPOILS: dict[str, Callable[[Buffers], object]] = {
    "last": lambda b: b.target[-1:].add_(1),
    "missing": lambda b: b.target[-8:].zero_(),
    "rolled": lambda b: b.target.copy_(b.target.roll(8)),
}


def misrouted(me: Rank, spoil: Callable[[Buffers], object]) -> str:
    """On one rank what was received is not what was sent."""
    bind = MoeAllToAll.bind

    def binding(one: MoeAllToAll, operands: Buffers, place: Any) -> Any:
        call = bind(one, operands, place)

        def both() -> None:
            call()
            if me.rank == 1:
                spoil(operands)

        return both

    with mock.patch.object(MoeAllToAll, "bind", binding):
        return MoeAllToAll(tokens=16, hidden=8, experts=8, top_k=2, dtype="fp32").prepare(me.place()).note


# -- symmetric memory --------------------------------------------------------------------------------------------------


class Memory:
    """Stands in for torch's symmetric memory and its operations: they do what they should over gloo, and refuse what
    torch's own refuse: a buffer that was not rendezvoused, another group, another reduction, a size out of line."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.called: list[str] = []

    def empty(self, *size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def rendezvous(self, tensor: torch.Tensor, group: str) -> None:
        assert group == dist.group.WORLD.group_name
        dist.barrier()  # all ranks have to come
        self.known.add(tensor.data_ptr())

    def require(self, tensor: torch.Tensor, group: str, reduce_op: str = "sum") -> None:
        if tensor.data_ptr() not in self.known:
            raise RuntimeError("input must be allocated with empty_strided_p2p()")
        assert (group, reduce_op) == (dist.group.WORLD.group_name, "sum")

    def call(self, name: str) -> Callable[..., object]:
        def operation(*arguments: Any) -> object:
            self.called.append(name)
            return getattr(self, name)(*arguments)

        return operation

    def one_shot_all_reduce_out(self, buffer: torch.Tensor, op: str, group: str, out: torch.Tensor) -> torch.Tensor:
        self.require(buffer, group, op)
        assert out.shape == buffer.shape
        assert out.data_ptr() not in self.known
        out.copy_(buffer)
        dist.all_reduce(out)
        return out

    def two_shot_all_reduce_(self, buffer: torch.Tensor, op: str, group: str) -> torch.Tensor:
        self.require(buffer, group, op)
        dist.all_reduce(buffer)
        return buffer

    multimem_all_reduce_ = two_shot_all_reduce_

    def multimem_all_gather_out(self, share: torch.Tensor, group: str, out: torch.Tensor) -> torch.Tensor:
        self.require(out, group)
        assert out.numel() == share.numel() * dist.get_world_size()
        assert share.data_ptr() not in self.known
        call = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        call(out, share)
        return out


def symmetrics() -> Iterator[symmetric.Symmetric]:
    for method, dtype in itertools.product(METHODS, ("fp32", "bf16")):
        yield SymmetricAllReduce(method=method, dtype=dtype, message_bytes=3000)
    for dtype in ("fp32", "bf16", "fp8_e4m3"):
        yield SymmetricAllGather(dtype=dtype, message_bytes=3000)


@contextlib.contextmanager
def memory() -> Iterator[Memory]:
    found = Memory()
    with (
        mock.patch.object(symmetric, "_module", return_value=found),
        mock.patch.object(symmetric, "call", found.call),
    ):
        yield found


def stood_in(me: Rank, spec: symmetric.Symmetric) -> dict[str, Any]:
    """Prepare and launch on the stand-in, compare with the values that all ranks had."""
    with memory() as found:
        kind, bind, sets = type(spec.inner), type(spec.inner).bind, []

        def binding(one: Collective, operands: Buffers, place: Any) -> Any:
            sets.append(operands)
            return bind(one, operands, place)

        with mock.patch.object(kind, "bind", binding):
            prepared = spec.prepare(me.place(llc_bytes=spec.footprint_bytes(me.ranks)))
        buffers = sets[-1]
        sources: list[Any] = [None] * me.ranks
        dist.all_gather_object(sources, buffers.source.clone().float() if "fp8" not in spec.dtype else buffers.source)
        for _ in range(prepared.buffers):
            prepared.launch()
        stacked = torch.stack(sources)
        want = stacked.sum(0) if "reduce" in spec.name else stacked.reshape(-1)
        error = (buffers.target.float() - want.float()).abs() / want.float().abs().clamp(min=1.0)
        for _ in range(0 if spec.label().startswith("multimem") else 300):  # sums in place grow
            prepared.launch()
        return {
            "worst": float(error.max()),
            "called": sorted(set(found.called)),
            "note": prepared.note,
            "sets": prepared.buffers,
            "check": [prepared.check.max_error, prepared.check.tolerance],
            "finite": bool(buffers.target.float().isfinite().all()),
            "in place": buffers.source is buffers.target,
        }


def wrong_symmetric(me: Rank) -> str:
    """One rank's kernel leaves the last element as it was."""
    with memory() as found:
        right = found.two_shot_all_reduce_

        def wrong(buffer: torch.Tensor, op: str, group: str) -> torch.Tensor:
            last = buffer[-1:].clone()
            right(buffer, op, group)
            buffer[-1:] = last
            return buffer

        if me.rank == 0:
            found.two_shot_all_reduce_ = wrong  # type: ignore[method-assign]
        return SymmetricAllReduce(message_bytes="1KiB").prepare(me.place()).note


if __name__ == "__main__":
    gloo_ranks.scenarios = scenarios
    sys.exit(gloo_ranks.main())
