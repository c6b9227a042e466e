"""overlap: a matrix product and a collective, each alone and both at once.

``part`` says which: ``compute``, ``communication`` or ``both``. Three cases of one configuration tell how much of the
communication the product hides and at which power (:mod:`perwatt.results.overlap`); as a list ``part`` is an axis.

In ``both`` a launch starts the collective (``async_op``: on an accelerator torch gives it a stream of its own), then
the product, then waits for the collective, so that it ends when both have. ``communication`` starts and awaits it in
the same way. All ranks run the product at once, in ``compute`` as well: they share power and cooling.

The work of ``compute`` and ``both`` is the FLOP of all ranks, 2 M N K each, since the energy is that of all ranks, too;
that of ``both`` names S and the bus factor besides, that of ``communication`` is the collective's own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from perwatt.kernels import data, dtypes, reference
from perwatt.kernels.collectives import agree
from perwatt.kernels.collectives.all_gather import AllGather
from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.collectives.all_to_all import AllToAll
from perwatt.kernels.collectives.collective import Collective
from perwatt.kernels.collectives.message import format_bytes, parse_bytes
from perwatt.kernels.collectives.reduce_scatter import ReduceScatter
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.workload import Check, Place, Prepared, Size, Work, Workload, choice, positive

if TYPE_CHECKING:
    import torch

PARTS = ("compute", "communication", "both")
OPERATIONS: dict[str, type[Collective]] = {c.name: c for c in (AllReduce, AllGather, ReduceScatter, AllToAll)}


@dataclass(frozen=True)
class Overlap(Workload):
    """C (m, n) = A (m, k) B (k, n) in ``dtype``, beside ``operation`` on ``message_bytes`` in ``message_dtype``.

    ``n`` and ``k`` default to ``m``, ``message_dtype`` to ``dtype`` (bf16 for fp8, which is not reduced). Reductions
    are sums. ``init`` and ``seed`` as in :mod:`perwatt.kernels.data`. Raises ValueError for what is not allowed.
    """

    name: ClassVar[str] = "overlap"
    collective: ClassVar[bool] = True

    part: str = "both"
    operation: str = "all_reduce"
    message_bytes: int | str = "64MiB"
    m: int = 4096
    n: int | None = None
    k: int | None = None
    dtype: str = "bf16"
    message_dtype: str | None = None
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        choice(self.name, "part", self.part, PARTS)
        choice(self.name, "operation", self.operation, tuple(OPERATIONS))
        choice(self.name, "dtype", self.dtype, dtypes.NAMES)
        object.__setattr__(self, "init", data.check_init(self.name, self.init))
        size = parse_bytes(self.name, "message_bytes", self.message_bytes)
        object.__setattr__(self, "message_bytes", size)
        choice(self.name, "message_dtype", self.sent, OPERATIONS[self.operation].allowed_dtypes)
        data.check_seed(self.name, self.seed)
        positive(self.name, **{key: v for key, v in (("m", self.m), ("n", self.n), ("k", self.k)) if v is not None})

    @property
    def product(self) -> Matmul:
        """The matrix product."""
        return Matmul(m=self.m, n=self.n, k=self.k, dtype=self.dtype, init=self.init, seed=self.seed)

    @property
    def message(self) -> Collective:
        """The collective."""
        fields = {"message_bytes": self.message_bytes, "dtype": self.sent, "init": self.init, "seed": self.seed}
        return OPERATIONS[self.operation](**fields)  # type: ignore[arg-type]

    @property
    def sent(self) -> str:
        """The format of the message, resolved."""
        own = "bf16" if self.dtype in dtypes.FP8 else "fp32" if self.dtype == "tf32" else self.dtype
        return self.message_dtype or own

    def params(self) -> dict[str, Any]:
        """All parameters with the shape and the message's format resolved."""
        _, n, k = self.product.shape
        return dataclasses.asdict(self) | {"n": n, "k": k, "message_dtype": self.sent}

    def work(self, ranks: int = 1) -> Work:
        """FLOP and bytes of the products on all ranks, S and bus factor of the collective, as far as they take part."""
        product, message = self.product.work(), self.message.work(ranks)
        if self.part == "compute":
            return Work(ranks * product.flops, ranks * product.bytes, "flops")
        if self.part == "communication":
            return message
        moved = ranks * (product.bytes + message.bytes)
        return Work(ranks * product.flops, moved, "flops", message.message_bytes, message.bus_factor)

    def footprint_bytes(self, ranks: int = 1) -> int:
        """Operands of what takes part."""
        product = 0 if self.part == "communication" else self.product.footprint_bytes()
        return product + (0 if self.part == "compute" else self.message.footprint_bytes(ranks))

    def label(self) -> str:
        """``both: bf16 4096x4096x4096, all_reduce 64 MiB``; the same for all three parts but for the part."""
        return f"{self.part}: {self.product.label()}, {self._named()} {format_bytes(self.message.requested_bytes)}"

    def series(self) -> str:
        """``both, bf16 4096x4096x4096, all_reduce``: a curve over the size of the message."""
        return f"{self.part}, {self.product.label()}, {self._named()}"

    def _named(self) -> str:
        unusual = "" if self.sent == dataclasses.replace(self, message_dtype=None).sent else f" {self.sent}"
        return f"{self.operation}{unusual}"

    def size(self) -> Size:
        """The message in bytes."""
        return self.message.size()

    def prepare(self, place: Place) -> Prepared:
        """Prepare and check each part by itself, then both as they run beside each other."""
        agree.require_group(place)
        if self.part != "communication":
            product = agree.together(place, lambda: self.product.prepare(_half(place)))
        if self.part == "compute":
            assert product.verify
            # found wrong by one rank, it is wrong for all: they go on together
            return product._replace(verify=partial(agree.together, place, product.verify))
        if self.part == "communication":
            return _awaited(self.message.prepare_async(_half(place), lambda: None), lambda: None)
        watched = _Watched(product, place, self._tolerance())
        message = self.message.prepare_async(_half(place), watched.beside)
        agree.together(place, watched.compare)  # from here on what runs beside is compared with float64
        both = _awaited(message, product.launch)
        count, check = max(product.buffers, message.buffers), _of_both(product.check, message.check)

        def verify() -> Check:
            assert message.verify
            exchanged = message.verify()
            return _of_both(watched.found, exchanged)

        return Prepared(both.launch, check, count, _notes(product, message), verify=verify)

    def _tolerance(self) -> float:
        return reference.product_tolerance(self.dtype, self.product.shape[2], self.product.output)


class _Watched:
    """The product of one set of operands, made alone and once more while the collective runs; later, compared with its
    own reference whenever it is made beside one again."""

    def __init__(self, product: Prepared, place: Place, tolerance: float) -> None:
        self._launch, self._place, self._tolerance = product.launch, place, tolerance
        self._verify, self._compared, self.found = product.verify, False, product.check
        output = cast("torch.Tensor", self._launch())
        self._alone = output.clone()
        for _ in range(product.buffers - 1):  # round to the same set again
            self._launch()
        output.fill_(math.nan)
        self._beside = output
        dtypes.synchronize(place.device)

    def beside(self) -> None:
        """The product that runs beside the collective."""
        if self._compared:
            assert self._verify
            self.found = self._verify()
        else:
            self._beside = cast("torch.Tensor", self._launch())

    def compare(self) -> None:
        """Raise WrongResult if the two differ by more than the product's own tolerance."""
        import torch

        alone, beside = (torch.split(x.reshape(-1), reference.CHUNK) for x in (self._alone, self._beside))
        squares = sum(float(part.double().square().sum()) for part in alone)
        scale = math.sqrt(squares / self._alone.numel())
        for want, got in zip(alone, beside, strict=True):
            reference.compare("C beside the collective", got, want.double(), self._tolerance, scale=scale)
        del self._alone, self._beside
        self._compared = True


def _of_both(product: Check, message: Check) -> Check:
    """In the units of the product: what is exchanged is compared exactly."""
    told = f"{product.reference}; beside it {message.reference}"
    return dataclasses.replace(product, reference=told, compared=product.compared + message.compared)


def _half(place: Place) -> Place:
    """The place with half of its memory: the other part takes the other half, in each of the three alike."""
    return dataclasses.replace(place, memory_bytes=None if place.memory_bytes is None else place.memory_bytes // 2)


def _awaited(message: Prepared, meanwhile: Callable[[], object]) -> Prepared:
    """A launch that starts the collective, does something else, and ends when both are done."""
    start = cast("Callable[[], Any]", message.launch)

    def launch() -> None:
        handle = start()
        meanwhile()
        handle.wait()

    return message._replace(launch=launch)


def _notes(*parts: Prepared) -> str:
    return "; ".join(dict.fromkeys(part.note for part in parts if part.note))
