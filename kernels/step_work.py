"""How much work a step is: FLOP, bytes, tokens and memory of some layers of a model, by the formulas of the field.

Matrices: 2 FLOP a parameter and token, of a mixture those of the router, of the token's ``active`` experts and of the
shared ones (Kaplan et al., arXiv 2001.08361, section 2.1). Attention: FlashAttention's 2*B*H*S_q*avg(S_k)*(D_qk + D_v)
with half of the pairs where it is causal. Backward: 2 times forward for matrices (the gradient of the input and that of
the parameters; the input of the first layer has one too, as inside a model), 2.5 times for attention. Not counted:
norms, rotary embedding, softmax, activation functions, gates, residuals, sorting of tokens by expert.

Latent attention decodes as it is served: queries and values are multiplied into the latent space, so that the cache is
read as it is (arXiv 2405.04434, section 2.1.2). The matrices' FLOP are the same; attention is then that of all heads
with one shared key of kv_lora_rank + qk_rope elements and a value of kv_lora_rank.

Bytes are a lower bound: in each pass every operand once. Forward: parameters (of a mixture, of as many experts as the
tokens can reach), the input, the output, and the cache, which prefill writes and decode reads. Backward: parameters and
input again, the gradient of the output, and those of parameters and input.
"""

from __future__ import annotations

from typing import NamedTuple

from perwatt.kernels.model import Model


class Load(NamedTuple):
    """A step in numbers. ``tokens`` is what it processes, ``keys`` the keys of each sequence, ``experts`` how many
    routed experts are resident, ``itemsize`` the bytes of an element."""

    model: Model
    mode: str
    layers: int
    batch: int
    seq: int
    keys: int
    experts: int
    itemsize: int

    @property
    def tokens(self) -> int:
        """Tokens of one step."""
        return self.batch * self.seq

    def flops(self) -> int:
        """FLOP of one step."""
        matrices = 2 * self.tokens * sum(self._matrices(mixture, self._active()) for mixture in self._mixes())
        attention = self.layers * self._attention()
        return 3 * matrices + attention * 7 // 2 if self.mode == "train" else matrices + attention

    def _attention(self) -> int:
        """Forward, one layer."""
        model, heads = self.model, self.batch * self.model.heads
        if self.mode != "decode":
            return heads * self.seq * self.keys * (model.dim + model.dim_v)  # 2 * half of the pairs
        wide = model.dim + model.dim_v if model.latent is None else model.cached + model.latent.kv_lora_rank
        return 2 * heads * self.keys * wide

    def bytes(self) -> int:
        """The least memory traffic of one step."""
        reached = min(self.experts, self.tokens * self._active())
        parameters = sum(self._parameters(mixture, reached) for mixture in self._mixes())
        stream = self.tokens * self.model.hidden
        forward = parameters + 2 * stream
        if self.mode == "train":
            return self.itemsize * (forward + 2 * parameters + 3 * stream)
        return self.itemsize * (forward + self._cache())

    def footprint(self) -> int:
        """Memory of a step: parameters, cache, gradients and, roughly, what lies between input and output."""
        parameters = sum(self._parameters(mixture, self.experts) for mixture in self._mixes())
        widest = max(self._between(mixture) for mixture in self._mixes())
        stream = self.tokens * self.model.hidden
        if self.mode == "train":
            kept = sum(self._between(mixture) for mixture in self._mixes())
            return self.itemsize * (2 * parameters + self.tokens * (kept + widest) + 4 * stream)
        return self.itemsize * (parameters + self._cache() + self.tokens * widest + 2 * stream)

    def parameters(self) -> int:
        """Parameters that are resident, norms and biases among them."""
        return sum(self._parameters(mixture, self.experts) for mixture in self._mixes())

    def _mixes(self) -> tuple[bool, ...]:
        return self.model.mixes(self.layers)

    def _active(self) -> int:
        return self.model.experts.active if self.model.experts else 0

    def _matrices(self, mixture: bool, experts: int) -> int:
        return self.model.attention_parameters() + self.model.network_parameters(mixture, experts)

    def _parameters(self, mixture: bool, experts: int) -> int:
        return self._matrices(mixture, experts) + self.model.vector_parameters(mixture)

    def _cache(self) -> int:
        return self.layers * self.batch * self.keys * self.model.cached

    def _between(self, mixture: bool) -> int:
        """Elements a token that one layer makes and that its backward pass wants back."""
        model = self.model
        attention = (2 * model.heads + 3 * model.groups) * model.dim + 2 * model.heads * model.dim_v
        if not mixture:
            return 5 * model.hidden + attention + 4 * model.ffn
        assert model.experts is not None
        each = 4 * model.experts.ffn * (self._active() + model.experts.shared)
        return (5 + 3 * self._active()) * model.hidden + attention + each
