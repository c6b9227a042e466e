"""The models and steps that tests of a step are made with: each kind there is, as small as it can be."""

from __future__ import annotations

import dataclasses
from typing import Any

from perwatt.benchmarks import models
from perwatt.kernels.model import Experts, Latent, Model, parse
from perwatt.kernels.step import Step


def shipped(name: str) -> Model:
    return parse(models.load(name, "test"), "test")


TINY = shipped("tiny")
# The kinds that there are, each as small as it can be: grouped heads, GELU with biases, latent attention, experts.
GPT = Model("gpt", 2, 48, 2, 80, 64, False, 2, 16, norm="layer", biases=True, tied=True, learned_positions=64)
MIXED = Model("mixed", 3, 48, 4, 80, 64, True, 2, 16, rope_theta=1e4, experts=Experts(1, 6, 24, 2, 1, 2.5))
UNSHARED = dataclasses.replace(MIXED, name="unshared", gated=False, experts=Experts(0, 5, 24, 2, 0))
LATENT = Model("latent", 3, 48, 3, 80, 64, True, rope_theta=1e4, latent=Latent(20, 24, 16, 8, 12))
BOTH = dataclasses.replace(LATENT, name="both", experts=Experts(1, 6, 24, 2, 1, 2.5))
KINDS = (dataclasses.replace(TINY, hidden=48, ffn=80), GPT, MIXED, UNSHARED, LATENT, BOTH)


def step(model: Model = TINY, mode: str = "train", **changes: Any) -> Step:
    sizes = {"batch": 2, "seq": 12, "context": 20, "dtype": "fp32"}
    return Step(model, mode, **{**sizes, **changes})
