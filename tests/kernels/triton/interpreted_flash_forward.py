"""Flash attention's forward pass in Triton's interpreter against float64: masks, groups, packed sequences, mutants."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import mutants
import pytest
import torch
from attention64 import attention64, offsets, packed
from guarded import Guard, assert_right
from interpreter import draw

from perwatt.kernels.triton import flash_forward
from perwatt.kernels.triton.attention_configuration import FlashForward

TOLERANCE = {"fp32": 1e-5, "fp16": 4e-3, "bf16": 3e-2}
Seen = tuple[bool, int | None]
SEEN: list[Seen] = [(False, None), (True, None), (True, 1), (True, 7), (True, 30)]
# queries and keys: ragged; one query; more keys; what fits exactly
SHAPES = [(37, 37), (1, 37), (20, 50), (32, 32)]


def tiles(**config: Any) -> FlashForward:
    return FlashForward(**{"block_m": 16, "block_n": 16, **config})


def forward(
    module: ModuleType, dtype: str, shape: tuple[int, int], seen: Seen, dim: int = 16, heads: int = 2, **config: Any
) -> None:
    """Check two sequences with two key-value heads."""
    (seq_q, seq_k), (causal, window) = shape, seen
    guard = Guard()
    q = guard.strided(draw((2, heads, seq_q, dim), dtype, 1))
    k, v = (guard.strided(draw((2, 2, seq_k, dim), dtype, seed)) for seed in (2, 3))
    out = guard.wanted(2, heads, seq_q, dim, dtype=q.dtype)
    lse = guard.wanted(2, heads, seq_q, dtype=torch.float32)
    module.program(q, k, v, out, lse, tiles(**config), causal=causal, window=window).call()()
    want, want_lse = attention64(q, k, v, causal, window)
    assert_right(guard, out, want, TOLERANCE[dtype])
    assert_right(guard, lse, want_lse, 1e-5)


def forward_packed(
    module: ModuleType, dtype: str, lengths: list[int], seen: Seen, more: int = 0, **config: Any
) -> None:
    """Check sequences that lie one after the other; each has ``more`` keys than queries."""
    causal, window = seen
    guard = Guard()
    keys = [n + more for n in lengths]
    q = packed(guard.strided(draw((sum(lengths), 2, 16), dtype, 1)))
    k, v = (packed(guard.strided(draw((sum(keys), 2, 16), dtype, seed))) for seed in (2, 3))
    out = packed(guard.wanted(sum(lengths), 2, 16, dtype=q.dtype))
    lse = guard.wanted(1, 2, sum(lengths), dtype=torch.float32)
    where = (guard.given(offsets(lengths)), guard.given(offsets(keys)), max(lengths))
    module.program(q, k, v, out, lse, tiles(**config), causal=causal, window=window, packed=where).call()()
    parts = []
    for i, n in enumerate(lengths):
        first, first_key = int(where[0][i]), int(where[1][i])
        one = q[:, :, first : first + n], *(x[:, :, first_key : first_key + keys[i]] for x in (k, v))
        parts.append(attention64(*one, causal, window))
    assert_right(guard, out, torch.cat([part[0] for part in parts], 2), TOLERANCE[dtype])
    assert_right(guard, lse, torch.cat([part[1] for part in parts], 2), 1e-5)


@pytest.mark.parametrize("seen", SEEN, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(shape: tuple[int, int], seen: Seen) -> None:
    forward(flash_forward, "fp32", shape, seen)


@pytest.mark.parametrize("seen", [SEEN[0], SEEN[1], SEEN[3]], ids=str)
@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_forward_of_16_bits(dtype: str, seen: Seen) -> None:
    forward(flash_forward, dtype, (35, 50), seen, dim=64, heads=4)


@pytest.mark.parametrize("style", [{"descriptors": True}, {"descriptors": True, "specialize": True}])
@pytest.mark.parametrize("seen", [SEEN[0], SEEN[1], SEEN[3]], ids=str)
def test_forward_with_descriptors(seen: Seen, style: dict[str, bool]) -> None:
    forward(flash_forward, "bf16", (35, 50), seen, **style)


def test_forward_of_every_head_dimension_and_of_unlike_tiles() -> None:
    forward(flash_forward, "bf16", (9, 70), (True, None), dim=128, block_n=32)
    forward(flash_forward, "fp16", (33, 40), (True, 12), dim=256, block_m=32)
    forward(flash_forward, "fp32", (40, 11), (False, None), block_m=32)  # fewer keys than queries


@pytest.mark.parametrize("seen", [SEEN[0], SEEN[1], SEEN[3]], ids=str)
@pytest.mark.parametrize("descriptors", [False, True])
def test_packed_sequences(seen: Seen, descriptors: bool) -> None:
    forward_packed(flash_forward, "fp32", [17, 1, 20], seen, descriptors=descriptors)
    forward_packed(flash_forward, "bf16", [5, 18], seen, more=9, descriptors=descriptors)


def check(module: ModuleType) -> None:
    """What no mutant may pass: the masks at each edge, groups, both sets of offsets."""
    forward(module, "fp32", (17, 20), (True, 18))
    forward(module, "fp32", (17, 33), (False, None))
    forward_packed(module, "fp32", [17, 1, 9], (True, None), more=3)
    forward(module, "fp32", (20, 37), (True, None), specialize=True)
    forward(module, "fp32", (40, 56), (True, 20), block_m=32)
    forward(module, "fp32", (20, 37), (True, 5))


@pytest.mark.parametrize("mutant", mutants.mutants(flash_forward), ids=str)
def test_no_mutant_survives(mutant: mutants.Mutant, tmp_path: Path) -> None:
    assert not mutants.survives(mutant, tmp_path, "mutant_of_flash_forward", check)
