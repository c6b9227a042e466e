"""A rate that falls over the rounds of a burn-in: by how much, how well that is known, and what verdicts say of it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from acceptances import criteria, criterion, devices, fleet_of, limit, run_of, slower

from perwatt.benchmarks.accepting import criteria_named
from perwatt.results.accept.criteria import Criteria
from perwatt.results.accept.evidence import read
from perwatt.results.accept.falling import FALL, LEAST, U_FALL, falls
from perwatt.results.accept.judge import judge
from perwatt.results.accept.verdict import Finding, Judgement
from perwatt.results.record import Failed, Record
from perwatt.results.rounds import Round

ROUNDS, SICK = 40, "n1:3"
BURNIN = criteria_named("burnin")


def one(rates: list[float]) -> tuple[float, float]:
    """The fall of a single case, and how well it is known."""
    found = falls(rates)
    return float(found[FALL][0]), float(found[U_FALL][0])


def test_a_step_a_line_and_nothing() -> None:
    assert one([100.0] * 10 + [95.0] * 10) == (pytest.approx(0.05), 0.0)  # at the step alone neighbours differ
    fall, u = one([100 - i / 10 for i in range(101)])
    assert (fall, u) == (pytest.approx(9.1 / 99.55), pytest.approx(0.0, abs=2e-3))
    assert one([7.0] * 30) == (0.0, 0.0)
    assert one([100.0] * 10 + [110.0] * 10)[0] == pytest.approx(-0.1)


def test_a_single_slow_round_is_no_fall_and_too_few_are_not_told() -> None:
    assert one([100.0] * 30 + [50.0])[0] == 0.0
    assert all(map(math.isnan, one([100.0] * (LEAST - 1))))
    assert all(map(math.isnan, one([100.0] * (LEAST - 1) + [math.nan] * 5)))
    assert one([math.nan, *[100.0] * LEAST]) == (0.0, 0.0)
    assert all(map(math.isnan, one([])))


def test_each_case_by_itself() -> None:
    parts = [[100.0] * 12, [math.nan] * 12, [100.0] * 6 + [90.0] * 6, [1.0]]
    starts = np.cumsum([0, *map(len, parts)])[:-1]
    many = falls(np.concatenate(parts), starts)
    for name in (FALL, U_FALL):
        np.testing.assert_array_equal(many[name], [falls(part)[name][0] for part in parts])


@pytest.mark.parametrize("rounds", [10, 19, 40, 300])
def test_the_interval_holds_the_truth(rounds: int) -> None:
    """Of 2,000 cases of nothing but noise, and of as many that fall by 4 % in their middle, some 5 % are outside."""
    rng = np.random.default_rng(rounds)
    truth = np.where(np.arange(rounds) < rounds // 2, 1.0, 0.96)
    for rates, expected in ((np.ones(rounds), 0.0), (truth, 0.04)):
        values = rates * (1 + 0.01 * rng.standard_normal((2000, rounds)))
        found = falls(values.ravel(), np.arange(2000) * rounds)
        outside = (np.abs(found[FALL] - expected) > found[U_FALL]).mean()
        assert (
            outside < 0.13 if rounds < 20 else 0.02 < outside < 0.09
        )  # of ten differences a median is no sharp number


def soak(change: Callable[[Record, int], Record] = lambda r, _: r, rounds: int = ROUNDS) -> list[Record]:
    """Eight devices, one case, 40 rounds of a natural spread of 0.5 %; ``change`` may alter any by its round."""
    begun, out = datetime.datetime(2026, 1, 1), []
    for number in range(1, rounds + 1):
        at = (begun + datetime.timedelta(minutes=number)).isoformat() + "Z"
        each = [
            msgspec.structs.replace(one, round=Round(number, 5.0), time_utc=at) for one in devices(8, 1, seed=number)
        ]
        out += [change(made, number) for made in each]
    return out


def fading(made: Record, number: int) -> Record:
    """Device 3 slower by a tenth from the middle on."""
    return slower(made, 1.1) if made.case.device_index == 3 and number > ROUNDS // 2 else made


def told(folder: Path, records: list[Record], by: Criteria = BURNIN) -> Judgement:
    """The verdict on a run and on a fleet of it, which agree."""
    alone, many = read(run_of(folder / "run", records)), read(fleet_of(folder / "fleet", {"n1": records}))
    judged, other = (judge(evidence, by, "run") for evidence in (alone, many))
    assert set(judged.findings) == set(other.findings)
    assert set(judged.verdicts) == set(other.verdicts)
    return judged


def the_finding(judgement: Judgement) -> Finding:
    (finding,) = judgement.findings
    return finding


def test_what_falls_fails_with_its_numbers_and_what_to_do(tmp_path: Path) -> None:
    found = the_finding(told(tmp_path, soak(fading)))
    assert (found.status, found.subject, found.metric) == ("FAIL", SICK, FALL)
    assert found.value == pytest.approx(100 * (1 - 1 / 1.1), abs=1)  # % as the limit
    assert found.u is not None
    assert 0 < found.u < 2
    assert "slower as it went on" in found.cause
    assert "over the rounds" in found.todo


def test_a_sound_burn_in_passes_and_one_of_few_rounds_cannot_be_told(tmp_path: Path) -> None:
    assert told(tmp_path / "long", soak()).status == "PASS"
    brief = told(tmp_path / "brief", soak(rounds=LEAST - 1))
    assert brief.status == "INCONCLUSIVE"
    assert {f.why for f in brief.findings} == {f"fewer than {LEAST} rounds measured it"}
    assert {f.todo for f in brief.findings} == {"perwatt run suite=burnin with a longer duration"}


def test_a_run_without_rounds_has_no_fall(tmp_path: Path) -> None:
    assert {f.status for f in told(tmp_path, devices(8, 1)).findings} == {"INCONCLUSIVE"}


def test_rounds_whose_times_do_not_count_do_not(tmp_path: Path) -> None:
    """Interrupted ones at the end are slow; the last of them takes nothing from what the others say."""

    def interrupted(made: Record, number: int) -> Record:
        if made.case.device_index == 3 and number > ROUNDS - 6:
            return msgspec.structs.replace(slower(made, 2), flags=("interrupted",))
        return made

    assert told(tmp_path, soak(interrupted)).status == "PASS"


def test_a_round_that_failed_is_told_whatever_the_rates_are(tmp_path: Path) -> None:
    def died(made: Record, number: int) -> Record:
        if made.case.device_index == 3 and number == 7:
            return msgspec.structs.replace(made, outcome=Failed("rank 0 died"))
        return made

    assert the_finding(told(tmp_path, soak(died))).why == "the case failed: rank 0 died (round 7)"


def test_one_that_falls_more_than_the_others_of_its_fleet_is_told(tmp_path: Path) -> None:
    """All fall by 4 %, as a room warms up; one falls by 10 %, and one holds its rate, which is nothing to be told."""

    def warm(made: Record, number: int) -> Record:
        times = {3: 1.11, 5: 1.0}.get(made.case.device_index, 1.04)
        return slower(made, times) if number > ROUNDS // 2 else made

    within = criterion(FALL, within_fleet={"effect": 2, "unit": "%", "source": "made up", "date": "2026-01-31"})
    found = the_finding(told(tmp_path, soak(warm), criteria(within)))
    assert (found.status, found.subject, found.why) == ("FAIL", SICK, "above its fleet")
    assert "slower as it went on" in found.cause


def test_one_whose_fall_is_not_known_well_enough_is_not_told_to_fall_more_than_the_others(tmp_path: Path) -> None:
    """Its rounds scatter by a tenth, and its last ones happen to be slow."""

    def restless(made: Record, number: int) -> Record:
        if made.case.device_index != 3:
            return made
        return slower(made, 1.08 if number > ROUNDS - 4 else 1.0 + 0.1 * (number % 2))

    within = criterion(FALL, within_fleet={"effect": 2, "unit": "%", "source": "made up", "date": "2026-01-31"})
    found = the_finding(told(tmp_path, soak(restless), criteria(within)))
    assert (found.status, found.subject) == ("INCONCLUSIVE", SICK)
    assert "its uncertainty reaches over the limit" in found.why
    assert found.u is not None
    assert found.u > 2


def test_bad_limits_are_refused() -> None:
    for value, unit, said in ((120, "%", "allowed 0 to 1 in SI"), (3, "W", "allowed for rate_fall: 1, %")):
        with pytest.raises(ValueError, match=said):
            criteria(criterion(FALL, at_most=limit(value, unit)))
