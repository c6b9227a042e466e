"""Packed sequences by perwatt's own kernels, for :class:`~perwatt.kernels.attention_varlen.AttentionVarlen`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from perwatt.kernels import attention_triton

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.attention_varlen import AttentionVarlen
    from perwatt.kernels.packed import Operands
    from perwatt.kernels.triton.configuration import Table
    from perwatt.kernels.triton.program import Program


def programs(spec: AttentionVarlen, table: Table, operands: Operands) -> tuple[Program, ...]:
    """What is timed: forward, backward, or both."""
    buffers, mask = _buffers(spec, operands)
    return _programs(spec, table, buffers, mask)


def call(table: Table, spec: AttentionVarlen, operands: Operands) -> Callable[[], tuple[torch.Tensor, ...]]:
    """A launch that returns the output, or the gradients, as tokens lie."""
    from perwatt.kernels.triton.program import sequence

    buffers, mask = _buffers(spec, operands)
    if spec.mode == "backward":
        sequence(attention_triton.forward(buffers, mask, table, spec.dtype))()
    launches = sequence(_programs(spec, table, buffers, mask))
    wanted = buffers.gradients if spec.differentiates else (buffers.out,)
    outputs = tuple(x.squeeze(0).transpose(0, 1) for x in wanted)

    def launch() -> tuple[torch.Tensor, ...]:
        launches()
        return outputs

    return launch


def _programs(
    spec: AttentionVarlen, table: Table, buffers: attention_triton.Buffers, mask: attention_triton.Mask
) -> tuple[Program, ...]:
    attention_triton.require("attention_varlen", spec.head_dim, spec.head_dim)
    first = () if spec.mode == "backward" else attention_triton.forward(buffers, mask, table, spec.dtype)
    return (*first, *(attention_triton.backward(buffers, mask, table, spec.dtype) if spec.differentiates else ()))


def _buffers(spec: AttentionVarlen, operands: Operands) -> tuple[attention_triton.Buffers, attention_triton.Mask]:
    """All tokens as one entry of a batch, and where the sequences lie in it."""

    def one(x: torch.Tensor) -> torch.Tensor:
        return x.transpose(0, 1).unsqueeze(0)

    grad = one(operands.grad) if spec.differentiates and operands.grad is not None else None
    buffers = attention_triton.buffers(tuple(map(one, (operands.q, operands.k, operands.v))), grad)
    return buffers, attention_triton.Mask(spec.causal, spec.seen, (operands.ends, operands.ends, spec.seq))
