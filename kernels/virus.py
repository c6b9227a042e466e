"""A power virus: as much as possible of a device busy at once, steadily or in a period, for the most power it can draw.

``backend: triton`` is one kernel for GPUs that keeps tensor cores, memory and special-function units busy together
(:mod:`perwatt.kernels.triton.virus`). The mix is set per architecture so that at the published peaks all three take
equally long. ``backend: torch`` runs anywhere, through the library: products of a small tile, a triad over large
arrays and exponentials of a small one, each on all cores, one after the other. One *slice* is one pass over the
arrays.

Counted are the products' FLOP and the bytes of the large arrays; exponentials are not.

With ``duty`` below 1 a launch is one period of work and rest (:mod:`perwatt.kernels.periodic`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from perwatt.kernels import data, dtypes, periodic, reference
from perwatt.kernels.collectives.message import format_bytes, parse_bytes
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.memory import Memory
from perwatt.kernels.workload import Check, Place, Prepared, Size, Work, Workload, WrongResult, choice

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.power_configuration import Virus as Configuration
    from perwatt.kernels.triton.program import Program

_TORCH = ("fp32", "bf16", "fp16")
_TRITON = ("bf16", "fp16", "fp8_e4m3")
_SIDE = 256  # of the tile: three of them in fp32 are 768 KiB, what a core of a CPU has in a cache of its own
# FLOP of products for each byte of the triad: sockets reach some 10 to 40 in fp32 (AVX-512 cores at 100 GFLOP/s each,
# about 5 GB/s of memory bandwidth for each).
_FLOP_PER_BYTE = 16
_EXPS = 1 << 18  # elements of the small array
_BYTES_PER_EXP = 64  # of the triad: on a core an exponential takes about as long as to move so many bytes
_CHUNK = 1 << 24
_LOOKED_AT = 1 << 10  # elements of the buffer that tell whether its sign is turned


class _Slice(NamedTuple):
    """One slice of work: what queues it, its check, its work, and the check of one more."""

    call: Callable[[], object]
    check: Check
    work: Work
    verify: Callable[[], Check]


@dataclass(frozen=True)
class Virus(Workload):
    """``buffer_bytes`` (an integer or text with a binary unit) is read and written by ``triton``; ``torch`` has three
    arrays of that size. Products are in ``dtype``, the rest is fp32. ``duty`` of every ``period_s`` seconds is worked;
    a duty of 1 has no period. Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "virus"

    backend: str = "triton"
    dtype: str = "bf16"
    buffer_bytes: int | str = "1GiB"
    duty: float = 1.0
    period_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        choice("virus", "backend", self.backend, ("torch", "triton"))
        choice("virus", "dtype", self.dtype, _TORCH if self.backend == "torch" else _TRITON)
        object.__setattr__(self, "buffer_bytes", parse_bytes("virus", "buffer_bytes", self.buffer_bytes))
        if self._bytes % 4:
            raise ValueError(f"virus.buffer_bytes: {self._bytes} is not a multiple of the 4 bytes of a fp32")
        periodic.check("virus", self.duty, self.period_s)
        # 1 and 1.0, 1 and 1.0 seconds are one case
        object.__setattr__(self, "duty", float(self.duty))
        object.__setattr__(self, "period_s", None if self.period_s is None else float(self.period_s))
        data.check_seed("virus", self.seed)

    @property
    def _bytes(self) -> int:
        assert isinstance(self.buffer_bytes, int)
        return self.buffer_bytes

    def work(self, ranks: int = 1) -> Work:
        """That of one slice through torch; what else there is, only preparation can tell."""
        if self.backend == "torch" and self.duty == 1:
            flops = self._products * 2 * _SIDE**3
            return Work(flops=flops, bytes=3 * self._bytes, headline="flops")
        return Work(flops=0, bytes=0, headline="flops")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """The arrays; for ``triton`` the buffer, and a copy of it for the check."""
        return (3 if self.backend == "torch" else 2) * self._bytes

    def label(self) -> str:
        """``bf16 1 GiB``, ``bf16 1 GiB duty 0.5 of 0.1 s``."""
        return f"{self.dtype} {format_bytes(self._bytes)}{self._variant()}"

    def series(self) -> str:
        """``bf16``, ``bf16 duty 0.5 of 0.1 s``."""
        return f"{self.dtype}{self._variant()}"

    def _variant(self) -> str:
        rhythm = "" if self.period_s is None else f" duty {self.duty:g} of {self.period_s:g} s"
        return rhythm if self.backend == "triton" else f" {self.backend}{rhythm}"

    def size(self) -> Size:
        """Bytes of the buffer."""
        return Size("buffer_bytes", float(self._bytes))

    def prepare(self, place: Place) -> Prepared:
        """Allocate, check one slice; with a period, time a slice and see how many of them fill the working time."""
        if self.backend == "triton":
            config = self._config(place)
            data.require_memory(self.footprint_bytes(), place)
            done = self._on_device(place, config)
        else:
            data.require_memory(self.footprint_bytes(), place)
            done = self._through_torch(place)
        note = data.cache_note(1, self.footprint_bytes(), place)
        if self.period_s is None:
            return Prepared(done.call, done.check, 1, note, work=done.work, verify=done.verify)
        rhythm = periodic.Periodic(done.call, partial(dtypes.synchronize, place.device), self.duty, self.period_s)
        work = Work(flops=rhythm.n * done.work.flops, bytes=rhythm.n * done.work.bytes, headline="flops")
        notes = "; ".join(n for n in (rhythm.note, note) if n)
        return Prepared(rhythm.launch, done.check, 1, notes, work=work, whole=True, verify=done.verify)

    def programs(self, place: Place) -> tuple[Program, ...]:
        """The one kernel; none with ``backend: torch``."""
        return () if self.backend == "torch" else (self._built(place, self._config(place), "zeros")[0],)

    # -- torch ---------------------------------------------------------------------------------------------------

    @property
    def _products(self) -> int:
        """Products of tiles in one slice."""
        return max(1, round(_FLOP_PER_BYTE * 3 * self._bytes / (2 * _SIDE**3)))

    def _through_torch(self, place: Place) -> _Slice:
        """Products, triad and exponentials, each prepared and checked on its own."""
        import torch

        warm = Place(place.device, place.llc_bytes, place.memory_bytes, cache="warm")
        product = Matmul(m=_SIDE, dtype=self.dtype, seed=self.seed).prepare(warm)
        triad = Memory(op="triad", array_bytes=self._bytes, seed=self.seed).prepare(warm)
        x = data.fill((_EXPS,), "fp32", "uniform", data.substream(self.seed, "x"), place.device)
        out = data.poison((_EXPS,), "fp32", place.device)
        want, tolerance = x.to("cpu", torch.float64).exp2(), 8 * dtypes.unit_roundoff("fp32")

        def exponentials() -> Check:
            torch.exp2(x, out=out)
            return Check(reference.compare("exp2", out, want, tolerance), tolerance, "", _EXPS)

        def verify() -> Check:
            assert product.verify
            assert triad.verify
            return _of_parts(product.verify(), triad.verify(), exponentials())

        check = _of_parts(product.check, triad.check, exponentials())
        products, exps = self._products, max(1, round(3 * self._bytes / _BYTES_PER_EXP / _EXPS))

        def call() -> None:
            for _ in range(products):
                product.launch()
            triad.launch()
            for _ in range(exps):
                torch.exp2(x, out=out)

        call()
        flops = products * 2 * _SIDE**3
        return _Slice(call, check, Work(flops=flops, bytes=3 * self._bytes, headline="flops"), verify)

    # -- triton --------------------------------------------------------------------------------------------------

    def _config(self, place: Place) -> Configuration:
        from perwatt.kernels.triton.device import table_of
        from perwatt.kernels.triton.power_configuration import Virus as Configuration

        return table_of(place).choose(Configuration, dtype=self.dtype)

    def _built(self, place: Place, config: Configuration, init: str) -> tuple[Program, tuple[torch.Tensor, ...]]:
        """The program with its buffer, its two results (full of NaN) and its operands A, B and x."""
        import torch

        from perwatt.kernels import spin_values
        from perwatt.kernels.spin import stored_as
        from perwatt.kernels.triton import virus
        from perwatt.kernels.triton.device import table_of

        shape = (config.block_m, config.block_n, config.block_k)
        tiles = spin_values.tiles(self.dtype, *shape, data.substream(self.seed, "tiles"))
        stored = stored_as(self.dtype, config.fnuz)
        a, b = (torch.from_numpy(t).to(torch.float32).to(stored).to(place.device) for t in tiles)
        lanes = spin_values.lanes("exp2", config.block_exps, data.substream(self.seed, "lanes"))
        x = torch.from_numpy(lanes[0]).to(place.device)
        programs = table_of(place).cores * config.programs_per_core
        buffer = self._buffer(place, init)
        out = data.poison((programs, *shape[:2]), "fp32", place.device)
        values = data.poison((programs, config.block_exps), "fp32", place.device)
        return virus.program(buffer, out, values, (a, b, x), config), (buffer, out, values, a, b, x)

    def _buffer(self, place: Place, init: str) -> torch.Tensor:
        return data.fill((self._bytes // 4,), "fp32", init, data.substream(self.seed, "buffer"), place.device)

    def _on_device(self, place: Place, config: Configuration) -> _Slice:
        program, tensors = self._built(place, config, "normal")
        call = program.call()
        before = tensors[0].clone()
        call()
        check = self.check(before, tensors, config)
        del before
        results, kept = tensors[:3], tuple(t.to("cpu", copy=True) for t in tensors[3:])

        def verify() -> Check:
            # by the seed, not by what lies in the device's memory since; each launch has turned the sign once
            was, buffer = self._buffer(place, "normal"), results[0]
            if 2 * int((buffer[:_LOOKED_AT] == -was[:_LOOKED_AT]).sum()) > len(buffer[:_LOOKED_AT]):
                was.neg_()
            call()
            try:
                return self.check(was, (*results, *kept), config)
            except WrongResult:
                buffer.copy_(was)  # or every later comparison would find the same again
                raise

        programs, blocks = tensors[1].shape[0], -(-tensors[0].numel() // config.block)
        products = blocks * config.products + programs
        flops = 2 * config.block_m * config.block_n * config.block_k * products
        return _Slice(call, check, Work(flops=flops, bytes=2 * self._bytes, headline="flops"), verify)

    def check(self, before: torch.Tensor, tensors: tuple[torch.Tensor, ...], config: Configuration) -> Check:
        """Compare the whole buffer with what it was, and every program's products and exponentials with float64."""
        import torch

        from perwatt.kernels import spin_values

        buffer, out, values, a, b, x = tensors
        for index, (now, was) in enumerate(zip(torch.split(buffer, _CHUNK), torch.split(before, _CHUNK), strict=True)):
            if wrong := int((now != -was).sum()):
                said = f"virus: {wrong} elements of the buffer from {index * _CHUNK} on have not turned sign"
                raise WrongResult(said, wrong, at=(index * _CHUNK + int((now != -was).nonzero()[0]),))
        a64, b64, x64 = (t.cpu().double().numpy() for t in (a, b, x))
        blocks, programs = -(-buffer.numel() // config.block), out.shape[0]
        tolerances = {"products": 2.0**-9 if self.dtype in dtypes.FP8 else 2.0**-12, "exponentials": 2.0**-14}
        worst, known = 0.0, {}
        for program in range(programs):
            rounds = len(range(program, blocks, programs))
            if rounds not in known:
                pairs = rounds * config.products * config.exps
                settled = spin_values.expected("exp2", (x64, x64, x64, 0 * x64), pairs)
                arrays = (*spin_values.spun(a64, b64, rounds, config.products), settled)
                known[rounds] = [torch.from_numpy(t) for t in arrays]
            product, scale, exponential = known[rounds]
            parts = (("products", out, product, scale), ("exponentials", values, exponential, None))
            for what, got, want, unit in parts:
                about = f"{what} of program {program} "
                error = reference.compare(about, got[program].cpu(), want, tolerances[what], scale=unit)
                worst = max(worst, error / tolerances[what])
        how = "closed form and float64, each in units of its tolerance; the buffer exactly"
        return Check(worst, 1.0, how, buffer.numel() + out.numel() + values.numel())


def _of_parts(*checks: Check) -> Check:
    """The comparison of a product, a triad and exponentials as one."""
    worst = max(c.max_error / c.tolerance for c in checks)
    how = "float64: product, triad and exponentials, each in units of its tolerance"
    return Check(worst, 1.0, how, sum(c.compared for c in checks))
