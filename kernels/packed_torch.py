"""Packed sequences through torch: its FlashAttention for them where it has it, else one sequence after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from perwatt.kernels import dtypes, packed, sdpa
from perwatt.kernels.workload import Place, Unsupported

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.attention_varlen import AttentionVarlen
    from perwatt.kernels.packed import Call, Operands

    Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], list[torch.Tensor]]
    Make = Callable[[AttentionVarlen, Operands], Attend]


def available(spec: AttentionVarlen, place: Place) -> tuple[Call, list[str]]:
    """What makes a launch, the first that this place has, and notes on it."""
    import torch

    torch.set_float32_matmul_precision("highest")
    sdpa.select("auto")
    tiny = dataclasses.replace(spec, batch=2, seq=min(spec.seq, 64), init="normal")
    what = f"attention_varlen in {spec.dtype}"
    if place.type != "cpu":
        try:
            dtypes.supported(place, what, partial(_run_once, _at_once, tiny, place.device))
        except (Unsupported, ImportError):
            pass
        else:
            return partial(call, _at_once), ["torch's FlashAttention for packed sequences"]
    dtypes.supported(place, what, partial(_run_once, _one_by_one, tiny, place.device))
    note = dtypes.not_emulated(place, spec.dtype, _timing_probe(spec, place.device))
    return partial(call, _one_by_one), ["one call a sequence", note]


def _run_once(make: Make, spec: AttentionVarlen, device: str) -> object:
    """Making a launch belongs to what may be refused, hence not just the launch."""
    return call(make, spec, packed.build(spec, 0, device))()


def _timing_probe(spec: AttentionVarlen, device: str) -> Callable[[str], Callable[[], object]]:
    """One sequence of 256 in a given format: does a CPU emulate it?"""
    one = dataclasses.replace(spec, batch=1, heads=1, kv_heads=1, seq=256, init="normal")

    def probe(dtype: str) -> Callable[[], object]:
        chosen = dataclasses.replace(one, dtype=dtype)
        return call(_one_by_one, chosen, packed.build(chosen, 0, device))

    return probe


def call(make: Make, spec: AttentionVarlen, operands: Operands) -> Callable[[], tuple[torch.Tensor, ...]]:
    """A launch of what ``make`` makes, which attends and returns the output in one or several pieces."""
    import torch

    attend = make(spec, operands)
    qkv = tuple(x.detach().requires_grad_(spec.differentiates) for x in (operands.q, operands.k, operands.v))
    pieces = cast("tuple[torch.Tensor, torch.Tensor, torch.Tensor]", qkv)
    if not spec.differentiates:
        return lambda: (torch.cat(found) if len(found := attend(*pieces)) > 1 else found[0],)
    assert operands.grad is not None
    kept = attend(*pieces) if spec.mode == "backward" else None
    grads = list(torch.split(operands.grad, list(spec.lengths))) if make is _one_by_one else [operands.grad]

    def backward() -> tuple[torch.Tensor, ...]:
        outputs = kept if kept is not None else attend(*pieces)
        return torch.autograd.grad(outputs, qkv, grads, retain_graph=kept is not None)

    return backward


def _at_once(spec: AttentionVarlen, operands: Operands) -> Attend:
    """All sequences in one call."""
    from torch.nn.attention.varlen import varlen_attn

    # torch counts the keys before a query's own; -1 stands for all of them
    left = spec.seen - 1 if spec.seen is not None else -1
    window = (left, 0 if spec.causal else -1)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> list[torch.Tensor]:
        ends, gqa = operands.ends, spec.groups != spec.heads
        found = varlen_attn(q, k, v, ends, ends, spec.seq, spec.seq, window_size=window, enable_gqa=gqa)
        return [cast("torch.Tensor", found)]

    return attend


def _one_by_one(spec: AttentionVarlen, operands: Operands) -> Attend:
    """A call for each sequence."""
    device = str(operands.q.device)
    calls = [sdpa.function(dataclasses.replace(spec.alone(n), batch=1), device)[0] for n in spec.lengths]

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> list[torch.Tensor]:
        parts = zip(calls, packed.each(spec, q, k, v), strict=True)
        return [one(*qkv).squeeze(0).transpose(0, 1) for one, qkv in parts]

    return attend
