"""Outputs compared with their fixed reference again between windows: what is found, and what it costs the windows."""

from __future__ import annotations

import time

import pytest
import torch
from records import measured, record

from perwatt.benchmarks.ending import Tally
from perwatt.benchmarks.measure import Measurer
from perwatt.benchmarks.measurement import Measurement
from perwatt.benchmarks.profile import Profile
from perwatt.benchmarks.rechecking import Rechecker
from perwatt.benchmarks.sampler import Sampler
from perwatt.benchmarks.stopping import Duration
from perwatt.benchmarks.timers import HostTimer
from perwatt.kernels import reference
from perwatt.kernels.attention import Attention
from perwatt.kernels.fma_spin import FmaSpin
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.memory import Memory
from perwatt.kernels.workload import Check, Place, Prepared, Workload, WrongResult
from perwatt.results.recheck import WRONG_OUTPUT

PREPARED = Check(0.0, 1e-6, "float64", 6)


class Flipping:
    """A kernel whose output is right until launch ``after``; from then on one bit of one element is not."""

    def __init__(self, after: int) -> None:
        self.after, self.launches = after, 0
        self.want = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(2, 3)
        self.out = torch.zeros(2, 3)
        self.verified: list[tuple[int, int]] = []

    def launch(self) -> None:
        time.sleep(0.0005)
        self.launches += 1
        self.out.copy_(self.want)
        if self.launches > self.after:
            self.out.view(torch.int32)[1, 2] ^= 1 << 20

    def verify(self) -> Check:
        start = time.monotonic_ns()
        time.sleep(0.01)
        try:
            return Check(reference.compare("C", self.out, self.want, 1e-6), 1e-6, "float64", 6)
        finally:
            self.verified.append((start, time.monotonic_ns()))


def measure(kernel: Flipping, rechecker: Rechecker, windows: int = 3) -> Measurement:
    profile = Profile("t", 0.02, windows, 0.03, 0, True, recheck=1)
    return Measurer(kernel.launch, HostTimer(), Sampler([]), profile, lambda: Duration(0.03), rechecker=rechecker).run()


def test_bits_that_flip_in_a_soak_are_found_with_count_place_and_error() -> None:
    kernel = Flipping(after=10**9)

    def verify() -> Check:
        try:
            return kernel.verify()
        finally:
            kernel.after = min(kernel.after, kernel.launches)  # it goes wrong once it has been right

    rechecker = Rechecker(verify, 1)
    out = measure(kernel, rechecker)
    found = rechecker.result(PREPARED)
    assert found is not None
    assert found.checks == 3
    assert found.max_error == 0.0  # of those before
    first = found.wrong[0]
    assert [wrong.after_window for wrong in found.wrong] == [1, 2]
    assert first.after_launches > kernel.after
    assert (first.elements, first.at) == (1, (1, 2))
    assert first.max_error == pytest.approx(0.5 / (6 + (91 / 6) ** 0.5))  # 6.5, in units of |want| + rms
    assert "C[1, 2] is 6.5, expected 6" in first.what
    assert len(out.windows) == 3  # nothing that was measured is lost


def test_no_comparison_lies_in_a_window() -> None:
    kernel = Flipping(after=10**9)
    rechecker = Rechecker(kernel.verify, 1)
    out = measure(kernel, rechecker)
    assert len(kernel.verified) == 3
    for window in out.windows:
        end_ns = window.start_ns + window.window_s * 1e9
        assert all(stop <= window.start_ns or start >= end_ns for start, stop in kernel.verified)
    # the device works again before the next window, in samples that are told apart
    between = [r for r in out.repetition[out.repetition.index(0) :] if r == -1]
    assert between


def test_without_an_interval_or_a_reference_nothing_is_compared() -> None:
    kernel = Flipping(after=0)
    for rechecker in (Rechecker(kernel.verify, 0), Rechecker(None, 1)):
        measure(kernel, rechecker, windows=1)
        assert rechecker.result(PREPARED) is None
    every_second = Rechecker(kernel.verify, 2)
    assert [every_second.after(n, 0) > 0 for n in range(4)] == [False, True, False, True]


KERNELS: list[Workload] = [
    Matmul(m=64, n=48, k=32, dtype="fp32"),
    Matmul(m=64, n=48, k=32, dtype="fp32", batch=3),
    Memory(op="triad", array_bytes=4096),
    Memory(op="write", array_bytes=4096),
    Attention(batch=1, heads=2, seq_q=32, head_dim=16, dtype="fp32", mode="forward"),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k.name} {k.label()}")
def test_kernels_offer_a_comparison_that_holds(kernel: Workload) -> None:
    prepared = kernel.prepare(Place("cpu"))
    prepared.launch()
    assert prepared.verify is not None
    again = prepared.verify()
    assert again.max_error == pytest.approx(prepared.check.max_error, abs=prepared.check.tolerance)
    assert again.compared > 0


def test_an_operand_that_changed_in_memory_is_no_new_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is of the preparation: one made of what lies in memory now would agree with the wrong output."""
    for kernel in (Matmul(m=64, n=48, k=32, dtype="fp32"), Memory(op="copy", array_bytes=4096)):
        taken = _operands_of(kernel, monkeypatch)
        prepared = kernel.prepare(Place("cpu"))
        assert prepared.verify is not None
        prepared.verify()
        taken[-1][1 if kernel.name == "memory" else 0].view(-1)[5] += 8
        with pytest.raises(WrongResult) as wrong:
            prepared.verify()
        assert wrong.value.wrong
        assert wrong.value.at


def _operands_of(kernel: Workload, monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, ...]]:
    """The sets of operands, as they are made."""
    name = "_operands" if kernel.name == "memory" else "operands"
    made, taken = getattr(type(kernel), name), []

    def keep(self: Workload, *arguments: object, **named: object) -> tuple[torch.Tensor, ...]:
        one: tuple[torch.Tensor, ...] = made(self, *arguments, **named)
        taken.append(one)  # those of a probe come first
        return one

    monkeypatch.setattr(type(kernel), name, keep)
    return taken


def test_large_products_compare_rows_and_projections() -> None:
    a, b = torch.randn(1, 300, 64), torch.randn(1, 64, 200)
    want = reference.ProductReference(a, b, 1e-4, budget=1e5)
    c = a @ b
    assert "projection" in want.check(c)[0].reference
    row = next(r for r in range(300) if r not in want.rows)
    c[0, row, 7] += 100.0
    with pytest.raises(WrongResult, match="projection"):
        want.check(c)


@pytest.mark.slow
def test_the_spinning_loop_compares_every_lane() -> None:
    prepared: Prepared = FmaSpin(dtype="fp32", threads=1).prepare(Place("cpu"))
    assert prepared.verify is not None
    assert prepared.verify().max_error == prepared.check.max_error


def test_zeros_offer_none() -> None:
    for kernel in (Matmul(m=32, init="zeros", dtype="fp32"), Memory(init="zeros", array_bytes=4096)):
        assert kernel.prepare(Place("cpu")).verify is None


def test_a_run_with_a_wrong_output_has_failed_and_kept_its_record() -> None:
    tally = Tally()
    tally.count([record("a", measured(), flags=(WRONG_OUTPUT,)), record("b", measured())])
    assert (tally.measured, tally.failed, tally.skipped) == (2, 1, 0)
    assert tally.exit_code(allow_failed=False) == 1
