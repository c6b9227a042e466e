"""The layers of a step in torch: attention over heads or over a latent, a plain, gated or mixed feed-forward network.

Functions of named weights, with nothing in them that a launch would not need. A matrix has (out, in) elements, as in
``torch.nn.Linear``; queries, keys and values come from one product, and so do gate and up. Rotary positions turn the
pairs (i, i + d/2). Norms add 1e-5 to the mean square (rms) or the variance (layer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perwatt.kernels import experts
from perwatt.kernels.model import Model

if TYPE_CHECKING:
    import torch

Weights = dict[str, "torch.Tensor"]
EPSILON = 1e-5


@dataclass(frozen=True)
class Layer:
    """One layer: its weights, and its cache if the step has one."""

    mixture: bool
    weights: Weights
    cache: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True)
class Stack:
    """Some layers of a model for one mode: what all of them share.

    ``turn`` is (cos, sin) of the angle of each position and pair, None without a rotary embedding; ``routing`` who goes
    to which expert, None without a mixture.
    """

    model: Model
    mode: str
    turn: tuple[torch.Tensor, torch.Tensor] | None = None
    routing: experts.Routing | None = None


def shapes(model: Model, mixture: bool, resident: int) -> dict[str, tuple[int, ...]]:
    """The weights of a layer by name. Norms and biases are vectors."""
    hidden, gate = model.hidden, 2 if model.gated else 1
    found: dict[str, tuple[int, ...]] = {"attention_norm": (hidden,)}
    if (latent := model.latent) is not None:
        found |= {
            "q_down": (latent.q_lora_rank, hidden),
            "q_norm": (latent.q_lora_rank,),
            "q_up": (model.heads * model.dim, latent.q_lora_rank),
            "kv_down": (model.cached, hidden),
            "kv_norm": (latent.kv_lora_rank,),
            "kv_up": (model.heads * (latent.qk_nope + latent.v), latent.kv_lora_rank),
        }
    else:
        found["qkv"] = ((model.heads + 2 * model.groups) * model.dim, hidden)
    found |= {"out": (hidden, model.heads * model.dim_v), "network_norm": (hidden,)}
    if mixture:
        assert model.experts is not None
        wide, shared = model.experts.ffn, model.experts.ffn * model.experts.shared
        found |= {
            "router": (model.experts.count, hidden),
            "experts_up": (resident, gate * wide, hidden),
            "experts_down": (resident, hidden, wide),
        }
        found |= {"up": (gate * shared, hidden), "down": (hidden, shared)} if shared else {}
    else:
        found |= {"up": (gate * model.ffn, hidden), "down": (hidden, model.ffn)}
    if model.norm == "layer":
        found |= {"attention_norm_bias": (hidden,), "network_norm_bias": (hidden,)}
    if model.biases:
        biased = ("qkv", "out") if mixture else ("qkv", "out", "up", "down")
        found |= {f"{name}_bias": found[name][:1] for name in biased if name in found}
    return found


def rotary(model: Model, first: int, count: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin (count, 1, d/2) of the angles of ``count`` positions from ``first``: position * theta ** (-2i/d)."""
    import torch

    assert model.rope_theta is not None
    dim = model.latent.qk_rope if model.latent is not None else model.dim
    inverse = model.rope_theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.arange(first, first + count, dtype=torch.float64)[:, None, None] * inverse
    return angle.cos().to(device, dtype), angle.sin().to(device, dtype)


def forward(stack: Stack, layers: list[Layer], x: torch.Tensor) -> torch.Tensor:
    """x (batch, seq, hidden) through the layers."""
    for layer in layers:
        w = layer.weights
        attend = _heads if stack.model.latent is None else _latent
        x = x + attend(stack, layer, _norm(stack.model, w, "attention_norm", x))
        inner = _norm(stack.model, w, "network_norm", x)
        x = x + (_mixture(stack, w, inner) if layer.mixture else network(stack.model, w, inner))
    return x


def _norm(model: Model, w: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    if model.norm == "layer":
        return functional.layer_norm(x, x.shape[-1:], w[name], w[f"{name}_bias"], EPSILON)
    return functional.rms_norm(x, x.shape[-1:], w[name], EPSILON)


def _turn(turn: tuple[torch.Tensor, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """x (batch, seq, heads, d) turned by its positions."""
    import torch

    cos, sin = turn
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def _heads(stack: Stack, layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """Attention of query heads over as many or fewer key-value heads."""
    from torch.nn.functional import linear, scaled_dot_product_attention

    model, w = stack.model, layer.weights
    batch, seq, _ = x.shape
    both, groups = model.heads + model.groups, model.groups
    qkv = linear(x, w["qkv"], w.get("qkv_bias")).view(batch, seq, both + groups, model.dim)
    qk, v = qkv[:, :, :both], qkv[:, :, both:]
    if stack.turn is not None:
        qk = _turn(stack.turn, qk)
    q, k, v = (part.transpose(1, 2) for part in (qk[:, :, : model.heads], qk[:, :, model.heads :], v))
    if layer.cache:
        keys, values = layer.cache
        keys[:, :, -seq:].copy_(k)  # prefill fills the cache, decode writes its last place
        values[:, :, -seq:].copy_(v)
        if stack.mode == "decode":
            k, v = keys, values
    gqa = model.heads != groups
    y = scaled_dot_product_attention(q, k, v, is_causal=stack.mode != "decode", enable_gqa=gqa)
    return linear(y.transpose(1, 2).reshape(batch, seq, -1), w["out"], w.get("out_bias"))


def _latent(stack: Stack, layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """Multi-head latent attention: keys and values made from the latent, or the queries brought to it (decode)."""
    import torch
    from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention

    model, w = stack.model, layer.weights
    latent, turn = model.latent, stack.turn
    assert latent is not None
    assert turn is not None
    batch, seq, _ = x.shape
    low = rms_norm(linear(x, w["q_down"]), (latent.q_lora_rank,), w["q_norm"], EPSILON)
    q = linear(low, w["q_up"]).view(batch, seq, model.heads, model.dim)
    q_nope, q_rope = torch.split(q, [latent.qk_nope, latent.qk_rope], dim=-1)
    q_rope = _turn(turn, q_rope)
    kv, k_rope = torch.split(linear(x, w["kv_down"]), [latent.kv_lora_rank, latent.qk_rope], dim=-1)
    kv = rms_norm(kv, (latent.kv_lora_rank,), w["kv_norm"], EPSILON)
    k_rope = _turn(turn, k_rope.unsqueeze(2))
    if layer.cache:
        layer.cache[0][:, 0, -seq:].copy_(torch.cat((kv, k_rope.squeeze(2)), dim=-1))
    if stack.mode == "decode":
        y = _absorbed(model, layer, q_nope, q_rope)
    else:
        up = linear(kv, w["kv_up"]).view(batch, seq, model.heads, latent.qk_nope + latent.v)
        k_nope, v = torch.split(up, [latent.qk_nope, latent.v], dim=-1)
        k = torch.cat((k_nope, k_rope.expand(-1, -1, model.heads, -1)), dim=-1)
        q = torch.cat((q_nope, q_rope), dim=-1).transpose(1, 2)
        y = scaled_dot_product_attention(q, k.transpose(1, 2), v.transpose(1, 2), is_causal=True).transpose(1, 2)
    return linear(y.reshape(batch, seq, -1), w["out"])


def _absorbed(model: Model, layer: Layer, q_nope: torch.Tensor, q_rope: torch.Tensor) -> torch.Tensor:
    """One query a sequence against the cached latents. The heads stand where queries do: they share one key."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    latent = model.latent
    assert latent is not None
    up = layer.weights["kv_up"].view(model.heads, latent.qk_nope + latent.v, latent.kv_lora_rank)
    inside = torch.bmm(q_nope.squeeze(1).transpose(0, 1), up[:, : latent.qk_nope])  # (heads, batch, rank)
    q = torch.cat((inside.transpose(0, 1), q_rope.squeeze(1)), dim=-1).unsqueeze(1)
    cached = layer.cache[0]
    y = scaled_dot_product_attention(q, cached, cached[..., : latent.kv_lora_rank], scale=model.dim**-0.5)
    y = torch.bmm(y.squeeze(1).transpose(0, 1), up[:, latent.qk_nope :].transpose(1, 2))  # (heads, batch, v)
    return y.transpose(0, 1)


def network(model: Model, w: Weights, x: torch.Tensor) -> torch.Tensor:
    """The feed-forward network that all tokens pass."""
    from torch.nn.functional import linear

    return linear(experts.activate(model, linear(x, w["up"], w.get("up_bias"))), w["down"], w.get("down_bias"))


def _mixture(stack: Stack, w: Weights, x: torch.Tensor) -> torch.Tensor:
    """Routed experts and the shared ones."""
    assert stack.routing is not None
    flat = x.reshape(-1, x.shape[-1])
    y = experts.mix(stack.model, stack.routing, w["router"], w["experts_up"], w["experts_down"], flat).view_as(x)
    return y + network(stack.model, w, x) if "up" in w else y
