"""A step whose layers are wrong somewhere is caught by its check."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from step_models import LATENT, MIXED, TINY, step
from torch.nn import functional

from perwatt.kernels import experts, reference_step, transformer
from perwatt.kernels.model import Model
from perwatt.kernels.step import MODES
from perwatt.kernels.workload import Place, WrongResult

_sdpa = functional.scaled_dot_product_attention


def _scaled(*args: Any, **options: Any) -> Any:
    scale = options.pop("scale", None) or args[0].shape[-1] ** -0.5
    return _sdpa(*args, scale=scale * 1.25, **options)


def _unmasked(*args: Any, **options: Any) -> Any:
    return _sdpa(*args, **{**options, "is_causal": False})


def _wrong_groups(q: Any, k: Any, v: Any, **options: Any) -> Any:
    return _sdpa(q, k.roll(1, 1), v, **options)


def _shifted(model: Model, first: int, *rest: Any) -> Any:
    return _rotary(model, first, *rest)[0], -_rotary(model, first, *rest)[1]


_rotary = transformer.rotary
_rms = functional.rms_norm
Patch = Callable[..., Any]

MUTATIONS: dict[str, tuple[Any, str, Patch]] = {
    "scale of the scores": (functional, "scaled_dot_product_attention", _scaled),
    "no mask": (functional, "scaled_dot_product_attention", _unmasked),
    "other groups": (functional, "scaled_dot_product_attention", _wrong_groups),
    "turned the other way": (transformer, "rotary", _shifted),
    "norm without its weight": (functional, "rms_norm", lambda x, shape, w, eps: _rms(x, shape, 0 * w + 1, eps)),
    "norm with a coarse epsilon": (functional, "rms_norm", lambda x, shape, w, eps: _rms(x, shape, w, 0.3)),
    "gate and up exchanged": (experts, "activate", lambda model, x: _activate(model, x.roll(x.shape[-1] // 2, -1))),
    "another activation": (
        experts,
        "activate",
        lambda model, x: functional.gelu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1],
    ),
}
_activate = experts.activate


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.usefixtures("emulated")
def test_a_wrong_layer_is_caught(name: str, dtype: str, cpu: Place) -> None:
    owner, attribute, wrong = MUTATIONS[name]
    spec = step(dataclasses.replace(TINY, hidden=128, ffn=128), "train", seq=40, dtype=dtype)
    assert spec.prepare(cpu).check.compared > 0
    with mock.patch.object(owner, attribute, wrong), pytest.raises(WrongResult):
        spec.prepare(cpu)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", ["gates", "order", "shared", "router gradient"])
def test_a_wrong_mixture_is_caught(what: str, mode: str, cpu: Place) -> None:
    if what == "router gradient" and mode != "train":
        pytest.skip("no gradients")
    mix, route, network = experts.mix, experts.route, transformer.network

    def wrong_route(chosen: Any, *rest: Any) -> Any:
        routing = route(chosen, *rest)
        return dataclasses.replace(routing, row=routing.row.flip(0))

    def wrong_mix(model: Model, routing: Any, router: Any, *rest: Any) -> Any:
        if what == "router gradient":
            return mix(model, routing, router.detach() + 0 * router, *rest)
        return mix(model, routing, router * 1.5, *rest)

    patches = {
        "gates": mock.patch.object(experts, "mix", wrong_mix),
        "router gradient": mock.patch.object(experts, "mix", wrong_mix),
        "order": mock.patch.object(experts, "route", wrong_route),
        "shared": mock.patch.object(transformer, "network", lambda *of: 0 * network(*of)),
    }
    with patches[what], pytest.raises(WrongResult):
        step(MIXED, mode).prepare(cpu)


@pytest.mark.parametrize("name", ["q_norm", "kv_norm"])
def test_a_wrong_latent_is_caught(name: str, cpu: Place) -> None:
    size = transformer.shapes(LATENT, False, 0)[name][0]
    wrong = lambda x, shape, w, eps: _rms(x, shape, w if x.shape[-1] != size else 0 * w + 1, eps)  # noqa: E731
    for mode in MODES:
        with mock.patch.object(functional, "rms_norm", wrong), pytest.raises(WrongResult):
            step(LATENT, mode).prepare(cpu)


def test_one_wrong_element_and_an_unfinished_one_are_caught(cpu: Place) -> None:
    forward = transformer.forward

    def spoiled(value: float, at: int) -> Patch:
        def wrong(stack: Any, layers: Any, x: Any) -> Any:
            y = forward(stack, layers, x)
            import torch

            mask = torch.zeros_like(y)
            mask[0, at:, 3] = value
            return y + mask

        return wrong

    with mock.patch.object(transformer, "forward", spoiled(1.0, 11)), pytest.raises(WrongResult, match="output"):
        step().prepare(cpu)
    # beyond the small instance only what is not finite can be seen
    with mock.patch.object(transformer, "forward", spoiled(float("inf"), 50)), pytest.raises(WrongResult, match="fini"):
        step(seq=64).prepare(cpu)


def test_a_tensor_that_is_off_a_little_everywhere_is_caught() -> None:
    import torch

    want = torch.randn(40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert reference_step.deviation("x", want * 1.02, want, "bf16") == pytest.approx(0.02)
    with pytest.raises(WrongResult, match=r"x: off by 0\.06 of its root mean square"):
        reference_step.deviation("x", want * 1.06, want, "bf16")
    spoiled = want.clone()
    spoiled[3, 4] += 3.0
    with pytest.raises(WrongResult, match=r"x \[3, 4\]"):
        reference_step.deviation("x", spoiled, want, "bf16")


def test_the_reference_shares_no_code_with_the_layers() -> None:
    source = inspect.getsource(reference_step)
    assert "transformer" not in source.split('"""', 2)[2]
    assert "functional" not in source
    assert "experts." not in source.split('"""', 2)[2].replace("model.experts.", "")
