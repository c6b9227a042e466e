"""The comparison itself: what is right passes, and each way of being wrong is caught and named."""

from __future__ import annotations

import math

import pytest
import torch

from perwatt.kernels import data, reference
from perwatt.kernels.workload import Check, WrongResult

WANT = torch.tensor([[1.0, -2.0], [0.0, 4.0]], dtype=torch.float64)


def check_product(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, tolerance: float, budget: float = reference.BUDGET_FLOPS
) -> tuple[Check, float]:
    return reference.ProductReference(a, b, tolerance, budget=budget).check(c)


def test_an_exact_result_has_no_error() -> None:
    assert reference.compare("x", WANT.float(), WANT, 1e-9) == 0


def test_the_worst_element_is_named_by_its_place_in_the_whole() -> None:
    got = WANT.clone()
    got[1, 0] += 0.1
    with pytest.raises(WrongResult, match=r"^C\[7, 20\] is 0.1, expected 0 \(error 0.0436.*; 1 of 4 compared"):
        reference.compare("C", got, WANT, 1e-3, index=([3, 7], 20))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_fail_under_any_tolerance(bad: float) -> None:
    got = WANT.clone()
    got[0, 1] = bad
    with pytest.raises(WrongResult, match=r"x\[0, 1\]"):
        reference.compare("x", got, WANT, 1e9)
    with pytest.raises(WrongResult, match="1 of 4 elements of output buffer 1 are not finite"):
        reference.require_finite("x", [WANT, got])


def test_against_zeros_only_zero_is_right() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    assert reference.compare("x", torch.zeros(3), zero, 1e-3) == 0
    with pytest.raises(WrongResult):
        reference.compare("x", torch.tensor([0, 1e-30, 0]), zero, 1e3)
    reference.require_zero("x", [torch.zeros(2)])
    with pytest.raises(WrongResult, match="1 elements of output buffer 0 are not 0"):
        reference.require_zero("x", [torch.tensor([0, 1e-30])])


def test_a_wrong_shape_is_wrong() -> None:
    with pytest.raises(WrongResult, match="shape"):
        reference.compare("x", WANT[:1], WANT, 1.0)


def test_cancelled_sums_are_held_to_the_scale_of_their_terms() -> None:
    got, want = torch.tensor([1e-6]), torch.tensor([1e-9], dtype=torch.float64)
    assert reference.compare("x", got, want, 1e-5, scale=1.0) < 1.1e-6
    with pytest.raises(WrongResult):
        reference.compare("x", got, want, 1e-5)


def test_samples_hold_the_first_and_the_last() -> None:
    assert reference.sample(5, 9, 0) == [0, 1, 2, 3, 4]
    assert reference.sample(1, 1, 0) == [0]
    assert reference.sample(2, 1, 0) == [0, 1]
    picked = reference.sample(1000, 10, 0)
    assert (len(set(picked)), picked[0], picked[-1]) == (10, 0, 999)
    assert reference.sample(1000, 10, 0) == picked != reference.sample(1000, 10, 1)


def product(batch: int = 1, m: int = 300, n: int = 700, k: int = 200, dtype: str = "fp32") -> list[torch.Tensor]:
    a, b = data.fill((batch, m, k), dtype, "normal", 1), data.fill((batch, k, n), dtype, "normal", 2)
    return [a, b, (a.double() @ b.double()).to(a.dtype)]


TOLERANCE = reference.product_tolerance("fp32", 200, "fp32")


@pytest.mark.parametrize("budget", [1e12, 1e6], ids=["every element", "sampled rows and projection"])
def test_a_right_product_passes_in_full_and_sampled(budget: float) -> None:
    a, b, c = product(batch=2)
    check, rms_error = check_product(a, b, c, TOLERANCE, budget=budget)
    assert check.max_error < check.tolerance / 10
    assert 0 < rms_error < 1e-6
    assert check.compared == (2 * 300 * 700 if budget == 1e12 else 4 * 700)
    assert ("every element" in check.reference) == (budget == 1e12)


@pytest.mark.parametrize("budget", [1e12, 1e6], ids=["every element", "sampled rows and projection"])
@pytest.mark.parametrize("at", [(0, 0, 0), (1, 299, 699), (0, 150, 333), (1, 17, 640)])
@pytest.mark.parametrize("wrong", [1.0, -0.01, math.nan])
def test_one_wrong_element_is_found_wherever_it_is(budget: float, at: tuple[int, int, int], wrong: float) -> None:
    a, b, c = product(batch=2)
    c[at] += wrong  # 0.01 beside a root mean square of 14
    with pytest.raises(WrongResult, match=rf"C\[{at[0]}"):
        check_product(a, b, c, TOLERANCE, budget=budget)


def test_what_is_wrong_as_a_whole_is_found_by_samples_too() -> None:
    a, b, c = product()
    rolled = torch.cat([c[:, 1:], c[:, :1]], dim=1)
    for bad in (c * 1.001, c + 0.01, rolled, c.to(torch.bfloat16).float(), torch.zeros_like(c)):
        with pytest.raises(WrongResult):
            check_product(a, b, bad, TOLERANCE, budget=1e6)


def test_the_tolerance_of_each_format_lies_between_its_roundings_and_the_next_coarser_format() -> None:
    """An honest result in a coarser format than was asked for must not pass."""
    for dtype, coarser in (("fp32", torch.bfloat16), ("fp32", torch.float16), ("fp64", torch.float32)):
        a, b, c = product(dtype=dtype)
        coarse = (a.to(coarser).double() @ b.to(coarser).double()).to(a.dtype)
        tolerance = reference.product_tolerance(dtype, 200, dtype)
        check_product(a, b, c, tolerance)
        with pytest.raises(WrongResult):
            check_product(a, b, coarse, tolerance)


def test_tf32_multiplied_with_a_truncated_mantissa_passes_as_tf32_and_not_as_fp32() -> None:
    a, b, _ = product()
    cut = [(x.view(torch.int32) & ~0x1FFF).view(torch.float32).double() for x in (a, b)]  # the last 13 of 23 bits
    c = (cut[0] @ cut[1]).float()
    _, rms_error = check_product(a, b, c, reference.product_tolerance("tf32", 200, "fp32"))
    assert 1e-4 < rms_error < 2e-3
    with pytest.raises(WrongResult):
        check_product(a, b, c, TOLERANCE)


def test_a_projection_in_bf16_finds_an_element_off_by_one_deviation() -> None:
    a, b, c = product(m=64, n=4096, k=64, dtype="bf16")
    tolerance = reference.product_tolerance("bf16", 64, "bf16")
    check_product(a, b, c, tolerance, budget=1e6)
    c[0, 31, 2000] += 8.0  # the root of 64, the deviation of an element
    with pytest.raises(WrongResult, match=r"projection of C\[0\] \(row, block of 256 columns\)\[31, 7\]"):
        check_product(a, b, c, tolerance, budget=1e6)
