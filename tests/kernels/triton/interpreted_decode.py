"""Decoding from pages in Triton's interpreter against float64: ragged contexts, groups, latent attention, mutants."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import mutants
import pytest
import torch
from guarded import Guard, assert_right
from interpreter import draw

from perwatt.kernels.triton import decode_combine, decode_mla, decode_paged
from perwatt.kernels.triton.attention_configuration import DecodeMla, DecodePaged

TOLERANCE = {"fp32": 1e-5, "fp16": 4e-3, "bf16": 3e-2}


def pages_of(lengths: list[int], page: int, spare: int = 3) -> tuple[torch.Tensor, int]:
    """A page table in which no sequence's pages lie in order, and how many pages there are; unused places are wild."""
    counts = [-(-n // page) for n in lengths]
    order = torch.randperm(sum(counts) + spare, generator=torch.Generator().manual_seed(7))
    table = torch.full((len(lengths), max(counts)), 1 << 20, dtype=torch.int32)
    used = 0
    for i, count in enumerate(counts):
        table[i, :count] = order[used : used + count]
        used += count
    return table, len(order)


def gathered(cache: torch.Tensor, table: torch.Tensor, i: int, length: int) -> torch.Tensor:
    """The tokens of sequence ``i`` (length, ...) in float64."""
    page = cache.shape[1]
    return cache[table[i, : -(-length // page)].long()].flatten(0, 1)[:length].double()


def poisoned(cache: torch.Tensor, table: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """``cache`` with NaN wherever no token of any sequence lies."""
    page = cache.shape[1]
    used = torch.zeros(cache.shape[:2], dtype=torch.bool)
    for i, n in enumerate(lengths):
        for token in range(n):
            used[table[i, token // page], token % page] = True
    cache[~used] = math.nan
    return cache


def paged(
    module: ModuleType,
    dtype: str,
    lengths: list[int],
    group: int,
    cores: int = 4,
    page: int = 4,
    dim: int = 16,
    **config: Any,
) -> None:
    """Check one query of each sequence with two key-value heads."""
    guard = Guard()
    table, pages = pages_of(lengths, page)
    k, v = (guard.strided(poisoned(draw((pages, page, 2, dim), dtype, seed), table, lengths)) for seed in (2, 3))
    q = guard.strided(draw((len(lengths), 2 * group, dim), dtype, 1))
    out = guard.wanted(len(lengths), 2 * group, dim, dtype=q.dtype)
    chosen = DecodePaged(**{"block_n": 16, "least_tiles": 1, "programs_per_core": 2, **config})
    operands = (q, k, v, guard.given(table), guard.given(torch.tensor(lengths, dtype=torch.int32)), max(lengths))
    run(module.programs(*operands, out, chosen, cores), guard)
    want = torch.empty(out.shape, dtype=torch.float64)
    for i, n in enumerate(lengths):
        key, value = gathered(k, table, i, n), gathered(v, table, i, n)
        for head in range(2 * group):
            p = (key[:, head // group] @ q[i, head].double() / math.sqrt(dim)).softmax(0)
            want[i, head] = p @ value[:, head // group]
    assert_right(guard, out, want, TOLERANCE[dtype])


def latent(
    module: ModuleType, dtype: str, lengths: list[int], heads: int, cores: int = 4, page: int = 8, **config: Any
) -> None:
    """Check latents of 32 and rotated keys of 16."""
    guard = Guard()
    table, pages = pages_of(lengths, page)
    cache = guard.strided(poisoned(draw((pages, page, 48), dtype, 2), table, lengths))
    q = guard.strided(draw((len(lengths), heads, 48), dtype, 1))
    out = guard.wanted(len(lengths), heads, 32, dtype=q.dtype)
    chosen = DecodeMla(**{"block_n": 16, "block_m": 16, "least_tiles": 1, "programs_per_core": 2, **config})
    given = (guard.given(table), guard.given(torch.tensor(lengths, dtype=torch.int32)), max(lengths))
    run(module.programs(q, cache, *given, out, 0.2, chosen, cores), guard)
    want = torch.empty(out.shape, dtype=torch.float64)
    for i, n in enumerate(lengths):
        keys = gathered(cache, table, i, n)
        want[i] = (q[i].double() @ keys.T * 0.2).softmax(-1) @ keys[:, :32]
    assert_right(guard, out, want, TOLERANCE[dtype])


def run(programs: Any, guard: Guard) -> None:
    """Launch, the parts between canaries, too."""
    if len(programs) == 2:
        shapes = [programs[0].arguments[name] for name in ("parts", "lse")]
        parts, lse = (guard.wanted(*x.shape, dtype=x.dtype) for x in shapes)
        for one in programs:
            one.arguments.update(parts=parts, lse=lse)
    for one in programs:
        one.call()()


CONTEXTS = [[1, 37, 64], [16, 5, 33, 48], [100]]


@pytest.mark.parametrize("lengths", CONTEXTS, ids=str)
@pytest.mark.parametrize("group", [1, 3])
def test_paged(lengths: list[int], group: int) -> None:
    paged(decode_paged, "fp32", lengths, group)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_paged_of_16_bits_of_pages_larger_than_tiles_and_of_many_heads(dtype: str) -> None:
    paged(decode_paged, dtype, [40, 3], 2, page=32, dim=64)
    paged(decode_paged, dtype, [20], 17, block_n=32, dim=128)


@pytest.mark.parametrize("cores", [1, 64])
def test_a_sequence_is_one_programs_or_many(cores: int) -> None:
    paged(decode_paged, "fp32", [61, 7], 1, cores=cores)
    latent(decode_mla, "fp32", [61, 7], 5, cores=cores)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_latent(dtype: str) -> None:
    latent(decode_mla, dtype, [1, 37, 48], 20)


def test_the_stretches_are_whole_tiles_and_no_fewer_than_asked_for() -> None:
    config = DecodePaged(block_n=64, programs_per_core=2, least_tiles=2)
    assert decode_combine.chunk_of(8192, 8, 132, config) == 256  # 33 wanted, 128 tiles: 4 each
    assert decode_combine.chunk_of(8192, 1000, 132, config) == 8192
    assert decode_combine.chunk_of(100, 1, 132, config) == 128
    assert decode_combine.chunk_of(65, 1, 1, DecodePaged(block_n=64, least_tiles=1)) == 64


def check_paged(module: ModuleType) -> None:
    paged(module, "fp32", [9, 37], 3, cores=4)
    paged(module, "fp32", [19], 16, cores=1)


def check_latent(module: ModuleType) -> None:
    latent(module, "fp32", [9, 37], 20, cores=4)


def check_combine(module: ModuleType) -> None:
    """Three parts of two heads of two sequences, of which the second has two."""
    guard = Guard()
    parts, lse = guard.given(draw((2, 3, 2, 16), "fp32", 1)), guard.given(draw((2, 3, 2), "fp32", 2))
    out = guard.wanted(2, 2, 16, dtype=torch.float32)
    lengths = guard.given(torch.tensor([33, 32], dtype=torch.int32))
    module.programs(parts, lse, out, lengths, 16)[0].call()()
    want = [(2.0 ** lse[i, :n].double()).unsqueeze(-1) for i, n in ((0, 3), (1, 2))]
    want = [(w * parts[i, : len(w)].double()).sum(0) / w.sum(0) for i, w in enumerate(want)]
    assert_right(guard, out, torch.stack(want), 1e-6)


CHECKS = [(decode_paged, check_paged), (decode_mla, check_latent), (decode_combine, check_combine)]


def test_combine() -> None:
    check_combine(decode_combine)


@pytest.mark.parametrize(
    ("check", "mutant"), [(check, m) for module, check in CHECKS for m in mutants.mutants(module)], ids=str
)
def test_no_mutant_survives(check: Any, mutant: mutants.Mutant, tmp_path: Path) -> None:
    assert not mutants.survives(mutant, tmp_path, "mutant_of_decode", check)
