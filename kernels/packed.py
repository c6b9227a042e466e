"""Packed sequences of :class:`~perwatt.kernels.attention_varlen.AttentionVarlen`: operands, the check of each sequence
against float64, and the sets that are timed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from perwatt.kernels import data, reference, reference_attention
from perwatt.kernels.workload import Check, Place, Prepared, anew, rotation

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.attention_varlen import AttentionVarlen


@dataclass(frozen=True)
class Operands:
    """q and ``grad`` (tokens, H, D), k and v (tokens, H_kv, D); ``ends`` (sequences + 1,) int32 says where each
    sequence begins. ``grad`` is there for a backward pass alone."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    ends: torch.Tensor
    grad: torch.Tensor | None = None


# From a specification and operands to a launch, which returns the output, or with a backward pass (dq, dk, dv).
Call = Callable[["AttentionVarlen", Operands], Callable[[], "tuple[torch.Tensor, ...]"]]


def build(spec: AttentionVarlen, index: int, device: str) -> Operands:
    """Set ``index``."""
    import torch

    def values(what: str, heads: int) -> torch.Tensor:
        shape = (sum(spec.lengths), heads, spec.head_dim)
        return data.fill(shape, spec.dtype, spec.init, data.substream(spec.seed, index, what), device)

    ends = torch.tensor([0, *itertools.accumulate(spec.lengths)], dtype=torch.int32, device=device)
    grad = values("grad", spec.heads) if spec.differentiates else None
    return Operands(values("q", spec.heads), values("k", spec.groups), values("v", spec.groups), ends, grad)


def each(spec: AttentionVarlen, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """For each sequence, in order, its rows of packed tensors (tokens, H, D) as (1, H, S, D)."""
    first = 0
    for length in spec.lengths:
        yield tuple(x[first : first + length].transpose(0, 1).unsqueeze(0) for x in tensors)
        first += length


def prepare(spec: AttentionVarlen, place: Place, call: Call, notes: list[str]) -> Prepared:
    """Check set 0, then build the sets and their launches."""
    tested = dataclasses.replace(spec, init="normal" if spec.init == "zeros" else spec.init)
    check = _check(tested, place.device, call)
    count = rotation(spec.footprint_bytes(), place)
    calls = [call(spec, build(spec, index, place.device)) for index in range(count)]
    launch = data.keeping(data.rotating(calls), count)
    outputs = [x for _ in calls for x in cast("tuple[torch.Tensor, ...]", launch())]
    reference.require_finite(spec.mode, outputs)
    if spec.init == "zeros":
        reference.require_zero(spec.mode, outputs)
    if spec.mode == "backward":
        notes.append("backward timed alone: the forward pass ran once before")
    notes.append(data.cache_note(count, spec.footprint_bytes(), place))
    again = anew(partial(_check, tested, place.device, call), count, spec.footprint_bytes(), place)
    return Prepared(launch, check, count, "; ".join(n for n in notes if n), **again)


def _check(spec: AttentionVarlen, device: str, call: Call) -> Check:
    """Output, and gradients if any, of every sequence, each within its share of the budget."""
    import torch

    operands = build(spec, 0, device)
    qkv = (operands.q, operands.k, operands.v)
    (output,) = call(dataclasses.replace(spec, mode="forward"), operands)()
    budget = reference.BUDGET_FLOPS / spec.batch
    seed = data.substream(spec.seed, "rows")
    ones = cast("list[reference_attention.Triple]", list(each(spec, *qkv)))
    plans = [reference_attention.plan(*one, seed=seed + i, budget=budget) for i, one in enumerate(ones)]
    mask: dict[str, Any] = {"causal": spec.causal, "window": spec.seen}
    tolerance = reference.attention_tolerance(spec.dtype, backward=False)
    checks = [
        reference_attention.check_output(one, out, tolerance=tolerance, sampled=plan, **mask)
        for one, (out,), plan in zip(ones, each(spec, output), plans, strict=True)
    ]
    if operands.grad is not None:
        tolerance = reference.attention_tolerance(spec.dtype, backward=True)
        both = dataclasses.replace(spec, mode="forward_backward")
        some = torch.zeros_like(operands.grad)
        for (rows,), (whole,), plan in zip(each(spec, some), each(spec, operands.grad), plans, strict=True):
            picked = torch.tensor(plan.rows, device=device)
            rows[:, :, picked] = whole[:, :, picked]
        dense = call(both, operands)()
        masked = call(both, dataclasses.replace(operands, grad=some))()
        parts = zip(ones, each(spec, operands.grad), each(spec, *dense), each(spec, *masked), plans, strict=True)
        checks = [
            reference_attention.check_gradients(one, grad, a, b, tolerance=tolerance, sampled=plan, **mask)
            for one, (grad,), a, b, plan in parts
        ]
    partial = sum(not plan.everything for plan in plans)
    how = f"; in {partial} of {spec.batch} sequences some rows" if partial else ""
    worst = max(checks, key=lambda c: c.max_error)
    kind = "gradients" if operands.grad is not None else "attention"
    compared = sum(c.compared for c in checks)
    return Check(worst.max_error, worst.tolerance, f"float64 {kind} on the CPU, every sequence{how}", compared)
