"""Outputs compared with their fixed reference again between windows: what is found, and what it costs the windows."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from faults import Faulty
from records import measured, record
from step_models import TINY, step

from perwatt.benchmarks.ending import Tally
from perwatt.benchmarks.measure import Measurer
from perwatt.benchmarks.measurement import Agreed, Exchange, Measurement
from perwatt.benchmarks.profile import Profile
from perwatt.benchmarks.rechecking import Rechecker
from perwatt.benchmarks.sampler import Sampler
from perwatt.benchmarks.stopping import Duration
from perwatt.benchmarks.timers import HostTimer
from perwatt.kernels import reference
from perwatt.kernels.attention import Attention
from perwatt.kernels.attention_varlen import AttentionVarlen
from perwatt.kernels.decode import Decode
from perwatt.kernels.fma_spin import FmaSpin
from perwatt.kernels.idle import Idle
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.matmul_grouped import MatmulGrouped
from perwatt.kernels.memory import Memory
from perwatt.kernels.virus import Virus
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


class Group:
    """Threads that agree as ranks do: each waits for the others, and all have as much to say."""

    def __init__(self, ranks: int) -> None:
        self.barrier, self.said = threading.Barrier(ranks, timeout=60), [[0.0]] * ranks

    def of(self, rank: int) -> Exchange:
        def exchange(seconds: list[float], stop: bool, ready: bool) -> Agreed:
            self.said[rank] = [*seconds, ready]
            self.barrier.wait()
            assert len({len(said) for said in self.said}) == 1, "ranks are not at the same place"
            slowest = [max(each) for each in zip(*self.said, strict=True)][:-1]
            agreed = Agreed(slowest, math.fsum(slowest), False, all(said[-1] for said in self.said))
            self.barrier.wait()
            return agreed

        return exchange


def test_ranks_stay_in_step_though_one_takes_longer_to_compare() -> None:
    group, kernels = Group(2), [Flipping(after=10**9), Flipping(after=10**9)]

    def late() -> Check:
        time.sleep(0.02)
        return kernels[1].verify()

    profile = Profile("t", 0.05, 3, 0.03, 0, True, recheck=1)

    def rank(number: int) -> Measurement:
        rechecker = Rechecker(late if number else kernels[0].verify, 1)
        launch, rule = kernels[number].launch, lambda: Duration(0.03)
        options: dict[str, Any] = {"exchange": group.of(number), "one_by_one": True, "rechecker": rechecker}
        return Measurer(launch, HostTimer(), Sampler([]), profile, rule, **options).run()

    with ThreadPoolExecutor(2) as pool:
        first, second = (one.result() for one in [pool.submit(rank, number) for number in range(2)])
    assert first.repetition == second.repetition
    assert first.slowest == second.slowest
    assert [len(kernel.verified) for kernel in kernels] == [3, 3]


def test_without_an_interval_or_a_reference_nothing_is_compared() -> None:
    kernel = Flipping(after=0)
    for rechecker in (Rechecker(kernel.verify, 0), Rechecker(None, 1)):
        measure(kernel, rechecker, windows=1)
        assert rechecker.result(PREPARED) is None
    every_second = Rechecker(kernel.verify, 2)
    assert [every_second.after(n, 0) > 0 for n in range(4)] == [False, True, False, True]


PRODUCT = r"aten\.(add|b)?mm|grouped_mm"
ATTENTION = r"scaled_dot_product|aten\.bmm"
VIRUS: dict[str, Any] = {"backend": "torch", "dtype": "fp32", "buffer_bytes": "64KiB"}
STEP = step(TINY, layers=1)
SMALL: dict[str, Any] = {"batch": 2, "heads": 2, "head_dim": 16, "dtype": "fp32"}
# Each kernel that a CPU has, and operations of which one element is wrong.
KERNELS: list[tuple[Workload, str]] = [
    (Matmul(m=64, n=48, k=32, dtype="fp32"), PRODUCT),
    (Matmul(m=64, n=48, k=32, dtype="fp32", batch=3), PRODUCT),
    (Matmul(m=64, dtype="fp32", init="zeros"), PRODUCT),
    (MatmulGrouped(groups=3, tokens=40, n=24, k=32, skew=1.0), PRODUCT),
    (MatmulGrouped(groups=3, tokens=40, n=24, k=32, init="zeros"), PRODUCT),
    (Memory(op="triad", array_bytes=4096), r"aten\.add"),
    (Memory(op="scale", array_bytes=4096), r"aten\.mul"),
    (Memory(op="copy", array_bytes=4096), r"aten\.copy_"),
    (Memory(op="write", array_bytes=4096), r"aten\.fill_"),
    (Memory(op="read", array_bytes=4096), r"sum.IntList_out"),
    (Memory(op="read", array_bytes=4096, init="zeros"), r"sum.IntList_out"),
    (Memory(op="write", array_bytes=4096, init="zeros"), r"aten\.fill_"),
    (Attention(seq_q=32, **SMALL), ATTENTION),
    (Attention(seq_q=32, mode="forward_backward", **SMALL), r"attention.*backward"),
    (Attention(seq_q=32, init="zeros", **SMALL), ATTENTION),
    (AttentionVarlen(seq=32, **SMALL), ATTENTION),
    (AttentionVarlen(seq=32, mode="backward", **SMALL), r"attention.*backward"),
    (Decode(context=48, page=8, **SMALL), ATTENTION),
    (Decode(context=48, page=8, init="zeros", **SMALL), ATTENTION),
    (Decode("mla", 2, 2, context=48, page=8, dtype="fp32"), ATTENTION),
    (STEP, PRODUCT),
    (dataclasses.replace(STEP, mode="prefill"), PRODUCT),
    (dataclasses.replace(STEP, mode="decode"), PRODUCT),
    (Virus(**VIRUS), PRODUCT),
    (Virus(**VIRUS), r"aten\.add\.out"),
    (Virus(**VIRUS), r"aten\.exp2"),
    (Virus(**VIRUS, duty=0.5, period_s=0.4), r"aten\.exp2"),
]


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize(("kernel", "operations"), KERNELS, ids=lambda x: x if isinstance(x, str) else _id(x))
def test_what_a_device_computes_wrongly_is_found(kernel: Workload, operations: str) -> None:
    prepared = kernel.prepare(Place("cpu"))
    assert prepared.verify is not None
    rechecker = Rechecker(prepared.verify, 1)
    for window in range(3):
        prepared.launch()
        with Faulty(operations if window == 1 else "(?!)") as fault:
            rechecker.after(window, window + 1)
        assert bool(fault.hits) == (window == 1)
    prepared.launch()
    found = rechecker.result(prepared.check)
    assert found is not None
    assert (found.checks, [wrong.after_window for wrong in found.wrong]) == (3, [1])
    assert found.compared > 0
    assert found.max_error is not None
    assert found.max_error <= found.tolerance
    assert found.wrong[0].elements


def _id(kernel: Workload) -> str:
    return f"{kernel.name} {kernel.label()}"


def test_a_step_whose_results_are_not_finite_is_wrong_though_a_small_one_is_right() -> None:
    prepared = STEP.prepare(Place("cpu"))
    assert prepared.verify is not None
    assert "finite" in prepared.verify().reference
    with Faulty(PRODUCT, off=math.nan, most=1), pytest.raises(WrongResult, match="not finite"):
        prepared.verify()


def test_without_room_for_operands_of_its_own_it_says_so() -> None:
    """Attention is compared on operands beside those that are timed."""
    for kernel in (Attention(seq_q=32, **SMALL), AttentionVarlen(seq=32, **SMALL)):
        footprint = kernel.footprint_bytes()
        assert kernel.prepare(Place("cpu", memory_bytes=3 * footprint)).verify
        prepared = kernel.prepare(Place("cpu", memory_bytes=3 * footprint - 1))
        assert prepared.verify is None
        assert "no memory" in prepared.unverified


def test_rest_is_not_woken() -> None:
    prepared = Idle(resident_bytes="1MiB").prepare(Place("cpu"))
    assert prepared.verify is None
    assert "at rest" in prepared.unverified


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


def test_a_run_with_a_wrong_output_has_failed_and_kept_its_record() -> None:
    tally = Tally()
    tally.count([record("a", measured(), flags=(WRONG_OUTPUT,)), record("b", measured())])
    assert (tally.measured, tally.failed, tally.skipped) == (2, 1, 0)
    assert tally.exit_code(allow_failed=False) == 1
