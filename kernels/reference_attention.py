"""Attention and its gradients written out in float64 on the CPU, for whole heads or for sampled rows of queries.

With scores s = q k' / sqrt(d), probabilities p = softmax(s) and output o = p v, the gradients for an output gradient g
are dv = p' g, ds = p * (g v' - rowsum(g * o)), dq = ds k / sqrt(d), dk = ds' q / sqrt(d) (FlashAttention, arXiv
2205.14135, appendix B). Causal means aligned at the bottom right: the last query sees every key, so with queries
continuing a cache of keys, query i sees keys j <= i + seq_k - seq_q; with a window only the last ``window`` of those.

Every function also returns the root of the sum of the squared terms of each element, the ``scale`` of its errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from perwatt.kernels.reference import BUDGET_FLOPS, CHUNK, compare, sample
from perwatt.kernels.workload import Check

if TYPE_CHECKING:
    import torch


Triple = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]


class Gradients(NamedTuple):
    """Gradients of one group (float64, CPU) and their scales: dq (g, R, D), dk (S_k, D), dv (S_k, D_v).

    dk and dv are the contributions of the R rows of queries alone.
    """

    dq: torch.Tensor
    dk: torch.Tensor
    dv: torch.Tensor
    dq_scale: torch.Tensor
    dk_scale: torch.Tensor
    dv_scale: torch.Tensor


@dataclass(frozen=True)
class Sampled:
    """What is compared: ``groups`` of (batch, key-value head) with all their query heads, and ``rows`` of queries."""

    groups: tuple[tuple[int, int], ...]
    rows: tuple[int, ...]
    everything: bool

    def describe(self, of: str) -> str:
        """How the comparison was made, for the record."""
        if self.everything:
            return f"float64 {of} on the CPU, every element"
        return f"float64 {of} on the CPU, {len(self.rows)} query rows of {len(self.groups)} key-value heads"


def plan(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, seed: int, budget: float = BUDGET_FLOPS) -> Sampled:
    """What to compare of q (B, H, S_q, D), k (B, H_kv, S_k, D), v (B, H_kv, S_k, D_v) within ``budget`` FLOP."""
    batch, heads, seq_q, dim = q.shape
    kv_heads, seq_k = k.shape[1:3]
    total = batch * kv_heads
    row_flops = 10.0 * heads // kv_heads * seq_k * (dim + v.shape[3])  # five products and the scales of their errors
    if total * seq_q * row_flops <= budget:
        chosen, rows = list(range(total)), list(range(seq_q))
    else:
        chosen = sample(total, max(2, int(budget / row_flops / min(seq_q, 64))), seed)
        rows = sample(seq_q, max(4, int(budget / row_flops / len(chosen))), seed + 1)
    groups = tuple(divmod(i, kv_heads) for i in chosen)
    return Sampled(groups, tuple(rows), len(chosen) == total and len(rows) == seq_q)


def probabilities(
    q: torch.Tensor, k: torch.Tensor, rows: torch.Tensor, seq_q: int, causal: bool, window: int | None = None
) -> torch.Tensor:
    """softmax(q k' / sqrt(d)) of float64 q (g, R, D), the given rows of ``seq_q``, and k (S_k, D): (g, R, S_k)."""
    import torch

    seq_k, dim = k.shape
    scores = q @ k.T / math.sqrt(dim)
    if causal:
        last_seen = rows + (seq_k - seq_q)
        scores = scores.masked_fill(torch.arange(seq_k) > last_seen[:, None], -math.inf)
        if window is not None:
            scores = scores.masked_fill(torch.arange(seq_k) <= last_seen[:, None] - window, -math.inf)
    return scores.softmax(dim=-1)


def attend(p: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The output p v (g, R, D_v) and its scale."""
    return p @ v, (p.square() @ v.square()).sqrt()


def gradients(p: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, grad: torch.Tensor) -> Gradients:
    """The gradients of one group for probabilities p (g, R, S_k) and output gradient ``grad`` (g, R, D_v)."""
    dim = q.shape[-1]
    dp = grad @ v.T
    terms = grad * (p @ v)
    row = terms.sum(-1, keepdim=True)
    ds = p * (dp - row)
    # dp and row may cancel, and row is itself a sum: the scale of ds is that of what was subtracted
    ds2 = p.square() * (dp.square() + row.square() + terms.square().sum(-1, keepdim=True))
    flat_q, flat_grad = q.reshape(-1, dim), grad.reshape(-1, grad.shape[-1])
    flat_p, flat_ds, flat_ds2 = (t.reshape(-1, t.shape[-1]) for t in (p, ds, ds2))
    root = math.sqrt(dim)
    return Gradients(
        dq=ds @ k / root,
        dk=flat_ds.T @ flat_q / root,
        dv=flat_p.T @ flat_grad,
        dq_scale=(ds2 @ k.square()).sqrt() / root,
        dk_scale=(flat_ds2.T @ flat_q.square()).sqrt() / root,
        dv_scale=(flat_p.square().T @ flat_grad.square()).sqrt(),
    )


class _Group:
    """One (batch, key-value head) with its query heads, in float64 on the CPU, walked in chunks of query rows."""

    def __init__(self, qkv: Triple, group: tuple[int, int], rows: tuple[int, ...]):
        import torch

        q, k, v = qkv
        self.batch, self.kv_head = group
        self.width = q.shape[1] // k.shape[1]
        self.first_head = self.kv_head * self.width
        self.seq_q = q.shape[2]
        self.rows = torch.tensor(rows)
        self.q = self.queries(q)
        self.k = k[self.batch, self.kv_head].detach().to("cpu", torch.float64)
        self.v = v[self.batch, self.kv_head].detach().to("cpu", torch.float64)

    def queries(self, x: torch.Tensor) -> torch.Tensor:
        """The compared rows of this group's query heads of x (B, H, S_q, *): (g, R, *) in float64."""
        import torch

        heads = x[self.batch, self.first_head : self.first_head + self.width].detach()
        return heads.index_select(1, self.rows.to(x.device)).to("cpu", torch.float64)

    def chunks(self) -> list[slice]:
        step = max(1, CHUNK // 4 // (self.width * self.k.shape[0]))
        return [slice(i, i + step) for i in range(0, len(self.rows), step)]

    def p(self, part: slice, causal: bool, window: int | None) -> torch.Tensor:
        return probabilities(self.q[:, part], self.k, self.rows[part], self.seq_q, causal, window)


def check_output(
    qkv: Triple,
    output: torch.Tensor,
    *,
    causal: bool,
    tolerance: float,
    sampled: Sampled,
    window: int | None = None,
) -> Check:
    """Compare ``output`` (B, H, S_q, D_v) with the attention of ``qkv``; WrongResult names the worst element."""
    worst, compared = 0.0, 0
    for index in sampled.groups:
        group = _Group(qkv, index, sampled.rows)
        got = group.queries(output)
        for part in group.chunks():
            want, scale = attend(group.p(part, causal, window), group.v)
            labels = (group.first_head, sampled.rows[part], None)
            what = f"output of batch {group.batch} (head, row, column) "
            worst = max(worst, compare(what, got[:, part], want, tolerance, scale=scale, index=labels))
            compared += want.numel()
    return Check(worst, tolerance, sampled.describe("attention"), compared)


def check_gradients(
    qkv: Triple,
    grad: torch.Tensor,
    dense: tuple[torch.Tensor, ...],
    masked: tuple[torch.Tensor, ...],
    *,
    causal: bool,
    tolerance: float,
    sampled: Sampled,
    window: int | None = None,
) -> Check:
    """Compare gradients with the formulas above.

    ``dense`` (dq, dk, dv) are the gradients for the output gradient ``grad`` (B, H, S_q, D_v); ``masked`` those for
    ``grad`` with every row but ``sampled.rows`` set to 0, so that dk and dv, to which every query contributes, can be
    compared in full at the cost of the sampled rows. When every row is sampled both are the same.
    """
    import torch

    worst, compared = 0.0, 0
    for index in sampled.groups:
        group = _Group(qkv, index, sampled.rows)
        got_dq, grad64 = group.queries(dense[0]), group.queries(grad)
        sums: list[torch.Tensor] = [torch.zeros(())] * 4
        at = f"of batch {group.batch}"
        for part in group.chunks():
            g = gradients(group.p(part, causal, window), group.q[:, part], group.k, group.v, grad64[:, part])
            labels = (group.first_head, sampled.rows[part], None)
            what = f"dq {at} (head, row, column) "
            worst = max(worst, compare(what, got_dq[:, part], g.dq, tolerance, scale=g.dq_scale, index=labels))
            parts = (g.dk, g.dv, g.dk_scale.square(), g.dv_scale.square())
            sums = [total + new for total, new in zip(sums, parts, strict=True)]
            compared += g.dq.numel()
        for name, got, want, scale2 in (("dk", masked[1], sums[0], sums[2]), ("dv", masked[2], sums[1], sums[3])):
            one = got[group.batch, group.kv_head]
            what = f"{name} {at}, key-value head {group.kv_head} (row, column) "
            worst = max(worst, compare(what, one, want, tolerance, scale=scale2.sqrt()))
            compared += want.numel()
    return Check(worst, tolerance, sampled.describe("gradients"), compared)
