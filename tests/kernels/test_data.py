"""Operand values: their distributions, in every format, and that they are the same for the same seed."""

from __future__ import annotations

import pytest
import torch

from perwatt.kernels import data, dtypes
from perwatt.kernels.workload import Place, Unsupported

N = 1 << 18


@pytest.mark.parametrize("dtype", dtypes.NAMES)
def test_normal_has_mean_0_and_deviation_1_in_every_format(dtype: str) -> None:
    x = data.fill((512, 512), dtype, "normal", 1)
    assert x.dtype == dtypes.torch_dtype(dtype)
    assert x.is_contiguous()
    values = x.double()
    assert abs(float(values.mean())) < 5 / N**0.5
    assert float(values.std()) == pytest.approx(1, abs=0.01)
    assert float(values.abs().max()) > 4  # 0.006 % of a normal distribution lies beyond 4: 16 of these
    assert float((values.abs() < 1).double().mean()) == pytest.approx(0.683, abs=0.1 if dtype in dtypes.FP8 else 0.01)


def test_uniform_covers_minus_1_to_1_evenly() -> None:
    x = data.fill((N,), "fp32", "uniform", 2)
    assert -1 <= float(x.min()) < -0.999
    assert 0.999 < float(x.max()) < 1
    assert float(x.double().square().mean()) == pytest.approx(1 / 3, rel=0.01)
    assert torch.histc(x, 8, -1, 1).div(N).sub(1 / 8).abs().max() < 0.005


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_sparse_zeroes_the_fraction_and_leaves_the_rest_normal(p: float) -> None:
    x = data.fill((N,), "bf16", f"sparse:{p}", 3)
    zero = x == 0
    assert float(zero.double().mean()) == pytest.approx(p, abs=0.005)
    assert float(x[~zero].double().std()) == pytest.approx(1, abs=0.02)
    assert not bool((zero.view(-1, 4).sum(1) == 2).all())  # unstructured: not two of every four


def test_zeros_are_zeros() -> None:
    assert int(data.fill((N,), "fp8_e4m3", "zeros", 4).float().count_nonzero()) == 0


def test_equal_seeds_give_equal_values_and_others_do_not() -> None:
    for init in ("normal", "uniform", "sparse:0.5"):
        one, same, other = (data.fill((1000,), "bf16", init, seed) for seed in (5, 5, 6))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_a_huge_operand_is_drawn_in_pieces_that_do_not_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_CHUNK", 1000)
    x = data.fill((4000,), "fp32", "normal", 7)
    assert len(set(x.tolist())) > 3990


def test_substreams_differ_where_torch_would_truncate_the_seed() -> None:
    seeds = {data.substream(seed, i, name) for seed in (0, 1, 2**32, 2**40) for i in range(50) for name in "ab"}
    assert len(seeds) == 400
    assert all(0 <= s < 2**32 for s in seeds)
    assert data.substream(1, 2, "a") == data.substream(1, 2, "a")


def test_poison_is_nan_in_every_format() -> None:
    for dtype in dtypes.NAMES:
        assert bool(data.poison((3,), dtype, "cpu").float().isnan().all())


def test_rotating_goes_round_and_returns_what_was_returned() -> None:
    launch = data.rotating([lambda: "a", lambda: "b", lambda: "c"])
    assert [launch() for _ in range(7)] == list("abcabca")


def test_keeping_holds_the_last_results_alive() -> None:
    launch = data.keeping(lambda: torch.zeros(1000), 3)
    pointers = [launch().data_ptr() for _ in range(3)]  # type: ignore[attr-defined]
    assert len(set(pointers)) == 3


def test_memory_is_refused_by_size_and_cache_is_cautioned_about() -> None:
    data.require_memory(100, Place("cpu", memory_bytes=None))
    data.require_memory(100, Place("cpu", memory_bytes=100))
    with pytest.raises(Unsupported, match="needs 2 GiB, xpu:1 has 1 GiB"):
        data.require_memory(2 << 30, Place("xpu:1", memory_bytes=1 << 30))
    place = Place("cpu", llc_bytes=1 << 20)
    assert data.cache_note(4, 1 << 19, place) == ""
    assert data.cache_note(3, 1 << 19, place).startswith("3 sets of operands, 1.5 MiB, do not exceed")
    assert data.cache_note(1, 8, Place("cpu", llc_bytes=1 << 20, cache="warm")) == ""
