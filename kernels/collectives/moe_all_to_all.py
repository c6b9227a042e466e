"""moe_all_to_all: tokens of a mixture of experts to the ranks that hold their experts (dispatch), or back (combine).

Every rank has ``tokens`` tokens of ``hidden`` elements and sends each to its ``top_k`` experts, a copy for each expert,
sorted by expert: an all_to_all with uneven splits (torch's all_to_all_single with split sizes), whose sizes all ranks
know beforehand. Sorting, weighting and the experts themselves are not part of it. Combine sends as many back.

As in nccl-tests' alltoallv, S is what the busiest rank sends or receives, whichever is more, its own share included,
and busbw = S / t * (n-1)/n. With more skew S grows and the time with it: how much is lost is told by tokens per second,
where ``tokens`` of the work are those of all ranks, each counted once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels import data, dtypes
from perwatt.kernels.collectives import agree, pattern, routing
from perwatt.kernels.collectives.collective import MOVABLE, Buffers, exactly, note, refusable
from perwatt.kernels.workload import (
    Check,
    Place,
    Prepared,
    Size,
    Unsupported,
    Work,
    Workload,
    choice,
    positive,
    rotation,
)

if TYPE_CHECKING:
    import torch

DIRECTIONS = ("dispatch", "combine")


@dataclass(frozen=True)
class MoeAllToAll(Workload):
    """``tokens`` of each rank to ``top_k`` of ``experts``, which lie on the ranks in even blocks; routing by ``skew``
    and ``seed`` as in :mod:`perwatt.kernels.collectives.routing`. Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "moe_all_to_all"
    collective: ClassVar[bool] = True

    tokens: int = 4096
    hidden: int = 7168
    experts: int = 256
    top_k: int = 8
    skew: float = 0.0
    direction: str = "dispatch"
    dtype: str = "bf16"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        positive(self.name, tokens=self.tokens, hidden=self.hidden, experts=self.experts, top_k=self.top_k)
        if self.top_k > self.experts:
            raise ValueError(f"{self.name}.top_k: {self.top_k} of {self.experts} experts")
        skew = self.skew
        if isinstance(skew, bool) or not isinstance(skew, int | float) or not 0 <= skew <= routing.MOST_SKEW:
            raise ValueError(f"{self.name}.skew: {skew!r} is not a number from 0 to {routing.MOST_SKEW:g}")
        object.__setattr__(self, "skew", float(skew))
        choice(self.name, "direction", self.direction, DIRECTIONS)
        choice(self.name, "dtype", self.dtype, MOVABLE)
        object.__setattr__(self, "init", data.check_init(self.name, self.init))
        data.check_seed(self.name, self.seed)

    def splits(self, ranks: int) -> routing.Counts:
        """``splits[source][destination]``: copies of tokens that go this way in this direction."""
        sent = routing.counts(ranks, self.tokens, self.experts, self.top_k, self.skew, self.seed)
        return sent if self.direction == "dispatch" else tuple(zip(*sent, strict=True))

    def busiest(self, ranks: int) -> int:
        """Copies that the busiest rank sends or receives."""
        splits = self.splits(ranks)
        return max(*map(sum, splits), *map(sum, zip(*splits, strict=True)))

    def work(self, ranks: int = 1) -> Work:
        """No FLOP; what the busiest rank reads and writes; S and bus factor of alltoallv; the tokens of all ranks."""
        splits, size = self.splits(ranks), self.hidden * dtypes.itemsize(self.dtype)
        both = max(sum(splits[rank]) + sum(row[rank] for row in splits) for rank in range(ranks))
        message, factor = self.busiest(ranks) * size, (ranks - 1) / ranks
        return Work(0, both * size, "message", message, factor, tokens=self.tokens * ranks)

    def footprint_bytes(self, ranks: int = 1) -> int:
        """What the busiest rank sends and receives."""
        return self.work(ranks).bytes

    def label(self) -> str:
        """``dispatch bf16 hidden 7168, 8 of 256, 4096 tokens``; with the skew, the seed and the values if unusual."""
        return f"{self._named()}, {self.tokens} tokens"

    def series(self) -> str:
        """The label without the number of tokens."""
        return self._named()

    def _named(self) -> str:
        skewed = f" skew {self.skew:g}" if self.skew else ""
        seeded = f" seed {self.seed}" if self.seed else ""
        init = "" if self.init == "normal" else f" {self.init}"
        routed = f"{self.top_k} of {self.experts}{skewed}{seeded}"
        return f"{self.direction} {self.dtype}{init} hidden {self.hidden}, {routed}"

    def size(self) -> Size:
        """Tokens on one rank."""
        return Size("tokens", float(self.tokens))

    def prepare(self, place: Place) -> Prepared:
        """Allocate and check the values on every rank, then return the launch; or raise the same on every rank."""
        if place.ranks > self.experts:
            raise Unsupported(f"{self.experts} experts leave some of {place.ranks} ranks without one")
        agree.require_group(place)
        count = agree.least(rotation(self.footprint_bytes(place.ranks), place), place)
        sets = agree.together(place, lambda: self._allocate(place, count))
        agree.together(place, lambda: self._attempt(sets[0], place), by_all=True)
        check = agree.together(place, lambda: self._check(sets[0], place))
        agree.together(place, lambda: self._fill(sets, place))
        launch = data.rotating([self.bind(one, place) for one in sets])
        verify = partial(
            agree.again,
            place,
            fresh=lambda: self._mark(sets[0], place),
            launch=lambda: self._launch(sets[0], place),
            check=lambda: self._check(sets[0], place),
            restore=lambda: self._fill(sets[:1], place),
        )
        return Prepared(launch, check, count, note(place, None), verify=verify)

    def bind(self, buffers: Buffers, place: Place) -> Callable[[], object]:
        """torch.distributed.all_to_all_single with split sizes, in rows of ``hidden`` elements."""
        import torch.distributed as dist

        splits = self.splits(place.ranks)
        sent, received = list(splits[place.rank]), [row[place.rank] for row in splits]
        source, target = (x.view(-1, self.hidden) for x in buffers)
        return partial(dist.all_to_all_single, target, source, received, sent)

    def pieces(self, rank: int, ranks: int) -> list[pattern.Piece]:
        """What ``rank`` receives, in elements: from each source in turn, of that one's rows those meant for it."""
        splits, pieces, start = self.splits(ranks), [], 0
        for source in range(ranks):
            before, length = sum(splits[source][:rank]), splits[source][rank]
            if length:
                pieces.append(pattern.Piece(start, length * self.hidden, source, before * self.hidden))
            start += length * self.hidden
        return pieces

    def _allocate(self, place: Place, count: int) -> list[Buffers]:
        """``count`` sets, the first with the values of the check."""
        import torch

        data.require_memory(self.footprint_bytes(place.ranks), place)
        # 8-bit floats are moved as the bytes that they are: not every backend knows them
        stored = torch.uint8 if self.dtype in dtypes.FP8 else dtypes.torch_dtype(self.dtype)
        new = partial(torch.zeros, dtype=stored, device=place.device)
        splits = self.splits(place.ranks)
        sent, received = sum(splits[place.rank]), sum(row[place.rank] for row in splits)
        sets = [Buffers(new(sent * self.hidden), new(received * self.hidden)) for _ in range(count)]
        self._mark(sets[0], place)
        return sets

    def _mark(self, buffers: Buffers, place: Place) -> None:
        """Give a set the values of the check, and 0 wherever something has yet to be written."""
        buffers.target.zero_()
        if buffers.source.numel():
            pattern.write(buffers.source, pattern.moved_table(place.rank))
        dtypes.synchronize(place.device)

    def _attempt(self, buffers: Buffers, place: Place) -> None:
        """Launch once; Unsupported with the backend's reason if it refuses the operation or the dtype."""
        with refusable(f"{self.name} in {self.dtype}"):
            self._launch(buffers, place)

    def _launch(self, buffers: Buffers, place: Place) -> None:
        """Launch once and wait."""
        self.bind(buffers, place)()
        dtypes.synchronize(place.device)

    def _check(self, buffers: Buffers, place: Place) -> Check:
        """Compare what was received with what every rank had for this one; a rank may receive nothing."""
        pieces = self.pieces(place.rank, place.ranks)
        received = sum(piece.length for piece in pieces)
        if received != buffers.target.numel():
            raise AssertionError(f"{received} elements expected in a buffer of {buffers.target.numel()}")
        found = pattern.compare(buffers.target, pieces, "", place.ranks, 0.0) if pieces else (0.0, 0)
        return exactly("", found, 0.0)

    def _fill(self, sets: list[Buffers], place: Place) -> None:
        """Give every set the values that are timed, other ones on every rank."""
        first: torch.Tensor = sets[0].source
        stored = dtypes.torch_dtype(self.dtype)
        data.refill(first.view(stored), self.init, data.substream(self.seed, "rank", place.rank))
        for one in itertools.islice(sets, 1, None):
            one.source.copy_(first)
        dtypes.synchronize(place.device)
