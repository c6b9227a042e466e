"""The ranks of the tests of step_parallel over gloo. Started as a process.

Arguments: a folder, and the sizes of the groups. Rank r of n writes n-r.json (scenario -> outcome) to the folder.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import gloo_ranks
import torch
import torch.distributed as dist
from gloo_rank import Rank

from perwatt.kernels import step_operands
from perwatt.kernels.model import Experts, Latent, Model
from perwatt.kernels.step_parallel import StepParallel
from perwatt.kernels.step_sync import Sync

Action = Callable[[], Any]

HEADS = Model("heads", 2, 32, 4, 48, 64, True, 2, 8, rope_theta=1e4)
BOTH = Model(
    "both",
    2,
    32,
    2,
    48,
    64,
    True,
    rope_theta=1e4,
    latent=Latent(16, 16, 8, 8, 8),
    experts=Experts(1, 4, 16, 2, 1, 2.0),
)


def spec(model: Model = HEADS, **changes: Any) -> StepParallel:
    return StepParallel(model, **{"layers": 2, "batch": 1, "seq": 8, "context": 8, "dtype": "fp32", **changes})


def scenarios(me: Rank) -> Iterator[tuple[str, Action]]:
    """Names and actions, the same on all ranks and in the same order."""
    for model, sync, dtype in itertools.product((HEADS, BOTH), ("all_reduce", "reduce_scatter"), ("fp32", "bf16")):
        one = spec(model, sync=sync, dtype=dtype)
        yield f"mean {model.name} {sync} {dtype}", (lambda one=one: synchronised(me, one))
    yield "none train", lambda: noted(me, spec(sync="none"))
    yield "none decode", lambda: noted(me, spec(mode="decode", sync="none"))
    for sync in ("all_reduce", "reduce_scatter"):
        for name, (attribute, wrong) in WRONG.items():
            if (name == "gather") <= (sync == "reduce_scatter"):
                yield f"wrong {name} {sync}", (lambda a=attribute, w=wrong, s=sync: spoiled(me, a, w, s))
    yield "too little memory", lambda: spec().prepare(me.place(memory_bytes=1000 if me.rank == 1 % me.ranks else None))
    yield "usable after all", lambda: noted(me, spec())


def noted(me: Rank, one: StepParallel) -> dict[str, Any]:
    prepared = one.prepare(me.place())
    prepared.launch()
    return {"note": prepared.note, "reference": prepared.check.reference}


def synchronised(me: Rank, one: StepParallel) -> dict[str, Any]:
    """Prepare with two sets, launch, compare with gradients that were found without any of it."""
    footprint = one.footprint_bytes(me.ranks)
    seen: list[Sync] = []
    order: list[list[int]] = []
    init, send = Sync.__init__, Sync._send

    def starting(sync: Sync, *arguments: Any) -> None:
        init(sync, *arguments)
        seen.append(sync)

    def sending(sync: Sync, layer: int) -> None:
        order.append([layer, *sync._missing])
        send(sync, layer)

    with (
        mock.patch("perwatt.kernels.dtypes.not_emulated", return_value=""),
        mock.patch.object(Sync, "__init__", starting),
        mock.patch.object(Sync, "_send", sending),
    ):
        # ranks that would choose differently: the last one wants four sets
        llc = footprint * (2 if me.rank == me.ranks - 1 else 1)
        prepared = one.prepare(me.place(llc_bytes=llc))
        parameters = [flat.clone() for sync in seen for flat in sync.ops.flats]
        for _ in range(2 * prepared.buffers):
            prepared.launch()
    worst, buffers = 0.0, True
    for index, sync in enumerate(seen):
        ops = one.maker(me.place()).operands(index)
        own = step_operands.launcher(ops)()[2:]
        if one.sync == "all_reduce":
            got = [p.grad for p in sync.ops.parameters()]
        else:
            whole = [torch.empty_like(gradient) for gradient in sync.gradients]
            for target, share in zip(whole, sync.shares, strict=True):
                dist.all_gather(list(target.chunk(me.ranks)), share)
            got = [
                whole[number].as_strided(p.shape, p.stride(), p.grad.storage_offset())
                for number, layer in enumerate(sync.ops.layers)
                for p in layer.weights.values()
            ]
        for mine, found in zip(own, got, strict=True):
            everyone: list[Any] = [None] * me.ranks
            dist.all_gather_object(everyone, mine.double())
            mean = sum(everyone) / me.ranks
            worst = max(worst, float((found.double() - mean).square().mean().sqrt() / mean.square().mean().sqrt()))
        pointers = {g.untyped_storage().data_ptr() for g in sync.gradients}
        buffers &= {p.grad.untyped_storage().data_ptr() for p in sync.ops.parameters()} == pointers
    after = [flat for sync in seen for flat in sync.ops.flats]
    return {
        "worst": worst,
        "sets": prepared.buffers,
        "in the buffer": buffers,
        "order": order[:2],
        "unchanged": all(torch.equal(a, b) for a, b in zip(parameters, after, strict=True)),
        "differ": bool((ops.x != _of(me, ops.x, 0)).any()),
        "note": prepared.note,
        "reference": prepared.check.reference,
    }


def _of(me: Rank, tensor: torch.Tensor, rank: int) -> torch.Tensor:
    everyone: list[Any] = [None] * me.ranks
    dist.all_gather_object(everyone, tensor.detach())
    return everyone[rank]


def _doubled(me: Rank, sync: Sync, layer: int) -> None:
    if me.rank == 1:
        sync.gradients[layer].mul_(2.0)
    _send(sync, layer)


def _unsent(me: Rank, sync: Sync, layer: int) -> None:
    if layer == 0:
        _send(sync, layer)


def _early(me: Rank, sync: Sync, layer: int, weight: torch.Tensor) -> None:
    sync._missing[layer] -= 1
    if sync._missing[layer] == 3 and not sync._alone:
        sync._send(layer)
        for work in sync._pending:  # or what is still missing might get in before it is read
            work.wait()


def _ungathered(me: Rank, sync: Sync, layer: int) -> None:
    return None


_send = Sync._send
WRONG: dict[str, tuple[str, Callable[..., None]]] = {
    "one rank": ("_send", _doubled),
    "one layer": ("_send", _unsent),
    "sent early": ("_ready", _early),
    "gather": ("_gather", _ungathered),
}


def spoiled(me: Rank, attribute: str, wrong: Callable[..., None], sync: str) -> str:
    with mock.patch.object(Sync, attribute, lambda *arguments: wrong(me, *arguments)):
        return spec(sync=sync).prepare(me.place()).note


if __name__ == "__main__":
    gloo_ranks.scenarios = scenarios
    sys.exit(gloo_ranks.main())
