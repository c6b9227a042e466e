"""The rules stop where they say they do, and nowhere else."""

from __future__ import annotations

import itertools
import random

import pytest

from perwatt.benchmarks.stopping import Count, Duration, Stdrel, StoppingRule


def feed(rule: StoppingRule, samples: itertools.chain[float] | itertools.cycle[float] | list[float]) -> int:
    for n, seconds in enumerate(samples, 1):
        rule.add(seconds)
        if rule.done():
            return n
    return -1


def test_duration_counts_launches_and_wants_a_few_samples() -> None:
    assert feed(Duration(1.0), [0.25] * 10) == 4
    assert feed(Duration(1.0, min_samples=3), [5.0] * 10) == 3
    rule = Duration(1.0, min_samples=1)
    rule.add(0.01, launches=100)
    assert rule.done()
    rule = Duration(1.0, min_samples=2)
    rule.add(0.01, flush_s=0.4)
    assert not rule.done()
    rule.add(0.01, flush_s=0.6)
    assert rule.done()


def test_count_stops_after_that_many() -> None:
    assert feed(Count(7), [1.0] * 10) == 7


def test_stdrel_stops_on_quiet_samples_after_time_and_number() -> None:
    quiet = itertools.cycle([0.0999, 0.1001])
    assert feed(Stdrel(min_time_s=0.5, min_samples=10), quiet) == 10
    assert feed(Stdrel(min_time_s=2.95, min_samples=10), quiet) == 30


def test_stdrel_accepts_noise_that_has_settled() -> None:
    rng = random.Random(1)
    rule = Stdrel(min_time_s=0.1)
    n = feed(rule, [0.01 * rng.gauss(1, 0.05) for _ in range(2000)])
    assert rule.noise > rule.max_noise  # still noisy, but steadily so
    assert rule.converged
    assert n > 64
    assert n % 16 == 0


def test_stdrel_gives_up_in_time_and_says_so() -> None:
    rule = Stdrel(min_time_s=0.1, timeout_s=2.0)
    growing = [0.01 * 1.5 ** (n / 4) for n in range(200)]  # neither low nor settled
    feed(rule, growing)
    assert rule.total_s >= 2.0
    assert not rule.converged


def test_the_running_noise_is_the_standard_deviation() -> None:
    rule, values = Stdrel(), [1.0, 2.0, 4.0]
    for v in values:
        rule.add(v)
    assert rule.noise == pytest.approx(1.5275252316519468 / (7 / 3))


@pytest.mark.parametrize("build", [lambda: Duration(0), lambda: Count(-1), lambda: Stdrel(max_noise="x")])  # type: ignore[arg-type]
def test_a_wrong_number_is_named(build: object) -> None:
    with pytest.raises(ValueError, match=r"stopping\.\w+: "):
        build()  # type: ignore[operator]
