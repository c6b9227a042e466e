"""A step of a language model: training, prefill or decoding on some of its layers, from published shapes.

What a user's day is made of, put together from the same torch operations as the other kernels: matrix products, scaled
dot-product attention, and what lies between them. A training step is forward and backward with autograd's gradients of
the input and of every parameter, nothing recomputed; prefill is the forward pass of ``seq`` tokens a sequence, which
fills the cache; decoding is one token for each sequence against a cache of ``context`` keys, its own among them.

A step is ``layers`` layers, the last of the model, and says so: ``1 of 80 layers``. Without the embedding, the output
head, the loss and an optimizer. Work by :mod:`perwatt.kernels.step_work`. The check is of a small instance: the same
kinds of layers with the same heads, narrower and on fewer tokens; of the full size every result must be finite.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from perwatt.kernels import data, dtypes, reference, reference_step, sdpa
from perwatt.kernels.model import Model, parse
from perwatt.kernels.step_operands import Maker, launcher
from perwatt.kernels.step_work import Load
from perwatt.kernels.workload import Check, Place, Prepared, Size, Work, Workload, choice, positive, rotation

if TYPE_CHECKING:
    import torch

MODES = ("train", "prefill", "decode")
_DTYPES = ("fp32", "bf16", "fp16")
_LAYERS = {"train": 1, "prefill": 2, "decode": 2}


@dataclass(frozen=True)
class Step(Workload):
    """``model`` is a :class:`~perwatt.kernels.model.Model` or a mapping of its fields.

    ``layers`` None is 1 for training and 2 for inference. ``seq`` is used by training and prefill, ``context`` by
    decoding. ``experts`` are the routed experts that are resident, None: all. Raises ValueError for a value that is not
    allowed.
    """

    name: ClassVar[str] = "step"

    model: Model
    mode: str = "train"
    layers: int | None = None
    batch: int = 1
    seq: int = 4096
    context: int = 8192
    experts: int | None = None
    dtype: str = "bf16"
    init: str = "normal"
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.model, str):
            raise ValueError(f"{self.name}.model: {self.model!r} is a name; a kernel needs the shape")
        object.__setattr__(self, "model", parse(self.model, f"{self.name}.model"))
        choice(self.name, "mode", self.mode, MODES)
        positive(self.name, batch=self.batch, seq=self.seq, context=self.context)
        choice(self.name, "dtype", self.dtype, _DTYPES)
        object.__setattr__(self, "init", data.check_init(self.name, self.init))
        data.check_seed(self.name, self.seed)
        if self.layers is not None:
            positive(self.name, layers=self.layers)
            if self.layers > self.model.layers:
                raise ValueError(f"{self.name}.layers: {self.layers}, but {self.model.name} has {self.model.layers}")
        if self.experts is not None:
            positive(self.name, experts=self.experts)
            if (mixture := self.model.experts) is None:
                raise ValueError(f"{self.name}.experts: {self.experts}, but {self.model.name} has none")
            if not mixture.active <= self.experts <= mixture.count:
                allowed = f"{mixture.active} to {mixture.count} of {self.model.name}"
                raise ValueError(f"{self.name}.experts: {self.experts} is not among {allowed}")
        if self.model.learned_positions and self.load.keys > self.model.learned_positions:
            key = "context" if self.mode == "decode" else "seq"
            most = f"{self.model.name} has {self.model.learned_positions} positions"
            raise ValueError(f"{self.name}.{key}: {self.load.keys}, but {most}")

    @property
    def load(self) -> Load:
        """The step in numbers."""
        decode, mixture = self.mode == "decode", self.model.experts
        return Load(
            self.model,
            self.mode,
            self.layers or min(_LAYERS[self.mode], self.model.layers),
            self.batch,
            1 if decode else self.seq,
            self.context if decode else self.seq,
            (self.experts or mixture.count) if mixture else 0,
            dtypes.itemsize(self.dtype),
        )

    def params(self) -> dict[str, Any]:
        """All parameters with the model's shape; what the mode or the model does not use is None."""
        load, decode = self.load, self.mode == "decode"
        resolved = {
            "model": self.model.shape(),
            "layers": load.layers,
            "seq": None if decode else self.seq,
            "context": self.context if decode else None,
            "experts": load.experts or None,
        }
        return dataclasses.asdict(self) | resolved

    def work(self, ranks: int = 1) -> Work:
        """FLOP, bytes and tokens of one step on one device."""
        load = self.load
        return Work(flops=load.flops(), bytes=load.bytes(), headline="flops", tokens=load.tokens)

    def footprint_bytes(self, ranks: int = 1) -> int:
        """Parameters, cache, gradients, and about what lies between input and output."""
        return self.load.footprint()

    def label(self) -> str:
        """``bf16 llama3_70b train b1 s4096, 1 of 80 layers``; of a mixture also ``16 of 256 experts``."""
        size = f"b{self.batch} c{self.context}" if self.mode == "decode" else f"b{self.batch} s{self.seq}"
        return self._words(size)

    def series(self) -> str:
        """The label without the length of a sequence."""
        return self._words(f"b{self.batch}")

    def _words(self, size: str) -> str:
        load, mixture = self.load, self.model.experts
        words = [f"{self.dtype} {self.model.name} {self.mode} {size}", f"{load.layers} of {self.model.layers} layers"]
        if mixture is not None and load.experts != mixture.count:
            words.append(f"{load.experts} of {mixture.count} experts")
        return ", ".join([*words, *([] if self.init == "normal" else [self.init])])

    def size(self) -> Size:
        """The length of a sequence: its tokens, or the keys in its cache."""
        return Size("context" if self.mode == "decode" else "sequence", float(self.load.keys))

    # -- preparation ---------------------------------------------------------------------------------------------

    def prepare(self, place: Place) -> Prepared:
        """Check a small instance against float64, allocate, launch each set once and look for what is not finite."""
        check = self.checked(place)
        count = rotation(self.footprint_bytes(), place)
        maker = self.maker(place)
        sets = [maker.operands(index) for index in range(count)]
        launch = data.keeping(data.rotating([launcher(ops) for ops in sets]), count)
        for _ in sets:
            self.require_right(_several(launch()))
        told = "; ".join(filter(None, self.notes(maker, count, place)))
        return Prepared(launch, check, count, told, verify=lambda: self.again(_several(launch()), place))

    def again(self, results: Sequence[torch.Tensor], place: Place) -> Check:
        """The results of one more launch looked through, and the small instance compared with float64 once more."""
        self.require_right(results)
        check = self.small().compared(place)
        return dataclasses.replace(check, reference=f"{check.reference}; of the step itself that it is finite")

    def checked(self, place: Place) -> Check:
        """What can be said before the memory is taken: that it suffices, that the step works and is right."""
        import torch

        data.require_memory(self.footprint_bytes(place.ranks), place)
        torch.set_float32_matmul_precision("highest")
        sdpa.select("auto")
        small = self.small()
        dtypes.supported(place, f"a {self.mode} step in {self.dtype}", partial(_run_once, small, place))
        dtypes.not_emulated(place, self.dtype, partial(_product, place.device))
        return small.compared(place)

    def compared(self, place: Place) -> Check:
        """The comparison of this step with float64; meant for a small one."""
        ops = self.maker(place).operands(0)
        caches = [tuple(cache.clone() for cache in layer.cache) for layer in ops.layers]
        result = launcher(ops)()
        given = reference_step.Given(
            self.model,
            [layer.mixture for layer in ops.layers],
            [layer.weights for layer in ops.layers],
            ops.x,
            caches if any(caches) else [],
            ops.stack.routing.chosen.cpu() if ops.stack.routing else None,
            ops.gradient,
            self.load.keys - self.load.seq,
        )
        return reference_step.check(given, result, [layer.cache for layer in ops.layers], self.dtype)

    def maker(self, place: Place) -> Maker:
        """Of operands on ``place``."""
        return Maker(self.load, self.dtype, self.init, self.seed, place.device, place.rank, place.ranks)

    def require_right(self, results: Sequence[torch.Tensor]) -> None:
        """Finite, and 0 if everything was."""
        reference.require_finite(self.mode, results)
        if self.init == "zeros":
            reference.require_zero(self.mode, results)

    def notes(self, maker: Maker, count: int, place: Place) -> list[str]:
        """What a reader of the record should know."""
        load, mixture = self.load, self.model.experts
        notes = [f"the last {load.layers} of {self.model.layers} layers, without embedding, output head"]
        notes[0] += ", loss and optimizer; nothing is recomputed" if self.mode == "train" else " and sampling"
        if mixture is not None and maker.routing is not None:
            how = "grouped product" if maker.fused else "one product an expert"
            notes.append(f"{load.experts} of {mixture.count} experts resident, tokens dealt evenly, {how}")
        return [*notes, data.cache_note(count, self.footprint_bytes(), place)]

    def small(self) -> Step:
        """The same kinds of layers with heads of the same size, few, narrow and on few tokens."""
        model, load = self.model, self.load
        per = model.heads // model.groups
        heads = min(model.groups, 2)
        mixes = model.mixes(load.layers)
        few = 2 if len(set(mixes)) > 1 or load.layers > 1 else 1
        changes: dict[str, Any] = {
            "name": f"small {model.name}",
            "layers": few,
            "hidden": min(model.hidden, 192),
            "heads": heads * per,
            "kv_heads": model.kv_heads and heads,
            "ffn": min(model.ffn, 320),
        }
        if model.latent is not None:
            changes["latent"] = dataclasses.replace(model.latent, q_lora_rank=min(model.latent.q_lora_rank, 96))
        experts = None
        if model.experts is not None:
            # one of each kind, if the step has both
            dense = few - 1 if mixes[-1] and not mixes[0] else 0
            count = min(model.experts.count, 2 * model.experts.active)
            ffn = min(model.experts.ffn, 64)
            changes["experts"] = dataclasses.replace(model.experts, dense_layers=dense, count=count, ffn=ffn)
            experts = min(load.experts, count)
        return Step(
            dataclasses.replace(model, **changes),
            self.mode,
            few,
            min(self.batch, 2),
            min(self.seq, 40),
            min(self.context, 72),
            experts,
            self.dtype,
            "normal" if self.init == "zeros" else self.init,
            self.seed,
        )


def _several(results: object) -> Sequence[torch.Tensor]:
    return cast("Sequence[torch.Tensor]", results)


def _run_once(spec: Step, place: Place) -> object:
    return launcher(spec.maker(place).operands(0))()


def _product(device: str, dtype: str) -> Callable[[], object]:
    """A linear layer of 256 x 256 in ``dtype``: does a CPU emulate it?"""
    from torch.nn.functional import linear

    x, w = (data.fill((256, 256), dtype, "normal", seed, device) for seed in (1, 2))
    return partial(linear, x, w)
