"""Decoding through torch: FlashAttention on the pages where torch has it, else the pages gathered for
scaled_dot_product_attention.

torch's attention for packed sequences takes a page table (``torch.nn.attention.varlen``, from 2.12 or so, on some
devices). Everywhere else each launch gathers the pages into a tensor that is padded to the longest context, which
writes and reads the cache once more; a mask hides the padding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from perwatt.kernels import decode_operands, dtypes, sdpa
from perwatt.kernels.workload import Place, Unsupported

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.decode import Decode
    from perwatt.kernels.decode_operands import Operands

Make = Callable[["Operands"], Callable[[], object]]


def available(spec: Decode, place: Place) -> tuple[Make, list[str]]:
    """What makes a launch, the first that this place has, and notes on it."""
    import torch

    torch.set_float32_matmul_precision("highest")
    sdpa.select("auto")
    what = f"decode in {spec.dtype}"
    if spec.kind == "gqa" and place.type != "cpu":
        try:
            dtypes.supported(place, what, _probe(spec, place, paged))
        except (Unsupported, ImportError):
            pass
        else:
            return partial(paged, spec), ["torch's FlashAttention on the pages as they lie"]
    dtypes.supported(place, what, _probe(spec, place, gathered))
    note = dtypes.not_emulated(place, spec.dtype, _timing_probe(spec, place.device))
    return partial(gathered, spec), ["pages are gathered at each launch, padded to the longest context", note]


def _probe(
    spec: Decode, place: Place, make: Callable[[Decode, Operands], Callable[[], object]]
) -> Callable[[], object]:
    def probe() -> object:
        tiny = spec.tiny()
        return make(tiny, decode_operands.build(tiny, 0, "normal", place.device))()

    return probe


def _timing_probe(spec: Decode, device: str) -> Callable[[str], Callable[[], object]]:
    """The same kind of decoding of two contexts of 256 in a given format: does a CPU emulate it?"""

    def call(dtype: str) -> Callable[[], object]:
        small = dataclasses.replace(spec.tiny(), context=256, dtype=dtype)
        return gathered(small, decode_operands.build(small, 0, "normal", device))

    return call


def paged(spec: Decode, operands: Operands) -> Callable[[], object]:
    """A launch that reads the pages where they lie."""
    import torch
    from torch.nn.attention.varlen import varlen_attn

    ends = torch.arange(spec.batch + 1, dtype=torch.int32, device=operands.q.device)
    assert operands.v is not None
    run: Callable[[], object] = partial(
        varlen_attn,
        operands.q,
        operands.k,
        operands.v,
        ends,
        None,
        1,
        spec.context,
        scale=spec.scale,
        enable_gqa=spec.groups != spec.heads,
        seqused_k=operands.lengths,
        block_table=operands.table,
    )

    def launch() -> None:
        operands.out.copy_(cast("torch.Tensor", run()))  # a few kilobytes

    return launch


def gathered(spec: Decode, operands: Operands) -> Callable[[], object]:
    """A launch that gathers the pages first."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    batch, most = operands.table.shape
    pages = operands.table.flatten().long()
    mask = (torch.arange(most * spec.page, device=operands.q.device) < operands.lengths[:, None])[:, None, None]

    def tokens(cache: torch.Tensor) -> torch.Tensor:
        lying = cache.index_select(0, pages).view(batch, most * spec.page, spec.groups, cache.shape[3])
        return lying.transpose(1, 2)

    def launch() -> None:
        key = tokens(operands.k)
        value = key[..., : spec.width_v] if operands.v is None else tokens(operands.v)
        attended = scaled_dot_product_attention(
            operands.q.unsqueeze(2), key, value, attn_mask=mask, scale=spec.scale, enable_gqa=spec.groups != spec.heads
        )
        operands.out.copy_(attended.squeeze(2))

    return launch
