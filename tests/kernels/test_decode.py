"""Decoding from pages: the work by FlashMLA's count, outputs against float64, wrong decodings, refusals."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest
import torch
from torch.nn import functional

from perwatt.kernels import decode_operands
from perwatt.kernels.decode import Decode
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

SMALL = Decode(batch=3, heads=4, kv_heads=2, head_dim=16, context=37, page=8, dtype="fp32")
MLA = Decode(kind="mla", batch=3, heads=4, head_dim=96, context=37, page=8, dtype="fp32")


def test_work_is_counted_as_flash_mla_counts() -> None:
    gqa = Decode(batch=4, heads=32, kv_heads=8, context=1000, spread=0.0)
    assert gqa.lengths == (1000,) * 4
    assert gqa.work().flops == 2 * 4000 * 32 * (128 + 128)
    assert gqa.work().bytes == 2 * (4000 * 8 * 256 + 4 * 32 * 256)
    assert gqa.work().headline == "bytes"
    mla = Decode(kind="mla", batch=4, heads=128, context=1000)
    tokens = sum(mla.lengths)
    assert mla.work().flops == 2 * tokens * 128 * (576 + 512)
    assert mla.work().bytes == 2 * (tokens * 576 + 4 * 128 * (576 + 512))
    assert mla.work().headline == "flops"


def test_contexts_are_ragged_by_the_seed_and_the_first_is_the_longest() -> None:
    spec = Decode(batch=200, context=1000, spread=0.25)
    assert spec.lengths[0] == 1000
    assert 750 <= min(spec.lengths) < 760
    assert max(spec.lengths) == 1000
    assert spec.lengths == Decode(batch=200, context=1000, spread=0.25).lengths
    assert spec.lengths != dataclasses.replace(spec, seed=1).lengths
    assert spec.pages == sum(-(-n // 64) for n in spec.lengths)
    assert min(Decode(batch=50, context=3, spread=1).lengths) == 1


def test_a_specification_is_a_value() -> None:
    spec = dataclasses.replace(SMALL)
    assert spec.work() == SMALL.work()  # the lengths are drawn once and kept: that must not show
    assert pickle.loads(pickle.dumps(spec)) == spec == SMALL
    assert hash(spec) == hash(SMALL)
    assert set(spec.params()) == {field.name for field in dataclasses.fields(spec)}
    assert Decode().params() == Decode(kv_heads=32, head_dim=128).params()
    assert Decode(kind="mla").params() == Decode(kind="mla", kv_heads=1, head_dim=576).params()
    assert Decode(spread=1) == Decode(spread=1.0)


def test_names_tell_cases_apart() -> None:
    assert SMALL.label() == "fp32 gqa b3 h4/2 c37 d16 page 8"
    assert MLA.label() == "fp32 mla b3 h4 c37 d96 page 8"
    assert dataclasses.replace(SMALL, backend="triton", spread=0).label().startswith("fp32 gqa triton b3 h4/2")
    assert dataclasses.replace(SMALL, spread=0, init="zeros").series() == "fp32 gqa h4/2 b3 spread 0 zeros"
    assert SMALL.size() == Size("context", 37.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "mha"}, "decode.kind: 'mha' is not one of gqa, mla"),
        ({"kv_heads": 3}, "decode.kv_heads: 3 does not divide the 32 query heads"),
        ({"kind": "mla", "kv_heads": 2}, "decode.kv_heads: 2: all heads of mla share one latent cache"),
        ({"kind": "mla", "head_dim": 64}, "decode.head_dim: 64 of mla include the 64 of the rotated key"),
        ({"spread": 1.5}, "decode.spread: 1.5 is not a number from 0 to 1"),
        ({"spread": True}, "decode.spread: True"),
        ({"page": 0}, "decode.page: 0 is not a positive integer"),
        ({"backend": "vllm"}, "decode.backend: 'vllm' is not one of torch, triton"),
        ({"dtype": "fp8_e4m3"}, "decode.dtype: 'fp8_e4m3'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Decode(**values)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("spec", [SMALL, MLA, dataclasses.replace(SMALL, kv_heads=None, context=1)], ids=str)
def test_every_kind_is_right_on_a_cpu(cpu: Place, spec: Decode, dtype: str) -> None:
    spec = dataclasses.replace(spec, dtype=dtype)
    prepared = spec.prepare(cpu)
    assert prepared.check.max_error < prepared.check.tolerance
    assert "every element" in prepared.check.reference
    assert prepared.check.compared == 3 * 4 * spec.width_v
    assert "gathered" in prepared.note
    assert prepared.buffers == -(-2 * (1 << 20) // spec.footprint_bytes())
    assert dataclasses.replace(spec, init="zeros").prepare(cpu).buffers > 1


def test_large_decoding_is_sampled(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perwatt.kernels.reference.BUDGET_FLOPS", 1e4)
    check = dataclasses.replace(SMALL, batch=9).prepare(cpu).check
    assert "2 of 18 pairs" in check.reference
    assert check.compared == 2 * 2 * 16


def test_pages_belong_to_one_sequence_each_in_no_order() -> None:
    one = decode_operands.build(SMALL, 0, "normal", "cpu")
    counts = [-(-n // 8) for n in SMALL.lengths]
    used = [int(page) for row, count in zip(one.table, counts, strict=True) for page in row[:count]]
    assert sorted(used) == list(range(SMALL.pages))
    assert used != sorted(used)
    assert one.k.shape == (SMALL.pages, 8, 2, 16)
    other = decode_operands.build(SMALL, 1, "normal", "cpu")
    assert not torch.equal(one.table, other.table)
    assert torch.equal(one.lengths, other.lengths)
    assert decode_operands.build(MLA, 0, "normal", "meta").v is None


@pytest.mark.parametrize("wrong", ["page", "length", "scale", "head", "order"])
@pytest.mark.parametrize("spec", [SMALL, MLA], ids=["gqa", "mla"])
def test_wrong_decodings_are_caught(cpu: Place, monkeypatch: pytest.MonkeyPatch, spec: Decode, wrong: str) -> None:
    real = functional.scaled_dot_product_attention

    def call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
        if wrong == "page":
            v = v.roll(8, 2)
        elif wrong == "length":
            options["attn_mask"] = options["attn_mask"].roll(-1, 3)
        elif wrong == "scale":
            options["scale"] *= 1.01
        elif wrong == "head":
            q = q.roll(1, 1)
        else:
            v = v.flip(0)
        return real(q, k, v, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", call)
    with pytest.raises(WrongResult, match=r"^output of sequence \d"):
        spec.prepare(cpu)


@pytest.mark.parametrize("spec", [SMALL, MLA], ids=["gqa", "mla"])
def test_triton_on_a_cpu_is_refused_in_one_line(cpu: Place, spec: Decode) -> None:
    ours = dataclasses.replace(spec, backend="triton")
    for act in (ours.prepare, ours.programs):
        with pytest.raises(Unsupported, match=r"^backend=triton needs a GPU .* use backend=torch$"):
            act(cpu)
    assert spec.programs(cpu) == ()


def test_what_does_not_fit_is_unsupported() -> None:
    with pytest.raises(Unsupported, match=r"needs [\d.]+ GiB"):
        Decode().prepare(Place("cpu", memory_bytes=10 << 20))
