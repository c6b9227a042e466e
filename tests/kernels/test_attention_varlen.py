"""Packed sequences: the work of each alone, outputs and gradients against float64, wrong ones caught, refusals."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest
import torch

from perwatt.kernels import packed, packed_torch
from perwatt.kernels.attention import Attention
from perwatt.kernels.attention_varlen import AttentionVarlen
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

SMALL = AttentionVarlen(batch=3, heads=4, kv_heads=2, seq=33, head_dim=16, dtype="fp32")
MODES = ("forward", "backward", "forward_backward")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seen", [{}, {"window": 9}, {"causal": False}], ids=str)
def test_work_is_that_of_each_sequence_by_itself(mode: str, seen: dict[str, Any]) -> None:
    spec = dataclasses.replace(SMALL, mode=mode, **seen)
    alone = [Attention(1, 4, 2, n, head_dim=16, dtype="fp32", mode=mode, **seen).work() for n in spec.lengths]
    assert spec.work().flops == sum(w.flops for w in alone)
    assert spec.work().bytes == sum(w.bytes for w in alone)
    assert spec.work().headline == "flops"
    assert dataclasses.replace(spec, spread=0).work().flops == 3 * alone[0].flops


def test_a_specification_is_a_value() -> None:
    spec = dataclasses.replace(SMALL)
    assert spec.lengths == SMALL.lengths
    assert spec.lengths[0] == 33 == max(spec.lengths)
    assert pickle.loads(pickle.dumps(spec)) == spec == SMALL
    assert hash(spec) == hash(SMALL)
    assert set(spec.params()) == {field.name for field in dataclasses.fields(spec)}
    assert AttentionVarlen().params() == AttentionVarlen(kv_heads=16, window=4096).params()


def test_names_tell_cases_apart() -> None:
    assert SMALL.label() == "fp32 causal forward b3 h4/2 s33 d16 spread 0.9"
    ours = dataclasses.replace(SMALL, backend="triton", window=5, mode="backward", init="zeros")
    assert ours.label() == "fp32 causal window 5 backward triton b3 h4/2 s33 d16 spread 0.9 zeros"
    assert ours.series() == "fp32 causal window 5 backward triton spread 0.9 zeros"
    assert SMALL.size() == Size("seq", 33.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kv_heads": 3}, "attention_varlen.kv_heads: 3 does not divide the 16 query heads"),
        ({"window": 4, "causal": False}, "attention_varlen.window: the last 4 keys"),
        ({"seq": 0}, "attention_varlen.seq: 0 is not a positive integer"),
        ({"spread": -0.1}, "attention_varlen.spread: -0.1 is not a number from 0 to 1"),
        ({"backend": "flash"}, "attention_varlen.backend: 'flash' is not one of torch, triton"),
        ({"mode": "train"}, "attention_varlen.mode: 'train'"),
        ({"init": "ones"}, "attention_varlen.init: 'ones'"),
        ({"batch": 1.0}, "attention_varlen.batch: 1.0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        AttentionVarlen(**values)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("variant", [{}, {"window": 9}, {"causal": False}, {"init": "zeros"}, {"batch": 1}], ids=str)
def test_every_variant_is_right_on_a_cpu(cpu: Place, dtype: str, mode: str, variant: dict[str, Any]) -> None:
    spec = dataclasses.replace(SMALL, dtype=dtype, mode=mode, **variant)
    prepared = spec.prepare(cpu)
    assert 0 < prepared.check.max_error < prepared.check.tolerance
    assert prepared.check.reference.endswith("every sequence")
    assert "one call a sequence" in prepared.note
    assert ("timed alone" in prepared.note) == (mode == "backward")
    tokens = sum(spec.lengths)
    shapes = [(tokens, 4, 16)] if mode == "forward" else [(tokens, 4, 16), (tokens, 2, 16), (tokens, 2, 16)]
    result = prepared.launch()
    assert isinstance(result, tuple)
    assert [tuple(t.shape) for t in result] == shapes


def test_long_sequences_are_sampled(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perwatt.kernels.reference.BUDGET_FLOPS", 1e6)
    for mode in MODES:
        check = dataclasses.replace(SMALL, seq=200, mode=mode).prepare(cpu).check
        assert "in 3 of 3 sequences some rows" in check.reference
        assert check.max_error < 1e-5


@pytest.mark.parametrize("mode", ["forward", "backward"])
@pytest.mark.parametrize("wrong", ["across", "shifted", "last"])
def test_wrong_attention_is_caught(cpu: Place, monkeypatch: pytest.MonkeyPatch, mode: str, wrong: str) -> None:
    real = packed.each

    def each(spec: AttentionVarlen, *tensors: torch.Tensor) -> Any:
        ones = list(real(spec, *tensors))
        if wrong == "across":
            ones[1] = (
                ones[1][0],
                *(torch.cat([b[:, :, :1], x[:, :, 1:]], 2) for b, x in zip(ones[0][1:], ones[1][1:], strict=True)),
            )
        elif wrong == "shifted":
            ones[-1] = (ones[-1][0], *(x.roll(1, 2) for x in ones[-1][1:]))
        else:
            ones[-1] = (ones[-1][0], *(torch.cat([x[:, :, :-1], 0 * x[:, :, -1:]], 2) for x in ones[-1][1:]))
        return iter(ones)

    monkeypatch.setattr(packed_torch, "packed", type("Wrong", (), {"each": staticmethod(each), "build": packed.build}))
    with pytest.raises(WrongResult, match=r"^(output|dq|dk|dv) of batch"):
        dataclasses.replace(SMALL, mode=mode).prepare(cpu)


@pytest.mark.parametrize("mode", MODES)
def test_triton_on_a_cpu_is_refused_in_one_line(cpu: Place, mode: str) -> None:
    spec = dataclasses.replace(SMALL, backend="triton", mode=mode)
    for act in (spec.prepare, spec.programs):
        with pytest.raises(Unsupported, match=r"^backend=triton needs a GPU .* use backend=torch$"):
            act(cpu)
    assert SMALL.programs(cpu) == ()
