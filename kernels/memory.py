"""Memory bandwidth after STREAM (McCalpin 1995): copy a = b, scale a = s b, triad a = b + s c.

Bytes are counted as STREAM counts them: each array read or written once, 2 streams for copy and scale, 3 for triad. A
CPU that fetches a line before it overwrites it (write-allocate) moves up to half as much again, which is not counted;
GPUs do not. GB/s are decimal.

Each array should exceed the last-level cache, or the cache is measured: with ``cache: rotate`` enough sets of arrays
are used in turn that together they exceed twice its size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels import data, dtypes, reference
from perwatt.kernels.collectives.message import format_bytes, parse_bytes
from perwatt.kernels.workload import Check, Place, Prepared, Size, Unsupported, Work, Workload, choice, rotation

if TYPE_CHECKING:
    import torch

_STREAMS = {"copy": 2, "scale": 2, "triad": 3}
_FLOPS_PER_ELEMENT = {"copy": 0, "scale": 1, "triad": 2}
_DTYPES = ("fp64", "fp32", "bf16", "fp16")
_SCALAR = 3.0  # STREAM's
_CHUNK = 1 << 20  # elements compared at a time on the CPU: what stays in a cache is compared several times faster
_CPU_MOST = 1 << 26


@dataclass(frozen=True)
class Memory(Workload):
    """``op`` on arrays of ``array_bytes`` each, an integer or text with a binary unit (``256MiB``).

    Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "memory"

    op: str = "triad"
    array_bytes: int | str = "256MiB"
    dtype: str = "fp32"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        choice("memory", "op", self.op, tuple(_STREAMS))
        object.__setattr__(self, "array_bytes", parse_bytes("memory", "array_bytes", self.array_bytes))
        choice("memory", "dtype", self.dtype, _DTYPES)
        if self._bytes % (size := dtypes.itemsize(self.dtype)):
            raise ValueError(
                f"memory.array_bytes: {self._bytes} is not a multiple of the {size} bytes of a {self.dtype}"
            )
        object.__setattr__(self, "init", data.check_init("memory", self.init))
        data.check_seed("memory", self.seed)

    @property
    def _bytes(self) -> int:
        assert isinstance(self.array_bytes, int)
        return self.array_bytes

    @property
    def elements(self) -> int:
        """Number of elements of each array."""
        return self._bytes // dtypes.itemsize(self.dtype)

    def work(self, ranks: int = 1) -> Work:
        """Bytes by STREAM's count, and the few FLOP that go with them."""
        flops = _FLOPS_PER_ELEMENT[self.op] * self.elements
        return Work(flops=flops, bytes=_STREAMS[self.op] * self._bytes, headline="bytes")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """The two or three arrays."""
        return _STREAMS[self.op] * self._bytes

    def label(self) -> str:
        """``triad fp32 256 MiB``, the size of one array."""
        return f"{self.op} {self.dtype} {format_bytes(self._bytes)}{self._values()}"

    def series(self) -> str:
        """``triad fp32``."""
        return f"{self.op} {self.dtype}{self._values()}"

    def _values(self) -> str:
        return "" if self.init == "normal" else f" {self.init}"

    def size(self) -> Size:
        """Bytes of one array."""
        return Size("array_bytes", float(self._bytes))

    def prepare(self, place: Place) -> Prepared:
        """Allocate, check every element of one result against float64 and every buffer for having been written."""
        data.require_memory(self.footprint_bytes(), place)
        dtypes.supported(place, f"{self.op} in {self.dtype}", partial(self._probe, place.device))
        # zeros tell nothing about a kernel: it is checked on normal values first
        first = self._operands(0, "normal" if self.init == "zeros" else self.init, place.device)
        self._call(*first)()
        check = self._check(first, place.device, elsewhere=place.type != "cpu")
        if self.init == "zeros":
            for source in first[1:]:
                data.refill(source, "zeros", 0)
        count = rotation(self.footprint_bytes(), place)
        sets = [first, *(self._operands(i, self.init, place.device) for i in range(1, count))]
        launch = data.rotating([self._call(*s) for s in sets])
        for _ in sets:
            launch()
        outputs = [s[0] for s in sets]
        reference.require_finite(self.op, outputs)
        if self.init == "zeros":
            reference.require_zero(self.op, outputs)
        return Prepared(launch, check, count, data.cache_note(count, self.footprint_bytes(), place))

    def _operands(self, index: int, init: str, device: str) -> tuple[torch.Tensor, ...]:
        """(a, b) or (a, b, c), a full of NaN."""
        sources = (
            data.fill((self.elements,), self.dtype, init, data.substream(self.seed, index, name), device)
            for name in ("b", "c")[: _STREAMS[self.op] - 1]
        )
        return data.poison((self.elements,), self.dtype, device), *sources

    def _call(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None) -> Callable[[], object]:
        import torch

        if self.op == "copy":
            return partial(a.copy_, b)
        if self.op == "scale":
            return partial(torch.mul, b, _SCALAR, out=a)
        return partial(torch.add, b, c, alpha=_SCALAR, out=a)

    def _probe(self, device: str) -> object:
        tiny = Memory(op=self.op, array_bytes=1024, dtype=self.dtype)
        return tiny._call(*tiny._operands(0, "normal", device))()

    def _check(self, arrays: tuple[torch.Tensor, ...], device: str, *, elsewhere: bool) -> Check:
        """Compare every element. A copy must be exact; the others are rounded once or twice.

        On the CPU; of arrays beyond 2**26 elements that lie elsewhere only 64 pieces, and all of them where they lie.
        """
        tolerance = 0.0 if self.op == "copy" else 4 * dtypes.unit_roundoff(self.dtype)
        parts = [slice(i, min(i + _CHUNK, self.elements)) for i in range(0, self.elements, _CHUNK)]
        if not elsewhere or self.elements <= _CPU_MOST:
            worst = max(self._compare(arrays, part, "cpu", tolerance) for part in parts)
            return Check(worst, tolerance, "float64 on the CPU, every element", self.elements)
        pieces = [parts[i] for i in reference.sample(len(parts), 64, self.seed)]
        worst = max(self._compare(arrays, part, "cpu", tolerance) for part in pieces)
        try:
            dtypes.supported(Place(device), "float64", partial(data.fill, (1,), "fp64", "zeros", 0, device))
        except Unsupported:
            compared = sum(part.stop - part.start for part in pieces)
            return Check(worst, tolerance, "float64 on the CPU, 64 pieces", compared)
        worst = max(worst, *(self._compare(arrays, part, device, tolerance) for part in parts))
        return Check(worst, tolerance, "float64 on the device, every element; on the CPU, 64 pieces", self.elements)

    def _compare(self, arrays: tuple[torch.Tensor, ...], part: slice, device: str, tolerance: float) -> float:
        import torch

        a, b, *c = (x[part].to(device, torch.float64) for x in arrays)
        want = b if self.op == "copy" else b + c[0] * _SCALAR if c else b * _SCALAR
        return reference.compare(self.op, a, want, tolerance, index=(part.start,))
