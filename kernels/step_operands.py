"""What a step works on: parameters of each layer in one flat buffer, an input, a cache, the gradient of the output.

Matrices are drawn as ``init`` says and scaled by the root of their inputs, so that every layer hands on numbers of
about the size that it received: bf16 and fp16 stay in range, and no branch is lost beside the residual. Norms lie about
1, biases about 0. Parameters are the same on every rank, inputs are not, as where data are parallel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perwatt.kernels import data, dtypes, experts, transformer
from perwatt.kernels.step_work import Load
from perwatt.kernels.transformer import Layer, Stack

if TYPE_CHECKING:
    import torch

_APART = 128  # elements between the starts of two parameters: kernels want aligned operands


@dataclass(frozen=True)
class Operands:
    """One set. ``flats`` hold the parameters of each layer; ``gradient`` is that of the output, for training."""

    stack: Stack
    layers: list[Layer]
    flats: list[torch.Tensor]
    x: torch.Tensor
    gradient: torch.Tensor | None

    def parameters(self) -> list[torch.Tensor]:
        """Every parameter of every layer, in order."""
        return [weight for layer in self.layers for weight in layer.weights.values()]


class Maker:
    """Makes sets of operands of one step; what the sets share is made once."""

    def __init__(self, load: Load, dtype: str, init: str, seed: int, device: str, rank: int = 0, ranks: int = 1):
        self.load, self.init, self.seed, self.device = load, init, seed, device
        self.dtype, self.rank, self.ranks = dtypes.torch_dtype(dtype), rank, ranks
        model, train = load.model, load.mode == "train"
        turn = None
        if model.rope_theta is not None:
            turn = transformer.rotary(model, load.keys - load.seq, load.seq, self.dtype, device)
        self.routing, self.fused = None, False
        if model.experts is not None and any(model.mixes(load.layers)):
            self.fused = experts.has_grouped(self.dtype, device, train)
            chosen = experts.choose(load.tokens, model.experts.active, load.experts, data.substream(seed, "experts"))
            self.routing = experts.route(chosen, load.experts, device, self.fused)
        self.stack = Stack(model, load.mode, turn, self.routing)

    def operands(self, index: int) -> Operands:
        """Set number ``index``."""
        load, train = self.load, self.load.mode == "train"
        layers, flats = [], []
        for number, mixture in enumerate(load.model.mixes(load.layers)):
            flat, weights = self._parameters(index, number, mixture)
            layers.append(Layer(mixture, weights, () if train else self._cache(index, number)))
            flats.append(flat)
        shape = (load.batch, load.seq, load.model.hidden)
        x = self._fill(shape, index, "x", self.rank).requires_grad_(train)
        gradient = self._fill(shape, index, "gradient", self.rank) if train else None
        return Operands(self.stack, layers, flats, x, gradient)

    def _fill(self, shape: tuple[int, ...], *names: int | str) -> torch.Tensor:
        return data.fill(shape, self.dtype, self.init, data.substream(self.seed, *names), self.device)

    def _parameters(self, index: int, layer: int, mixture: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The flat buffer of one layer and its parameters, views of it; a multiple of the ranks is left long."""
        import torch

        found = transformer.shapes(self.load.model, mixture, self.load.experts)
        starts, end = {}, 0
        for name, shape in found.items():
            starts[name] = end
            end += -(-math.prod(shape) // _APART) * _APART
        whole = _APART * self.ranks
        flat = torch.zeros(-(-end // whole) * whole, dtype=self.dtype, device=self.device)
        weights = {}
        for name, shape in found.items():
            part = flat[starts[name] : starts[name] + math.prod(shape)]
            data.refill(part, self.init, data.substream(self.seed, index, "layer", layer, name))
            if name.endswith("norm"):
                part.mul_(0.25).add_(1.0)
            else:
                part.mul_(0.25 if len(shape) == 1 else shape[-1] ** -0.5)
            weights[name] = part.view(shape).requires_grad_(self.load.mode == "train")
        return flat, weights

    def _cache(self, index: int, layer: int) -> tuple[torch.Tensor, ...]:
        model, load = self.load.model, self.load
        if model.latent is not None:
            return (self._fill((load.batch, 1, load.keys, model.cached), index, "cache", layer),)
        shape = (load.batch, model.groups, load.keys, model.dim)
        return tuple(self._fill(shape, index, f"cache {what}", layer) for what in ("keys", "values"))


def launcher(ops: Operands) -> Callable[[], tuple[torch.Tensor, ...]]:
    """One step on a set: it returns the output and, training, the gradients of the input and of every parameter."""
    import torch

    if ops.gradient is None:
        return lambda: (transformer.forward(ops.stack, ops.layers, ops.x),)
    wanted = [ops.x, *ops.parameters()]

    def train() -> tuple[torch.Tensor, ...]:
        y = transformer.forward(ops.stack, ops.layers, ops.x)
        return (y.detach(), *torch.autograd.grad(y, wanted, ops.gradient))

    return train
