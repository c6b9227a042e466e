"""What all collectives share: the size S of a message, the check of its values, the buffers that the launches rotate.

S and the bus factor are those of nccl-tests (doc/PERFORMANCE.md and src/*.cu), so that busbw = S / t * factor can be
laid beside anybody's: with n ranks, S is the buffer of one rank where each holds the whole message (all_reduce,
broadcast, sendrecv), and the n shares together where it is split (all_gather, reduce_scatter, all_to_all). S is rounded
down to whole elements, and where it is split so that each share is a multiple of 16 bytes.

The group is the default process group, initialised already: gloo on CPUs, nccl (also RCCL), xccl; for a request of
``algorithm`` or ``protocol`` one beside it (:mod:`request`). Bytes and footprints are those of one rank.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from perwatt.kernels import data, dtypes
from perwatt.kernels.collectives import agree, pattern, request
from perwatt.kernels.collectives.message import format_bytes, parse_bytes, share_elements
from perwatt.kernels.workload import Check, Place, Prepared, Size, Unsupported, Work, Workload, choice, rotation

if TYPE_CHECKING:
    import torch
    import torch.distributed as dist

MOVABLE = ("fp64", "fp32", "bf16", "fp16", *dtypes.FP8)


class Buffers(NamedTuple):
    """One set of operands of one rank: flat tensors, the same one or overlapping where the collective is in place."""

    source: torch.Tensor
    target: torch.Tensor


@dataclass(frozen=True)
class Collective(Workload):
    """Base of the collectives. ``message_bytes`` is an integer or text with a binary unit (``64KiB``).

    A concrete collective says which part of a message each of its two buffers holds, what its target must contain
    afterwards, and which call of torch.distributed makes it. Raises ValueError for a value that is not allowed.
    """

    collective: ClassVar[bool] = True
    allowed_dtypes: ClassVar[tuple[str, ...]] = MOVABLE
    split: ClassVar[bool] = False
    refusals: ClassVar[dict[bool, str]] = {}  # a value of in_place that cannot be had: why
    tuned: ClassVar[bool] = True  # NCCL chooses an algorithm for it; not for what is made of sends and receives

    message_bytes: int | str = "16MiB"
    dtype: str = "bf16"
    in_place: bool = False
    init: str = "normal"
    seed: int = 0
    algorithm: str | None = None
    protocol: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message_bytes", parse_bytes(self.name, "message_bytes", self.message_bytes))
        choice(self.name, "dtype", self.dtype, self.allowed_dtypes)
        data.check_bool(self.name, in_place=self.in_place)
        object.__setattr__(self, "init", data.check_init(self.name, self.init))
        data.check_seed(self.name, self.seed)
        request.check(self.name, self.algorithm, self.protocol)

    def params(self) -> dict[str, Any]:
        """The parameters; ``algorithm`` and ``protocol`` only where they are asked for."""
        found = super().params()
        unasked = [key for key in ("algorithm", "protocol") if found.get(key, "") is None]
        return {key: value for key, value in found.items() if key not in unasked}

    @property
    def requested(self) -> request.Request:
        """The algorithm and the protocol that are asked for, None where the choice is the library's."""
        return self.algorithm, self.protocol

    def group(self) -> dist.ProcessGroup | None:
        """The group to launch on: None for the default one."""
        return request.group(self.requested)

    @abstractmethod
    def factor(self, ranks: int) -> float:
        """busbw / algbw, as nccl-tests has it."""

    @abstractmethod
    def touched(self, elements: int, share: int) -> int:
        """Elements that one rank has to read and write at least, of a message of ``elements`` and shares of it."""

    @abstractmethod
    def buffers(self, elements: int, share: int, rank: int, new: Callable[[int], torch.Tensor]) -> Buffers:
        """A set of operands; ``new(n)`` allocates n elements that are zero."""

    @abstractmethod
    def pieces(self, share: int, rank: int, ranks: int) -> list[pattern.Piece]:
        """What the target of ``rank`` holds afterwards; ``share`` is the whole message where it is not split."""

    @abstractmethod
    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """The collective on these buffers as a call."""

    def table(self, rank: int, ranks: int) -> torch.Tensor | None:
        """The pattern in the source of ``rank`` for the check; None if it has nothing to send."""
        return pattern.moved_table(rank)

    def lifetime(self, ranks: int) -> int | None:
        """How many launches a set survives before repetition drives its values to zero or infinity; None: any."""
        return None

    @property
    def reduction(self) -> str:
        """The name of the reduction; empty where data are only moved."""
        return ""

    @property
    def requested_bytes(self) -> int:
        """The size of the message as asked for, before it is rounded for a number of ranks."""
        assert isinstance(self.message_bytes, int)
        return self.message_bytes

    def shape(self, ranks: int) -> tuple[int, int]:
        """Elements of the message that is really moved among ``ranks``, and of one share (all of it if not split)."""
        size = dtypes.itemsize(self.dtype)
        count = self.requested_bytes // size
        if not self.split:
            return count, count
        share = share_elements(count, size, ranks)
        return share * ranks, share

    def work(self, ranks: int = 1) -> Work:
        """No FLOP are counted; the least bytes that one rank reads and writes; S and the bus factor."""
        size, (elements, share) = dtypes.itemsize(self.dtype), self.shape(ranks)
        return Work(0, self.touched(elements, share) * size, "message", elements * size, self.factor(ranks))

    def footprint_bytes(self, ranks: int = 1) -> int:
        """Source and target of one rank, counted once where they overlap."""
        return dtypes.itemsize(self.dtype) * self.held(*self.shape(ranks))

    def held(self, elements: int, share: int) -> int:
        """Elements of one set: the message, and out of place the other buffer, a share unless this is overridden."""
        return elements if self.in_place else elements + share

    def label(self) -> str:
        """``bf16 avg 16 MiB``, the size that was asked for."""
        return self._words(format_bytes(self.requested_bytes))

    def series(self) -> str:
        """``bf16 avg``; with ``in place`` where there is a choice, and the values where they are not the usual ones."""
        return self._words("")

    def _words(self, size: str) -> str:
        placed = "in place" if self.in_place and not self.refusals else ""
        init = self.init.replace("normal", "")
        return " ".join(filter(None, (self.dtype, self.reduction, size, placed, *self.requested, init)))

    def size(self) -> Size:
        """The message in bytes, as asked for."""
        return Size("message bytes", float(self.requested_bytes))

    def prepare(self, place: Place) -> Prepared:
        """Allocate and check the values on every rank, then return the launch; or raise the same on every rank."""
        return self._prepare(place)

    def prepare_async(self, place: Place, beside: Callable[[], object]) -> Prepared:
        """The same, but that the launch only starts the collective and returns its handle, whose ``wait`` has to be
        called. ``beside`` is called while one runs whose values are checked, in the preparation and again later."""
        return self._prepare(place, beside)

    def _prepare(self, place: Place, beside: Callable[[], object] | None = None) -> Prepared:
        if self.in_place in self.refusals:
            raise Unsupported(self.refusals[self.in_place])
        if self.shape(place.ranks)[0] == 0:
            over = f"{place.ranks} rank{'s' * (place.ranks > 1)}"
            share = f" over {over} leaves no {self.dtype} element per rank in shares of 16 B"
            asked = f"a message of {format_bytes(self.requested_bytes)}"
            raise Unsupported(asked + (share if self.split else f" is less than one {self.dtype} element"))
        agree.require_group(place)
        request.require(self.requested)
        if any(self.requested) and not self.tuned:
            raise Unsupported(f"{self.name} is made of sends and receives: there is no algorithm to choose")
        life = self.lifetime(place.ranks)
        # as many sets on every rank, or they would be restored in different launches
        count = agree.least(rotation(self.footprint_bytes(place.ranks), place), place)
        sets, spare = agree.together(place, lambda: self._allocate(place, count, life))
        agree.together(place, lambda: self._attempt(sets[0], place, beside), by_all=True)
        check = agree.together(place, lambda: self._check(sets[0], place))
        agree.together(place, lambda: self._fill(sets, spare, place))
        bind = self.bind if beside is None else self.begin
        calls = [_restoring(bind(one, place), one.target, spare, life) for one in sets]
        verify = partial(
            agree.again,
            place,
            fresh=lambda: self._mark(sets[0], place),
            launch=lambda: self._launch(sets[0], place, beside),
            check=lambda: self._check(sets[0], place),
            restore=lambda: self._fill(sets[:1], spare, place),
        )
        return Prepared(data.rotating(calls), check, count, note(place, life), verify=verify)

    def _allocate(self, place: Place, count: int, life: int | None) -> tuple[list[Buffers], torch.Tensor | None]:
        """``count`` sets, the first with the values of the check, and room for a copy of a target if it needs one."""
        import torch

        data.require_memory(self.footprint_bytes(place.ranks) * (2 if life else 1), place)
        # 8-bit floats are moved as the bytes that they are: not every backend knows them
        stored = torch.uint8 if self.dtype in dtypes.FP8 else dtypes.torch_dtype(self.dtype)
        new = partial(torch.zeros, dtype=stored, device=place.device)
        sets = [self.buffers(*self.shape(place.ranks), place.rank, new) for _ in range(count)]
        self._mark(sets[0], place)
        spare = torch.empty_like(sets[0].target) if life else None
        return sets, spare

    def _mark(self, buffers: Buffers, place: Place) -> None:
        """Give a set the values of the check, and 0 wherever something has yet to be written."""
        for buffer in reversed(buffers):  # they may overlap
            buffer.zero_()
        if (table := self.table(place.rank, place.ranks)) is not None:
            pattern.write(buffers.source, table)
        dtypes.synchronize(place.device)

    def begin(self, buffers: Buffers, place: Place) -> Callable[[], Any]:
        """The collective as a call that only starts it and returns a handle with ``wait``."""
        call: Callable[..., Any] = self.bind(buffers, place)
        return partial(call, async_op=True)

    def _attempt(self, buffers: Buffers, place: Place, beside: Callable[[], object] | None = None) -> None:
        """Launch once; Unsupported with the backend's reason if it refuses the operation, the dtype or the request."""
        what = f"{self.name} in {' '.join(filter(None, (self.dtype, self.reduction)))}"
        with refusable(what, self.requested):
            self._launch(buffers, place, beside)

    def _launch(self, buffers: Buffers, place: Place, beside: Callable[[], object] | None) -> None:
        """Launch once and wait, ``beside`` meanwhile."""
        call: Callable[[], Any] = self.bind(buffers, place) if beside is None else self.begin(buffers, place)
        with request.environment(self.requested):  # the communicator is made by its first use
            handle = call()
        if beside is not None:
            try:
                beside()
            finally:
                handle.wait()
        dtypes.synchronize(place.device)

    def _check(self, buffers: Buffers, place: Place) -> Check:
        """Compare the target with what the ranks' patterns make of it; WrongResult if it differs."""
        pieces = self.pieces(self.shape(place.ranks)[1], place.rank, place.ranks)
        allowed = pattern.tolerance(self.reduction, place.ranks, self.dtype)
        found = pattern.compare(buffers.target, pieces, self.reduction, place.ranks, allowed)
        return exactly(self.reduction, found, allowed)

    def _fill(self, sets: list[Buffers], spare: torch.Tensor | None, place: Place) -> None:
        """Give every set the values that are timed, other ones on every rank."""
        stored = dtypes.torch_dtype(self.dtype)
        first = sets[0].source
        data.refill(first.view(stored), self.init, data.substream(self.seed, "rank", place.rank))
        for one in sets[1:]:
            one.source.copy_(first)
        if spare is not None:
            spare.copy_(sets[0].target)
        dtypes.synchronize(place.device)


def _restoring(
    call: Callable[[], object], target: torch.Tensor, spare: torch.Tensor | None, life: int | None
) -> Callable[[], object]:
    """``call``, with ``target`` copied back from ``spare`` before each ``life``-th one; ``call`` itself if None."""
    if spare is None or life is None:
        return call
    left = life

    def restore_and_call() -> object:
        nonlocal left
        if left == 0:
            target.copy_(spare)
            left = life
        left -= 1
        return call()

    return restore_and_call


@contextlib.contextmanager
def refusable(what: str, requested: request.Request = (None, None)) -> Iterator[None]:
    """Unsupported with the backend's reason if it refuses what is done within, and what NCCL has not of a request."""
    import torch
    import torch.distributed as dist

    broken = tuple(getattr(torch, name) for name in ("AcceleratorError", "OutOfMemoryError") if hasattr(torch, name))
    try:
        yield
    except (*broken, dist.DistError) as error:  # a device or a link out of order is not a missing feature
        if not any(requested) or "invalid usage" not in str(error):
            raise
        request.drop()
        asked = " ".join(filter(None, requested))
        raise Unsupported(f"{what}: NCCL has no {asked} for it here: {dtypes.one_line(error)}") from error
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError) as error:
        raise Unsupported(f"{what} over {dist.get_backend()}: {dtypes.one_line(error)}") from error


def exactly(reduction: str, found: tuple[float, int], allowed: float) -> Check:
    """The check of a pattern: its largest deviation and how many elements were compared."""
    kind = f"exact {reduction} of" if reduction else "exactly the"
    return Check(found[0], allowed, f"{kind} integers known by rank and position", found[1])


def note(place: Place, life: int | None) -> str:
    """What a record says beside its numbers: the backend, a single rank, operands that are restored."""
    import torch.distributed as dist

    notes = [f"over {dist.get_backend()}"]
    if place.ranks == 1:
        notes.append("a single rank: nothing is exchanged")
    if life is not None:
        notes.append(f"operands restored by a copy once in {life} launches of a set, which the time includes")
    return "; ".join(notes)
