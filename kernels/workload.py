"""What a kernel is to the rest of perwatt: a frozen specification that declares its work and prepares a launch.

A :class:`Workload` is cheap to build: it holds numbers and names, imports no torch and allocates nothing, so that a
whole suite can be built and checked before one device second is spent. ``prepare`` is where memory is allocated and
the result is compared with a reference in higher precision; what it returns only launches.

Rates are never declared. A workload says how much work one launch does (:class:`Work`), the harness says how long it
took and what it cost, and every rate is derived from the two.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from perwatt.kernels.triton.configuration import Table
    from perwatt.kernels.triton.program import Program

Headline = Literal["flops", "bytes", "message", "time"]
Cache = Literal["rotate", "warm", "cold"]


class Unsupported(Exception):
    """This device or library cannot run this workload; the message is the reason, for the reader of a report."""


class WrongResult(Exception):
    """The kernel ran and its output differs from the reference by more than the tolerance of its dtype.

    ``wrong``: how many of the compared elements; ``error``: the largest, in the comparison's units; ``at``: where it
    lies. Each None or empty where the comparison does not tell. ``ranks``: of a collective those that found it."""

    def __init__(
        self,
        message: str,
        wrong: int | None = None,
        error: float | None = None,
        at: tuple[int, ...] = (),
        ranks: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.wrong, self.error, self.at, self.ranks = wrong, error, at, ranks


@dataclass(frozen=True)
class Work:
    """What one launch does. Exact integers, by the formulas of the field; nothing here is measured.

    ``headline`` names the quantity a reader expects first: ``flops`` (FLOP/s), ``bytes`` (memory bandwidth) or
    ``message`` (a collective: algbw = message_bytes / t, busbw = algbw * bus_factor, as nccl-tests defines them), or
    ``time``: no work is done, and there is no rate.
    ``bytes`` is the lower bound of memory traffic: each operand once. ``tokens`` are those that a step of a language
    model processes; 0 for work that is not counted in tokens.
    """

    flops: int
    bytes: int
    headline: Headline
    message_bytes: int = 0
    bus_factor: float = 0.0
    tokens: int = 0


class Size(NamedTuple):
    """Where a case stands on the horizontal axis of its kernel's plot."""

    name: str
    value: float


@dataclass(frozen=True)
class Check:
    """The comparison made before timing: the largest deviation, in units of the tolerance's own definition."""

    max_error: float
    tolerance: float
    reference: str
    compared: int


class Prepared(NamedTuple):
    """A workload ready to be timed. ``launch()`` only launches; ``buffers`` sets of operands are used in rotation.

    ``work`` is that of one launch where only preparation can tell it: it stands in place of ``Workload.work``. A launch
    that is ``whole`` waits for the device itself, or rests: it has ended when it returns, and is timed by the host's
    clock. ``verify`` compares what the same kernel makes now with the reference of the preparation, which does not
    depend on anything that the device made since; it raises WrongResult as ``prepare`` does, of a collective the same
    on every rank, and is called between windows, by all ranks. It is None where a kernel offers none, and
    ``unverified`` then says why.
    """

    launch: Callable[[], object]
    check: Check
    buffers: int
    note: str = ""
    work: Work | None = None
    whole: bool = False
    verify: Callable[[], Check] | None = None
    unverified: str = ""


@dataclass(frozen=True)
class Place:
    """Where a workload is prepared: one rank on one device.

    ``device`` is a torch device string; ``llc_bytes`` the size of the last-level cache, None if unknown;
    ``memory_bytes`` what may be allocated. With ``cache="rotate"`` the operands together exceed the cache. ``table``
    holds the configurations of Triton kernels for this kind of device, None if there are none.
    """

    device: str
    llc_bytes: int | None = None
    memory_bytes: int | None = None
    rank: int = 0
    ranks: int = 1
    cache: Cache = "rotate"
    table: Table | None = None

    @property
    def type(self) -> str:
        """The kind of device: ``cuda`` (NVIDIA and ROCm), ``xpu``, ``cpu``."""
        return self.device.split(":")[0]


class Workload(ABC):
    """Base of every kernel specification; concrete ones are frozen dataclasses of plain values.

    ``name`` is the kernel's name in records; ``collective`` says that one case runs on all ranks together.
    """

    name: ClassVar[str]
    collective: ClassVar[bool] = False

    @abstractmethod
    def work(self, ranks: int = 1) -> Work:
        """The work of one launch; for a collective over ``ranks`` ranks."""

    @abstractmethod
    def footprint_bytes(self, ranks: int = 1) -> int:
        """Memory of one set of operands on one device, in bytes."""

    @abstractmethod
    def label(self) -> str:
        """What distinguishes this case, short enough for a table row: ``bf16 4096x4096x4096``."""

    @abstractmethod
    def series(self) -> str:
        """The curve that this case lies on in its kernel's plot: ``bf16``, ``bf16 causal forward``."""

    @abstractmethod
    def size(self) -> Size:
        """The place of this case along that curve."""

    @abstractmethod
    def prepare(self, place: Place) -> Prepared:
        """Allocate, check against a reference in higher precision, return the launch.

        Raises :class:`Unsupported` if the device or library lacks it, :class:`WrongResult` if the output is wrong.
        """

    def programs(self, place: Place) -> tuple[Program, ...]:
        """The Triton programs of one launch, in their order, on operands that lie on ``place.device``.

        On torch's ``meta`` device the operands have a shape only: so a case is compiled without a device. Empty for a
        case that launches none. Raises Unsupported if ``place.table`` has no configuration for it.
        """
        return ()

    def params(self) -> dict[str, Any]:
        """The parameters as plain values; with the kernel's name they are the identity of the case."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]


def rotation(footprint_bytes: int, place: Place) -> int:
    """How many sets of operands to rotate over so that together they exceed twice the last-level cache.

    Twice, because a set that has just been written may linger in a cache of about the working set's size. Bounded by
    half of the memory that may be allocated; 1 when the cache is to stay warm or its size is unknown.
    """
    if place.cache == "warm" or not place.llc_bytes:
        return 1
    wanted = -(-2 * place.llc_bytes // max(1, footprint_bytes))
    if place.memory_bytes:
        wanted = min(wanted, place.memory_bytes // 2 // max(1, footprint_bytes))
    return max(1, min(wanted, 512))


def anew(check: Callable[[], Check], count: int, footprint_bytes: int, place: Place) -> dict[str, Any]:
    """``verify`` of what is Prepared, for a ``check`` that makes operands of its own from the seed, not from what lies
    in the device's memory since. None if beside ``count`` sets there is no room for two more: operands, and what they
    give."""
    if place.memory_bytes is None or (count + 2) * footprint_bytes <= place.memory_bytes:
        return {"verify": check}
    return {"unverified": "there is no memory for operands beside those that are timed"}


def choice(kernel: str, key: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise ValueError, naming the choices, unless ``value`` is one of ``allowed``."""
    if not any(type(value) is type(a) and value == a for a in allowed):  # 1 == True, and is not what was meant
        raise ValueError(f"{kernel}.{key}: {value!r} is not one of {', '.join(map(str, allowed))}")


def positive(kernel: str, **values: object) -> None:
    """Raise ValueError unless every value is a positive integer."""
    for key, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{kernel}.{key}: {value!r} is not a positive integer")
