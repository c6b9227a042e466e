"""How ranks kept step: who was slowest, and who is a straggler by a stated effect in a stated share of iterations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from records import measured

from perwatt.benchmarks.group import MOST, _middle
from perwatt.benchmarks.pace import Own, own, straggler, together
from perwatt.benchmarks.ranks import reduce
from perwatt.benchmarks.task import Answer
from perwatt.results.pace import Pace, host_of
from perwatt.results.record import Device, Measured

LIMITS = {"effect": 0.1, "share": 0.5}


def paced(times: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Pace:
    """The pace of ``times``, a row of seconds for each rank."""
    most, middle, least = times.max(0), np.median(times, axis=0), times.min(0)
    found = together([own(row, most, middle, least, LIMITS) for row in times], [()] * len(times))
    assert found is not None
    return found


def test_a_rank_that_is_slow_in_most_iterations_is_a_straggler_and_no_other() -> None:
    times = np.random.default_rng(0).normal(1.0, 0.02, (8, 1000))
    times[5, :700] += 0.2
    found = paced(times)
    assert (found.last, found.stragglers) == (5, (5,))
    assert found.beyond[5] == pytest.approx(0.7, abs=0.01)
    assert found.slowest[5] == pytest.approx(0.7 + 0.3 / 8, abs=0.05)
    assert found.above(5) == pytest.approx(0.19, abs=0.02)
    assert sum(found.slowest) == pytest.approx(1, abs=0.01)
    times[5, 400:700] -= 0.2  # in four of ten: less than half
    assert paced(times).stragglers == ()
    # by less than the effect, in every one of them
    assert paced(np.array([[1.0] * 9, [1.0] * 9, [1.09] * 9])).stragglers == ()


def test_ranks_that_wait_for_each_other_have_no_straggler_whoever_is_late() -> None:
    """As measured: with a rank that is halted two thirds of the time, all take longer alike."""
    times = np.random.default_rng(0).normal(19.0, 0.3, (4, 300))
    found = paced(times)
    assert found.stragglers == ()
    assert max(found.slowest) < 0.4
    assert 0.01 < found.apart < 0.1


def test_of_two_ranks_the_middle_is_between_them() -> None:
    assert paced(np.array([[1.0] * 4, [1.3] * 4])).stragglers == (1,)
    assert paced(np.array([[1.0] * 4, [1.19] * 4])).stragglers == ()


def test_the_outcome_holds_the_ranks_in_order_and_who_raised_what_others_did_not() -> None:
    def answer(rank: int, flags: tuple[str, ...]) -> Answer:
        return Answer(
            rank,
            Device("cpu", "x"),
            measured(unmetered="none"),
            flags,
            pace=Own(1.0 + rank, rank / 2, 0.0, 0.5, 0.1, 0.5),
        )

    outcome, _ = reduce([answer(2, ("noisy", "launch_bound")), answer(0, ("noisy",)), answer(1, ("noisy",))])
    assert isinstance(outcome, Measured)
    assert outcome.pace == Pace((1.0, 2.0, 3.0), (0.0, 0.5, 1.0), (0.0,) * 3, 0.5, 0.1, 0.5, {"launch_bound": (2,)})


def test_absent_is_absent() -> None:
    one = Own(1.0, 1.0, 0.0, 0.0, 0.1, 0.5)
    assert together([one], [()]) is None
    assert together([one, None], [(), ()]) is None
    assert straggler(None) is None
    outcome, _ = reduce([Answer(rank, Device("cpu", "x"), measured(unmetered="none")) for rank in range(2)])
    assert isinstance(outcome, Measured)
    assert outcome.pace is None


def test_a_rank_has_the_host_of_its_block() -> None:
    assert [host_of(("a", "b"), 6, rank) for rank in range(6)] == ["a", "a", "a", "b", "b", "b"]


@pytest.mark.parametrize("ranks", [1, 2, 5, 8, MOST, MOST + 1, 1000])
def test_the_middle_of_an_iteration_is_the_median_of_the_ranks_or_of_an_even_part(ranks: int) -> None:
    times = torch.from_numpy(np.random.default_rng(ranks).normal(1.0, 0.01, (ranks, 50)))
    every = -(-ranks // MOST)
    np.testing.assert_array_equal(_middle(times), np.median(times[::every], axis=0))
    np.testing.assert_allclose(_middle(times), np.median(times, axis=0), atol=0.003 if every > 1 else 1e-15)
