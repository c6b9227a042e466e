"""The spins' values: closed forms against steps taken one by one, formats that hold them, sums that stay small."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perwatt.kernels import dtypes, spin_values
from perwatt.kernels.spin import TENSOR, VECTOR, Spin, stored_as
from perwatt.kernels.workload import Place, Size, Unsupported


def stepped(pipe: str, pairs: int) -> np.ndarray:
    """The pairs of steps one by one, rounded as the format is."""
    x, w, y, v = (z.astype(np.float64) for z in spin_values.lanes(pipe, 48, seed=1))
    if pipe == "int32":
        whole = [[int(z) for z in lane] for lane in zip(x, w, y, v, strict=True)]
        for lane in whole:
            for _ in range(pairs):
                lane[3] = ((lane[3] * lane[0] + lane[2]) * lane[1] + lane[2]) % 2**32
        return np.array([(lane[3] + 2**31) % 2**32 - 2**31 for lane in whole], dtype=np.float64)
    for _ in range(pairs):
        if pipe == "exp2":
            v = np.exp2(w - np.exp2(x - v))
        elif pipe in ("fp16", "bf16"):
            v = spin_values.rounded(spin_values.rounded(v * x + y, pipe) * w + y, pipe)
        else:
            v = (v * x + y) * w + y
    return v


@pytest.mark.parametrize("pairs", [1, 2, 7, 1000])
@pytest.mark.parametrize("pipe", VECTOR)
def test_closed_forms_agree_with_steps(pipe: str, pairs: int) -> None:
    want = stepped(pipe, pairs)
    got = spin_values.expected(pipe, spin_values.lanes(pipe, 48, seed=1), pairs)
    assert np.abs(got - want).max() <= (1e-11 if pipe in ("fp32", "fp64") else 0)


@pytest.mark.parametrize("pipe", ["fp32", "fp64", "fp16", "bf16", "exp2"])
def test_values_stay_of_the_order_of_one_and_differ(pipe: str) -> None:
    lanes = spin_values.lanes(pipe, 256, seed=1)
    for pairs in (100, 1 << 20):
        values = spin_values.expected(pipe, lanes, pairs)
        assert np.abs(values).max() < 8
        assert np.abs(values).min() > 1e-3
        assert len(np.unique(values)) > 80


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_rounding_is_that_of_the_format(dtype: str) -> None:
    values = torch.randn(10000, generator=torch.Generator().manual_seed(1))
    want = values.to(dtypes.torch_dtype(dtype)).double().numpy()
    assert (spin_values.rounded(values.double().numpy(), dtype) == want).all()


@pytest.mark.parametrize("fnuz", [False, True])
@pytest.mark.parametrize("dtype", TENSOR.values())
def test_tiles_fit_their_format_and_their_product_is_small(dtype: str, fnuz: bool) -> None:
    a, b = spin_values.tiles(dtype, 32, 48, 64, seed=2)
    for tile in (a, b):
        stored = torch.from_numpy(tile).to(torch.float32).to(stored_as(dtype, fnuz))
        assert (stored.double().numpy() == tile).all()
    product = a @ b.T
    unit = b[0, 0] + b[0, 32]
    assert (product == a[:, :1] * unit).all(), "one unit in the last place times the first column"
    assert np.abs(a[:, :32] @ b[:, :32].T).max() > 20 * np.abs(product).max(), "sums rise and fall"


def test_a_round_turns_the_sign() -> None:
    a, b = spin_values.tiles("bf16", 4, 4, 16, seed=2)
    total = np.zeros((4, 4))
    for rounds in range(4):
        want, _ = spin_values.spun(a, b, rounds, 10)
        assert (total + a @ b.T == want).all()
        total = -(total + 10 * (a @ b.T))


def test_names_and_peaks() -> None:
    assert Spin(pipe="tensor_fp8").params()["dtype"] == "fp8_e4m3"
    assert "dtype" not in Spin(pipe="bf16").params(), "the peak of bf16 is that of the tensor cores"
    assert Spin().label() == Spin().series() == "fp32"
    assert Spin().size() == Size("rounds", 63.0)
    assert Spin().work().flops == 0


def test_a_cpu_has_fma_spin(cpu: Place) -> None:
    with pytest.raises(Unsupported, match="on a CPU fma_spin does that"):
        Spin().prepare(cpu)
