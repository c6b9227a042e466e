"""Decoding: one new token of each sequence attends to that sequence's keys and values, which lie in pages.

The cache is paged as servers keep it (vLLM, arXiv 2309.06180): pages of ``page`` tokens in any order, and a table that
says for each sequence which are its own, in order. Contexts are ragged: the longest is ``context``, the others are
drawn evenly from (1 - ``spread``) * ``context`` up, by the seed.

``gqa`` has keys and values of ``kv_heads`` heads. ``mla`` is DeepSeek's multi-head latent attention in its absorbed
form (arXiv 2405.04434, section 2.1.2): one latent cache for all heads, of whose ``head_dim`` elements the last 64 are
the rotated key and the others key and value at once. Scores there are scaled by 1 / sqrt(128 + 64), the width of a head
before it is absorbed.

Work as FlashMLA's tests count it: 2 * keys * H * (D + D_v) FLOP, and in bytes the cached tokens that are read, the
queries and the output, each once. The headline is bytes per second for gqa: each byte of the cache is used for a few
FLOP, so its memory is what limits a device. All heads of mla share each byte, some 240 FLOP at 128 heads in 16 bits,
and what limits it is as likely the arithmetic: there it is FLOP/s.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from perwatt.kernels import data, decode_operands, dtypes, reference
from perwatt.kernels.triton.device import table_of
from perwatt.kernels.workload import Check, Place, Prepared, Size, Work, Workload, choice, positive, rotation

if TYPE_CHECKING:
    from perwatt.kernels.decode_operands import Operands
    from perwatt.kernels.triton.program import Program

ROPE = 64  # elements of a latent key that are rotated, as in every published model with MLA
_DTYPES = ("fp32", "bf16", "fp16")
_KINDS = ("gqa", "mla")
_BACKENDS = ("torch", "triton")


@dataclass(frozen=True)
class Decode(Workload):
    """One query of each of ``batch`` sequences, ``heads`` query heads, pages of ``page`` tokens.

    ``kv_heads`` defaults to ``heads`` for gqa and is 1 for mla, ``head_dim`` to 128 for gqa and 512 + 64 for mla.
    Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "decode"

    kind: str = "gqa"
    batch: int = 32
    heads: int = 32
    kv_heads: int | None = None
    head_dim: int | None = None
    context: int = 8192
    spread: float = 0.5
    page: int = 64
    backend: str = "torch"
    dtype: str = "bf16"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        choice("decode", "kind", self.kind, _KINDS)
        positive("decode", batch=self.batch, heads=self.heads, context=self.context, page=self.page)
        for key in ("kv_heads", "head_dim"):
            if (value := getattr(self, key)) is not None:
                positive("decode", **{key: value})
        if not isinstance(self.spread, int | float) or isinstance(self.spread, bool) or not 0 <= self.spread <= 1:
            raise ValueError(f"decode.spread: {self.spread!r} is not a number from 0 to 1")
        object.__setattr__(self, "spread", float(self.spread))
        choice("decode", "backend", self.backend, _BACKENDS)
        choice("decode", "dtype", self.dtype, _DTYPES)
        object.__setattr__(self, "init", data.check_init("decode", self.init))
        data.check_seed("decode", self.seed)
        if self.kind == "mla" and self.groups != 1:
            raise ValueError(f"decode.kv_heads: {self.kv_heads}: all heads of mla share one latent cache")
        if self.heads % self.groups:
            raise ValueError(f"decode.kv_heads: {self.kv_heads} does not divide the {self.heads} query heads")
        if self.kind == "mla" and self.width <= ROPE:
            raise ValueError(f"decode.head_dim: {self.width} of mla include the {ROPE} of the rotated key")

    @property
    def groups(self) -> int:
        """Number of key-value heads, resolved."""
        return self.kv_heads or (1 if self.kind == "mla" else self.heads)

    @property
    def width(self) -> int:
        """Elements of a query and of a key, resolved."""
        return self.head_dim or (512 + ROPE if self.kind == "mla" else 128)

    @property
    def width_v(self) -> int:
        """Elements of a value."""
        return self.width - ROPE if self.kind == "mla" else self.width

    @property
    def scale(self) -> float:
        """What the scores are multiplied by."""
        return float((192 if self.kind == "mla" else self.width) ** -0.5)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The context of each sequence, its own new token included; the first is the longest."""
        least = max(1, round((1 - self.spread) * self.context))
        draw = random.Random(data.substream(self.seed, "lengths"))
        return (self.context, *(draw.randint(least, self.context) for _ in range(self.batch - 1)))

    def params(self) -> dict[str, Any]:
        """All parameters, resolved: the same decoding written in two ways is one case."""
        return dataclasses.asdict(self) | {"kv_heads": self.groups, "head_dim": self.width}

    def work(self, ranks: int = 1) -> Work:
        """FLOP of both products over the tokens that each sequence has; the bytes of those, queries and output."""
        flops = 2 * sum(self.lengths) * self.heads * (self.width + self.width_v)
        rows = sum(self.lengths) * self._cached + self.batch * self.heads * (self.width + self.width_v)
        headline = "flops" if self.kind == "mla" else "bytes"
        return Work(flops=flops, bytes=dtypes.itemsize(self.dtype) * rows, headline=headline)  # type: ignore[arg-type]

    @property
    def _cached(self) -> int:
        """Elements that are kept of each token: key and value of each head, or one latent."""
        return self.width if self.kind == "mla" else self.groups * (self.width + self.width_v)

    @property
    def pages(self) -> int:
        """Pages of all sequences."""
        return sum(-(-n // self.page) for n in self.lengths)

    def footprint_bytes(self, ranks: int = 1) -> int:
        """The pages, table, queries and output; torch gathers the pages anew at each launch, padded to the longest."""
        size = dtypes.itemsize(self.dtype)
        most = -(-self.context // self.page)
        gathered = self.batch * most * self.page * self._cached if self.backend == "torch" else 0
        rows = self.pages * self.page * self._cached + self.batch * self.heads * (self.width + self.width_v)
        return size * (rows + gathered) + 4 * self.batch * (most + 1)

    def label(self) -> str:
        """``bf16 gqa b32 h32/8 c8192 d128 page 64``; with the spread where it is not the usual one."""
        kv = f"/{self.groups}" if self.groups != self.heads and self.kind == "gqa" else ""
        shape = f"b{self.batch} h{self.heads}{kv} c{self.context} d{self.width} page {self.page}"
        return f"{self._kind()} {shape}{self._values()}"

    def series(self) -> str:
        """``bf16 gqa h32/8``; with what is not the usual one."""
        kv = f"/{self.groups}" if self.groups != self.heads and self.kind == "gqa" else ""
        return f"{self._kind()} h{self.heads}{kv} b{self.batch}{self._values()}"

    def _kind(self) -> str:
        return f"{self.dtype} {self.kind}" + (" triton" if self.backend == "triton" else "")

    def _values(self) -> str:
        spread = f" spread {self.spread:g}" if self.spread != Decode.spread else ""
        return spread + ("" if self.init == "normal" else f" {self.init}")

    def size(self) -> Size:
        """The longest context."""
        return Size("context", float(self.context))

    def programs(self, place: Place) -> tuple[Program, ...]:
        """The stretches of keys, and where there are several of a sequence what puts them together; none of torch's."""
        if self.backend == "torch":
            return ()
        from perwatt.kernels import decode_triton

        return decode_triton.programs(self, table_of(place), decode_operands.build(self, 0, self.init, place.device))

    def prepare(self, place: Place) -> Prepared:
        """Allocate, check the output of one set against float64 and every output for having been written."""
        data.require_memory(self.footprint_bytes(), place)
        call, notes = self._backend(place)
        # zeros tell nothing about a kernel: it is checked on normal values first
        tested = "normal" if self.init == "zeros" else self.init
        first = decode_operands.build(self, 0, tested, place.device)
        want = decode_operands.Reference(self, first)
        call(first)()
        check = want.check(first.out)
        if self.init == "zeros":
            first = decode_operands.build(self, 0, "zeros", place.device)
        count = rotation(self.footprint_bytes(), place)
        sets = [first, *(decode_operands.build(self, i, self.init, place.device) for i in range(1, count))]
        calls = [call(s) for s in sets]
        launch = data.rotating(calls)
        for _ in sets:
            launch()
        outputs = [s.out for s in sets]
        reference.require_finite("output", outputs)
        if self.init == "zeros":
            reference.require_zero("output", outputs)
        notes.append(data.cache_note(count, self.footprint_bytes(), place))

        def verify() -> Check:
            calls[0]()
            return reference.zeros("output", [first.out]) if self.init == "zeros" else want.check(first.out)

        return Prepared(launch, check, count, "; ".join(n for n in notes if n), verify=verify)

    def _backend(self, place: Place) -> tuple[Callable[[Operands], Callable[[], object]], list[str]]:
        """What makes a launch of operands, and notes."""
        if self.backend == "triton":
            table = table_of(place)
            from perwatt.kernels import decode_triton

            return partial(decode_triton.call, self, table), []
        from perwatt.kernels import decode_torch

        return decode_torch.available(self, place)

    def tiny(self) -> Decode:
        """The same kind of decoding of two short sequences."""
        return dataclasses.replace(self, batch=2, context=min(self.context, 2 * self.page), init="normal")
