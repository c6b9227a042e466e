"""The harness against a bare loop, interleaved in one process on the same buffers: ratios, never absolute times."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from perwatt.benchmarks.measure import MOST_COST, Measurer
from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.meters.rapl import Rapl
from perwatt.benchmarks.meters.replay import Replay
from perwatt.benchmarks.profile import Profile
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.stopping import Count
from perwatt.benchmarks.timers import HostTimer
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.workload import Place, Unsupported

pytestmark = [pytest.mark.slow, pytest.mark.alone]

BLOCKS, PER_BLOCK = 110, 10
BAR = 0.01
LARGE = 0.98  # of the rate of a bare loop
DOSE = 4  # times as many readings of a meter as by default
ROUNDS = 8  # of pairs, at most: they are added until the limit is told from the bar
T = TypeVar("T")


def put(folder: Path, **files: object) -> None:
    """A folder with these files."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def bare(launch: Callable[[], object], samples: int) -> list[float]:
    """What anybody would write."""
    out = []
    for _ in range(samples):
        start = time.perf_counter()
        launch()
        out.append(time.perf_counter() - start)
    return out


def in_turns(pair: int, one: T, other: T) -> tuple[T, T]:
    """Both, in the order of this pair: A B, B A, B A, A B. Each is first, and follows itself, as often as the other."""
    return (other, one) if (pair ^ pair >> 1) & 1 else (one, other)


def upper_limit(harness: np.ndarray, loop: np.ndarray) -> float:
    """Upper 95 % limit of the median relative difference, resampled. The two of a pair follow each other, so that what
    else the machine does, which comes and goes over many pairs, falls out of their ratio. Two pairs, the second in the
    other order, are one value: what being first is worth would part the differences of pairs into two heaps, and their
    median may lie anywhere between."""
    differences = harness.reshape(-1, 2).sum(1) / loop.reshape(-1, 2).sum(1) - 1
    rows = np.random.default_rng(0).integers(0, len(differences), (4000, len(differences)))
    return float(np.quantile(np.median(differences[rows], axis=1), 0.95))


def ten_milliseconds() -> Callable[[], object]:
    """A square matmul of about 10 ms on this machine."""
    import torch

    n = 256
    while True:
        a = torch.randn(n, n)
        b, c = torch.randn(n, n), torch.empty(n, n)

        def launch(a: torch.Tensor = a, b: torch.Tensor = b, c: torch.Tensor = c) -> object:
            return torch.mm(a, b, out=c)

        if float(np.median(bare(launch, 20))) > 0.009:
            return launch
        n += 64


def interleave(measurer: Measurer, out: dict[str, list[float]]) -> None:
    """Blocks of the harness and of a bare loop in turns, each first in every second pair: appends a figure a block, the
    median launch as the harness reports it and as the loop sees it, and the time of the whole block."""

    def harness(block: int) -> None:
        first = len(measurer.out.seconds)
        start = time.perf_counter()
        measurer._window(block)
        out["whole"].append(time.perf_counter() - start)
        launches = measurer.out.seconds[first:]
        assert len(launches) == PER_BLOCK
        out["reported"].append(float(np.median(launches)))

    def plain(_: int) -> None:
        start = time.perf_counter()
        launches = bare(measurer.launch, PER_BLOCK)
        out["loop_whole"].append(time.perf_counter() - start)
        out["loop"].append(float(np.median(launches)))

    with measurer.sampler:
        measurer._warm_up()
        measurer.per_sample, measurer.per_chunk = 1, PER_BLOCK
        for block in range(BLOCKS):
            for turn in in_turns(block, plain, harness):
                turn(block)


def test_a_harness_round_a_10_ms_matmul_costs_less_than_a_hundredth(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("t_s,power_w\n0,100\n1,101\n2,100\n")
    launch = ten_milliseconds()
    channels, _ = open_meters({"replay": Replay(str(tmp_path / "t.csv"), poll_s=0.05)}, Part("cpu"), host=True)
    profile = Profile("test", 0.1, BLOCKS, 1.0, 0, True)
    out: dict[str, list[float]] = {"reported": [], "whole": [], "loop": [], "loop_whole": []}
    for _ in range(ROUNDS):
        interleave(Measurer(launch, HostTimer(), Sampler(channels), profile, lambda: Count(PER_BLOCK)), out)
        found = {name: np.array(blocks) for name, blocks in out.items()}
        limit = upper_limit(found["reported"], found["loop"])
        if limit < BAR:
            break
    assert found["reported"].size == found["loop"].size >= BLOCKS
    all_in = upper_limit(found["whole"], found["loop_whole"])
    ours, theirs = np.median(found["reported"]) * 1e3, np.median(found["loop"]) * 1e3
    print(f"\nharness {ours:.4f} ms, bare loop {theirs:.4f} ms, {found['loop'].size} pairs")
    print(f"upper 95 % limit of the difference {limit:+.3%}")
    print(f"with opening and closing a metered window every {PER_BLOCK} launches: upper limit {all_in:+.3%}")
    assert limit < BAR


def test_reading_the_meters_costs_less_than_a_two_hundredth(tmp_path: Path) -> None:
    """Blocks of a 10 ms matmul with the processor's own meter read, and not read, in turns. The mean of a block is
    looked at: a median over launches would not see what delays a few of them. Read ``DOSE`` times as often as it is by
    default, its cost stands out of what else the machine does; several launches still lie between two readings, so
    that each costs what it costs by default: cold caches, a wake-up, a core that waits for the other."""
    for n in range(2):
        put(tmp_path / f"intel-rapl:{n}", name=f"package-{n}", max_energy_range_uj=262143328850, energy_uj=1)
    default_s = Rapl().poll_s
    channels, missing = open_meters({"rapl": Rapl(str(tmp_path), poll_s=default_s / DOSE)}, Part("cpu"), host=True)
    assert not missing
    launch, sampler, readings = ten_milliseconds(), Sampler(channels), channels[0].readings
    means: dict[str, list[float]] = {"pause": [], "resume": []}
    for _ in range(ROUNDS):
        with sampler:
            for block in range(BLOCKS):
                for turn in in_turns(block, "resume", "pause"):
                    getattr(sampler, turn)()
                    means[turn].append(float(np.mean(bare(launch, 2 * PER_BLOCK))))
        rate_hz = len(readings) / (2 * PER_BLOCK * sum(means["resume"]))  # a block that begins is read at once, too
        whole = upper_limit(np.array(means["resume"]), np.array(means["pause"]))
        limit = whole / rate_hz / default_s
        if limit < MOST_COST:
            break
    print(f"\nreading the processor's meter {rate_hz:.0f} times a second costs {whole:+.3%} at most,")
    print(f"as often as by default: upper 95 % limit {limit:+.3%}, of {len(means['pause'])} pairs")
    assert rate_hz > 0.8 * DOSE / default_s  # it was read as often as it was asked to be
    assert limit < MOST_COST


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_large_matmul_reaches_98_percent_of_a_bare_torch_loop(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both use the same operands within two pairs, each as long after its last use: where a matrix lies in memory, and
    how long ago it was used, is worth more than the harness costs."""
    import torch

    from perwatt.benchmarks.devices import cpu

    sets: list[Any] = []
    operands = Matmul.operands

    def kept(self: Matmul, *about: Any) -> Any:
        sets.append(operands(self, *about))
        return sets[-1]

    monkeypatch.setattr(Matmul, "operands", kept)
    try:
        prepared = Matmul(m=2048, dtype=dtype).prepare(Place("cpu", cpu().llc_bytes, cpu().memory_bytes))
    except Unsupported as why:
        pytest.skip(str(why))
    sets = sets[-prepared.buffers :]  # what it tries out first is small
    assert {c.shape for _, _, c in sets} == {(2048, 2048)}
    # of four sets in turn, the harness goes through 0 1 2 3, the loop through 2 3 0 1
    turns = (sets[(launch ^ 2) % len(sets)] for launch in itertools.count())
    timer, ours, theirs = HostTimer(), [], []

    def product() -> object:
        a, b, c = next(turns)
        return torch.mm(a, b, out=c)

    def harness() -> None:
        ours.append(np.median([sample.seconds for sample in timer.chunk(prepared.launch, 2, 1)]))

    def plain() -> None:
        theirs.append(np.median(bare(product, 2)))

    for _ in range(ROUNDS):
        for pair in range(24):
            for turn in in_turns(pair, plain, harness):
                turn()
        limit = upper_limit(np.array(ours), np.array(theirs))
        if limit < 1 / LARGE - 1:
            break
    rate = 2 * 2048**3 / np.median(ours) / 1e9
    print(f"\n{dtype} 2048: {rate:.1f} GFLOP/s, at least {1 / (1 + limit):.1%} of a bare torch loop, {len(ours)} pairs")
    assert limit < 1 / LARGE - 1
