"""Attention and its gradients in float64, dense, for the interpreted tests: torch's own autograd differentiates."""

from __future__ import annotations

import math

import torch

LN2 = math.log(2)


def attention64(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool, window: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output (B, H, S_q, D) and log-sum-exp to the base 2 (B, H, S_q)."""
    group = q.shape[1] // k.shape[1]
    key, value = (x.double().repeat_interleave(group, 1) for x in (k, v))
    scores = q.double() @ key.mT / math.sqrt(q.shape[-1])
    seq_q, seq_k = scores.shape[-2:]
    last = torch.arange(seq_q)[:, None] + seq_k - seq_q
    keys = torch.arange(seq_k)[None]
    seen = torch.ones(seq_q, seq_k, dtype=torch.bool)
    if causal:
        seen &= keys <= last
    if window is not None:
        seen &= keys > last - window
    scores = scores.masked_fill(~seen, -math.inf)
    return scores.softmax(-1) @ value, scores.logsumexp(-1) / LN2


def gradients64(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, grad: torch.Tensor, causal: bool, window: int | None = None
) -> tuple[torch.Tensor, ...]:
    """(dq, dk, dv) for the output gradient ``grad``."""
    qkv = [x.detach().double().requires_grad_() for x in (q, k, v)]
    output, _ = attention64(qkv[0], qkv[1], qkv[2], causal, window)
    return torch.autograd.grad(output, qkv, grad.double())


def packed(x: torch.Tensor) -> torch.Tensor:
    """Tokens (T, H, D) of packed sequences as the kernels want them: (1, H, T, D)."""
    return x.transpose(0, 1).unsqueeze(0)


def offsets(lengths: list[int]) -> torch.Tensor:
    """Where each sequence begins, and where the last one ends: int32."""
    return torch.tensor([0, *lengths]).cumsum(0).int()
