"""The values of the check: exact, telling ranks and places apart, and the averages' stability that they rest on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perwatt.kernels.collectives import pattern
from perwatt.kernels.collectives.pattern import REDUCED, Piece
from perwatt.kernels.dtypes import torch_dtype
from perwatt.kernels.workload import WrongResult


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float16, torch.float32])
def test_what_is_moved_is_exact_and_never_zero(dtype: torch.dtype) -> None:
    for rank in (0, 1, 7, 300, 1023):
        table = pattern.moved_table(rank)
        assert (table.to(dtype).long() == table).all()
        assert (table > 0).all()


def test_ranks_and_places_differ() -> None:
    tables = torch.stack([pattern.moved_table(rank)[:64] for rank in range(600)])
    assert len(torch.unique(tables, dim=0)) == 600
    assert len(torch.unique(tables[:251, 0])) == 251  # even a single element tells 251 ranks apart
    table = pattern.moved_table(3)
    whole = pattern.values(table, 0, 300_000)
    for shift in (1, 16, 1021, 1024, 4096, 65536, 131072):
        assert (whole[shift:] != whole[:-shift]).double().mean() > 0.9


def test_a_range_is_a_part_of_the_whole() -> None:
    table = pattern.moved_table(5)
    whole = pattern.values(table, 0, 5000)
    for start, stop in ((0, 1), (1020, 1022), (1021, 2042), (17, 4999)):
        assert (pattern.values(table, start, stop) == whole[start:stop]).all()
    buffer = torch.empty(5000, dtype=torch.bfloat16)
    pattern.write(buffer, table)
    assert (buffer.long() == whole).all()


@pytest.mark.parametrize("ranks", [2, 3, 5, 8, 13, 72, 256, 1024])
def test_few_ranks_contribute_to_a_place_and_all_to_some(ranks: int) -> None:
    operands = torch.stack([pattern.operand_table(rank, ranks, "sum") for rank in range(ranks)])
    contributors = (operands != 0).sum(0)
    assert 2 <= contributors.min() <= contributors.max() <= 4
    assert (operands != 0).any(1).all()
    total = pattern.reduced_table(ranks, "sum")
    assert (total.bfloat16().double() == total).all()
    assert (total != pattern.reduced_table(ranks, "max")).all()
    # each contribution to an average stands out from its tolerance
    means = torch.stack([pattern.operand_table(rank, ranks, "avg") for rank in range(ranks)]).double()
    part = means / means.sum(0)
    assert part[part > 0].min() >= 0.1 > 4 * pattern.tolerance("avg", ranks, "bf16")


def test_reductions_by_hand() -> None:
    a, b = pattern.operand_table(0, 2, "sum").double(), pattern.operand_table(1, 2, "sum").double()
    assert (pattern.reduced_table(2, "sum") == a + b).all()
    assert (pattern.reduced_table(2, "max") == torch.maximum(a, b)).all()
    assert (pattern.reduced_table(2, "min") == -torch.maximum(a, b)).all()
    a, b = pattern.operand_table(0, 2, "avg").double(), pattern.operand_table(1, 2, "avg").double()
    assert (pattern.reduced_table(2, "avg") == (a + b) / 2).all()


def right_output(ranks: int, share: int) -> tuple[torch.Tensor, list[Piece]]:
    pieces = [Piece(rank * share, share, rank, 0) for rank in range(ranks)]
    return torch.cat([pattern.values(pattern.moved_table(rank), 0, share) for rank in range(ranks)]).float(), pieces


@pytest.mark.parametrize("index", [0, 4999, 5000, 9999])
def test_every_element_of_a_small_output_is_compared(index: int) -> None:
    output, pieces = right_output(2, 5000)
    assert pattern.compare(output, pieces, "", 2, 0.0) == (0.0, 10000)
    output[index] += 1
    with pytest.raises(WrongResult, match=f"1 of 5000 elements .* element {index} is"):
        pattern.compare(output, pieces, "", 2, 0.0)


@pytest.mark.parametrize("index", [0, 19999, 20000, 39999])
def test_of_a_large_output_both_ends_of_each_piece(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "FULL_BYTES", 16000)  # 2000 elements a piece, in 8 windows of 250
    output, pieces = right_output(2, 20000)
    assert pattern.compare(output, pieces, "", 2, 0.0) == (0.0, 4000)
    output[index] = float("nan")
    with pytest.raises(WrongResult, match=f"element {index} is nan"):
        pattern.compare(output, pieces, "", 2, 0.0)


def test_windows_cover_what_they_say() -> None:
    assert list(pattern.windows(10, 10)) == [(0, 10)]
    first, *_, last = pattern.windows(1000, 80)
    assert (first, last) == ((0, 10), (990, 1000))
    assert len(list(pattern.windows(1000, 3))) == 8  # never none
    large = list(pattern.windows(3 << 20, 1 << 24))
    assert [stop - start for start, stop in large] == [1 << 20] * 3


def test_an_average_may_be_rounded_and_no_more() -> None:
    want = pattern.values(pattern.reduced_table(3, "avg"), 0, 4000)
    output, pieces = want.to(torch_dtype("bf16")), [Piece(0, 4000, REDUCED, 0)]
    allowed = pattern.tolerance("avg", 3, "bf16")
    error, compared = pattern.compare(output, pieces, "avg", 3, allowed)
    assert 0.0 < error <= 2**-8 < allowed < 0.03
    assert compared == 4000
    with pytest.raises(WrongResult):
        pattern.compare((want * 1.05).to(torch_dtype("bf16")), pieces, "avg", 3, allowed)
    assert pattern.tolerance("avg", 8, "bf16") == pattern.tolerance("sum", 3, "bf16") == 0.0


def rounded(x: np.ndarray, bits: int) -> np.ndarray:
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)


def average_of_equals(x: np.ndarray, ranks: int, bits: int, scale_first: bool) -> np.ndarray:
    """What n ranks that all hold ``x`` get as their average, added one after another in the format."""
    part = rounded(x * rounded(np.asarray(1 / ranks), bits), bits) if scale_first else x
    total = part
    for _ in range(ranks - 1):
        total = rounded(total + part, bits)
    return total if scale_first else rounded(total / ranks, bits)


@pytest.mark.parametrize("scale_first", [False, True])
@pytest.mark.parametrize("ranks", [2, 3, 6, 8, 12, 24, 72])
def test_repeated_averages_settle(ranks: int, scale_first: bool) -> None:
    start = 1 + np.arange(128) / 128  # every bf16 value of a binade
    x = start
    for _ in range(40):
        x = average_of_equals(x, ranks, 8, scale_first)
    assert (average_of_equals(x, ranks, 8, scale_first) == x).all()
    assert np.abs(np.log2(x / start)).max() <= 1.0


def test_averages_over_more_ranks_than_the_format_counts_decay() -> None:
    x = start = 1 + np.arange(128) / 128
    for _ in range(20):
        x = average_of_equals(x, 512, 8, False)
    assert (x < 2.0**-18 * start).all()  # a factor 2 a launch: 256 additions change nothing
