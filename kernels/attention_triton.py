"""Attention by perwatt's own kernels, for :class:`~perwatt.kernels.attention.Attention` and, packed, for
:class:`~perwatt.kernels.attention_varlen.AttentionVarlen`: buffers, launches, and the check before them.

One launch forward is one program. Backward there are three: what the softmax's gradient subtracts in each row, then the
gradients of keys and values, then those of queries. No two programs add to the same place, so the result is the same
in every launch.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from perwatt.kernels import data, reference, reference_attention, sdpa
from perwatt.kernels.triton.attention_configuration import FlashBackwardKeys, FlashBackwardQueries, FlashForward
from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.workload import Check, Place, Prepared, Unsupported, anew, rotation

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.attention import Attention
    from perwatt.kernels.triton.program import Program

HEAD_DIMS = (64, 128, 256)


@dataclass(frozen=True)
class Buffers:
    """One set of operands and outputs. q, ``out``, ``grad`` and dq are (B, H, S_q, D), k, v, dk and dv (B, H_kv, S_k,
    D), ``lse`` and ``delta`` (B, H, S_q) in fp32. What follows ``lse`` is there for a backward pass alone."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    out: torch.Tensor
    lse: torch.Tensor
    grad: torch.Tensor | None = None
    delta: torch.Tensor | None = None
    dq: torch.Tensor | None = None
    dk: torch.Tensor | None = None
    dv: torch.Tensor | None = None

    @property
    def gradients(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(dq, dk, dv)."""
        assert self.dq is not None
        assert self.dk is not None
        assert self.dv is not None
        return self.dq, self.dk, self.dv

    def with_grad(self, grad: torch.Tensor) -> Buffers:
        """The same with another gradient of the output, and gradients of their own."""
        import torch

        return dataclasses.replace(
            self, grad=grad, **dict(zip(("dq", "dk", "dv"), map(torch.empty_like, self.gradients), strict=True))
        )


@dataclass(frozen=True)
class Mask:
    """Who sees whom, and with ``packed`` (cu_q, cu_k, longest) where the sequences lie."""

    causal: bool
    window: int | None
    packed: tuple[torch.Tensor, torch.Tensor, int] | None = None


def require(what: str, head_dim: int, head_dim_v: int) -> None:
    """Raise Unsupported for a head that the kernels do not have."""
    if head_dim not in HEAD_DIMS or head_dim_v != head_dim:
        raise Unsupported(
            f"{what} with backend=triton has heads of 64, 128 and 256 in q, k and v alike, not {head_dim} and "
            f"{head_dim_v}; torch's backends have others"
        )


def buffers(qkv: tuple[torch.Tensor, ...], grad: torch.Tensor | None) -> Buffers:
    """Outputs full of NaN beside operands of shape (B, H, S, D), whatever their strides."""
    import torch

    def like(x: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, torch.nan)

    q, k, v = qkv

    def row() -> torch.Tensor:
        return data.poison(q.shape[:3], "fp32", str(q.device))

    if grad is None:
        return Buffers(q, k, v, like(q), row())
    return Buffers(q, k, v, like(q), row(), grad, row(), like(q), like(k), like(v))


def forward(b: Buffers, mask: Mask, table: Table, dtype: str) -> tuple[Program, ...]:
    """The program that writes the output and the log-sum-exp."""
    from perwatt.kernels.triton import flash_forward

    config = table.choose(FlashForward, **_case(b, mask, dtype))
    kwargs: dict[str, Any] = vars(mask)
    return (flash_forward.program(b.q, b.k, b.v, b.out, b.lse, config, **kwargs),)


def backward(b: Buffers, mask: Mask, table: Table, dtype: str) -> tuple[Program, ...]:
    """The programs that write the gradients, after ``forward`` has been."""
    from perwatt.kernels.triton import flash_backward, flash_backward_keys, flash_backward_queries

    case = _case(b, mask, dtype)
    keys, queries = table.choose(FlashBackwardKeys, **case), table.choose(FlashBackwardQueries, **case)
    assert b.grad is not None
    assert b.delta is not None
    rows = (b.grad, b.lse, b.delta)
    dq, dk, dv = b.gradients
    kwargs: dict[str, Any] = vars(mask)
    return (
        flash_backward.program_delta(b.out, b.grad, b.delta),
        flash_backward_keys.program(b.q, b.k, b.v, *rows, dk, dv, keys, **kwargs),
        flash_backward_queries.program(b.q, b.k, b.v, *rows, dq, queries, **kwargs),
    )


def _case(b: Buffers, mask: Mask, dtype: str) -> dict[str, Any]:
    """What a configuration depends on. Masks in fp32, whose products fill the registers, are not configured."""
    windowed, packed = mask.window is not None, mask.packed is not None
    if windowed and packed:
        raise Unsupported("packed sequences with a window have no configuration for backend=triton; use backend=torch")
    if dtype == "fp32" and (windowed or packed):
        raise Unsupported("fp32 with a window or packed has no configuration for backend=triton; use backend=torch")
    return {
        "dtype": dtype,
        "head_dim": b.q.shape[3],
        "causal": mask.causal,
        "windowed": windowed,
        "packed": packed,
    }


def allocate(spec: Attention, index: int, device: str) -> Buffers:
    """Set ``index`` of ``spec``."""
    qkv, grad = sdpa.operands(spec, index, device)
    return buffers(tuple(x.detach() for x in qkv), grad if spec.differentiates else None)


def programs(spec: Attention, table: Table, b: Buffers) -> tuple[Program, ...]:
    """What is timed: forward, backward, or both."""
    require("attention", spec.head_dim, spec.dim_v)
    mask = Mask(spec.causal, spec.seen)
    first = () if spec.mode == "backward" else forward(b, mask, table, spec.dtype)
    return (*first, *(backward(b, mask, table, spec.dtype) if spec.differentiates else ()))


def prepare(spec: Attention, place: Place, table: Table) -> Prepared:
    """Check set 0 against float64, then build the sets of operands and their launches."""
    from perwatt.kernels.triton.program import sequence

    tested = dataclasses.replace(spec, init="normal" if spec.init == "zeros" else spec.init)
    check = _check(tested, place.device, table)
    mask = Mask(spec.causal, spec.seen)
    count = rotation(spec.footprint_bytes(), place)
    calls, outputs = [], []
    for index in range(count):
        b = allocate(spec, index, place.device)
        if spec.mode == "backward":
            sequence(forward(b, mask, table, spec.dtype))()
        calls.append(sequence(programs(spec, table, b)))
        outputs += list(b.gradients) if spec.differentiates else [b.out]
    launch = data.rotating(calls)
    for _ in calls:
        launch()
    reference.require_finite(spec.mode, outputs)
    if spec.init == "zeros":
        reference.require_zero(spec.mode, outputs)
    notes = ["backward timed alone: the forward pass ran once before"] if spec.mode == "backward" else []
    notes.append(data.cache_note(count, spec.footprint_bytes(), place))
    again = anew(partial(_check, tested, place.device, table), count, spec.footprint_bytes(), place)
    return Prepared(launch, check, count, "; ".join(n for n in notes if n), **again)


def _check(spec: Attention, device: str, table: Table) -> Check:
    """Compare output, and gradients if any, of set 0."""
    import torch

    from perwatt.kernels.triton.program import sequence

    b, mask = allocate(spec, 0, device), Mask(spec.causal, spec.seen)
    sequence(programs(dataclasses.replace(spec, mode="forward"), table, b))()
    qkv = (b.q, b.k, b.v)
    sampled = reference_attention.plan(*qkv, seed=data.substream(spec.seed, "rows"))
    kwargs: dict[str, Any] = {"causal": spec.causal, "window": spec.seen, "sampled": sampled}
    tolerance = reference.attention_tolerance(spec.dtype, backward=False)
    check = reference_attention.check_output(qkv, b.out, tolerance=tolerance, **kwargs)
    if b.grad is None:
        return check
    sequence(backward(b, mask, table, spec.dtype))()
    some = b
    if len(sampled.rows) < spec.seq_q:
        rows = torch.tensor(sampled.rows, device=device)
        picked = b.grad.index_select(2, rows)
        some = b.with_grad(torch.zeros_like(b.grad).index_copy_(2, rows, picked))
        sequence(backward(some, mask, table, spec.dtype))()
    tolerance = reference.attention_tolerance(spec.dtype, backward=True)
    return reference_attention.check_gradients(qkv, b.grad, b.gradients, some.gradients, tolerance=tolerance, **kwargs)
