"""torch's scaled_dot_product_attention as :class:`~perwatt.kernels.attention.Attention` needs it: the choice of
backend, operands, mask and launches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from perwatt.kernels import data

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.attention import Attention

    Triple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

BACKENDS = {
    "flash": "FLASH_ATTENTION",
    "efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "math": "MATH",
}
# torch selects backends by process-wide switches; entering and leaving them would cost each launch 20 to 70 us, so the
# selection of the case that was prepared last stays in force until the next is prepared.
_selected = contextlib.ExitStack()


def select(backend: str) -> None:
    """Let torch use only ``backend``; ``auto`` restores what the process had chosen before."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    _selected.close()
    if backend != "auto":
        _selected.enter_context(sdpa_kernel(getattr(SDPBackend, BACKENDS[backend])))


def operands(spec: Attention, index: int, device: str) -> tuple[Triple, torch.Tensor]:
    """(q, k, v) of set ``index`` and the gradient of the output, which only a backward pass needs (else a scalar)."""
    keys = (spec.batch, spec.groups, spec.keys)
    shapes: dict[str, tuple[int, ...]] = {
        "q": (spec.batch, spec.heads, spec.seq_q, spec.head_dim),
        "k": (*keys, spec.head_dim),
        "v": (*keys, spec.dim_v),
        "grad": (spec.batch, spec.heads, spec.seq_q, spec.dim_v) if spec.differentiates else (),
    }
    q, k, v, grad = (
        data.fill(shape, spec.dtype, spec.init, data.substream(spec.seed, index, operand), device)
        for operand, shape in shapes.items()
    )
    for x in (q, k, v):
        x.requires_grad_(spec.differentiates)
    return (q, k, v), grad


def function(spec: Attention, device: str) -> tuple[Attend, str]:
    """Attention of (q, k, v) with the mask of ``spec``, and a note where it matters how the mask is applied."""
    import torch
    from torch.backends.cuda import SDPAParams, can_use_efficient_attention, can_use_flash_attention
    from torch.nn.attention.bias import causal_lower_right
    from torch.nn.functional import scaled_dot_product_attention

    options: dict[str, Any] = {"enable_gqa": spec.groups != spec.heads}
    note = ""
    if spec.seen is not None:
        first = spec.keys - spec.seq_q
        mask = torch.ones(spec.seq_q, spec.keys, dtype=torch.bool, device=device).tril(first)
        options["attn_mask"] = mask.triu(first - spec.seen + 1)
        note = "the window is a dense mask: torch's attention computes every pair"
    elif spec.causal and spec.seq_q == spec.keys:
        options["is_causal"] = True
    elif spec.causal and spec.seq_q > 1:  # a single query sees every key
        params = SDPAParams(*operands(spec.tiny(), 0, device)[0], None, 0.0, False, options["enable_gqa"])
        if can_use_flash_attention(params) or can_use_efficient_attention(params):
            options["attn_mask"] = causal_lower_right(spec.seq_q, spec.keys)
        else:
            # torch would build a dense mask at every call: build it once
            mask = torch.ones(spec.seq_q, spec.keys, dtype=torch.bool, device=device)
            options["attn_mask"] = mask.tril(spec.keys - spec.seq_q)
            note = "causal by a dense mask: this backend has no causal alignment at the bottom right"
    return cast("Attend", partial(scaled_dot_product_attention, **options)), note


def launcher(spec: Attention, index: int, device: str, attend: Attend | None = None) -> Callable[[], object]:
    """One launch on set ``index``: it returns the output, or with a backward pass the gradients (dq, dk, dv)."""
    import torch

    attention = attend or function(spec, device)[0]
    qkv, grad = operands(spec, index, device)
    if spec.mode == "forward":
        return partial(attention, *qkv)
    if spec.mode == "backward":
        return partial(torch.autograd.grad, attention(*qkv), qkv, grad, retain_graph=True)

    def forward_backward() -> object:
        return torch.autograd.grad(attention(*qkv), qkv, grad)

    return forward_backward
