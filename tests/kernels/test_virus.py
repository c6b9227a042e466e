"""The virus through torch: counted, checked in each of its parts, and in a period that is kept."""

from __future__ import annotations

import time

import pytest
import torch

from perwatt.kernels import periodic, virus
from perwatt.kernels.virus import Virus
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

SMALL = Virus(backend="torch", dtype="fp32", buffer_bytes="1MiB")


def test_products_and_the_large_arrays_are_counted() -> None:
    work = SMALL.work()
    assert work.bytes == 3 << 20 == SMALL.footprint_bytes()
    assert work.flops == SMALL._products * 2 * 256**3
    assert work.headline == "flops"
    assert 8 < work.flops / work.bytes < 32
    larger = Virus(backend="torch", dtype="fp32", buffer_bytes="64MiB").work()
    assert larger.flops / larger.bytes == pytest.approx(16, rel=0.02)


def test_what_only_the_device_knows_is_not_guessed() -> None:
    assert Virus().work().flops == 0
    assert Virus(backend="torch", dtype="fp32", duty=0.5, period_s=0.1).work().flops == 0


def test_names_tell_cases_apart() -> None:
    assert Virus().label() == "bf16 1 GiB"
    assert Virus(duty=0.5, period_s=1).label() == "bf16 1 GiB duty 0.5 of 1 s"
    assert SMALL.series() == "fp32 torch"
    assert SMALL.size() == Size("buffer_bytes", 2.0**20)
    assert Virus(duty=1) == Virus()


def test_one_slice_is_right_and_its_work_is_said(cpu: Place) -> None:
    prepared = SMALL.prepare(cpu)
    assert prepared.check.max_error <= prepared.check.tolerance == 1.0
    assert prepared.check.compared == 256 * 256 + (1 << 18) + (1 << 18)
    assert prepared.work == SMALL.work()
    assert not prepared.whole
    prepared.launch()


@pytest.mark.parametrize("part", ["product", "triad", "exp2"])
def test_each_part_is_checked(cpu: Place, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    def spoil(real: object) -> object:
        def wrong(*args: object, out: torch.Tensor, **options: object) -> torch.Tensor:
            real(*args, out=out, **options)  # type: ignore[operator]
            if out.numel() > 1 << 12:
                out.view(-1)[1234] += 0.01
            return out

        return wrong

    name = {"product": "mm", "triad": "add", "exp2": "exp2"}[part]
    monkeypatch.setattr(torch, name, spoil(getattr(torch, name)))
    with pytest.raises(WrongResult, match={"product": "C", "triad": "triad", "exp2": "exp2"}[part]):
        SMALL.prepare(cpu)


def test_all_three_parts_run_in_a_slice(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def noting(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def note(*args: object, **options: object) -> object:
            ran.append(name)
            return real(*args, **options)

        monkeypatch.setattr(owner, name, note)

    for name in ("mm", "add", "exp2"):
        noting(torch, name)
    launch = SMALL.prepare(cpu).launch
    ran.clear()
    launch()
    assert ran.count("mm") == SMALL._products
    assert ran.count("add") == 1
    assert ran.count("exp2") == max(1, round(3 * (1 << 20) / virus._BYTES_PER_EXP / virus._EXPS))


def test_a_period_is_kept_and_its_work_counted(cpu: Place) -> None:
    spec = Virus(backend="torch", dtype="fp32", buffer_bytes="256KiB", duty=0.5, period_s=0.2)
    prepared = spec.prepare(cpu)
    assert prepared.whole
    assert prepared.work is not None
    slices = int(prepared.note.split(" slice")[0])
    one = Virus(backend="torch", dtype="fp32", buffer_bytes="256KiB").work()
    assert (prepared.work.flops, prepared.work.bytes) == (slices * one.flops, slices * one.bytes)
    assert "in every 0.2 s: duty 0." in prepared.note
    start = time.monotonic()
    for _ in range(3):
        prepared.launch()
    assert time.monotonic() - start >= 0.6


def test_a_slice_that_does_not_fit_is_refused(cpu: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic.Periodic, "_time", lambda _: 0.5)
    with pytest.raises(Unsupported, match=r"one slice of work takes 0\.5 s"):
        Virus(backend="torch", dtype="fp32", buffer_bytes="1MiB", duty=0.5, period_s=0.1).prepare(cpu)


def test_a_cpu_is_told_to_use_torch(cpu: Place) -> None:
    with pytest.raises(Unsupported, match="use backend=torch"):
        Virus().prepare(cpu)
    assert SMALL.programs(cpu) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backend": "c"}, r"virus\.backend: 'c' is not one of torch, triton"),
        ({"dtype": "fp32"}, r"virus\.dtype: 'fp32' is not one of bf16, fp16, fp8_e4m3"),
        ({"backend": "torch", "dtype": "fp8_e4m3"}, r"virus\.dtype: 'fp8_e4m3' is not one of fp32, bf16, fp16"),
        ({"buffer_bytes": 6}, r"virus\.buffer_bytes: 6 is not a multiple of the 4 bytes"),
        ({"duty": 0.5}, r"virus\.period_s: None is not a number of seconds"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Virus(**values)  # type: ignore[arg-type]
