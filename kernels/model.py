"""The shape of a transformer, as its paper publishes it, and the number of parameters that follows from it.

A decoder: layers of attention and a feed-forward network, each behind a norm and with a residual. Attention is that of
query heads with as many or fewer key-value heads (GQA, arXiv 2305.13245), or latent (MLA, arXiv 2405.04434), which
keeps one compressed row a token in its cache. The network is a plain or a gated one (SwiGLU, arXiv 2002.05202), or a
mixture of experts (arXiv 2401.06066): a router sends each token to ``active`` of ``count`` experts, ``shared`` ones
see all.

Counts of parameters: the matrices of a layer, its norms and biases, the embedding, the output head unless tied to it.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

NORMS = ("rms", "layer")


@dataclass(frozen=True)
class Latent:
    """The dimensions of latent attention: ranks of the compressed queries and keys, and those of one head."""

    q_lora_rank: int
    kv_lora_rank: int
    qk_nope: int
    qk_rope: int
    v: int


@dataclass(frozen=True)
class Experts:
    """A mixture: all layers after the first ``dense_layers``. ``scaling`` multiplies the normalised gates."""

    dense_layers: int
    count: int
    ffn: int
    active: int
    shared: int
    scaling: float = 1.0


@dataclass(frozen=True)
class Model:
    """A model's shape. ``source`` says where it was read; it is no part of the shape.

    ``kv_heads`` and ``head_dim`` are None with latent attention, which has its own. ``rope_theta`` is the base of the
    rotary embedding, None without one; ``learned_positions`` the size of a table of positions in its place.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    gated: bool
    kv_heads: int | None = None
    head_dim: int | None = None
    norm: str = "rms"
    biases: bool = False
    tied: bool = False
    rope_theta: float | None = None
    learned_positions: int | None = None
    latent: Latent | None = None
    experts: Experts | None = None
    source: str = ""

    def shape(self) -> dict[str, Any]:
        """All but the source, as plain values."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "source"}

    # -- attention -----------------------------------------------------------------------------------------------

    @property
    def groups(self) -> int:
        """Key-value heads; with latent attention every query head has its own, made from the latent."""
        return self.kv_heads or self.heads

    @property
    def dim(self) -> int:
        """Elements of a query and of a key."""
        if self.latent is not None:
            return self.latent.qk_nope + self.latent.qk_rope
        assert self.head_dim is not None
        return self.head_dim

    @property
    def dim_v(self) -> int:
        """Elements of a value."""
        return self.latent.v if self.latent is not None else self.dim

    @property
    def cached(self) -> int:
        """Elements that one layer caches of a token: keys and values, or the latent and the rotary key."""
        if self.latent is not None:
            return self.latent.kv_lora_rank + self.latent.qk_rope
        return 2 * self.groups * self.dim

    # -- parameters ----------------------------------------------------------------------------------------------

    def mixes(self, layers: int) -> tuple[bool, ...]:
        """For each of the *last* ``layers`` layers whether it is a mixture of experts."""
        dense = self.experts.dense_layers if self.experts else self.layers
        return tuple(index >= dense for index in range(self.layers - layers, self.layers))

    def attention_parameters(self) -> int:
        """Matrices of one layer's attention."""
        if (latent := self.latent) is None:
            return self.hidden * self.dim * (2 * self.heads + 2 * self.groups)
        queries = latent.q_lora_rank * (self.hidden + self.heads * self.dim)
        keys = self.hidden * self.cached + latent.kv_lora_rank * self.heads * (latent.qk_nope + latent.v)
        return queries + keys + self.heads * latent.v * self.hidden

    def network_parameters(self, mixture: bool, experts: int | None = None) -> int:
        """Matrices of one layer's feed-forward network; of a mixture with ``experts`` routed experts (None: all)."""
        matrices = (3 if self.gated else 2) * self.hidden
        if not mixture:
            return matrices * self.ffn
        assert self.experts is not None
        routed = self.experts.count if experts is None else experts
        return self.hidden * self.experts.count + matrices * self.experts.ffn * (routed + self.experts.shared)

    def vector_parameters(self, mixture: bool) -> int:
        """Norms and biases of one layer."""
        norms = 2 * self.hidden * (2 if self.norm == "layer" else 1)
        if self.latent is not None:
            norms += self.latent.q_lora_rank + self.latent.kv_lora_rank
        if not self.biases:
            return norms
        network = 0 if mixture else self.ffn * (2 if self.gated else 1) + self.hidden
        return norms + (self.heads + 2 * self.groups) * self.dim + self.hidden + network

    def layer_parameters(self, mixture: bool, experts: int | None = None) -> int:
        """All of one layer, of a mixture with ``experts`` routed experts (None: all)."""
        return self.attention_parameters() + self.network_parameters(mixture, experts) + self.vector_parameters(mixture)

    @property
    def parameters(self) -> int:
        """All of the model."""
        ends = self.vocab * self.hidden * (1 if self.tied else 2) + (self.learned_positions or 0) * self.hidden
        final = self.hidden * (2 if self.norm == "layer" else 1)
        return sum(self.layer_parameters(mixture) for mixture in self.mixes(self.layers)) + ends + final

    @property
    def active_parameters(self) -> int:
        """What a token is multiplied with: of the experts its own and the shared ones; the embedding is looked up."""
        routed = self.experts.active if self.experts else None
        layers = sum(self.layer_parameters(mixture, routed) for mixture in self.mixes(self.layers))
        return layers + self.vocab * self.hidden + self.hidden * (2 if self.norm == "layer" else 1)


# -- from a YAML node ------------------------------------------------------------------------------------------------


def parse(node: object, where: str) -> Model:
    """The model that a mapping describes; ValueError of one line with ``where``, the key and what is allowed."""
    if isinstance(node, Model):
        return node
    model = _fields(Model, node, where)
    if model.norm not in NORMS:
        raise ValueError(f"{where}: norm: {model.norm!r} is not one of {', '.join(NORMS)}")
    for key in ("kv_heads", "head_dim"):
        if (getattr(model, key) is None) == (model.latent is None):
            wanted = "a positive integer is needed" if model.latent is None else "null, latent attention has its own"
            raise ValueError(f"{where}: {key}: {getattr(model, key)!r}, but {wanted}")
    if model.heads % model.groups:
        raise ValueError(f"{where}: kv_heads: {model.kv_heads} does not divide the {model.heads} query heads")
    if model.latent is not None and model.rope_theta is None:
        raise ValueError(f"{where}: rope_theta: null, but latent attention has a rotary part")
    if model.rope_theta is not None and (model.latent.qk_rope if model.latent else model.dim) % 2:
        raise ValueError(f"{where}: {'latent.qk_rope' if model.latent else 'head_dim'}: odd, rotary needs pairs")
    if (experts := model.experts) is not None:
        if experts.active > experts.count:
            raise ValueError(f"{where}: experts.active: {experts.active} of {experts.count} experts")
        if experts.dense_layers >= model.layers:
            raise ValueError(f"{where}: experts.dense_layers: {experts.dense_layers} of {model.layers} layers")
    return model


def _fields(kind: type[T], node: object, where: str, prefix: str = "") -> T:
    """A dataclass from a mapping: every key known, none missing, every value of its type; counts above 0."""
    types_of = typing.get_type_hints(kind)
    keys = list(types_of)
    if not isinstance(node, Mapping):
        at = f"{where}: {prefix.rstrip('.')}" if prefix else where
        raise ValueError(f"{at}: keys and values are needed, not {node!r}")
    for key in node:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"{where}: {prefix}{key}: no such key{hint}; choices: {', '.join(keys)}")
    needed = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]  # type: ignore[arg-type]
    if missing := [key for key in needed if key not in node]:
        raise ValueError(f"{where}: {prefix}{missing[0]}: missing; needed: {', '.join(needed)}")
    return kind(**{key: _value(types_of[key], value, where, prefix + key) for key, value in node.items()})


def _value(wanted: Any, value: object, where: str, key: str) -> Any:
    if isinstance(wanted, types.UnionType):
        if value is None:
            return None
        wanted = next(kind for kind in typing.get_args(wanted) if kind is not types.NoneType)
    if dataclasses.is_dataclass(wanted):
        return _fields(wanted, value, where, f"{key}.")  # type: ignore[arg-type]
    number = isinstance(value, int) and not isinstance(value, bool)
    least = 0 if key.endswith((".dense_layers", ".shared")) else 1
    right, words = {
        int: (number and value >= least, "a positive integer" if least else "0 or a positive integer"),  # type: ignore[operator]
        float: ((number or isinstance(value, float)) and value > 0, "a number above 0"),  # type: ignore[operator]
        bool: (isinstance(value, bool), "false or true"),
        str: (isinstance(value, str) and bool(value.strip()) and "\n" not in str(value), "a line of text"),
    }[wanted]
    if not right:
        raise ValueError(f"{where}: {key}: {value!r} is not {words}")
    return float(value) if wanted is float else value  # type: ignore[arg-type]
