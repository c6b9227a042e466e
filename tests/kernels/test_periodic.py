"""The period: work and rest on a clock that is under control, and on the real one."""

from __future__ import annotations

import itertools
import statistics
import time

import pytest

from perwatt.kernels.periodic import Periodic, check
from perwatt.kernels.workload import Unsupported


class Clock:
    """A clock that moves only when work is done, when somebody sleeps, and by ``lose``."""

    def __init__(self, slice_s: float) -> None:
        self.now_s, self.slice_s, self.queued = 100.0, slice_s, 0
        self.worked: list[float] = []
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def work(self) -> None:
        self.queued += 1

    def synchronize(self) -> None:
        self.now_s += self.queued * self.slice_s
        self.worked.append(self.queued * self.slice_s)
        self.queued = 0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def periodic(self, duty: float, period_s: float) -> Periodic:
        made = Periodic(self.work, self.synchronize, duty, period_s, self, self.sleep)
        self.worked.clear()
        return made


@pytest.mark.parametrize(
    ("duty", "period_s", "n"), [(0.5, 0.1, 50), (0.25, 1.0, 250), (0.5, 0.01, 5), (0.999, 0.1, 100)]
)
def test_slices_fill_the_working_time_and_the_rest_is_rest(duty: float, period_s: float, n: int) -> None:
    clock = Clock(1e-3)
    load = clock.periodic(duty, period_s)
    assert load.slice_s == pytest.approx(1e-3)
    assert load.n == n
    assert load.duty == pytest.approx(n * 1e-3 / period_s)
    for _ in range(10):
        load.launch()
    assert clock.worked == pytest.approx([n * 1e-3] * 10)
    assert sum(clock.slept) == pytest.approx(10 * (period_s - n * 1e-3))


def test_deadlines_do_not_drift_with_what_is_lost_between_launches() -> None:
    clock = Clock(1e-3)
    load = clock.periodic(0.5, 0.1)
    start_s = clock.now_s
    for _ in range(100):
        load.launch()
        clock.now_s += 0.002  # the caller's own work
    assert clock.now_s - 0.002 - start_s == pytest.approx(100 * 0.1)


def test_after_a_pause_the_count_begins_anew() -> None:
    clock = Clock(1e-3)
    load = clock.periodic(0.5, 0.1)
    load.launch()
    clock.now_s += 5.03
    again_s = clock.now_s
    load.launch()
    assert clock.now_s - again_s == pytest.approx(0.1), "a full period, not what was left of some other"


def test_work_that_takes_longer_than_its_period_is_not_followed_by_rest() -> None:
    clock = Clock(1e-3)
    load = clock.periodic(0.5, 0.1)
    clock.slice_s = 3e-3  # throttled
    clock.slept.clear()
    load.launch()
    load.launch()
    assert not clock.slept


def test_a_slice_that_is_too_long_is_refused_with_the_remedy() -> None:
    with pytest.raises(Unsupported, match=r"one slice of work takes 0\.08 s, longer than 0\.5 of 0\.1 s: give it less"):
        Clock(0.08).periodic(0.5, 0.1)
    assert Clock(0.06).periodic(0.5, 0.1).n == 1  # a fifth more than wanted: said, and done


def test_the_note_says_what_was_found() -> None:
    assert Clock(0.003).periodic(0.5, 0.1).note == "17 slices of 3 ms in every 0.1 s: duty 0.51"
    assert Clock(0.003).periodic(0.03, 0.1).note.startswith("1 slice of 3 ms")


@pytest.mark.parametrize(
    ("duty", "period_s", "message"),
    [
        (0, None, "x.duty: 0 is not a number above 0 and up to 1"),
        (1.5, None, "x.duty: 1.5"),
        (True, None, "x.duty: True"),
        ("half", 1.0, "x.duty: 'half'"),
        (1.0, 0.1, "x.period_s: 0.1 seconds: there is a period only with a duty below 1"),
        (0.5, None, "x.period_s: None is not a number of seconds, which a duty below 1 needs"),
        (0.5, 0.005, "x.period_s: 0.005 is not between 0.01 and 60 seconds"),
        (0.5, 61, "x.period_s: 61 is not between"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(duty: object, period_s: object, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        check("x", duty, period_s)


def test_on_the_real_clock_periods_are_kept() -> None:
    def work() -> None:
        end = time.monotonic() + 1e-3
        while time.monotonic() < end:
            pass

    load = Periodic(work, lambda: None, 0.4, 0.02)
    assert 1 <= load.n <= 8
    stamps = [time.monotonic()]
    for _ in range(20):
        load.launch()
        stamps.append(time.monotonic())
    periods = [b - a for a, b in itertools.pairwise(stamps)]
    assert statistics.median(periods) == pytest.approx(0.02, abs=2e-3)
