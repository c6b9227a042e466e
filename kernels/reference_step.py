"""A step written out a second time, in float64 on the CPU, and the comparison of a launch with it.

It shares no code with the layers that are measured: heads, sequences and experts are loops, rotary positions a
multiplication by complex numbers, masks are explicit, latent attention makes every head's keys and values from the
cached latents also where the launch brings the queries to them. Gradients are autograd's, of this second forward.

Rounding passes through some ten products and norms on its way to an output, so a single element may be far off where
its terms cancel, but never a tensor as a whole: what decides is the root mean square of a tensor's errors relative to
that of its values. Single elements have a wider limit, in units of themselves and of what is usual in their row and
column. Both are about three times the largest found on a CPU over modes, models of every kind and seeds; a wrong scale,
mask, position, gate or norm lies well above (``tests/kernels/test_step.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from perwatt.kernels.dtypes import unit_roundoff
from perwatt.kernels.model import Model
from perwatt.kernels.reference import compare
from perwatt.kernels.workload import Check, WrongResult

if TYPE_CHECKING:
    import torch


class Given(NamedTuple):
    """What a step starts from: ``caches`` before it ran; ``chosen`` experts of each token or None; ``gradient`` of the
    output or None; ``first`` the position of the first token."""

    model: Model
    mixtures: Sequence[bool]
    weights: Sequence[dict[str, torch.Tensor]]
    x: torch.Tensor
    caches: Sequence[tuple[torch.Tensor, ...]]
    chosen: torch.Tensor | None
    gradient: torch.Tensor | None
    first: int


def tolerances(dtype: str) -> tuple[float, float]:
    """Of the root mean square of a tensor's errors, and of one element's error."""
    u = unit_roundoff(dtype)
    return (512 * u, 4096 * u) if dtype == "fp32" else (12 * u, 96 * u)


def deviation(what: str, got: torch.Tensor, want: torch.Tensor, dtype: str) -> float:
    """The relative root mean square of the errors of ``got``; WrongResult if that or an element is too far off."""
    import torch

    limit, element_limit = tolerances(dtype)
    squares = want.square()
    rms = float(squares.mean().sqrt())
    scale = torch.full((), rms, dtype=want.dtype)
    if want.dim() > 1 and want.shape[-2] >= 16 and rms:
        scale = (squares.mean(-1, keepdim=True) * squares.mean(-2, keepdim=True)).sqrt() / rms
    compare(f"{what} ", got, want, element_limit, scale=scale)
    error = float((_float64(got) - want).square().mean().sqrt()) / rms if rms else 0.0
    if error > limit:
        raise WrongResult(f"{what}: off by {error:.3g} of its root mean square (tolerance {limit:.3g})")
    return error


def _float64(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.detach().to("cpu", torch.float64)


def check(given: Given, got: Sequence[torch.Tensor], caches: Sequence[tuple[torch.Tensor, ...]], dtype: str) -> Check:
    """Compare the output, the gradients that follow it in ``got`` (input, then every parameter), and the caches."""
    import torch

    train = given.gradient is not None
    weights = [{name: _float64(w).requires_grad_(train) for name, w in each.items()} for each in given.weights]
    x = _float64(given.x).requires_grad_(train)
    y, filled = forward(given, weights, x)
    pairs = [("output", got[0], y.detach())]
    for layer, (mine, theirs) in enumerate(zip(caches, filled, strict=False)):
        pairs += [(f"cache of layer {layer}", have, want) for have, want in zip(mine, theirs, strict=True)]
    if given.gradient is not None:
        names = ["input", *(f"{name} of layer {i}" for i, each in enumerate(weights) for name in each)]
        inputs = [x, *(w for each in weights for w in each.values())]
        wanted = torch.autograd.grad(y, inputs, _float64(given.gradient))
        pairs += [(f"gradient of {name}", have, want) for name, have, want in zip(names, got[1:], wanted, strict=True)]
    worst = max(deviation(what, have, want, dtype) for what, have, want in pairs)
    how = (
        f"float64 layers{' and gradients' * train} on the CPU, rms of each of {len(pairs)} tensors of a small instance"
    )
    return Check(worst, tolerances(dtype)[0], how, sum(want.numel() for _, _, want in pairs))


def forward(
    given: Given, weights: Sequence[dict[str, torch.Tensor]], x: torch.Tensor
) -> tuple[torch.Tensor, list[tuple[torch.Tensor, ...]]]:
    """The output, and the caches as they are afterwards; all float64."""
    model = given.model
    filled: list[tuple[torch.Tensor, ...]] = []
    for number, (mixture, w) in enumerate(zip(given.mixtures, weights, strict=True)):
        before = tuple(_float64(c) for c in given.caches[number]) if given.caches else ()
        attend = _attend_latent if model.latent is not None else _attend
        change, after = attend(given, w, _normed(model, w, "attention_norm", x), before)
        filled.append(after)
        x = x + change
        inner = _normed(model, w, "network_norm", x)
        x = x + (_experts(given, w, inner) if mixture else _feed(model, inner, w, "up", "down"))
    return x, filled if given.caches else []


def _normed(model: Model, w: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    if model.norm == "layer":
        x = x - x.mean(-1, keepdim=True)
    scaled = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * w[name]
    return scaled + w[f"{name}_bias"] if model.norm == "layer" else scaled


def _times(x: torch.Tensor, w: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    y = x @ w[name].T
    return y + w[f"{name}_bias"] if f"{name}_bias" in w else y


def _turned(given: Given, x: torch.Tensor) -> torch.Tensor:
    """x (tokens, d): the pair (i, i + d/2) as a complex number, turned by position * theta ** (-2i/d)."""
    import torch

    if given.model.rope_theta is None:
        return x
    half = x.shape[1] // 2
    position = torch.arange(x.shape[0], dtype=torch.float64) + given.first
    frequency = torch.exp(-math.log(given.model.rope_theta) * torch.arange(half, dtype=torch.float64) / half)
    angle = position[:, None] * frequency
    turned = torch.complex(x[:, :half], x[:, half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((turned.real, turned.imag), dim=1)


def _one_head(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k' / sqrt(d)) v of (tokens, d); the last query sees every key."""
    import torch

    hidden = torch.ones(q.shape[0], k.shape[0], dtype=torch.bool).triu(k.shape[0] - q.shape[0] + 1)
    scores = (q @ k.T / math.sqrt(q.shape[1])).masked_fill(hidden, -math.inf)
    weight = torch.exp(scores - scores.amax(1, keepdim=True))
    return weight @ v / weight.sum(1, keepdim=True)


def _attend(
    given: Given, w: dict[str, torch.Tensor], x: torch.Tensor, before: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    import torch

    model, tokens, d = given.model, x.shape[1], given.model.dim
    sequences, all_keys, all_values = [], [], []
    for b in range(x.shape[0]):
        cut = list(torch.split(_times(x[b], w, "qkv"), d, dim=1))
        queries = [_turned(given, q) for q in cut[: model.heads]]
        keys = [_turned(given, k) for k in cut[model.heads : model.heads + model.groups]]
        values = cut[model.heads + model.groups :]
        if before:
            keys = [torch.cat((before[0][b, g, :-tokens], k)) for g, k in enumerate(keys)]
            values = [torch.cat((before[1][b, g, :-tokens], v)) for g, v in enumerate(values)]
        per = model.heads // model.groups
        heads = [_one_head(q, keys[h // per], values[h // per]) for h, q in enumerate(queries)]
        sequences.append(_times(torch.cat(heads, dim=1), w, "out"))
        all_keys.append(torch.stack(keys))
        all_values.append(torch.stack(values))
    return torch.stack(sequences), (torch.stack(all_keys).detach(), torch.stack(all_values).detach())


def _attend_latent(
    given: Given, w: dict[str, torch.Tensor], x: torch.Tensor, before: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    import torch

    model, latent, tokens = given.model, given.model.latent, x.shape[1]
    assert latent is not None
    sequences, rows = [], []
    for b in range(x.shape[0]):
        low = _rms(_times(x[b], w, "q_down")) * w["q_norm"]
        queries = torch.split(_times(low, w, "q_up"), model.dim, dim=1)
        down = _times(x[b], w, "kv_down")
        compressed = _rms(down[:, : latent.kv_lora_rank]) * w["kv_norm"]
        row = torch.cat((compressed, _turned(given, down[:, latent.kv_lora_rank :])), dim=1)
        if before:
            row = torch.cat((before[0][b, 0, :-tokens], row))
        rows.append(row)
        each = torch.split(_times(row[:, : latent.kv_lora_rank], w, "kv_up"), latent.qk_nope + latent.v, dim=1)
        heads = []
        for straight, kv in zip(queries, each, strict=True):
            q = torch.cat((straight[:, : latent.qk_nope], _turned(given, straight[:, latent.qk_nope :])), dim=1)
            k = torch.cat((kv[:, : latent.qk_nope], row[:, latent.kv_lora_rank :]), dim=1)
            heads.append(_one_head(q, k, kv[:, latent.qk_nope :]))
        sequences.append(_times(torch.cat(heads, dim=1), w, "out"))
    return torch.stack(sequences), (torch.stack(rows).unsqueeze(1).detach(),)


def _rms(x: torch.Tensor) -> torch.Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def _feed(model: Model, x: torch.Tensor, w: dict[str, torch.Tensor], up: str, down: str) -> torch.Tensor:
    import torch

    y = _times(x, w, up)
    if model.gated:
        half = y.shape[-1] // 2
        y = y[..., :half] / (1 + torch.exp(-y[..., :half])) * y[..., half:]
    else:
        y = y * (1 + torch.erf(y / math.sqrt(2))) / 2
    return _times(y, w, down)


def _experts(given: Given, w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Token by token: its experts' outputs, weighed by the normalised sigmoids of their scores, and the shared ones."""
    import torch

    assert given.chosen is not None
    assert given.model.experts is not None
    tokens = []
    for token, chosen in zip(x.reshape(-1, x.shape[-1]), given.chosen.tolist(), strict=True):
        score = 1 / (1 + torch.exp(-(w["router"][chosen] @ token)))
        outputs = [
            _feed(given.model, token, {"up": w["experts_up"][e], "down": w["experts_down"][e]}, "up", "down")
            for e in chosen
        ]
        tokens.append(sum((s * y for s, y in zip(score, outputs, strict=True)), torch.zeros(())) / score.sum())
    routed = torch.stack(tokens).view_as(x) * given.model.experts.scaling
    return routed + _feed(given.model, x, w, "up", "down") if "up" in w else routed
