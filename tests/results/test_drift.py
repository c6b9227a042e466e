"""How a burn-in drifted: slopes that are known, and every event that a sound machine does not show."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence

import msgspec
import pytest
from records import energy, measured, record

from perwatt.results.drift import Rounds, drift, events, tracks, trend
from perwatt.results.health import Health
from perwatt.results.recheck import WRONG_OUTPUT, Rechecks, Wrong
from perwatt.results.record import Conditions, Failed, Measured, Outcome, Record
from perwatt.results.reports.drifts import lines, section
from perwatt.results.rounds import Round

START = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


def at(number: int, outcome: Outcome | None = None, flags: tuple[str, ...] = ()) -> Record:
    """A round every six minutes."""
    stamp = (START + datetime.timedelta(minutes=6 * number)).isoformat()
    return msgspec.structs.replace(record("k", outcome, flags), time_utc=stamp, round=Round(number, 360.0))


def whole(records: Sequence[Record]) -> Rounds:
    return Rounds(tracks(records), events(records))


def warm(seconds: float, degrees: float, watts: float) -> Measured:
    found = measured(energy(joules=watts), median=seconds)
    windows = tuple(
        msgspec.structs.replace(r, conditions=Conditions(temperature_c={"gpu": (degrees - 1, degrees)}))
        for r in found.repetitions
    )
    return msgspec.structs.replace(found, repetitions=windows)


def test_a_slope_and_its_interval() -> None:
    draw = random.Random(3)
    hours = [0.1 * n for n in range(200)]
    inside = 0
    for _ in range(100):
        found = trend(hours, [5 - 0.02 * h + draw.gauss(0, 0.1) for h in hours])
        assert found.slope_per_h is not None
        assert found.half is not None
        inside += abs(found.slope_per_h + 0.02) <= found.half
    assert 88 <= inside <= 100  # 95 of 100 are meant to be


def test_two_points_and_one_moment_have_no_interval() -> None:
    assert trend([0, 1], [1.0, 2.0]).slope_per_h is None
    assert trend([1, 1, 1], [1.0, 2.0, 3.0]).slope_per_h is None
    assert (trend([0], [4.0]).first, trend([0], [4.0]).last) == (4.0, 4.0)


def test_rate_temperature_and_power_of_each_case() -> None:
    # over 10 h it gets 10 % slower, 20 K warmer, and draws 50 W more
    records = [at(n, warm(0.01 * (1 + n / 1000), 60 + n / 5, 400 + n / 2)) for n in range(101)]
    (one,) = map(drift, tracks(records))
    assert (one.rounds, one.hours) == (101, pytest.approx(10))
    assert one.rate
    assert one.temperature
    assert one.power
    assert one.temperature.slope_per_h == pytest.approx(2.0)
    assert one.power.slope_per_h == pytest.approx(5.0)
    assert one.rate.last / one.rate.first - 1 == pytest.approx(-0.083, abs=0.003)  # the tenths' medians lie within
    told = "\n".join(lines(whole(records)))
    assert "over 101 rounds" in told
    assert "no health event" in told
    page = section(whole(records))
    assert "Over the rounds" in page
    assert "K/h" in page


def test_a_run_without_rounds_tells_nothing() -> None:
    assert tracks([record("a")]) == []
    assert lines(whole([record("a")])) == []
    assert section(whole([record("a")])) == ""


def sick(**changes: object) -> Measured:
    return msgspec.structs.replace(measured(), **changes)


EVENTS: list[tuple[Outcome, tuple[str, ...], Sequence[str]]] = [
    (Failed("rank 0 died"), (), ["failed: rank 0 died"]),
    (sick(health=(Health("GPU-1", "nvml", xid={"79": 1, "48": 2}),)), (), ["GPU-1: XID 79, 48 (2 times)"]),
    (sick(health=(Health("GPU-1", "nvml", {"ecc_uncorrected": (0, 3)}),)), (), ["ecc uncorrected +3"]),
    (sick(health=(Health("GPU-1", "nvml", {}, {"links_up": (18, 17)}),)), (), ["links up is now 17"]),
    (sick(health=(Health("GPU-1", "nvml", {"pcie_replays": (4, 4)}, {"pcie_generation": (1, 5)}, {}),)), (), []),
    (
        sick(rechecks=Rechecks(1, 9, 0.1, "float64", None, 0.1, (Wrong(0, 70, "C[1, 2] is 6.5", 1, 0.5, (1, 2)),))),
        (WRONG_OUTPUT,),
        ["wrong output: C[1, 2] is 6.5"],
    ),
]


@pytest.mark.parametrize(("outcome", "flags", "wanted"), EVENTS)
def test_events(outcome: Outcome, flags: tuple[str, ...], wanted: Sequence[str]) -> None:
    found = events([at(7, outcome, flags)])
    assert len(found) == len(wanted)
    for text, part in zip(found, wanted, strict=True):
        assert part in text
        assert "(round 7)" in text
