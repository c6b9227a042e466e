"""What several ranks answer becomes one outcome, and no package is counted twice."""

from __future__ import annotations

import pytest
from records import energy, measured

from perwatt.benchmarks.ranks import reduce
from perwatt.benchmarks.task import Answer
from perwatt.results.record import Device, Failed, Measured, Outcome, Skipped

GPU = Device("cuda", "test GPU")


def answers(*outcomes: Outcome) -> list[Answer]:
    return [Answer(rank, GPU, outcome, (f"flag{rank}",)) for rank, outcome in enumerate(outcomes)]


def board(number: int, joules: float = 10.0) -> Measured:
    return measured(energy("nvml", joules, boundary="gpu", packages=(f"GPU-{number}",)))


def joules(outcome: Outcome) -> list[tuple[str, float, tuple[str, ...]]]:
    assert isinstance(outcome, Measured)
    return [(e.meter, e.energy_j, e.packages) for e in outcome.repetitions[0].energies]


def test_boards_are_summed() -> None:
    outcome, flags = reduce(answers(board(0, 10), board(1, 12)))
    assert joules(outcome) == [("nvml", 22.0, ("GPU-0", "GPU-1"))]
    assert flags == ("flag0", "flag1")


def test_two_ranks_on_one_package_count_it_once() -> None:
    outcome, _ = reduce(answers(board(0), board(0)))
    assert joules(outcome) == [("nvml", 10.0, ("GPU-0",))]


def test_the_hosts_meter_speaks_for_all_ranks() -> None:
    outcome, _ = reduce(answers(measured(energy("rapl", 50.0)), measured(unmetered="")))
    assert joules(outcome) == [("rapl", 50.0, ("package-0",))]


def test_some_of_the_boards_are_not_the_energy_of_the_work() -> None:
    outcome, _ = reduce(answers(board(0), measured(unmetered="nvml: gone")))
    assert joules(outcome) == []
    assert isinstance(outcome, Measured)
    assert "nvml: gone" in outcome.unmetered


@pytest.mark.parametrize("bad", [Failed("boom", 1), Skipped("no fp8")])
def test_one_rank_decides_for_all(bad: Outcome) -> None:
    assert reduce(answers(board(0), bad))[0] == bad
    assert reduce(answers(Skipped("x"), Failed("y")))[0] == Failed("y")
