"""The arithmetic peak of a CPU: multiply-adds on registers alone, on every core.

This is the denominator of "percent of peak" on a CPU, whose datasheet seldom says at which clock its vector units run,
and a power load that touches neither cache nor memory. ``fma_spin.c`` is compiled for the processor at hand; its loop
has a closed form, so the check knows that each of the declared multiply-adds was made.

Registers differ in width, so the work is given as multiply-adds per thread, the same on every machine, in multiples of
3072: whole double steps over all accumulators for every format and width. A core with matrix units (AMX) computes bf16
and int8 beyond what vector instructions reach: there the figure would not be the machine's, and is refused.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from perwatt.kernels import c_library, data
from perwatt.kernels.dtypes import cpu_flags
from perwatt.kernels.workload import (
    Check,
    Place,
    Prepared,
    Size,
    Unsupported,
    Work,
    Workload,
    WrongResult,
    choice,
    positive,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

_DTYPES = ("fp32", "fp64", "bf16", "int8")
_GRAIN = 3072
_MOST = 1 << 30  # multiply-adds of one launch: long enough (20 ms), and the values stay those of the closed form
_AMX = {"bf16": "amx_bf16", "int8": "amx_int8"}
# The values are of the order of 1 and forget a rounding error over 2**20 pairs of steps. Left of the errors of millions
# of steps were 0.0008 in fp32 and 2.8e-12 in fp64 (measured over seeds); a step left out turns the sign.
_TOLERANCE = {"fp32": 2.0**-6, "fp64": 2.0**-35, "bf16": 0.0, "int8": 0.0}


@dataclass(frozen=True)
class FmaSpin(Workload):
    """``fma_per_thread`` multiply-adds of scalars on each of ``threads`` threads, None for every core that this
    process may use. Raises ValueError for a value that is not allowed."""

    name: ClassVar[str] = "fma_spin"

    dtype: str = "fp32"
    threads: int | None = None
    fma_per_thread: int = 503316480
    seed: int = 0

    def __post_init__(self) -> None:
        choice("fma_spin", "dtype", self.dtype, _DTYPES)
        if self.threads is not None:
            positive("fma_spin", threads=self.threads)
        positive("fma_spin", fma_per_thread=self.fma_per_thread)
        if self.fma_per_thread % _GRAIN or self.fma_per_thread > _MOST:
            raise ValueError(
                f"fma_spin.fma_per_thread: {self.fma_per_thread} is not a multiple of {_GRAIN} up to {_MOST}"
            )
        data.check_seed("fma_spin", self.seed)

    @property
    def thread_count(self) -> int:
        """Number of threads, resolved on this machine."""
        return self.threads or available_cores()

    def work(self, ranks: int = 1) -> Work:
        """Two operations for each multiply-add; no memory traffic."""
        return Work(flops=2 * self.fma_per_thread * self.thread_count, bytes=0, headline="flops")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """Nothing to speak of."""
        return 0

    def label(self) -> str:
        """``fp32 all cores`` or ``fp32 4 threads``."""
        threads = self.threads
        return f"{self.dtype} all cores" if threads is None else f"{self.dtype} {threads} thread{'s' * (threads > 1)}"

    def series(self) -> str:
        """``fp32``."""
        return self.dtype

    def size(self) -> Size:
        """Number of threads."""
        return Size("threads", float(self.thread_count))

    def prepare(self, place: Place) -> Prepared:
        """Compile (once per machine), start the threads, run once and compare every lane with the closed form."""
        if place.type != "cpu":
            raise Unsupported(f"fma_spin drives the registers of a CPU, not {place.device}")
        if (amx := _AMX.get(self.dtype)) and amx in cpu_flags():
            raise Unsupported(
                f"this CPU computes {self.dtype} in matrix tiles ({amx}), which this kernel does not drive"
            )
        loop = Loop(self.dtype, self.thread_count, self.fma_per_thread, data.substream(self.seed, "values"))
        loop.launch()
        check = loop.check()
        note = f"{loop.accumulators} accumulators of {8 * loop.width} bits"
        return Prepared(loop.launch, check, 1, note, verify=loop.check)


def available_cores() -> int:
    """Logical processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Loop:
    """The compiled loop with its waiting threads and its constants; ``launch()`` runs it once on all of them.

    Raises Unsupported without a compiler, or if the processor's instruction set has no multiply-add in ``dtype``.
    """

    def __init__(self, dtype: str, threads: int, fma_per_thread: int, seed: int) -> None:
        library = c_library.load(Path(__file__).with_name("fma_spin.c"))
        library.spin_open.restype = ctypes.c_void_p
        library.spin_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p, ctypes.c_char_p]
        library.spin_run.restype, library.spin_run.argtypes = None, [ctypes.c_void_p]
        library.spin_close.restype, library.spin_close.argtypes = None, [ctypes.c_void_p]
        library.spin_end.restype, library.spin_end.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        accumulators, width = ctypes.c_int(), ctypes.c_int()
        macs = library.spin_shape(dtype.encode(), ctypes.byref(accumulators), ctypes.byref(width))
        if not macs:
            raise Unsupported(f"this CPU's vector instructions have no multiply-add in {dtype}")
        self.dtype, self.threads = dtype, threads
        self.accumulators, self.width = accumulators.value, width.value
        self.pairs, rest = divmod(fma_per_thread, 2 * self.accumulators * macs)
        assert rest == 0, "the grain of fma_per_thread covers every width"
        self.constants, self.start = _values(dtype, self.accumulators, self.width, seed)
        constants = b"".join(c.tobytes() for c in self.constants)
        self._pool = library.spin_open(dtype.encode(), threads, self.pairs, constants, self.start.tobytes())
        if not self._pool:
            raise OSError(f"could not start {threads} threads")
        self._library = library
        # a partial of library and address, not of self: the loop must be collectable for its threads to end
        self.launch = partial(library.spin_run, self._pool)
        weakref.finalize(self.launch, library.spin_close, self._pool)

    def results(self) -> Array:
        """What the last launch left in the accumulators: (threads, accumulators, lanes)."""
        import numpy as np

        size = self.threads * self.accumulators * self.width
        raw = ctypes.string_at(self._library.spin_end(self._pool), size)
        return np.frombuffer(raw, self.start.dtype).reshape(self.threads, *self.start.shape)

    def expected(self) -> Array:
        """The values after ``pairs`` pairs of steps by the closed form, (accumulators, lanes).

        fp32, fp64: v <- (v x + y) w + y is v <- r v + c with r = x w, c = y w + y; with the fixed point f = c / (1 - r)
        the n-th value is f + r**n (v0 - f), in float64. bf16, int8: v0 + n (x.y + w.y), exact, int8 modulo 2**32.
        """
        import numpy as np

        x, w, y = self.constants
        n = self.pairs
        if self.dtype in ("fp32", "fp64"):
            x64, w64, y64 = (c.astype(np.float64) for c in (x, w, y))
            r = x64 * w64
            fixed = (y64 * w64 + y64) / (1 - r)
            power = np.exp(n * np.log(-r)) * (-1.0) ** (n % 2)
            return np.asarray(fixed + power * (self.start.astype(np.float64) - fixed))
        if self.dtype == "bf16":
            x, w, y = ((c.astype(np.uint32) << 16).view(np.float32).astype(np.float64) for c in (x, w, y))
        x, w, y = (c.astype(np.float64) for c in (x, w, y))
        step = ((x + w) * y).reshape(self.start.shape[1], -1).sum(axis=1)
        if self.dtype == "bf16":
            return np.asarray(self.start.astype(np.float64) + n * step)
        total = self.start.astype(object) + np.array([n * int(s) for s in step], dtype=object)
        return np.asarray((total + 2**31) % 2**32 - 2**31).astype(np.float64)

    def check(self) -> Check:
        """Compare every lane of every thread; WrongResult names the worst."""
        import numpy as np

        tolerance = _TOLERANCE[self.dtype]
        results, expected = self.results(), self.expected().astype(np.float64)
        error = np.nan_to_num(np.abs(results.astype(np.float64) - expected), nan=np.inf)
        worst = float(error.max())
        if not worst <= tolerance:
            at = np.unravel_index(int(error.argmax()), error.shape)
            where = ", ".join(str(int(i)) for i in at)
            raise WrongResult(
                f"fma_spin (thread, accumulator, lane) [{where}] is {results[at]}, expected {expected[at[1:]]} after "
                f"{self.pairs} pairs of steps (error {worst:.3g}, tolerance {tolerance:.3g})",
                int((error > tolerance).sum()),
                worst,
                tuple(int(i) for i in at),
            )
        return Check(worst, tolerance, "closed form in float64, every lane of every thread", results.size)


def _values(dtype: str, accumulators: int, width: int, seed: int) -> tuple[tuple[Array, Array, Array], Array]:
    """The constants x, w, y, one vector each, and the start of the accumulators (accumulators, lanes).

    Different in every lane and with all bits of the mantissa in use, since equal operands switch fewer transistors.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    if dtype in ("fp32", "fp64"):
        kind = np.dtype(np.float32 if dtype == "fp32" else np.float64)
        lanes = width // kind.itemsize
        x = random.uniform(1.2, 1.4, lanes).astype(kind)
        w = (-(1 - 2.0**-20) / x.astype(np.float64)).astype(kind)
        y = random.uniform(0.1, 0.2, lanes).astype(kind)
        return (x, w, y), random.uniform(0.5, 1.5, (accumulators, lanes)).astype(kind)
    if dtype == "int8":
        x, w = (random.integers(0, 256, width, dtype=np.uint8) for _ in range(2))
        y = random.integers(-128, 128, width, dtype=np.int8)
        return (x, w, y), random.integers(-(2**31), 2**31, (accumulators, width // 4), dtype=np.int32)
    # bf16: each lane sums two products. The second multiplier undoes the first but for one unit of 2**-11 a pair, so
    # that the sums stay exact in fp32 (multiples of 2**-11 below 2**13) and still count the pairs.
    x64 = random.integers(128, 256, (width // 4, 2)) / 128
    w64 = -x64 + np.array([0.0, 2.0**-7])
    y64 = np.stack([random.integers(9, 16, width // 4) / 8, np.full(width // 4, 2.0**-4)], axis=1)
    x, w, y = ((c.astype(np.float32).reshape(-1).view(np.uint32) >> 16).astype(np.uint16) for c in (x64, w64, y64))
    start = random.integers(-(2**12), 2**12, (accumulators, width // 4)) * 2.0**-11
    return (x, w, y), start.astype(np.float32)
