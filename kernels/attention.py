"""Scaled dot-product attention through torch: FlashAttention, cuDNN, memory-efficient, or plain products (math).

Work follows FlashAttention's own benchmarks (``hopper/benchmark_attn.py``): forward = 2*B*H*S_q*avg(S_k)*(D + D_v)
FLOP, where causal attention counts only the pairs that are not masked, avg(S_k) = (S_k - S_q + S_k) / 2; backward =
2.5 times forward. H is the number of query heads, also with fewer key-value heads (GQA). The exponentials are not
counted, nor the scores that a fused backward pass computes again: joules per counted FLOP are not joules per executed
FLOP.

Causal is aligned at the bottom right, so that new queries continue a cache of keys. torch's own ``is_causal`` is
aligned at the top left, which is another function unless S_q = S_k. With a window a query sees only the last ``window``
of its keys, itself included; those pairs are counted one by one, as FlashAttention's benchmarks do then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from perwatt.kernels import data, dtypes, reference, reference_attention, sdpa
from perwatt.kernels.triton.device import table_of
from perwatt.kernels.workload import Check, Place, Prepared, Size, Work, Workload, anew, choice, positive, rotation

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.triton.program import Program

_DTYPES = ("fp32", "bf16", "fp16")
_MODES = ("forward", "backward", "forward_backward")


@dataclass(frozen=True)
class Attention(Workload):
    """softmax(q k' / sqrt(head_dim)) v with q (batch, heads, seq_q, head_dim) and key-value heads shared by groups.

    ``kv_heads`` defaults to ``heads``, ``seq_k`` to ``seq_q``, ``head_dim_v`` to ``head_dim``. seq_q = 1 is decoding.
    A query sees at most the last ``window`` keys of its causal mask; None is all. ``backend`` auto (or torch) leaves
    the choice to torch, triton is our own. Raises ValueError for a value that is not allowed.
    """

    name: ClassVar[str] = "attention"

    batch: int = 1
    heads: int = 16
    kv_heads: int | None = None
    seq_q: int = 2048
    seq_k: int | None = None
    head_dim: int = 128
    head_dim_v: int | None = None
    causal: bool = True
    window: int | None = None
    mode: str = "forward"
    backend: str = "auto"
    dtype: str = "bf16"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        positive("attention", batch=self.batch, heads=self.heads, seq_q=self.seq_q, head_dim=self.head_dim)
        for key in ("kv_heads", "seq_k", "head_dim_v", "window"):
            if (value := getattr(self, key)) is not None:
                positive("attention", **{key: value})
        data.check_bool("attention", causal=self.causal)
        choice("attention", "mode", self.mode, _MODES)
        if self.backend == "torch":  # what other kernels call it
            object.__setattr__(self, "backend", "auto")
        choice("attention", "backend", self.backend, ("auto", *sdpa.BACKENDS, "triton"))
        choice("attention", "dtype", self.dtype, _DTYPES)
        object.__setattr__(self, "init", data.check_init("attention", self.init))
        data.check_seed("attention", self.seed)
        if self.heads % self.groups:
            raise ValueError(f"attention.kv_heads: {self.kv_heads} does not divide the {self.heads} query heads")
        if self.window is not None and not self.causal:
            raise ValueError(
                f"attention.window: the last {self.window} keys of a query: only causal attention has them"
            )
        if self.causal and self.seq_q > self.keys:
            raise ValueError(
                f"attention.seq_k: {self.keys} keys for {self.seq_q} queries: aligned at the bottom right, the first "
                f"{self.seq_q - self.keys} causal queries would see no key"
            )

    @property
    def groups(self) -> int:
        """Number of key-value heads, resolved."""
        return self.kv_heads or self.heads

    @property
    def keys(self) -> int:
        """S_k, resolved."""
        return self.seq_k or self.seq_q

    @property
    def dim_v(self) -> int:
        """D_v, resolved."""
        return self.head_dim_v or self.head_dim

    @property
    def seen(self) -> int | None:
        """The window, None if it leaves nothing out."""
        return self.window if self.window is not None and self.window < self.keys else None

    @property
    def differentiates(self) -> bool:
        """Whether the mode has a backward pass."""
        return self.mode != "forward"

    def params(self) -> dict[str, Any]:
        """All parameters, resolved: the same attention written in two ways is one case."""
        resolved = {"kv_heads": self.groups, "seq_k": self.keys, "head_dim_v": self.dim_v, "window": self.seen}
        return dataclasses.asdict(self) | resolved

    def work(self, ranks: int = 1) -> Work:
        """FLOP by FlashAttention's convention; bytes of q, k, v and the output once, and in the backward pass of
        their gradients too."""
        forward = self.batch * self.heads * self._pairs2() * (self.head_dim + self.dim_v)
        backward = forward * 5 // 2
        once = self._operand_bytes(min(self.keys, (self.seen or self.keys) + self.seq_q - 1))
        flops = {"forward": forward, "backward": backward, "forward_backward": forward + backward}[self.mode]
        traffic = {"forward": once, "backward": 2 * once, "forward_backward": 3 * once}[self.mode]
        return Work(flops=flops, bytes=traffic, headline="flops")

    def _pairs2(self) -> int:
        """Twice the pairs of a query and a key that it sees; without a window causal counts as half a square does."""
        if self.seen is None:
            return self.seq_q * (2 * self.keys - self.seq_q if self.causal else 2 * self.keys)
        first = self.keys - self.seq_q + 1  # keys of the first query; each later one has one more, up to the window
        growing = min(self.seq_q, max(0, self.seen - first))
        return growing * (2 * first + growing - 1) + 2 * (self.seq_q - growing) * self.seen

    def _operand_bytes(self, keys: int) -> int:
        """q and the output, and ``keys`` of k and v."""
        rows = self.heads * self.seq_q + self.groups * keys
        return dtypes.itemsize(self.dtype) * self.batch * rows * (self.head_dim + self.dim_v)

    def footprint_bytes(self, ranks: int = 1) -> int:
        """q, k, v, the output, and with a backward pass their gradients; for math also scores and probabilities."""
        scores = self.batch * self.heads * self.seq_q * self.keys * 4 if self.backend == "math" else 0
        return (2 if self.differentiates else 1) * (self._operand_bytes(self.keys) + 2 * scores)

    def label(self) -> str:
        """``bf16 causal forward b1 h16 s2048 d128``; with the numbers of key-value heads and keys where they differ."""
        kv = f"/{self.groups}" if self.groups != self.heads else ""
        keys = f"x{self.keys}" if self.keys != self.seq_q else ""
        dim_v = f"/{self.dim_v}" if self.dim_v != self.head_dim else ""
        shape = f"b{self.batch} h{self.heads}{kv} s{self.seq_q}{keys} d{self.head_dim}{dim_v}"
        return " ".join([self._kind(), shape, *([] if self.init == "normal" else [self.init])])

    def series(self) -> str:
        """``bf16 causal forward``; with the backend where one is named, and what decoding attends to."""
        return " ".join([self._kind(), *([] if self.init == "normal" else [self.init])])

    def _kind(self) -> str:
        words = [self.dtype]
        if self.seq_q == 1:
            words.append("decode")  # causal or not, one query sees every key, or all in the window
        elif self.causal:
            words.append("causal")
        if self.seen is not None:
            words.append(f"window {self.seen}")
        words.append(self.mode.replace("_", "+"))
        return " ".join(words if self.backend == "auto" else [*words, self.backend])

    def size(self) -> Size:
        """The number of keys that the last query sees."""
        return Size("seq_k", float(self.keys))

    def programs(self, place: Place) -> tuple[Program, ...]:
        """What a Triton launch consists of: one program forward, three backward; none of torch's."""
        if self.backend != "triton":
            return ()
        from perwatt.kernels import attention_triton

        return attention_triton.programs(self, table_of(place), attention_triton.allocate(self, 0, place.device))

    def prepare(self, place: Place) -> Prepared:
        """Allocate, select the backend, check output and gradients against the formulas in float64."""
        import torch

        data.require_memory(self.footprint_bytes(), place)
        if self.backend == "triton":
            table = table_of(place)
            from perwatt.kernels import attention_triton

            return attention_triton.prepare(self, place, table)
        torch.set_float32_matmul_precision("highest")
        sdpa.select(self.backend)
        what = f"{self.backend} attention in {self.dtype}"
        dtypes.supported(place, what, partial(_run_once, self.tiny(), place.device))
        notes = [dtypes.not_emulated(place, self.dtype, self._timing_probe(place.device))]

        tested = "normal" if self.init == "zeros" else self.init
        check = self._check(dataclasses.replace(self, init=tested), place.device)
        count = rotation(self.footprint_bytes(), place)
        attend, how = sdpa.function(self, place.device)
        calls = [sdpa.launcher(self, i, place.device, attend) for i in range(count)]
        launch = data.keeping(data.rotating(calls), count)
        results = [launch() for _ in calls]
        outputs = cast("list[torch.Tensor]", [t for r in results for t in (r if isinstance(r, tuple) else (r,))])
        reference.require_finite(self.mode, outputs)
        if self.init == "zeros":
            reference.require_zero(self.mode, outputs)
        if self.mode == "backward":
            notes.append("backward timed alone: the forward pass ran once before, its saved tensors are kept")
        notes += [how, data.cache_note(count, self.footprint_bytes(), place)]
        told = "; ".join(n for n in notes if n)
        again = partial(self._check, dataclasses.replace(self, init=tested), place.device)
        return Prepared(launch, check, count, told, **anew(again, count, self.footprint_bytes(), place))

    def tiny(self) -> Attention:
        """The same kind of attention, small: same head dimensions, alignment, grouping and mode."""
        seq_q = min(self.seq_q, 64)
        beyond = self.keys - self.seq_q
        seq_k = seq_q + min(beyond, 64) if beyond >= 0 else min(self.keys, 64)
        heads = self.heads // self.groups
        return dataclasses.replace(self, batch=1, heads=heads, kv_heads=1, seq_q=seq_q, seq_k=seq_k, init="normal")

    def _timing_probe(self, device: str) -> Callable[[str], Callable[[], object]]:
        """This mode and backend on one head of 256 x 256 in a given format: does a CPU emulate it?"""
        one = dataclasses.replace(self, batch=1, heads=1, kv_heads=1, seq_q=256, seq_k=256, init="normal")
        return lambda dtype: sdpa.launcher(dataclasses.replace(one, dtype=dtype), 0, device)

    @staticmethod
    def _check(spec: Attention, device: str) -> Check:
        """Compare output, and gradients if any, on the operands of set 0."""
        import torch

        qkv, grad = sdpa.operands(spec, 0, device)
        output = sdpa.function(spec, device)[0](*qkv)
        sampled = reference_attention.plan(*qkv, seed=data.substream(spec.seed, "rows"))
        tolerance = reference.attention_tolerance(spec.dtype, backward=False)
        mask: dict[str, Any] = {"causal": spec.causal, "window": spec.seen}
        check = reference_attention.check_output(qkv, output, tolerance=tolerance, sampled=sampled, **mask)
        if not spec.differentiates:
            return check
        dense = torch.autograd.grad(output, qkv, grad, retain_graph=True)
        masked = dense
        if len(sampled.rows) < spec.seq_q:
            rows = torch.tensor(sampled.rows, device=device)
            some = torch.zeros_like(grad).index_copy_(2, rows, grad.index_select(2, rows))
            masked = torch.autograd.grad(output, qkv, some)
        tolerance = reference.attention_tolerance(spec.dtype, backward=True)
        return reference_attention.check_gradients(
            qkv, grad, dense, masked, tolerance=tolerance, sampled=sampled, **mask
        )


def _run_once(spec: Attention, device: str) -> object:
    """Building the operands and the function belongs to what may be refused, hence not just the launch."""
    return sdpa.launcher(spec, 0, device)()
