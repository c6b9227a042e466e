"""The operands of :class:`~perwatt.kernels.decode.Decode`, and the float64 reference of its output."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perwatt.kernels import data, reference, reference_attention
from perwatt.kernels.workload import Check

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.decode import Decode


@dataclass(frozen=True)
class Operands:
    """q (B, H, D) and ``out`` (B, H, D_v); k and v (pages, page, H_kv, D), of mla k (pages, page, 1, D) alone, whose
    first D_v elements are the value. ``table`` (B, most pages) and ``lengths`` (B,) are int32."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor | None
    table: torch.Tensor
    lengths: torch.Tensor
    out: torch.Tensor


def build(spec: Decode, index: int, init: str, device: str) -> Operands:
    """Set ``index``: pages in an order drawn by the seed, an output full of NaN."""
    import torch

    def values(what: str, *shape: int) -> torch.Tensor:
        return data.fill(shape, spec.dtype, init, data.substream(spec.seed, index, what), device)

    cache = (spec.pages, spec.page, spec.groups)
    k = values("k", *cache, spec.width)
    return Operands(
        q=values("q", spec.batch, spec.heads, spec.width),
        k=k,
        v=None if spec.kind == "mla" else values("v", *cache, spec.width_v),
        table=torch.tensor(_table(spec, index), dtype=torch.int32, device=device),
        lengths=torch.tensor(spec.lengths, dtype=torch.int32, device=device),
        out=data.poison((spec.batch, spec.heads, spec.width_v), spec.dtype, device),
    )


def _table(spec: Decode, index: int) -> list[list[int]]:
    """The pages of each sequence, in order; a place beyond its end names page 0."""
    order = list(range(spec.pages))
    random.Random(data.substream(spec.seed, index, "pages")).shuffle(order)
    rows, most = [], -(-spec.context // spec.page)
    for length in spec.lengths:
        count = -(-length // spec.page)
        rows.append(order[:count] + [0] * (most - count))
        order = order[count:]
    return rows


class Reference:
    """What the output must be, in float64 on the host, to compare with at any time after: every element, or some
    sequences and key-value heads with all their heads."""

    def __init__(self, spec: Decode, operands: Operands) -> None:
        import torch

        self.tolerance = reference.attention_tolerance(spec.dtype, backward=False)
        group, seed = spec.heads // spec.groups, data.substream(spec.seed, "rows")
        row_flops = 4.0 * group * spec.context * (spec.width + spec.width_v)
        total = spec.batch * spec.groups
        pairs = reference.sample(total, max(2, int(reference.BUDGET_FLOPS / row_flops)), seed)
        some = f"{len(pairs)} of {total} pairs of sequence and key-value head"
        self.how = f"float64 attention on the CPU, {'every element' if len(pairs) == total else some}"
        self.wanted: list[tuple[int, slice, torch.Tensor, torch.Tensor]] = []
        for batch, head in (divmod(i, spec.groups) for i in pairs):
            key, value = (_tokens(spec, operands, batch, x)[:, head] for x in (operands.k, operands.v))
            heads = slice(head * group, (head + 1) * group)
            # `probabilities` divides by the root of the width
            q = operands.q[batch, heads].to("cpu").double() * (spec.scale * math.sqrt(spec.width))
            p = reference_attention.probabilities(q.unsqueeze(1), key, torch.zeros(1), 1, False)
            want, scale = (x.squeeze(1) for x in reference_attention.attend(p, value[:, : spec.width_v]))
            self.wanted.append((batch, heads, want, scale))

    def check(self, out: torch.Tensor) -> Check:
        """Compare an output (B, H, D_v)."""
        worst = 0.0
        for batch, heads, want, scale in self.wanted:
            what, got = f"output of sequence {batch} (head, column) ", out[batch, heads].to("cpu")
            labels = (heads.start, None)
            worst = max(worst, reference.compare(what, got, want, self.tolerance, scale=scale, index=labels))
        return Check(worst, self.tolerance, self.how, sum(want.numel() for _, _, want, _ in self.wanted))


def _tokens(spec: Decode, operands: Operands, batch: int, cache: torch.Tensor | None) -> torch.Tensor:
    """The tokens of sequence ``batch`` in order, (length, H_kv, D) in float64 on the CPU; mla's values are its keys."""
    held = operands.k if cache is None else cache
    length = spec.lengths[batch]
    pages = operands.table[batch, : -(-length // spec.page)].long()
    return held[pages].flatten(0, 1)[:length].to("cpu").double()
