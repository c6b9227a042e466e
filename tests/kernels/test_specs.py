"""What holds for every kernel specification: frozen, validated, described by its YAML, and free of torch."""

from __future__ import annotations

import dataclasses
import importlib
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import perwatt.conf
from perwatt.kernels.attention import Attention
from perwatt.kernels.attention_varlen import AttentionVarlen
from perwatt.kernels.decode import Decode
from perwatt.kernels.fma_spin import FmaSpin
from perwatt.kernels.idle import Idle
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.matmul_grouped import MatmulGrouped
from perwatt.kernels.matmul_scaled import MatmulScaled
from perwatt.kernels.memory import Memory
from perwatt.kernels.spin import Spin
from perwatt.kernels.virus import Virus
from perwatt.kernels.workload import Place, Unsupported, Workload

SPECS: list[type[Workload]] = [
    Matmul,
    MatmulGrouped,
    MatmulScaled,
    Attention,
    AttentionVarlen,
    Memory,
    FmaSpin,
    Decode,
    Spin,
    Virus,
    Idle,
]
CONF = Path(next(iter(perwatt.conf.__path__))) / "kernel"


@pytest.mark.parametrize("spec", SPECS)
def test_yaml_lists_exactly_the_fields_with_their_defaults(spec: type[Workload]) -> None:
    text = (CONF / f"{spec.name}.yaml").read_text()
    config = yaml.safe_load(text)
    target = config.pop("_target_")
    module, _, name = target.rpartition(".")
    assert getattr(importlib.import_module(module), name) is spec
    assert config == {field.name: field.default for field in dataclasses.fields(spec)}
    assert spec(**config) == spec()
    for line in text.splitlines():
        assert line.startswith(("#", "_target_")) or " # " in line, f"no comment: {line}"


@pytest.mark.parametrize("spec", [Matmul(m=8), Attention(heads=2, seq_q=8), Memory(array_bytes=64), FmaSpin()])
def test_specs_are_frozen_hashable_picklable_values(spec: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.seed = 1
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(dataclasses.replace(spec)) == hash(spec)
    assert dataclasses.replace(spec, seed=1) != spec
    assert all(value is None or isinstance(value, (int, str)) for value in spec.params().values())
    assert set(spec.params()) == {field.name for field in dataclasses.fields(spec)}


def test_specs_are_built_and_described_without_torch() -> None:
    program = """
import sys
from perwatt.kernels import data, dtypes, reference, reference_attention, sdpa
from perwatt.kernels.attention import Attention
from perwatt.kernels.fma_spin import FmaSpin
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.matmul_grouped import MatmulGrouped
from perwatt.kernels.matmul_scaled import MatmulScaled
from perwatt.kernels.idle import Idle
from perwatt.kernels.memory import Memory
from perwatt.kernels.spin import Spin
from perwatt.kernels.virus import Virus
kinds = (Matmul, MatmulGrouped, MatmulScaled, Attention, Memory, FmaSpin, Spin, Virus, Idle)
for spec in (MatmulGrouped(skew=1.0), *(kind() for kind in kinds)):
    print(spec.label(), spec.series(), spec.size(), spec.work(), spec.footprint_bytes(), spec.params())
assert "torch" not in sys.modules and "numpy" not in sys.modules, sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("spec", "values", "message"),
    [
        (Matmul, {"dtype": "bf17"}, "matmul.dtype: 'bf17' is not one of fp64, fp32, tf32, bf16, fp16, fp8_e4m3"),
        (Matmul, {"m": 0}, "matmul.m: 0 is not a positive integer"),
        (Matmul, {"m": "64"}, "matmul.m: '64' is not a positive integer"),
        (Matmul, {"m": True}, "matmul.m: True is not a positive integer"),
        (Matmul, {"k": 64.0}, "matmul.k: 64.0 is not a positive integer"),
        (Matmul, {"n": -1}, "matmul.n: -1"),
        (Matmul, {"batch": None}, "matmul.batch: None"),
        (Matmul, {"init": "random"}, "matmul.init: 'random' is not one of normal, uniform, zeros, sparse:p"),
        (Matmul, {"init": "sparse:1.0"}, "matmul.init: 'sparse:1.0'"),
        (Matmul, {"init": "sparse:x"}, "matmul.init: 'sparse:x'"),
        (Matmul, {"init": 0}, "matmul.init: 0"),
        (Matmul, {"seed": -1}, "matmul.seed: -1"),
        (Matmul, {"seed": 0.5}, "matmul.seed: 0.5"),
        (Matmul, {"out_dtype": "fp32"}, "matmul.out_dtype: 'fp32' is not one of bf16"),
        (Matmul, {"dtype": "tf32", "out_dtype": "tf32"}, "matmul.out_dtype: 'tf32' is not one of fp32"),
        (Matmul, {"dtype": "fp8_e4m3", "out_dtype": "fp64"}, "matmul.out_dtype: 'fp64' is not one of bf16, fp16, fp32"),
        (Matmul, {"fast_accum": True}, "matmul.fast_accum: only fp8 has it, dtype is bf16"),
        (Matmul, {"dtype": "fp8_e4m3", "fast_accum": 1}, "matmul.fast_accum: 1 is not one of false, true"),
        (Matmul, {"dtype": "fp8_e5m2", "batch": 2}, "matmul.batch: 2 matrices in fp8_e5m2"),
        (Attention, {"kv_heads": 3}, "attention.kv_heads: 3 does not divide the 16 query heads"),
        (Attention, {"kv_heads": 0}, "attention.kv_heads: 0 is not a positive integer"),
        (Attention, {"seq_k": 1024}, "attention.seq_k: 1024 keys for 2048 queries"),
        (Attention, {"mode": "train"}, "attention.mode: 'train' is not one of forward, backward, forward_backward"),
        (Attention, {"backend": "fa4"}, "attention.backend: 'fa4' is not one of auto, flash, efficient, cudnn, math"),
        (Attention, {"window": 0}, "attention.window: 0 is not a positive integer"),
        (Attention, {"window": 9, "causal": False}, "attention.window: the last 9 keys of a query: only causal"),
        (Attention, {"causal": "yes"}, "attention.causal: 'yes' is not one of false, true"),
        (Attention, {"dtype": "fp8_e4m3"}, "attention.dtype: 'fp8_e4m3' is not one of fp32, bf16, fp16"),
        (Attention, {"head_dim": 64.0}, "attention.head_dim: 64.0"),
        (Memory, {"op": "add"}, "memory.op: 'add' is not one of copy, scale, triad, read, write"),
        (Memory, {"array_bytes": 6}, "memory.array_bytes: 6 is not a multiple of the 4 bytes of a fp32"),
        (Memory, {"array_bytes": "64MB"}, "memory.array_bytes: '64MB'"),
        (Memory, {"dtype": "tf32"}, "memory.dtype: 'tf32'"),
        (Memory, {"backend": "c"}, "memory.backend: 'c' is not one of torch, triton"),
        (Spin, {"pipe": "fp8"}, "spin.pipe: 'fp8' is not one of fp32, fp16, bf16, fp64, int32, exp2, tensor_bf16"),
        (Spin, {"rounds": 0}, "spin.rounds: 0 is not a positive integer"),
        (Spin, {"rounds": 4096}, "spin.rounds: 4096 is more than 2048"),
        (FmaSpin, {"dtype": "fp16"}, "fma_spin.dtype: 'fp16' is not one of fp32, fp64, bf16, int8"),
        (FmaSpin, {"threads": 0}, "fma_spin.threads: 0 is not a positive integer"),
        (FmaSpin, {"fma_per_thread": 1000}, "fma_spin.fma_per_thread: 1000 is not a multiple of 3072"),
        (
            FmaSpin,
            {"fma_per_thread": 3072 * 10**6},
            "fma_spin.fma_per_thread: 3072000000 is not a multiple of 3072",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(spec: type[Workload], values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        spec(**values)
    assert "\n" not in str(error.value)


def test_two_spellings_of_one_case_have_one_identity() -> None:
    assert Matmul(m=64).params() == Matmul(m=64, n=64, k=64, out_dtype="bf16").params()
    assert Attention(heads=4).params() == Attention(heads=4, kv_heads=4, seq_k=2048, head_dim_v=128).params()
    assert Memory(array_bytes="1MiB") == Memory(array_bytes=1 << 20)
    assert Matmul(init="sparse:0.50") == Matmul(init="sparse:0.5")


@pytest.mark.parametrize("spec", [Matmul(m=4096), Attention(), Memory(array_bytes="1GiB")])
def test_what_does_not_fit_is_unsupported_with_both_sizes(spec: Workload) -> None:
    with pytest.raises(Unsupported, match=r"needs [\d.]+ GiB, cpu has 0.00977 GiB"):
        spec.prepare(Place("cpu", memory_bytes=10 << 20))
