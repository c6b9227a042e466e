"""Memory bandwidth after STREAM (McCalpin 1995): copy a = b, scale a = s b, triad a = b + s c; and one way only: read
(the sum of b, so that nothing of it can be left out) and write (a = s).

Bytes are counted as STREAM counts them: each array read or written once, 1 stream for read and write, 2 for copy and
scale, 3 for triad. A CPU that fetches a line before it overwrites it (write-allocate) moves up to half as much again
(twice as much for write), which is not counted; GPUs do not. GB/s are decimal.

Each array should exceed the last-level cache, or the cache is measured: with ``cache: rotate`` enough sets of arrays
are used in turn that together they exceed twice its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels import data, dtypes, reference
from perwatt.kernels.collectives.message import format_bytes, parse_bytes
from perwatt.kernels.workload import Check, Place, Prepared, Size, Unsupported, Work, Workload, choice, rotation

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.power_configuration import Stream
    from perwatt.kernels.triton.program import Program

_STREAMS = {"copy": 2, "scale": 2, "triad": 3, "read": 1, "write": 1}
_SOURCES = {"copy": 1, "scale": 1, "triad": 2, "read": 1, "write": 0}
_FLOPS_PER_ELEMENT = {"copy": 0, "scale": 1, "triad": 2, "read": 1, "write": 0}
_EXACT = ("copy", "write")
_DTYPES = ("fp64", "fp32", "bf16", "fp16")
_SCALAR = 3.0  # STREAM's
_CHUNK = 1 << 20  # elements compared at a time on the CPU: what stays in a cache is compared several times faster
_CPU_MOST = 1 << 26
_PIECE, _PIECES = 1 << 16, 64  # elements and pieces that are kept to compare with again: 32 MiB in float64


@dataclass(frozen=True)
class Memory(Workload):
    """``op`` on arrays of ``array_bytes`` each, an integer or text with a binary unit (``256MiB``).

    ``backend: triton`` is a kernel of this package, for GPUs; ``torch`` the library's. ``write`` writes one value, 3,
    or 0 with ``init: zeros``. Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "memory"

    op: str = "triad"
    array_bytes: int | str = "256MiB"
    dtype: str = "fp32"
    init: str = "normal"
    seed: int = 0
    backend: str = "torch"

    def __post_init__(self) -> None:
        choice("memory", "op", self.op, tuple(_STREAMS))
        object.__setattr__(self, "array_bytes", parse_bytes("memory", "array_bytes", self.array_bytes))
        choice("memory", "dtype", self.dtype, _DTYPES)
        if self._bytes % (size := dtypes.itemsize(self.dtype)):
            raise ValueError(
                f"memory.array_bytes: {self._bytes} is not a multiple of the {size} bytes of a {self.dtype}"
            )
        object.__setattr__(self, "init", data.check_init("memory", self.init))
        if self.op == "write" and self.init not in ("normal", "zeros"):
            raise ValueError(f"memory.init: {self.init!r}: write has one value, 3 with normal and 0 with zeros")
        data.check_seed("memory", self.seed)
        choice("memory", "backend", self.backend, ("torch", "triton"))

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
        """The one, two or three arrays."""
        return _STREAMS[self.op] * self._bytes

    def label(self) -> str:
        """``triad fp32 256 MiB``, the size of one array."""
        return f"{self.op} {self.dtype} {format_bytes(self._bytes)}{self._variant()}"

    def series(self) -> str:
        """``triad fp32``."""
        return f"{self.op} {self.dtype}{self._variant()}"

    def _variant(self) -> str:
        values = "" if self.init == "normal" else f" {self.init}"
        return values if self.backend == "torch" else f"{values} {self.backend}"

    def size(self) -> Size:
        """Bytes of one array."""
        return Size("array_bytes", float(self._bytes))

    def prepare(self, place: Place) -> Prepared:
        """Allocate, check every element of one result against float64 and every buffer for having been written."""
        config = self._config(place)
        data.require_memory(self.footprint_bytes(), place)
        if self.op == "read" and place.type == "cpu" and dtypes.itemsize(self.dtype) == 2:
            raise Unsupported(f"torch sums {self.dtype} on a CPU slower than memory delivers it; use fp32")
        if config is None:
            dtypes.supported(place, f"{self.op} in {self.dtype}", partial(self._probe, place.device))
        # zeros tell nothing about a kernel: it is checked on normal values first
        tested = "normal" if self.init == "zeros" else self.init
        first = self._operands(0, tested, place.device, config)
        self._call(tested, first, config)()
        compare = self._keep(first, config)
        check = compare() if self.op == "read" else self._check(first, place.device, elsewhere=place.type != "cpu")
        if self.init == "zeros":
            compare = partial(reference.zeros, self.op, first[:1])
            for source in first[1:]:
                data.refill(source, "zeros", 0)
        count = rotation(self.footprint_bytes(), place)
        sets = [first, *(self._operands(i, self.init, place.device, config) for i in range(1, count))]
        launch = data.rotating([self._call(self.init, s, config) for s in sets])
        for _ in sets:
            launch()
        outputs = [s[0] for s in sets]
        reference.require_finite(self.op, outputs)
        if self.init == "zeros":
            reference.require_zero(self.op, outputs)
        again = self._call(self.init, first, config)

        def verify() -> Check:
            again()
            return compare()

        note = data.cache_note(count, self.footprint_bytes(), place)
        return Prepared(launch, check, count, note, verify=verify)

    def programs(self, place: Place) -> tuple[Program, ...]:
        """The one kernel; none with ``backend: torch``."""
        if (config := self._config(place)) is None:
            return ()
        return (self._program(self.init, self._operands(0, "zeros", place.device, config), config),)

    def _config(self, place: Place) -> Stream | None:
        if self.backend == "torch":
            return None
        from perwatt.kernels.triton.device import table_of
        from perwatt.kernels.triton.power_configuration import Stream

        return table_of(place).choose(Stream, op=self.op)

    def _operands(self, index: int, init: str, device: str, config: Stream | None = None) -> tuple[torch.Tensor, ...]:
        """(a), (a, b) or (a, b, c), a full of NaN; a of ``read`` holds the sums of parts of b."""
        sources = (
            data.fill((self.elements,), self.dtype, init, data.substream(self.seed, index, name), device)
            for name in ("b", "c")[: _SOURCES[self.op]]
        )
        if self.op == "read":
            shape = (-(-self.elements // self._summed_at_once(config)),) if config else ()
            return data.poison(shape, self._summed, device), *sources
        return data.poison((self.elements,), self.dtype, device), *sources

    def _summed_at_once(self, config: Stream | None) -> int:
        """Elements that one sum is made of."""
        return self.elements if config is None else config.length(dtypes.itemsize(self.dtype))

    @property
    def _summed(self) -> str:
        """The format in which what is read is summed."""
        return "fp64" if self.dtype == "fp64" else "fp32"

    def _call(self, init: str, arrays: tuple[torch.Tensor, ...], config: Stream | None = None) -> Callable[[], object]:
        import torch

        if config is not None:
            return self._program(init, arrays, config).call()
        a, *sources = arrays
        if self.op == "write":
            return partial(a.fill_, _written(init))
        if self.op == "read":
            return partial(torch.sum, sources[0], 0, dtype=dtypes.torch_dtype(self._summed), out=a)
        if self.op == "copy":
            return partial(a.copy_, sources[0])
        if self.op == "scale":
            return partial(torch.mul, sources[0], _SCALAR, out=a)
        return partial(torch.add, *sources, alpha=_SCALAR, out=a)

    def _program(self, init: str, arrays: tuple[torch.Tensor, ...], config: Stream) -> Program:
        from perwatt.kernels.triton import stream

        return stream.program(self.op, arrays, _written(init) if self.op == "write" else _SCALAR, config)

    def _probe(self, device: str) -> object:
        tiny = Memory(op=self.op, array_bytes=1024, dtype=self.dtype)
        return tiny._call("normal", tiny._operands(0, "normal", device))()

    def _check(self, arrays: tuple[torch.Tensor, ...], device: str, *, elsewhere: bool) -> Check:
        """Compare every element, of what is no sum. A copy must be exact; the others are rounded once or twice.

        On the CPU; of arrays beyond 2**26 elements that lie elsewhere only 64 pieces, and all of them where they lie.
        """
        tolerance = 0.0 if self.op in _EXACT else 4 * dtypes.unit_roundoff(self.dtype)
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

    def _keep(self, first: tuple[torch.Tensor, ...], config: Stream | None) -> Callable[[], Check]:
        """Compares the first set's result with what it must be, kept on the host: every sum, or pieces."""
        if self.op == "read":
            length = self._summed_at_once(config)
            return partial(self._compare_sums, first[0], *self._sums(first[1], length), length)
        tolerance = 0.0 if self.op in _EXACT else 4 * dtypes.unit_roundoff(self.dtype)
        starts = range(0, self.elements, _PIECE)
        kept = [starts[i] for i in reference.sample(len(starts), _PIECES, self.seed)]
        want = [self._wanted(first, slice(start, start + _PIECE), "cpu") for start in kept]

        def compare() -> Check:
            worst = 0.0
            for start, part in zip(kept, want, strict=True):
                got = first[0][start : start + _PIECE]
                worst = max(worst, reference.compare(self.op, got, part, tolerance, index=(start,)))
            compared = sum(map(len, want))
            return Check(worst, tolerance, f"float64 on the CPU, {len(kept)} pieces", compared)

        return compare

    def _wanted(self, arrays: tuple[torch.Tensor, ...], part: slice, device: str) -> torch.Tensor:
        """That part of the result in float64."""
        import torch

        a, *sources = arrays
        if self.op == "write":
            return torch.full_like(a[part], _SCALAR, dtype=torch.float64, device=device)
        b, *c = (x[part].to(device, torch.float64) for x in sources)
        if self.op == "triad":
            return b + c[0] * _SCALAR
        return b if self.op == "copy" else b * _SCALAR

    def _compare(self, arrays: tuple[torch.Tensor, ...], part: slice, device: str, tolerance: float) -> float:
        want = self._wanted(arrays, part, device)
        return reference.compare(self.op, arrays[0][part], want, tolerance, index=(part.start,))

    def _sums(self, b: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Each sum of ``length`` elements in float64 on the CPU, and the root of the sum of the squares, so that an
        element of the usual size that is left out of n stands out as one part in the root of n."""
        import torch

        sums, squares = [], []
        for first in range(0, self.elements, length):
            parts = torch.split(b[first : first + length], _CHUNK)
            pairs = [(x.sum(), x.square().sum()) for x in (part.to("cpu", torch.float64) for part in parts)]
            sums.append(torch.stack([s for s, _ in pairs]).sum())
            squares.append(torch.stack([q for _, q in pairs]).sum())
        return torch.stack(sums), torch.stack(squares).sqrt()

    def _compare_sums(self, a: torch.Tensor, want: torch.Tensor, scale: torch.Tensor, length: int) -> Check:
        """Sums are made in trees or lanes: eight deviations of a random walk of at most 2**10 roundings."""
        tolerance = 8 * dtypes.unit_roundoff(self._summed) * math.sqrt(min(length, 1 << 10))
        worst = reference.compare("read", a.reshape(-1), want, tolerance, scale=scale)
        return Check(worst, tolerance, f"float64 on the CPU, every sum ({len(want)}) of all elements", self.elements)


def _written(init: str) -> float:
    return 0.0 if init == "zeros" else _SCALAR
