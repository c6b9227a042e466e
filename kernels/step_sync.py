"""Gradients brought together over ranks while the backward pass goes on, as data-parallel training does.

Gradients are added up in one buffer a layer, zeroed at the start of a step, as in Megatron-LM and DDP. As soon as all
of a layer's are there its buffer is sent, while earlier layers still compute; the step ends when all have arrived.

``all_reduce``      every rank ends with the mean of all gradients
``reduce_scatter``  every rank ends with its share of the mean, and after the backward pass the parameters are gathered
                    from the ranks that own them (ZeRO, arXiv 1910.02054, stage 2): with no optimizer in between they
                    are the ones that were there, and cross the links all the same

The mean is a sum of gradients divided beforehand: the output's gradient is given divided by the number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from perwatt.kernels import data, reference, transformer
from perwatt.kernels.dtypes import unit_roundoff
from perwatt.kernels.step_operands import Operands
from perwatt.kernels.workload import Place, WrongResult

if TYPE_CHECKING:
    import torch

KINDS = ("none", "all_reduce", "reduce_scatter")
_LOOKED_AT = 4096  # elements of each layer's gradient, besides both ends


class Sync:
    """Training steps on one set of operands, with their gradients synchronised."""

    def __init__(self, kind: str, ops: Operands, place: Place) -> None:
        import torch

        assert ops.gradient is not None
        self.kind, self.ops, self.place = kind, ops, place
        ops.gradient.div_(place.ranks)
        self.gradients = [torch.zeros_like(flat) for flat in ops.flats]
        self.shares = [g.new_empty(g.numel() // place.ranks) for g in self.gradients if kind == "reduce_scatter"]
        self._pending: list[Any] = []
        self._missing = [len(layer.weights) for layer in ops.layers]
        self._alone = False
        for number, (layer, flat, gradient) in enumerate(zip(ops.layers, ops.flats, self.gradients, strict=True)):
            for weight in layer.weights.values():
                start = weight.storage_offset() - flat.storage_offset()
                weight.grad = gradient[start : start + weight.numel()].view(weight.shape)
                weight.register_post_accumulate_grad_hook(partial(self._ready, number))  # type: ignore[no-untyped-call]

    def launch(self) -> torch.Tensor:
        """One step; returns the output."""
        self._backward()
        self.finish()
        return self._y

    def _backward(self) -> None:
        import torch

        for gradient in self.gradients:
            gradient.zero_()
        self._missing = [len(layer.weights) for layer in self.ops.layers]
        self.ops.x.grad = None
        y = transformer.forward(self.ops.stack, self.ops.layers, self.ops.x)
        torch.autograd.backward(y, self.ops.gradient)
        self._y = y.detach()

    def _ready(self, layer: int, _: torch.Tensor) -> None:
        self._missing[layer] -= 1
        if self._missing[layer] == 0 and not self._alone:
            self._send(layer)

    def _send(self, layer: int) -> None:
        import torch.distributed as dist

        gradient = self.gradients[layer]
        if self.kind == "all_reduce":
            self._pending.append(dist.all_reduce(gradient, async_op=True))
        else:
            scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
            self._pending.append(scatter(self.shares[layer], gradient, async_op=True))

    def finish(self) -> None:
        """Wait for the gradients, then gather the parameters if they are shared out."""
        self._wait()
        if self.kind == "reduce_scatter":
            for layer in range(len(self.ops.flats)):
                self._gather(layer)
            self._wait()

    def _gather(self, layer: int) -> None:
        import torch.distributed as dist

        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        flat = self.ops.flats[layer]
        self._pending.append(gather(flat, flat[self._mine(flat)], async_op=True))

    def _wait(self) -> None:
        for work in self._pending:
            work.wait()
        self._pending.clear()

    def _mine(self, flat: torch.Tensor) -> slice:
        share = flat.numel() // self.place.ranks
        return slice(self.place.rank * share, (self.place.rank + 1) * share)

    # -- is it right? --------------------------------------------------------------------------------------------

    def check_gradients(self, dtype: str) -> None:
        """Compare those of a step with the mean of every rank's own; WrongResult after the last exchange."""
        own = self._own()
        self.launch()
        for layer, (places, mean) in enumerate(own):
            found, first = self.gradients[layer], 0
            if self.kind == "reduce_scatter":
                found, first = self.shares[layer], self._mine(self.ops.flats[layer]).start
            here = (places >= first) & (places < first + found.numel())
            got = found.index_select(0, (places[here] - first).to(found.device))
            # partial sums are rounded on their way round; gradients themselves differ a little from run to run
            allowed = max(8 * unit_roundoff(dtype) * math.sqrt(self.place.ranks), 2.0**-14)
            scale = float(mean.square().mean().sqrt())
            reference.compare(f"mean gradient of layer {layer} ", got, mean[here], allowed, scale=scale)

    def _own(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """For each layer places in its gradient, and there the mean over ranks, added up in float64."""
        import torch
        import torch.distributed as dist

        self._alone = True
        try:
            self._backward()
        finally:
            self._alone = False
        found = []
        for layer, gradient in enumerate(self.gradients):
            generator = torch.Generator().manual_seed(data.substream(layer, "places"))
            inner = torch.randint(gradient.numel(), (_LOOKED_AT,), generator=generator)
            places = torch.cat((torch.arange(64), inner, torch.arange(gradient.numel() - 64, gradient.numel())))
            mine = gradient.index_select(0, places.to(gradient.device)).float()
            everyone = [torch.empty_like(mine) for _ in range(self.place.ranks)]
            dist.all_gather(everyone, mine)
            found.append((places, torch.stack(everyone).to("cpu", torch.float64).sum(0)))
        return found

    def check_gathered(self) -> None:
        """What other ranks own is lost here, and must come back; WrongResult after the last exchange."""
        import torch

        if self.kind != "reduce_scatter":
            return
        wrong = []
        for layer, flat in enumerate(self.ops.flats):
            before = flat.detach().clone()
            flat.fill_(math.nan)
            flat[self._mine(flat)] = before[self._mine(flat)]
            self._gather(layer)
            self._wait()
            if not torch.equal(flat, before):
                wrong.append(str(layer))
            flat.copy_(before)
        if wrong:
            raise WrongResult(f"parameters of layers {', '.join(wrong)} are not those that their owners gathered")


def launches(kind: str, sets: list[Operands], place: Place) -> tuple[list[Sync], list[Callable[[], object]]]:
    """Synchronised steps on each of some sets of operands."""
    syncs = [Sync(kind, ops, place) for ops in sets]
    return syncs, [sync.launch for sync in syncs]
