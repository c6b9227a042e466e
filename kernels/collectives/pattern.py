"""Values by which a collective is checked: known for every rank and position, and exact in every number format.

Each rank has a table of small integers, 1021 of them (a prime, so that no power of two divides it), laid out over the
buffer in rows that are each turned by 13 places. Thus a value says which rank it came from and from where, and a
slice that is missing, misplaced or somebody else's differs from what is expected. Zero never occurs in what is moved:
it marks what was not written.

Reductions have tables of their own, in which at most four ranks contribute to a position (every position has at least
two, given two ranks). Sums of so few integers up to 31 are exact in all formats whatever the order of summation, so
they are compared for equality; and one contribution that is missing is a large part of the result, also among
hundreds of ranks. An average is exact where the number of ranks is a power of two. Elsewhere it is rounded: NCCL
multiplies each operand by the rounded 1/n before it adds (two roundings), then come up to three of the sums; that is
at most five, and six times the unit roundoff is allowed. Integers up to 3 keep the least contribution at a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from perwatt.kernels.dtypes import unit_roundoff
from perwatt.kernels.workload import WrongResult

if TYPE_CHECKING:
    import torch

_LENGTH = 1021
_TURN = 13
_MOVED = 251  # distinct values, prime; bf16 has all integers up to 256
_CONTRIBUTORS = 4
_CHUNK = 1 << 20  # elements compared at a time
FULL_BYTES = 64 << 20  # outputs up to this size are compared whole
_WINDOWS = 8

REDUCED = -1


class Piece(NamedTuple):
    """``length`` elements of an output from ``start`` on: what ``source`` (a rank, or REDUCED for the reduction over
    all) has from its element ``offset`` on."""

    start: int
    length: int
    source: int
    offset: int


def moved_table(rank: int) -> torch.Tensor:
    """What ``rank`` sends where data are only moved: int64 (1021,), values 1 to 251."""
    import torch

    place = torch.arange(_LENGTH)
    return 1 + (place * (1 + rank // _MOVED) + 37 * rank) % _MOVED


def operand_table(rank: int, ranks: int, op: str) -> torch.Tensor:
    """What ``rank`` brings to a reduction over ``ranks``: int64 (1021,), 0 where others contribute."""
    import torch

    place = torch.arange(_LENGTH)
    mixed = ((place + 1) * (rank + 1) * 2654435761 % 2**32) >> 16
    amount = 1 + mixed % (3 if op == "avg" else 31)
    stride = -(-ranks // _CONTRIBUTORS)
    return torch.where((place + rank) % stride == 0, -amount if op == "min" else amount, 0)


def reduced_table(ranks: int, op: str) -> torch.Tensor:
    """The reduction of all operands: float64 (1021,)."""
    import torch

    operands = torch.stack([operand_table(rank, ranks, op) for rank in range(ranks)]).double()
    if op in ("sum", "avg"):
        total = operands.sum(0)
        return total / ranks if op == "avg" else total
    return operands.amax(0) if op == "max" else operands.amin(0)


def tolerance(op: str, ranks: int, dtype: str) -> float:
    """Allowed deviation: relative for an average that has to be rounded, otherwise none."""
    exact = op != "avg" or ranks & (ranks - 1) == 0
    return 0.0 if exact else 6 * unit_roundoff(dtype)


def values(table: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Elements ``start`` to ``stop`` of the endless pattern made of ``table``, in its dtype and on its device."""
    import torch

    first, last = start // _LENGTH, (stop - 1) // _LENGTH
    turns = torch.arange(first, last + 1, device=table.device) * _TURN % _LENGTH
    rows = torch.cat([table, table]).unfold(0, _LENGTH, 1)[turns]
    return rows.reshape(-1)[start - first * _LENGTH : stop - first * _LENGTH]


def write(buffer: torch.Tensor, table: torch.Tensor) -> None:
    """Fill ``buffer`` (1-D) with the pattern of ``table``, from its start on."""
    table = table.to(buffer.device, buffer.dtype)
    for first in range(0, buffer.numel(), _CHUNK):
        stop = min(first + _CHUNK, buffer.numel())
        buffer[first:stop] = values(table, first, stop)


def windows(length: int, budget: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of what is compared of ``length`` elements: all, or evenly spaced parts, first and last included,
    of ``budget`` elements together. At most 2**20 elements each."""
    if length <= budget:
        yield from ((first, min(first + _CHUNK, length)) for first in range(0, length, _CHUNK))
        return
    part = max(1, budget // _WINDOWS)
    for index in range(_WINDOWS):
        first = (length - part) * index // (_WINDOWS - 1)
        yield from ((begin, min(begin + _CHUNK, first + part)) for begin in range(first, first + part, _CHUNK))


def compare(output: torch.Tensor, pieces: list[Piece], op: str, ranks: int, allowed: float) -> tuple[float, int]:
    """The largest deviation found, relative if ``op`` is avg, and the number of elements compared.

    Raises :class:`WrongResult` if it exceeds ``allowed``, saying how many elements of the first wrong part are wrong.
    """
    import torch

    exact = torch.float64 if output.dtype == torch.float64 else torch.float32
    budget = FULL_BYTES // output.element_size() // len(pieces)
    worst, compared = 0.0, 0
    for piece in pieces:
        table = reduced_table(ranks, op) if piece.source == REDUCED else moved_table(piece.source)
        table = table.to(exact).to(output.device)
        for first, stop in windows(piece.length, budget):
            want = values(table, piece.offset + first, piece.offset + stop)
            got = output[piece.start + first : piece.start + stop].to(exact)
            error = (got - want).abs()
            if op == "avg":
                error = error / want.abs()
            wrong = ~(error <= allowed)  # so that NaN is wrong
            if bool(wrong.any()):
                index, count = int(wrong.nonzero()[0]), int(wrong.sum())
                at, largest = piece.start + first + index, float(error.nan_to_num(math.inf).max())
                raise WrongResult(
                    f"{count} of {stop - first} elements from {piece.start + first} on are wrong; "
                    f"element {at} is {float(got[index]):g}, not {float(want[index]):g}",
                    count,
                    largest,
                    (at,),
                )
            worst, compared = max(worst, float(error.max())), compared + stop - first
    return worst, compared
