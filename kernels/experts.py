"""A mixture of experts: who goes where, and the products of all experts at once.

The router is real: its scores are computed, and the gates are those of the chosen experts, normalised (sigmoid, as in
DeepSeek-V3, arXiv 2412.19437, section 2.1.2). The choice is not: it is drawn once, from a seed, and balanced to within
one token, since with a choice that follows the values the work of a step would be another one for every input. Each
token goes to ``active`` different experts among those that are resident; with fewer of them than the model has, each
sees the tokens that a group of devices would send it, without the exchange between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perwatt.kernels.model import Model

if TYPE_CHECKING:
    import torch

    Grouped = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Routing:
    """Rows are pairs of token and expert, in the order of experts.

    ``chosen`` (tokens, active) are the experts of each token, ``token`` the token of each row, ``row`` the row of each
    pair in the order of tokens, ``grouped`` the product of rows (R, in) with the matrices (experts, out, in) of theirs.
    """

    chosen: torch.Tensor
    token: torch.Tensor
    row: torch.Tensor
    grouped: Grouped


def choose(tokens: int, active: int, resident: int, seed: int) -> torch.Tensor:
    """The experts of each token (tokens, active): different ones for a token, as many tokens for each, from a seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    dealt = torch.arange(tokens * active) % resident  # any ``active`` in a row are different
    named = torch.randperm(resident, generator=generator)[dealt].view(tokens, active)
    return named[torch.randperm(tokens, generator=generator)]


def route(chosen: torch.Tensor, resident: int, device: str, fused: bool) -> Routing:
    """What the launches need of a choice, on ``device``; ``fused`` for torch's own grouped product."""
    import torch

    flat = chosen.reshape(-1)
    order = flat.argsort(stable=True)
    row = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    counts = flat.bincount(minlength=resident)
    token = (order // chosen.shape[1]).to(device)
    return Routing(chosen.to(device), token, row.to(device), grouped(counts, device, fused))


def grouped(counts: torch.Tensor, device: str, fused: bool) -> Grouped:
    """Rows, ``counts`` of them for each expert, times the matrices of theirs: in one call, or one a expert."""
    import torch
    from torch.nn import functional

    if fused:
        ends = counts.cumsum(0).to(device, torch.int32)
        return lambda rows, matrices: functional.grouped_mm(rows, matrices.transpose(1, 2), offs=ends)
    sizes = counts.tolist()

    def loop(rows: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        # unbind, not an index: the backward pass of an index fills a tensor of all experts with zeros, for each
        pairs = zip(torch.split(rows, sizes), matrices.unbind(0), strict=True)
        return torch.cat([functional.linear(part, matrix) for part, matrix in pairs if len(part)])

    return loop


def has_grouped(dtype: torch.dtype, device: str, backward: bool) -> bool:
    """Whether this torch multiplies in groups here, tried on 16 rows, one expert among them without any."""
    import torch
    from torch.nn import functional

    if not hasattr(functional, "grouped_mm"):
        return False
    rows, matrices = (
        torch.ones(shape, dtype=dtype, device=device, requires_grad=backward) for shape in ((16, 16), (3, 32, 16))
    )
    right = True
    try:
        y = grouped(torch.tensor([5, 0, 11]), device, True)(rows, matrices)
        if backward:
            (back,) = torch.autograd.grad(y, rows, torch.ones_like(y))
            right = bool((back == 32).all())
        right = right and bool((y.detach() == 16).all())
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return False
    return right


def activate(model: Model, x: torch.Tensor) -> torch.Tensor:
    """SwiGLU of (gate, up) side by side, or GELU."""
    from torch.nn import functional

    if not model.gated:
        return functional.gelu(x)
    gate, up = x.chunk(2, dim=-1)
    return functional.silu(gate) * up


def mix(
    model: Model, routing: Routing, router: torch.Tensor, up: torch.Tensor, down: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """The routed experts' part for x (tokens, hidden)."""
    from torch.nn.functional import linear

    assert model.experts is not None
    scores = linear(x, router).float().sigmoid().gather(1, routing.chosen)
    gates = (scores / scores.sum(-1, keepdim=True) * model.experts.scaling).to(x.dtype)
    rows = x.index_select(0, routing.token)
    rows = routing.grouped(activate(model, routing.grouped(rows, up)), down)
    back = rows.index_select(0, routing.row).view(*routing.chosen.shape, -1)
    return (back * gates.unsqueeze(-1)).sum(1)
