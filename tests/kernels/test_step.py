"""Steps of a language model: work by hand and by counting, and results against float64."""

from __future__ import annotations

import dataclasses
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from step_models import BOTH, GPT, KINDS, LATENT, MIXED, TINY, shipped, step

import perwatt.conf
from perwatt.kernels import experts, step_operands, transformer
from perwatt.kernels.model import Model
from perwatt.kernels.step import MODES, Step
from perwatt.kernels.step_parallel import StepParallel
from perwatt.kernels.workload import Place, Unsupported

CONF = Path(next(iter(perwatt.conf.__path__)))


# -- the specification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [Step, StepParallel])
def test_yaml_lists_exactly_the_fields_with_their_defaults(spec: type[Step]) -> None:
    text = (CONF / "kernel" / f"{spec.name}.yaml").read_text()
    config = yaml.safe_load(text)
    assert config.pop("_target_") == f"{spec.__module__}.{spec.__name__}"
    fields = dataclasses.fields(spec)
    assert config.pop("model") == "tiny"
    assert config == {field.name: field.default for field in fields if field.name != "model"}
    for line in text.splitlines():
        assert line.startswith(("#", "_target_")) or " # " in line, f"no comment: {line}"
    names = sorted(p.stem for p in (CONF / "model").glob("*.yaml"))
    assert set(re.search(r"conf/model \((.*)\) or", text)[1].split(", ")) == set(names)  # type: ignore[index]


def test_specs_are_frozen_hashable_picklable_values() -> None:
    for spec in (step(BOTH), StepParallel(TINY)):
        assert pickle.loads(pickle.dumps(spec)) == spec
        assert hash(dataclasses.replace(spec)) == hash(spec)
        with pytest.raises(dataclasses.FrozenInstanceError):
            spec.seed = 1  # type: ignore[misc]
    assert Step({**TINY.shape(), "source": "here"}) == dataclasses.replace(  # type: ignore[arg-type]
        Step(TINY), model=dataclasses.replace(TINY, source="here")
    )


def test_specs_are_built_and_described_without_torch() -> None:
    program = """
import sys
from perwatt.kernels import experts, reference_step, step_operands, step_sync, transformer
from perwatt.kernels.step import Step
from perwatt.kernels.step_parallel import StepParallel
from perwatt.kernels.model import Model
model = Model("m", 2, 64, 4, 96, 128, True, 2, 16, rope_theta=1e4)
for spec in (Step(model), StepParallel(model)):
    print(spec.label(), spec.series(), spec.size(), spec.work(), spec.footprint_bytes(), spec.params())
assert "torch" not in sys.modules and "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_parameters_hold_the_shape_and_what_is_used_only() -> None:
    params = Step(shipped("deepseek_v3"), "decode", experts=16).params()
    assert params["model"]["latent"]["kv_lora_rank"] == 512
    assert "source" not in params["model"]
    assert (params["seq"], params["context"], params["layers"], params["experts"]) == (None, 8192, 2, 16)
    assert Step(TINY, "train", context=1).params() == Step(TINY, "train", layers=1).params()
    assert Step(TINY, "train").params()["experts"] is None


def test_layers_are_stated_never_silent() -> None:
    big = shipped("llama3_70b")
    assert Step(big).label() == "bf16 llama3_70b train b1 s4096, 1 of 80 layers"
    assert Step(big, "decode", batch=64).label() == "bf16 llama3_70b decode b64 c8192, 2 of 80 layers"
    assert Step(big, "prefill", layers=80).series() == "bf16 llama3_70b prefill b1, 80 of 80 layers"
    mixture = Step(shipped("deepseek_v3"), experts=16, init="zeros")
    assert mixture.label() == "bf16 deepseek_v3 train b1 s4096, 1 of 61 layers, 16 of 256 experts, zeros"
    assert StepParallel(TINY, sync="all_reduce").label().endswith("1 of 4 layers, all_reduce")
    assert Step(big).size() == ("sequence", 4096.0)
    assert Step(big, "decode").size() == ("context", 8192.0)


@pytest.mark.parametrize(
    ("spec", "values", "message"),
    [
        (Step, {"model": "tiny"}, "step.model: 'tiny' is a name; a kernel needs the shape"),
        (Step, {"model": {"name": "x"}}, "step.model: layers: missing; needed: name, layers, hidden, heads, ffn"),
        (Step, {"mode": "serve"}, "step.mode: 'serve' is not one of train, prefill, decode"),
        (Step, {"layers": 5}, "step.layers: 5, but tiny has 4"),
        (Step, {"layers": 0}, "step.layers: 0 is not a positive integer"),
        (Step, {"batch": 0}, "step.batch: 0"),
        (Step, {"experts": 2}, "step.experts: 2, but tiny has none"),
        (Step, {"model": MIXED, "experts": 1}, "step.experts: 1 is not among 2 to 6 of mixed"),
        (Step, {"model": GPT, "seq": 65}, "step.seq: 65, but gpt has 64 positions"),
        (Step, {"model": GPT, "mode": "decode", "context": 65}, "step.context: 65, but gpt has 64 positions"),
        (Step, {"dtype": "fp8_e4m3"}, "step.dtype: 'fp8_e4m3' is not one of fp32, bf16, fp16"),
        (Step, {"init": "random"}, "step.init: 'random'"),
        (Step, {"seed": -1}, "step.seed: -1"),
        (StepParallel, {"sync": "ring"}, "step_parallel.sync: 'ring' is not one of none, all_reduce, reduce_scatter"),
        (StepParallel, {"mode": "decode"}, "step_parallel.sync: all_reduce, but decode has no gradients: none"),
    ],
)
def test_a_wrong_value_is_refused_by_name(spec: type[Step], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        spec(**{"model": TINY, **values})
    assert "\n" not in str(error.value)


def test_what_does_not_fit_is_unsupported_with_both_sizes() -> None:
    with pytest.raises(Unsupported, match=r"needs [\d.]+ GiB, cpu has 0.00977 GiB"):
        Step(shipped("llama3_405b"), dtype="fp32").prepare(Place("cpu", memory_bytes=10 << 20))


# -- work ------------------------------------------------------------------------------------------------------------


def test_work_of_llama_by_hand() -> None:
    layer = 4096 * (2 * 4096 + 2 * 1024) + 3 * 4096 * 14336
    attention = 4 * 32 * 4096**2 * 128 // 2  # FlashAttention's, causal
    one = Step(shipped("llama3_8b")).work()
    assert one.flops == 6 * 4096 * layer + attention * 7 // 2
    assert (one.tokens, one.headline) == (4096, "flops")
    prefill = Step(shipped("llama3_8b"), "prefill").work()
    assert prefill.flops == 2 * (2 * 4096 * layer + attention)
    decode = Step(shipped("llama3_8b"), "decode", batch=64).work()
    assert decode.flops == 2 * 64 * (2 * layer + 4 * 32 * 8192 * 128)
    assert decode.tokens == 64
    cache = 64 * 8192 * 2 * 8 * 128
    assert decode.bytes == 2 * (2 * (layer + 2 * 4096 + cache) + 2 * 64 * 4096)


def test_work_of_a_whole_model_is_two_flop_a_parameter_and_token() -> None:
    # decoding one token against a single key: what is left besides the matrices is the output head
    for name in ("llama3_405b", "deepseek_v3", "gpt3_175b"):
        model = shipped(name)
        spec = Step(model, "decode", model.layers, context=1)
        head = model.vocab * model.hidden
        assert spec.work().flops == pytest.approx(2 * (model.active_parameters - head), rel=2e-3)


def test_latent_decoding_counts_the_products_that_are_done() -> None:
    model = shipped("deepseek_v3")
    spec = Step(model, "decode", 1, batch=8, context=4096)
    attention = 1536 * (7168 + 128 * 192) + 7168 * (512 + 64) + 512 * 128 * 256 + 128 * 128 * 7168
    matrices = attention + 7168 * 256 + 9 * 3 * 7168 * 2048
    assert spec.work().flops == 2 * 8 * matrices + 2 * 8 * 128 * 4096 * (576 + 512)
    # 8 tokens of 8 experts each reach 64 of 256
    assert spec.work().bytes < Step(model, "decode", 1, batch=32, context=4096).work().bytes
    assert Step(model, "decode", 1, experts=16).footprint_bytes() < 2**31 < spec.footprint_bytes()


def test_all_ranks_together() -> None:
    alone, spec = Step(TINY).work(), StepParallel(TINY)
    work = spec.work(4)
    assert (work.flops, work.tokens) == (4 * alone.flops, 4 * alone.tokens)
    parameters = 4 * 2 * 2 * TINY.layer_parameters(False)
    assert work.bytes == 4 * alone.bytes + parameters
    assert StepParallel(TINY, sync="none").work(4).bytes == 4 * alone.bytes


@pytest.mark.parametrize("model", KINDS, ids=lambda m: m.name)
@pytest.mark.parametrize("mode", MODES)
def test_flop_are_those_that_torch_counts_in_the_launch(model: Model, mode: str, cpu: Place) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    spec = step(model, mode, layers=model.layers)
    with mock.patch.object(experts, "has_grouped", return_value=False):  # which it does not count
        launch = step_operands.launcher(spec.maker(cpu).operands(0))
    # as products and softmax: every one of them is counted, the pairs that are masked too
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        launch()
    load = spec.load
    whole = load.layers * load._attention() * (1 if mode == "decode" else 2)
    matrices = spec.work().flops - load.layers * load._attention() * (7 if mode == "train" else 2) // 2
    # backward without recomputation is 2 times forward, where FlashAttention counts 2.5
    assert counter.get_total_flops() == matrices + whole * (3 if mode == "train" else 1)


def test_the_footprint_is_about_what_a_step_takes(cpu: Place) -> None:
    spec = step(TINY, "train", seq=64, layers=2)
    maker = spec.maker(cpu)
    ops = maker.operands(0)
    held = [*ops.flats, *step_operands.launcher(ops)(), ops.x, ops.gradient]
    kept: dict[int, int] = {}

    def note(tensor: Any) -> Any:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    import torch

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        y = transformer.forward(ops.stack, ops.layers, ops.x)
    del y
    parameters = {flat.untyped_storage().data_ptr() for flat in ops.flats}
    saved = sum(size for pointer, size in kept.items() if pointer not in parameters)
    total = sum(t.numel() * t.element_size() for t in held) + saved  # type: ignore[union-attr]
    assert 0.8 * total < spec.footprint_bytes() < 2 * total


# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", KINDS, ids=lambda m: m.name)
@pytest.mark.parametrize("mode", MODES)
def test_a_step_is_right(model: Model, mode: str, cpu: Place) -> None:
    prepared = step(model, mode, layers=2).prepare(cpu)
    assert 0 < prepared.check.max_error < prepared.check.tolerance / 4
    assert prepared.check.tolerance == 512 * 2.0**-24
    assert f"last 2 of {model.layers} layers" in prepared.note
    assert ("gradients" in prepared.check.reference) == (mode == "train")
    assert ("experts resident" in prepared.note) == (model.experts is not None)
    assert prepared.buffers > 1
    prepared.launch()


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("emulated")
def test_a_step_is_right_in_16_bits(mode: str, dtype: str, cpu: Place) -> None:
    for model in (KINDS[0], BOTH):
        check = step(model, mode, layers=2, dtype=dtype).prepare(cpu).check
        assert 0 < check.max_error < check.tolerance


@pytest.mark.parametrize("name", ["llama3_8b", "deepseek_v3", "gpt3_175b"])
def test_the_small_instance_has_the_kinds_of_layers_of_the_whole(name: str, cpu: Place) -> None:
    model = shipped(name)
    for mode in MODES:
        spec = Step(model, mode, min(model.layers, 60), seq=2048, context=2048, dtype="fp32")
        small = spec.small()
        assert set(small.model.mixes(small.load.layers)) == set(model.mixes(spec.load.layers))
        assert (small.model.dim, small.model.dim_v) == (model.dim, model.dim_v)
        assert small.model.heads // small.model.groups == model.heads // model.groups
        assert (small.model.latent is None) == (model.latent is None)
        assert small.footprint_bytes() < 2**27
    small = Step(model, "train", 1, seq=2048, dtype="fp32").small()
    assert small.compared(cpu).max_error < 1e-5


def test_zeros_give_zeros(cpu: Place) -> None:
    for mode in MODES:
        assert step(BOTH, mode, init="zeros").prepare(cpu).check.max_error > 0  # checked on other values


def test_sequences_and_places_matter(cpu: Place) -> None:
    """Decoding after prefill is prefill of one more token: what both leave and read is one cache."""
    import torch

    for model in (KINDS[0], GPT, LATENT, BOTH):
        one = dataclasses.replace(model, experts=None)
        whole = step(one, "prefill", layers=2, seq=20).maker(cpu)
        ops = whole.operands(0)
        (y,) = step_operands.launcher(ops)()
        decode = step(one, "decode", layers=2, context=20).maker(cpu).operands(0)
        layers = [
            transformer.Layer(mine.mixture, mine.weights, theirs.cache)
            for mine, theirs in zip(ops.layers, decode.layers, strict=True)
        ]
        for filled, empty in zip(ops.layers, layers, strict=True):
            for source, target in zip(filled.cache, empty.cache, strict=True):
                target.copy_(source)
                target[:, :, -1].fill_(float("nan"))  # which decoding has to write
        last = dataclasses.replace(decode, layers=layers, x=ops.x[:, -1:])
        (z,) = step_operands.launcher(last)()
        torch.testing.assert_close(z, y[:, -1:], rtol=1e-4, atol=1e-4)


# -- a run -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("mode", MODES)
def test_a_step_of_llama_on_the_device(mode: str) -> None:
    import torch
    from conftest import require

    require("accelerator", torch.accelerator.is_available())
    device = torch.accelerator.current_accelerator()
    assert device is not None
    spec = Step(shipped("llama3_8b"), mode, batch=2, seq=1024, context=1024)
    prepared = spec.prepare(Place(device.type, llc_bytes=1 << 26, memory_bytes=1 << 36))
    prepared.launch()
    torch.accelerator.synchronize()
    assert prepared.check.max_error < prepared.check.tolerance
