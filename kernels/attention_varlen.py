"""Attention of sequences of different lengths that are packed one after the other: no padding, no work for padding.

Tokens are (all tokens, heads, head_dim), and a list of offsets says where each sequence begins, as FlashAttention's
``varlen`` functions have it. The longest sequence has ``seq`` tokens, the others from (1 - ``spread``) * ``seq`` up,
evenly by the seed. Each token attends to its own sequence, as :class:`~perwatt.kernels.attention.Attention` defines it.

Work is that of each sequence by itself, summed: FLOP by FlashAttention's convention, each operand once.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from perwatt.kernels import data
from perwatt.kernels.attention import Attention
from perwatt.kernels.triton.device import table_of
from perwatt.kernels.workload import Place, Prepared, Size, Work, Workload, choice, positive

if TYPE_CHECKING:
    from perwatt.kernels.triton.program import Program


@dataclass(frozen=True)
class AttentionVarlen(Workload):
    """``batch`` sequences of at most ``seq`` tokens, queries and keys alike; the other fields as in Attention.

    Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "attention_varlen"

    batch: int = 16
    heads: int = 16
    kv_heads: int | None = None
    seq: int = 4096
    spread: float = 0.9
    head_dim: int = 128
    causal: bool = True
    window: int | None = None
    mode: str = "forward"
    backend: str = "torch"
    dtype: str = "bf16"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        positive("attention_varlen", seq=self.seq)
        if not isinstance(self.spread, int | float) or isinstance(self.spread, bool) or not 0 <= self.spread <= 1:
            raise ValueError(f"attention_varlen.spread: {self.spread!r} is not a number from 0 to 1")
        object.__setattr__(self, "spread", float(self.spread))
        choice("attention_varlen", "backend", self.backend, ("torch", "triton"))
        try:
            one = self.alone(self.seq)
        except ValueError as error:
            raise ValueError(str(error).replace("attention.", "attention_varlen.")) from None
        object.__setattr__(self, "init", one.init)

    def alone(self, length: int) -> Attention:
        """One sequence of ``length`` by itself; in all of them ``batch`` stands for itself."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("seq", "spread")}
        return Attention(**shared, seq_q=length)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The length of each sequence; the first is the longest."""
        least = max(1, round((1 - self.spread) * self.seq))
        draw = random.Random(data.substream(self.seed, "lengths"))
        return (self.seq, *(draw.randint(least, self.seq) for _ in range(self.batch - 1)))

    @property
    def groups(self) -> int:
        """Number of key-value heads, resolved."""
        return self.kv_heads or self.heads

    @property
    def differentiates(self) -> bool:
        """Whether the mode has a backward pass."""
        return self.mode != "forward"

    @property
    def seen(self) -> int | None:
        """The window, None if it leaves nothing out even in the longest sequence."""
        return self.window if self.window is not None and self.window < self.seq else None

    def params(self) -> dict[str, Any]:
        """All parameters, resolved."""
        return dataclasses.asdict(self) | {"kv_heads": self.groups, "window": self.seen}

    def work(self, ranks: int = 1) -> Work:
        """The work of all sequences."""
        parts = [dataclasses.replace(self.alone(n), batch=1).work() for n in self.lengths]
        return Work(flops=sum(p.flops for p in parts), bytes=sum(p.bytes for p in parts), headline="flops")

    def footprint_bytes(self, ranks: int = 1) -> int:
        """q, k, v, the output, and with a backward pass their gradients."""
        return sum(dataclasses.replace(self.alone(n), batch=1, backend="auto").footprint_bytes() for n in self.lengths)

    def label(self) -> str:
        """``bf16 causal forward b16 h16 s4096 d128 spread 0.9``, s of the longest."""
        kv = f"/{self.groups}" if self.groups != self.heads else ""
        shape = f"b{self.batch} h{self.heads}{kv} s{self.seq} d{self.head_dim} spread {self.spread:g}"
        return f"{self._kind()} {shape}" + ("" if self.init == "normal" else f" {self.init}")

    def series(self) -> str:
        """``bf16 causal forward``."""
        return f"{self._kind()} spread {self.spread:g}" + ("" if self.init == "normal" else f" {self.init}")

    def _kind(self) -> str:
        words = [self.dtype, *(["causal"] if self.causal else [])]
        words += [f"window {self.seen}"] if self.seen is not None else []
        words.append(self.mode.replace("_", "+"))
        return " ".join(words if self.backend == "torch" else [*words, self.backend])

    def size(self) -> Size:
        """Tokens of the longest sequence."""
        return Size("seq", float(self.seq))

    def programs(self, place: Place) -> tuple[Program, ...]:
        """What a Triton launch consists of: one program forward, three backward; none of torch's."""
        if self.backend == "torch":
            return ()
        from perwatt.kernels import packed, packed_triton

        return packed_triton.programs(self, table_of(place), packed.build(self, 0, place.device))

    def prepare(self, place: Place) -> Prepared:
        """Allocate, check output and gradients of each sequence against float64."""
        data.require_memory(self.footprint_bytes(), place)
        from perwatt.kernels import packed

        if self.backend == "triton":
            table = table_of(place)
            from perwatt.kernels import packed_triton

            return packed.prepare(self, place, partial(packed_triton.call, table), [])
        from perwatt.kernels import packed_torch

        return packed.prepare(self, place, *packed_torch.available(self, place))
