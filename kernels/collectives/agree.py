"""One outcome for all ranks: a rank that fails must not leave the others waiting for it inside a collective.

Each step of a collective's preparation, and of a comparison made again, is taken by every rank, and its outcome
exchanged on the group, on the device that is measured: if one rank fails, all raise, naming the ranks and the first
one's reason. What this cannot help is a rank that has died or a link that is down: then the exchange itself runs into
the timeout of the process group.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import TypeVar

from perwatt.kernels.dtypes import one_line
from perwatt.kernels.workload import Check, Place, Unsupported, WrongResult

T = TypeVar("T")

_DONE, _UNSUPPORTED, _WRONG, _FAILED = range(4)
_REASON_BYTES = 512
_MOST_DIMENSIONS = 4  # of the place of a wrong element


def require_group(place: Place) -> None:
    """Raise Unsupported without a process group, RuntimeError if it is not the one that ``place`` speaks of."""
    import torch.distributed as dist

    if not dist.is_available():
        raise Unsupported("this torch is built without torch.distributed")
    if not dist.is_initialized():
        raise Unsupported("no process group: start one process a rank, for instance with torchrun")
    if (dist.get_rank(), dist.get_world_size()) != (place.rank, place.ranks):
        here = f"rank {dist.get_rank()} of {dist.get_world_size()}"
        raise RuntimeError(f"prepared as rank {place.rank} of {place.ranks}, but the process group says {here}")


def least(value: int, place: Place) -> int:
    """The smallest ``value`` of all ranks."""
    import torch
    import torch.distributed as dist

    tensor = torch.tensor([value], dtype=torch.int64, device=place.device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MIN)
    return int(tensor.item())


def together(place: Place, step: Callable[[], T], *, by_all: bool = False) -> T:
    """The result of ``step`` if it succeeded on every rank; otherwise every rank raises.

    A failure that no one foresaw goes before :class:`WrongResult`, and that before :class:`Unsupported`. With
    ``by_all`` only all ranks together can find something unsupported: if some refuse, the group is broken.
    """
    kind, reason, failure, result = _DONE, "", None, None
    try:
        result = step()
    except Exception as error:
        failure, reason = error, one_line(error) or type(error).__name__
        kind = _WRONG if isinstance(error, WrongResult) else _UNSUPPORTED if isinstance(error, Unsupported) else _FAILED
    kinds = _exchange(kind, place)
    worst = max(kinds)
    if worst == _DONE:
        return result  # type: ignore[return-value]
    ranks = [rank for rank, found in enumerate(kinds) if found == worst]
    reason = _from(ranks[0], reason, place)
    if worst == _FAILED:
        if failure is not None and kind == _FAILED:
            raise failure
        raise RuntimeError(f"{_names(ranks, place)} failed: {reason}")
    if worst == _WRONG:
        raise _wrong(ranks, reason, failure, place) from failure
    if len(ranks) == place.ranks:
        raise Unsupported(reason) from failure
    if by_all:
        raise RuntimeError(f"{_names(ranks, place)} refused what the others did: {reason}") from failure
    raise Unsupported(f"{_names(ranks, place)}: {reason}") from failure


def again(
    place: Place,
    fresh: Callable[[], object],
    launch: Callable[[], object],
    check: Callable[[], Check],
    restore: Callable[[], object],
) -> Check:
    """The check of one more launch, on values that every rank knows beforehand, in step on all ranks; ``fresh`` brings
    them in and ``restore`` those that are timed. A launch that was timed could not be checked: in place its operands
    are lost, and what other ranks sent is known to them alone."""
    try:
        together(place, fresh)
        together(place, launch)
        return together(place, check)
    finally:
        together(place, restore)


def _exchange(kind: int, place: Place) -> list[int]:
    """The outcome of every rank, in the order of ranks."""
    import torch
    import torch.distributed as dist

    kinds = torch.zeros(place.ranks, dtype=torch.int32, device=place.device)
    kinds[place.rank] = kind
    dist.all_reduce(kinds, op=dist.ReduceOp.MAX)
    return [int(found) for found in kinds.tolist()]


def _from(rank: int, reason: str, place: Place) -> str:
    """The ``reason`` that ``rank`` has, on every rank: records of all ranks then say the same."""
    import torch
    import torch.distributed as dist

    text = reason.encode()[:_REASON_BYTES].ljust(_REASON_BYTES, b"\0")
    tensor = torch.tensor(list(text), dtype=torch.uint8, device=place.device)
    dist.broadcast(tensor, src=rank)
    return bytes(tensor.tolist()).rstrip(b"\0").decode(errors="replace")


def _wrong(ranks: list[int], reason: str, failure: Exception | None, place: Place) -> WrongResult:
    """The same on every rank: ``ranks`` found something wrong, the first of them this much and there."""
    import torch
    import torch.distributed as dist

    mine = failure if isinstance(failure, WrongResult) else WrongResult("")
    at = mine.at[:_MOST_DIMENSIONS]
    told = [
        math.nan if mine.wrong is None else float(mine.wrong),
        math.nan if mine.error is None else mine.error,
        *map(float, at),
        *[math.nan] * (_MOST_DIMENSIONS - len(at)),
    ]
    # each as its 64 bits, in bytes: not every device has float64
    tensor = torch.tensor(list(struct.pack(f"{len(told)}d", *told)), dtype=torch.uint8, device=place.device)
    dist.broadcast(tensor, src=ranks[0])
    wrong, error, *where = struct.unpack(f"{len(told)}d", bytes(tensor.tolist()))
    return WrongResult(
        f"{_names(ranks, place)}: {reason}",
        None if math.isnan(wrong) else int(wrong),
        None if math.isnan(error) else error,
        tuple(int(i) for i in where if not math.isnan(i)),
        tuple(ranks),
    )


def _names(ranks: list[int], place: Place) -> str:
    """``rank 2 of 8``, ``ranks 0, 1 of 8``."""
    listed = ", ".join(map(str, ranks[:16])) + (", …" if len(ranks) > 16 else "")
    return f"rank{'s' * (len(ranks) > 1)} {listed} of {place.ranks}"
