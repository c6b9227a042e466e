"""One pipe of a GPU at a time, driven from registers or from tiles on the core: no cache, no memory, no idle lanes.

For power by pipe, and for what a pipe can do at most. Work is counted as the instructions are: two operations for each
multiply-add, one for each exponential (the subtraction before it is not counted), 2 M N K for each product of tiles.

A workload of its own beside ``fma_spin``: that one's work is given per CPU thread, its result is the measured peak that
reports lay a CPU's other results beside, and it has neither special functions nor tensor cores. How many programs a
launch has follows from the device's cores, so its work is known once it is prepared.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from perwatt.kernels import data, dtypes, reference
from perwatt.kernels.workload import Check, Place, Prepared, Size, Unsupported, Work, Workload, choice, positive

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.configuration import Table
    from perwatt.kernels.triton.program import Program

VECTOR = ("fp32", "fp16", "bf16", "fp64", "int32", "exp2")
TENSOR = {"tensor_bf16": "bf16", "tensor_fp16": "fp16", "tensor_fp8": "fp8_e4m3", "tensor_int8": "int8"}
_PAIRS = 512  # pairs of steps of each lane in one round
_PRODUCTS = 128  # products of tiles in one round: small enough for the 14 bits in which some devices sum fp8
_MOST_ROUNDS = 2048  # of pairs: what rounding leaves in fp32 and fp64 was measured over 2^20 pairs
# Of the root of the sum of the squared terms. Sums of fp16 are rounded or truncated with each product; those of the
# others are exact in accumulators of 22 bits (fp8: of 14), a few of whose units are allowed for.
_TENSOR_TOLERANCE = {"bf16": 2.0**-12, "fp16": 2.0**-12, "fp8_e4m3": 2.0**-9, "int8": 0.0}


@dataclass(frozen=True)
class Spin(Workload):
    """``rounds`` of 512 pairs of steps in each lane, or of 128 products of tiles; of an odd number of rounds the result
    shows how many products there were. Raises ValueError for a value that is not allowed."""

    name: ClassVar[str] = "spin"

    pipe: str = "fp32"
    rounds: int = 63
    seed: int = 0

    def __post_init__(self) -> None:
        choice("spin", "pipe", self.pipe, (*VECTOR, *TENSOR))
        positive("spin", rounds=self.rounds)
        if self.rounds > _MOST_ROUNDS:
            raise ValueError(f"spin.rounds: {self.rounds} is more than {_MOST_ROUNDS}")
        data.check_seed("spin", self.seed)

    def params(self) -> dict[str, Any]:
        """All parameters; with the ``dtype`` for which a data sheet has a peak, where the pipe is the one meant."""
        peak = {"fp32": "fp32", **TENSOR}.get(self.pipe)
        return dataclasses.asdict(self) | ({"dtype": peak} if peak else {})

    def work(self, ranks: int = 1) -> Work:
        """Not known before it is prepared: it grows with the number of the device's cores."""
        return Work(flops=0, bytes=0, headline="flops")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """Nothing to speak of."""
        return 0

    def label(self) -> str:
        """``tensor_bf16``."""
        return self.pipe

    def series(self) -> str:
        """``tensor_bf16``."""
        return self.pipe

    def size(self) -> Size:
        """Rounds of one launch."""
        return Size("rounds", float(self.rounds))

    def prepare(self, place: Place) -> Prepared:
        """Allocate, spin once, compare what every program left with what must come out."""
        if place.type == "cpu":
            raise Unsupported("spin drives the pipes of a GPU; on a CPU fma_spin does that")
        program, operands, out = self._built(place)
        launch = program.call()
        launch()
        # on the host, as they are now: what becomes of them in the device's memory is no new truth
        verify = partial(self._check, out, tuple(x.to("cpu", copy=True) for x in operands))
        work = self._done(out, operands)
        return Prepared(launch, verify(), 1, f"{out.shape[0]} programs", work=work, verify=verify)

    def programs(self, place: Place) -> tuple[Program, ...]:
        """The one kernel."""
        return (self._built(place)[0],)

    def _built(self, place: Place) -> tuple[Program, tuple[torch.Tensor, ...], torch.Tensor]:
        """The program, its operands, and its output full of NaN (of -1 for integers)."""
        from perwatt.kernels.triton.device import table_of

        table = table_of(place)
        return self._tensor(table, place.device) if self.pipe in TENSOR else self._vector(table, place.device)

    def _vector(self, table: Table, device: str) -> tuple[Program, tuple[torch.Tensor, ...], torch.Tensor]:
        import torch

        from perwatt.kernels import spin_values
        from perwatt.kernels.triton import vector_spin
        from perwatt.kernels.triton.power_configuration import VectorSpin

        config = table.choose(VectorSpin, pipe=self.pipe)
        dtype = (
            torch.int32 if self.pipe == "int32" else dtypes.torch_dtype("fp32" if self.pipe == "exp2" else self.pipe)
        )
        lanes = spin_values.lanes(self.pipe, config.block, data.substream(self.seed, "lanes"))
        operands = tuple(torch.from_numpy(x).to(dtype).to(device) for x in lanes)
        out = _poisoned((table.cores * config.programs_per_core, config.block), dtype, device)
        return vector_spin.program(out, operands, self.pipe, self._pairs, config), operands, out

    def _tensor(self, table: Table, device: str) -> tuple[Program, tuple[torch.Tensor, ...], torch.Tensor]:
        import torch

        from perwatt.kernels import spin_values
        from perwatt.kernels.triton import tensor_spin
        from perwatt.kernels.triton.power_configuration import TensorSpin

        config = table.choose(TensorSpin, pipe=self.pipe)
        stored = stored_as(TENSOR[self.pipe], config.fnuz)
        shape = (config.block_m, config.block_n, config.block_k)
        tiles = spin_values.tiles(TENSOR[self.pipe], *shape, data.substream(self.seed, "tiles"))
        a, b = (torch.from_numpy(x).to(torch.float32).to(stored).to(device) for x in tiles)
        kind = torch.float32 if stored.is_floating_point else torch.int32
        out = _poisoned((table.cores * config.programs_per_core, *shape[:2]), kind, device)
        return tensor_spin.program(out, a, b, self.rounds, _PRODUCTS, self.pipe, config), (a, b), out

    @property
    def _pairs(self) -> int:
        return self.rounds * _PAIRS

    def _done(self, out: torch.Tensor, operands: tuple[torch.Tensor, ...]) -> Work:
        """The work of one launch by the programs that it has."""
        if self.pipe in TENSOR:
            products = self.rounds * _PRODUCTS + 1
            return Work(flops=2 * out.numel() * operands[0].shape[1] * products, bytes=0, headline="flops")
        each = 1 if self.pipe == "exp2" else 2
        return Work(flops=2 * self._pairs * each * out.numel(), bytes=0, headline="flops")

    def _check(self, out: torch.Tensor, operands: tuple[torch.Tensor, ...]) -> Check:
        """Compare every lane or element of every program; ``operands`` may lie anywhere."""
        import numpy as np
        import torch

        from perwatt.kernels import spin_values

        wide = torch.int64 if not operands[0].dtype.is_floating_point else torch.float64
        host = [x.cpu().to(wide).numpy() for x in operands]
        if self.pipe in TENSOR:
            tolerance = _TENSOR_TOLERANCE[TENSOR[self.pipe]]
            want, scale = spin_values.spun(
                host[0].astype(np.float64), host[1].astype(np.float64), self.rounds, _PRODUCTS
            )
        else:
            tolerance = spin_values.TOLERANCE[self.pipe]
            want = spin_values.expected(self.pipe, tuple(host), self._pairs)  # type: ignore[arg-type]
            scale = np.ones_like(want)
        wanted, unit = (torch.from_numpy(x).expand(out.shape).contiguous() for x in (want, scale))
        worst = reference.compare(f"{self.pipe} (program, lane) ", out.cpu(), wanted, tolerance, scale=unit)
        how = "exact" if tolerance == 0 else "float64"
        return Check(worst, tolerance, f"closed form, {how}, every lane of every program", out.numel())


def stored_as(dtype: str, fnuz: bool) -> torch.dtype:
    """The type in which tiles of ``dtype`` are stored; ``fnuz``: the fp8 without a negative zero."""
    import torch

    if dtype == "int8":
        return torch.int8
    return dtypes.torch_dtypes(dtype)[1 if fnuz and dtype in dtypes.FP8 else 0]


def _poisoned(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> torch.Tensor:
    import torch

    return (
        data.poison(shape, dtype, device)
        if dtype.is_floating_point
        else torch.full(shape, -1, dtype=dtype, device=device)
    )
