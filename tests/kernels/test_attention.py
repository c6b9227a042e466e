"""Attention: the work by FlashAttention's convention, outputs and gradients against float64, mutants, refusals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from perwatt.kernels import data, dtypes, reference_attention, sdpa
from perwatt.kernels.attention import Attention
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

SMALL = Attention(batch=2, heads=4, kv_heads=2, seq_q=24, head_dim=16, dtype="fp32")
MODES = ("forward", "backward", "forward_backward")


def flash_flops(spec: Attention) -> float:
    """As FlashAttention's benchmarks count, written out from their definition."""
    seq_q, seq_k = spec.seq_q, spec.keys
    seen = (max(0, seq_k - seq_q) + seq_k) / 2 if spec.causal else seq_k
    return spec.batch * spec.heads * 2 * seq_q * seen * (spec.head_dim + (spec.head_dim_v or spec.head_dim))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "spec",
    [
        Attention(3, 16, None, 2048),
        Attention(3, 32, 8, 512, 8192, 64),
        Attention(3, 128, 1, 1, 4096, 576, 512),
        Attention(3, 3, 1, 5, 7, 9, 10),
    ],
)
def test_work_is_counted_as_flash_attention_counts(spec: Attention, causal: bool) -> None:
    spec = dataclasses.replace(spec, causal=causal)
    forward = flash_flops(spec)
    assert spec.work().flops == forward
    assert dataclasses.replace(spec, mode="backward").work().flops == math.floor(2.5 * forward)
    assert dataclasses.replace(spec, mode="forward_backward").work().flops == math.floor(3.5 * forward)


def test_work_of_known_shapes() -> None:
    # 4 B H S^2 D, halved by the mask: FlashAttention's own formula
    full = Attention(batch=2, heads=16, seq_q=8192, causal=False)
    assert full.work().flops == 4 * 2 * 16 * 8192**2 * 128
    assert dataclasses.replace(full, causal=True).work().flops * 2 == full.work().flops
    assert full.work().bytes == 4 * 2 * 2 * 16 * 8192 * 128
    assert dataclasses.replace(full, mode="backward").work().bytes == 2 * full.work().bytes
    decode = Attention(batch=8, heads=32, kv_heads=8, seq_q=1, seq_k=4096, causal=False)
    assert decode.work().bytes == 2 * 8 * (2 * 8 * 4096 * 128 + 2 * 32 * 128)
    assert decode.work().headline == "flops"
    assert dataclasses.replace(decode, kv_heads=32).work().flops == decode.work().flops  # query heads count
    assert Attention(seq_q=64, backend="math").footprint_bytes() > Attention(seq_q=64).footprint_bytes()


@pytest.mark.parametrize("window", [1, 3, 8, 17, 18, 40])
@pytest.mark.parametrize("keys", [13, 13 + 5])
def test_work_of_a_window_counts_each_pair_that_is_seen(keys: int, window: int) -> None:
    spec = Attention(2, 6, 2, 13, keys, 8, window=window)
    if window >= keys:
        assert spec.params() == dataclasses.replace(spec, window=None).params()
        assert spec.work() == dataclasses.replace(spec, window=None).work()
        return
    last = [i + keys - 13 for i in range(13)]
    pairs = {(i, j) for i in range(13) for j in range(keys) if last[i] - window < j <= last[i]}
    assert spec.work().flops == 2 * 6 * 2 * len(pairs) * (8 + 8)
    assert spec.work().bytes == 2 * 2 * (8 + 8) * (6 * 13 + 2 * len({j for _, j in pairs}))
    assert spec.label() == f"bf16 causal window {window} forward b2 h6/2 s13" + f"x{keys}" * (keys > 13) + " d8"


def test_names_tell_cases_apart() -> None:
    assert SMALL.label() == "fp32 causal forward b2 h4/2 s24 d16"
    spec = Attention(batch=1, heads=8, seq_q=64, seq_k=96, head_dim=64, head_dim_v=32, causal=False, mode="backward")
    assert spec.label() == "bf16 backward b1 h8 s64x96 d64/32"
    assert dataclasses.replace(SMALL, backend="flash", init="zeros").series() == "fp32 causal forward flash zeros"
    assert dataclasses.replace(SMALL, mode="forward_backward").series() == "fp32 causal forward+backward"
    assert Attention(seq_q=1, seq_k=64).series() == "bf16 decode forward"
    assert spec.size() == Size("seq_k", 96.0)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"causal": False},
    {"seq_k": 40},
    {"seq_k": 11, "causal": False},
    {"seq_q": 1, "seq_k": 50},
    {"window": 5},
    {"window": 20, "seq_k": 40, "backend": "math"},
    {"kv_heads": 1, "head_dim_v": 24, "backend": "math"},
    {"kv_heads": 4, "backend": "flash"},
    {"init": "zeros"},
]


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_is_right_on_a_cpu(cpu: Place, dtype: str, mode: str, variant: dict[str, Any]) -> None:
    spec = dataclasses.replace(SMALL, dtype=dtype, mode=mode, **variant)
    prepared = spec.prepare(cpu)
    assert 0 < prepared.check.max_error < prepared.check.tolerance
    assert "every element" in prepared.check.reference
    result = prepared.launch()
    tensors = result if isinstance(result, tuple) else (result,)
    queries, keys = (2, 4, spec.seq_q), (2, spec.groups, spec.keys)
    shapes = [(*queries, spec.dim_v)] if mode == "forward" else [(*queries, 16), (*keys, 16), (*keys, spec.dim_v)]
    assert [tuple(t.shape) for t in tensors] == shapes
    assert not any(t.requires_grad for t in tensors)
    assert ("timed alone" in prepared.note) == (mode == "backward")
    assert all(bool(t.count_nonzero()) != (spec.init == "zeros") for t in tensors)


def test_large_attention_is_sampled_by_rows_and_heads(cpu: Place) -> None:
    big = Attention(heads=8, kv_heads=2, seq_q=700, seq_k=900, head_dim=32, dtype="fp32")
    for mode in ("forward", "backward"):
        spec = dataclasses.replace(big, mode=mode)
        assert spec.prepare(cpu).check.max_error < 1e-5
        (q, k, v), _ = sdpa.operands(spec, 0, "cpu")
        plan = reference_attention.plan(q, k, v, 0, budget=1e7)
        assert not plan.everything
        assert {0, 699} <= set(plan.rows)
        assert len(plan.rows) < 20
        assert plan.groups == ((0, 0), (0, 1))


def test_gradients_by_formula_are_those_of_autograd_also_for_some_rows() -> None:
    spec = dataclasses.replace(SMALL, mode="backward", seq_k=31, dtype="fp32")
    qkv, grad = sdpa.operands(spec, 0, "cpu")
    output = sdpa.function(spec, "cpu")[0](*qkv)
    rows = (0, 5, 23)
    sampled = reference_attention.Sampled(((0, 1), (1, 0)), rows, False)
    some = torch.zeros_like(grad)
    some[:, :, list(rows)] = grad[:, :, list(rows)]
    dense = torch.autograd.grad(output, qkv, grad, retain_graph=True)
    masked = torch.autograd.grad(output, qkv, some, retain_graph=True)
    options: dict[str, Any] = {"causal": True, "tolerance": 2.0**-15, "sampled": sampled}
    check = reference_attention.check_gradients(qkv, grad, dense, masked, **options)
    assert check.compared == 2 * (3 * 2 * 16 + 2 * 31 * 16)
    with pytest.raises(WrongResult, match=r"^dk of batch 0, key-value head 1"):
        reference_attention.check_gradients(qkv, grad, dense, dense, **options)


def mutant(name: str) -> Callable[..., torch.Tensor]:
    """Attention that is wrong in one way; takes the options that the right one is called with."""
    real = functional.scaled_dot_product_attention

    def call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
        mask = options.get("attn_mask")
        if name == "top left" and mask is not None:
            options["attn_mask"] = torch.ones_like(mask).tril()
        elif name in ("one key more", "one key fewer") and mask is not None:
            shift = 1 if name == "one key more" else -1
            options["attn_mask"] = torch.ones_like(mask).tril(mask.shape[1] - mask.shape[0] + shift)
        elif name in ("window one more", "window one fewer") and mask is not None:
            shift = mask.shape[1] - mask.shape[0] - (8 if name == "window one more" else 6)
            options["attn_mask"] = torch.ones_like(mask).tril(mask.shape[1] - mask.shape[0]).triu(shift)
        elif name == "no mask":
            options.pop("attn_mask", None)
        elif name == "scale":
            options["scale"] = 1.01 / math.sqrt(q.shape[-1])
        elif name == "heads":
            k, v = (x.repeat(1, q.shape[1] // x.shape[1], 1, 1) for x in (k, v))  # should repeat each head in turn
            options["enable_gqa"] = False
        elif name == "keys":
            v = v.roll(1, dims=2)
        output = real(q, k, v, **options)
        if name in ("one element", "nan") and output.shape[0] == 2:  # not the probe before it
            change = torch.zeros_like(output)
            change[1, 3, 23, 15] = 0.01 if name == "one element" else math.nan
            output = output + change
        return output

    return call


@pytest.mark.parametrize("mode", ["forward", "backward"])
@pytest.mark.parametrize(
    "name", ["top left", "one key more", "one key fewer", "no mask", "scale", "heads", "keys", "one element", "nan"]
)
def test_mutants_are_caught(cpu: Place, monkeypatch: pytest.MonkeyPatch, mode: str, name: str) -> None:
    monkeypatch.setattr(functional, "scaled_dot_product_attention", mutant(name))
    with pytest.raises(WrongResult, match=r"^(output|dq|dk|dv) of batch"):
        dataclasses.replace(SMALL, seq_k=40, mode=mode).prepare(cpu)


@pytest.mark.parametrize("mode", ["forward", "backward"])
@pytest.mark.parametrize("name", ["window one more", "window one fewer", "one key more", "no mask"])
def test_mutants_of_a_window_are_caught(cpu: Place, monkeypatch: pytest.MonkeyPatch, mode: str, name: str) -> None:
    monkeypatch.setattr(functional, "scaled_dot_product_attention", mutant(name))
    with pytest.raises(WrongResult, match=r"^(output|dq|dk|dv) of batch"):
        dataclasses.replace(SMALL, seq_k=40, window=8, mode=mode).prepare(cpu)


@pytest.mark.parametrize("mode", MODES)
def test_triton_on_a_cpu_is_refused_in_one_line(cpu: Place, mode: str) -> None:
    spec = dataclasses.replace(SMALL, backend="triton", mode=mode)
    for act in (spec.prepare, spec.programs):
        with pytest.raises(Unsupported, match=r"^backend=triton needs a GPU .* use backend=torch$"):
            act(cpu)
    assert SMALL.programs(cpu) == ()
    assert dataclasses.replace(SMALL, backend="torch") == SMALL


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("change", [lambda t: t * 1.001, lambda t: t.roll(1, 2), torch.zeros_like])
def test_wrong_gradients_are_caught(
    cpu: Place, monkeypatch: pytest.MonkeyPatch, which: int, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    real = torch.autograd.grad

    def wrong(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        gradients = list(real(*args, **kwargs))
        gradients[which] = change(gradients[which])
        return tuple(gradients)

    monkeypatch.setattr(torch.autograd, "grad", wrong)
    with pytest.raises(WrongResult, match=f"^d{'qkv'[which]} of batch"):
        dataclasses.replace(SMALL, mode="backward").prepare(cpu)


def test_rotation_uses_every_set_and_a_forward_pass_builds_no_graph(
    cpu: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    real: Callable[..., torch.Tensor] = functional.scaled_dot_product_attention

    def spy(*qkv: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.append(tuple(x.data_ptr() for x in qkv))
        assert not any(x.requires_grad for x in qkv)
        return real(*qkv, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", spy)
    prepared = SMALL.prepare(cpu)
    assert prepared.buffers == -(-2 * (1 << 20) // SMALL.footprint_bytes()) > 10
    seen.clear()
    outputs = [prepared.launch() for _ in range(prepared.buffers)]
    for operand in range(3):
        assert len({call[operand] for call in seen}) == prepared.buffers
    assert len({o.data_ptr() for o in outputs}) == prepared.buffers  # type: ignore[attr-defined]


def test_backward_alone_runs_no_forward_in_its_launch(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]
    real = functional.scaled_dot_product_attention

    def spy(*args: Any, **options: Any) -> torch.Tensor:
        calls[0] += 1
        return real(*args, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", spy)
    for mode, per_launch in (("backward", 0), ("forward_backward", 1)):
        prepared = dataclasses.replace(SMALL, mode=mode).prepare(cpu)
        calls[0] = 0
        prepared.launch()
        assert calls[0] == per_launch


@pytest.mark.parametrize("backend", ["cudnn", "efficient"])
def test_a_backend_that_is_missing_is_refused_with_torchs_reason(cpu: Place, backend: str) -> None:
    with pytest.raises(Unsupported, match=f"^{backend} attention in fp32 on cpu: No viable backend"):
        dataclasses.replace(SMALL, backend=backend).prepare(cpu)
    SMALL.prepare(cpu)  # and the next case has torch's own choice again


@pytest.mark.skipif(dtypes.native("fp16") is not False, reason="this CPU computes in fp16, or does not tell")
def test_fp16_is_refused_where_the_cpu_would_emulate_it(cpu: Place) -> None:
    with pytest.raises(Unsupported, match="no native fp16 arithmetic"):
        dataclasses.replace(SMALL, dtype="fp16").prepare(cpu)


def test_values_depend_on_seed_and_operand() -> None:
    (q, k, v), grad = sdpa.operands(dataclasses.replace(SMALL, mode="backward", kv_heads=4), 0, "cpu")
    for x, y in ((q, k), (k, v), (q, grad)):
        assert not torch.equal(x, y)
    assert torch.equal(q, data.fill(q.shape, "fp32", "normal", data.substream(0, 0, "q")))
