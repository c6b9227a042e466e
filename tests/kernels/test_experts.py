"""Mixtures of experts: who goes where, and the products of all at once."""

from __future__ import annotations

import dataclasses
from unittest import mock

import pytest
from step_models import MIXED, step
from torch.nn import functional

from perwatt.kernels import experts, step_operands
from perwatt.kernels.model import Experts
from perwatt.kernels.workload import Place


@pytest.mark.parametrize(("tokens", "active", "resident"), [(64, 2, 8), (7, 3, 5), (1, 4, 4), (5, 2, 64)])
def test_tokens_are_dealt_evenly_to_different_experts(tokens: int, active: int, resident: int) -> None:
    chosen = experts.choose(tokens, active, resident, 3)
    assert all(len(set(row)) == active for row in chosen.tolist())
    counts = chosen.flatten().bincount(minlength=resident)
    assert int(counts.max() - counts.min()) <= 1
    assert (chosen == experts.choose(tokens, active, resident, 3)).all()
    assert (chosen != experts.choose(tokens, active, resident, 4)).any() or resident == active


@pytest.mark.parametrize("backward", [False, True])
def test_the_grouped_product_is_the_loop(backward: bool, cpu: Place) -> None:
    import torch

    if not experts.has_grouped(torch.float32, "cpu", backward):
        pytest.skip("this torch has none on the CPU")
    mode = "train" if backward else "prefill"
    results = []
    for fused in (False, True):
        with mock.patch.object(experts, "has_grouped", return_value=fused):
            # 16 bytes to a row, or the grouped product refuses
            model = dataclasses.replace(MIXED, hidden=64, experts=Experts(1, 6, 32, 2, 1))
            results.append(step_operands.launcher(step(model, mode).maker(cpu).operands(0))())
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_without_a_grouped_product_one_an_expert_is_made() -> None:
    import torch

    with mock.patch.object(functional, "grouped_mm", side_effect=RuntimeError("no")):
        assert not experts.has_grouped(torch.float32, "cpu", False)
    with mock.patch.object(functional, "grouped_mm", return_value=torch.zeros(16, 32)):
        assert not experts.has_grouped(torch.float32, "cpu", False)
