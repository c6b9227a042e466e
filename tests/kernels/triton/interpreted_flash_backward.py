"""Flash attention's backward pass in Triton's interpreter against float64 gradients: masks, groups, packed, mutants."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import mutants
import pytest
import torch
from attention64 import attention64, gradients64, offsets, packed
from guarded import Guard, assert_right
from interpreter import draw

from perwatt.kernels.triton import flash_backward, flash_backward_keys, flash_backward_queries
from perwatt.kernels.triton.attention_configuration import FlashBackwardKeys, FlashBackwardQueries

TOLERANCE = {"fp32": 2e-5, "fp16": 2e-2, "bf16": 1e-1}
Seen = tuple[bool, int | None]
SEEN: list[Seen] = [(False, None), (True, None), (True, 7), (True, 30)]
SHAPES = [(37, 37), (1, 37), (20, 50), (32, 32)]
Operands = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def written(module: ModuleType, guard: Guard, like: Operands, tokens_first: bool) -> list[torch.Tensor]:
    """Outputs for what ``module`` computes: dq, or dk and dv."""
    q, k, v, _ = like
    wanted = [q] if module.__name__.endswith("queries") else [k, v]
    if not tokens_first:
        return [guard.wanted(*x.shape, dtype=x.dtype) for x in wanted]
    return [packed(guard.wanted(x.shape[2], x.shape[1], x.shape[3], dtype=x.dtype)) for x in wanted]


def launch(
    module: ModuleType,
    guard: Guard,
    given: Operands,
    rows: tuple[torch.Tensor, torch.Tensor],
    mask: dict[str, Any],
    **config: Any,
) -> list[torch.Tensor]:
    """What ``module`` writes for q, k, v, grad and the rows' (lse, delta), in margins."""
    q, k, v, grad = given
    lse, delta = (guard.given(x.float()) for x in rows)
    kind = FlashBackwardQueries if module.__name__.endswith("queries") else FlashBackwardKeys
    outputs = written(module, guard, given, "packed" in mask)
    chosen = kind(**{"block_m": 16, "block_n": 16, **config})
    module.program(q, k, v, grad, lse, delta, *outputs, chosen, **mask).call()()
    return outputs


def rows_of(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, grad: torch.Tensor, seen: Seen
) -> tuple[torch.Tensor, torch.Tensor]:
    """lse and delta."""
    out, lse = attention64(q, k, v, *seen)
    return lse, (out * grad.double()).sum(-1)


def backward(
    module: ModuleType, dtype: str, shape: tuple[int, int], seen: Seen, dim: int = 16, heads: int = 2, **config: Any
) -> None:
    """Check two sequences with two key-value heads."""
    (seq_q, seq_k), guard = shape, Guard()
    q, grad = (guard.strided(draw((2, heads, seq_q, dim), dtype, seed)) for seed in (1, 4))
    k, v = (guard.strided(draw((2, 2, seq_k, dim), dtype, seed)) for seed in (2, 3))
    given = (q, k, v, grad)
    got = launch(module, guard, given, rows_of(*given, seen), {"causal": seen[0], "window": seen[1]}, **config)
    want = gradients64(*given, *seen)
    for x, y in zip(got, want[:1] if len(got) == 1 else want[1:], strict=True):
        assert_right(guard, x, y, TOLERANCE[dtype])


def backward_packed(
    module: ModuleType, dtype: str, lengths: list[int], seen: Seen, more: int = 0, **config: Any
) -> None:
    """Check sequences that lie one after the other; each has ``more`` keys than queries."""
    guard, keys = Guard(), [n + more for n in lengths]
    q, grad = (packed(guard.strided(draw((sum(lengths), 2, 16), dtype, seed))) for seed in (1, 4))
    k, v = (packed(guard.strided(draw((sum(keys), 2, 16), dtype, seed))) for seed in (2, 3))
    cu_q, cu_k = offsets(lengths), offsets(keys)
    ones: list[Operands] = []
    for i, n in enumerate(lengths):
        first, first_key = int(cu_q[i]), int(cu_k[i])
        part = [x[:, :, first : first + n] for x in (q, grad)]
        ones.append((part[0], *(x[:, :, first_key : first_key + keys[i]] for x in (k, v)), part[1]))  # type: ignore[arg-type]
    rows = [rows_of(*one, seen) for one in ones]
    mask = {"causal": seen[0], "window": seen[1], "packed": (guard.given(cu_q), guard.given(cu_k), max(keys))}
    both = (torch.cat([lse for lse, _ in rows], 2), torch.cat([delta for _, delta in rows], 2))
    got = launch(module, guard, (q, k, v, grad), both, mask, **config)
    parts = [gradients64(*one, *seen) for one in ones]
    want = [torch.cat(x, 2) for x in zip(*parts, strict=True)]
    for x, y in zip(got, want[:1] if len(got) == 1 else want[1:], strict=True):
        assert_right(guard, x, y, TOLERANCE[dtype])


def delta(module: ModuleType, dtype: str, rows: int) -> None:
    """Check the row sums of two sequences of three heads."""
    guard = Guard()
    out, grad = (guard.strided(draw((2, 3, rows, 16), dtype, seed)) for seed in (1, 2))
    got = guard.wanted(2, 3, rows, dtype=torch.float32)
    module.program_delta(out, grad, got).call()()
    assert_right(guard, got, (out.double() * grad.double()).sum(-1), 1e-5)


BOTH = pytest.mark.parametrize("module", [flash_backward_keys, flash_backward_queries], ids=["keys", "queries"])


@pytest.mark.parametrize("seen", SEEN, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@BOTH
def test_backward(module: ModuleType, shape: tuple[int, int], seen: Seen) -> None:
    backward(module, "fp32", shape, seen)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@BOTH
def test_backward_of_16_bits_in_groups(module: ModuleType, dtype: str) -> None:
    backward(module, dtype, (19, 40), (True, None), dim=64, heads=4, descriptors=True)
    backward(module, dtype, (19, 24), (True, 10), dim=128, heads=6)


@BOTH
def test_unlike_tiles_and_fewer_keys_than_queries(module: ModuleType) -> None:
    backward(module, "fp32", (40, 50), (True, 20), block_m=32)
    backward(module, "fp32", (40, 50), (True, 20), block_n=32)
    backward(module, "fp32", (40, 11), (False, None), block_m=32, descriptors=True)
    backward(module, "fp16", (9, 20), (True, None), dim=256)


@pytest.mark.parametrize("seen", [SEEN[0], SEEN[1], SEEN[2]], ids=str)
@BOTH
def test_packed_sequences(module: ModuleType, seen: Seen) -> None:
    backward_packed(module, "fp32", [17, 1, 20], seen)
    backward_packed(module, "fp32", [5, 18], seen, more=3, descriptors=True)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_delta(dtype: str) -> None:
    delta(flash_backward, dtype, 39)


def check(module: ModuleType) -> None:
    """What no mutant may pass; the mutant's name ends like the module's."""
    backward(module, "fp32", (17, 20), (True, 18))
    backward(module, "fp32", (17, 33), (False, None))
    backward_packed(module, "fp32", [17, 1, 9], (True, None), more=3)
    backward(module, "fp32", (40, 56), (True, 20), block_m=32)
    backward(module, "fp32", (40, 56), (True, 20), block_n=32)
    backward(module, "fp32", (20, 37), (True, None))
    backward(module, "fp32", (20, 37), (True, 5))


CHECKS = [
    ("delta", flash_backward, lambda module: delta(module, "fp32", 39)),
    ("keys", flash_backward_keys, check),
    ("queries", flash_backward_queries, check),
]


@pytest.mark.parametrize(
    ("name", "check", "mutant"), [(n, c, m) for n, module, c in CHECKS for m in mutants.mutants(module)], ids=str
)
def test_no_mutant_survives(name: str, check: Any, mutant: mutants.Mutant, tmp_path: Path) -> None:
    assert not mutants.survives(mutant, tmp_path, f"mutant_of_{name}", check)
