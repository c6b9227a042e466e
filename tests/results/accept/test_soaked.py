"""A burn-in over a fleet is judged as that of a single node is: an early round counts in both, and in nothing twice."""

from __future__ import annotations

import random
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from acceptances import TFLOPS, criteria, criterion, devices, fleet_of, limit, run_of, slower

from perwatt.results.accept.again import combined
from perwatt.results.accept.criteria import Criteria
from perwatt.results.accept.evidence import FIGURES, Evidence, read
from perwatt.results.accept.judge import judge
from perwatt.results.accept.verdict import Judgement
from perwatt.results.fleet.merge import load, merge
from perwatt.results.health import Health
from perwatt.results.recheck import WRONG_OUTPUT, Rechecks, Wrong
from perwatt.results.record import Conditions, Failed, Measured, Record
from perwatt.results.rounds import Round

ROUNDS, SICK, EARLY = 5, 3, 2
COOL = Conditions({"sw_thermal": 0.0}, {"gpu": (40.0, 61.0)}, ecc={"a": 0})
RIGHT = Rechecks(1, 9, 0.1, "float64", 0.0, 0.1)
WRONG = msgspec.structs.replace(RIGHT, wrong=(Wrong(0, 70, "C[1, 2]", 1, 0.5, (1, 2)),))
WELL = Health("GPU-0", "nvml", {"ecc_uncorrected": (0, 0)}, {"links_up": (18, 18), "remap_pending": (0, 0)}, {}, "nvml")
BY = criteria(
    criterion(at_least=limit(0.9 * TFLOPS, "TFLOP/s")),
    criterion("power", at_most=limit(400, "W")),
    criterion("temperature", at_most=limit(70, "degC")),
    criterion("throttled", at_most=limit(1, "%")),
    *(criterion(name, at_most=limit(0, "1")) for name in ("ecc", "sdc", "xid", "ecc_uncorrected", "remap_pending")),
    criterion("link", at_least=limit(1, "1")),
    {**criterion("temperature"), "within_fleet": {**criterion("temperature")["within_fleet"], "effect": 5, "unit": "K"}}
    | {"name": "heat beside others"},
)


def with_state(one: Record, conditions: Conditions = COOL, health: Health = WELL, rechecks: Rechecks = RIGHT) -> Record:
    outcome = one.outcome
    assert isinstance(outcome, Measured)
    parts = tuple(msgspec.structs.replace(part, conditions=conditions) for part in outcome.repetitions)
    return msgspec.structs.replace(
        one, outcome=msgspec.structs.replace(outcome, repetitions=parts, health=(health,), rechecks=rechecks)
    )


def ill(**changes: object) -> Health:
    return msgspec.structs.replace(WELL, **changes)


WAYS = {
    "clean": lambda one: one,
    "failed": lambda one: msgspec.structs.replace(one, outcome=Failed("rank 0 died")),
    "sdc": lambda one: with_state(one, rechecks=WRONG),
    "xid": lambda one: with_state(one, health=ill(xid={"79": 1})),
    "ecc_uncorrected": lambda one: with_state(one, health=ill(counts={"ecc_uncorrected": (0, 1)})),
    "link": lambda one: with_state(one, health=ill(state={"links_up": (18, 17), "remap_pending": (0, 0)})),
    "temperature": lambda one: with_state(one, msgspec.structs.replace(COOL, temperature_c={"gpu": (40.0, 88.0)})),
    "throttled": lambda one: with_state(one, msgspec.structs.replace(COOL, throttled={"sw_thermal": 0.2})),
    "ecc": lambda one: with_state(one, msgspec.structs.replace(COOL, ecc={"a": 1, "b": 2})),
    "rate": lambda one: slower(one, 2),
    "wrong": lambda one: msgspec.structs.replace(one, flags=(*one.flags, WRONG_OUTPUT)),
}


def soak(way: str = "clean", at: int = EARLY, host: str = "n1", seed: int = 0) -> list[Record]:
    """Eight devices, two cases, five rounds; device 3 has it in its first case in the round ``at``."""
    out = []
    for number in range(1, ROUNDS + 1):
        for one in map(with_state, devices(8, 2, host, seed=seed + number)):
            sick = (one.case.device_index, one.case.label, number) == (SICK, "bf16 0", at)
            made = WAYS[way](one) if sick else one
            out.append(msgspec.structs.replace(made, round=Round(number, 5.0), time_utc=f"2026-01-01T00:00:0{number}Z"))
    return out


def judged(evidence: Evidence, by: Criteria = BY) -> Judgement:
    return judge(evidence, by, "run")


def same(one: Judgement, other: Judgement) -> bool:
    return (set(one.verdicts), set(one.findings)) == (set(other.verdicts), set(other.findings))


@pytest.mark.parametrize(
    ("way", "at"),
    [*((way, EARLY) for way in WAYS), ("failed", 1), ("failed", ROUNDS), ("rate", ROUNDS), ("sdc", ROUNDS)],
)
def test_a_run_of_a_node_and_a_fleet_of_it_agree(way: str, at: int, tmp_path: Path) -> None:
    records = soak(way, at)
    alone = judged(read(run_of(tmp_path / "run", records)))
    random.Random(0).shuffle(records)
    fleet = fleet_of(tmp_path / "fleet", {"n1": records[:30], "n1.copy": records[20:]}, ["n1"])
    many = judged(read(fleet))
    assert same(alone, many)
    bad = {(f.subject, f.metric) for f in many.findings if f.status == "FAIL"}
    if way == "clean" or (way == "rate" and at < ROUNDS):  # of rates the last round's counts
        assert many.status == "PASS"
    elif way == "failed":
        assert bad == {(f"n1:{SICK}", one.metric) for one in BY.criteria}
        assert {f.why for f in many.findings if f.metric != "temperature"} == {
            f"the case failed: rank 0 died (round {at})"
        }
    elif way == "wrong":
        assert {subject for subject, _ in bad} == {f"n1:{SICK}"}
        assert {"rate", "power"} <= {metric for _, metric in bad}
    else:
        assert bad == {(f"n1:{SICK}", way)}


def test_of_several_nodes_each_has_its_own_rounds(tmp_path: Path) -> None:
    """A node without rounds among them, and one that had two things."""
    twice = soak("sdc")
    twice[-2 * 8 + 2 * SICK] = WAYS["temperature"](twice[-2 * 8 + 2 * SICK])
    hosts = {"n1": soak(host="n1"), "n2": twice, "n3": devices(8, 2, "n3"), "n4": soak("xid", 1, "n4")}
    hosts["n2"] = [msgspec.structs.replace(one, host="n2") for one in hosts["n2"]]
    hosts["n3"] = [with_state(one) for one in hosts["n3"]]
    found = read(fleet := fleet_of(tmp_path / "fleet", hosts))
    assert {(f.subject, f.metric) for f in judged(found).findings} == {
        (f"n2:{SICK}", "sdc"), (f"n2:{SICK}", "temperature"), (f"n4:{SICK}", "xid")
    }  # fmt: skip
    assert len(found.rows) == 4 * 8 * 2
    merged = load(fleet)
    assert merged.records == len(merged.index) == (3 * ROUNDS + 1) * 8 * 2
    assert merged.index["last"].sum() == 4 * 8 * 2
    assert set(merged.devices["measured"]) == {2}
    assert set(merged.devices["missing"]) == {0}
    assert set(merged.cases["devices"]) == set(merged.cases["rate_count"]) == {32}
    whole = found.full(found.rows.drop(columns=list(FIGURES)))
    for name in FIGURES:
        np.testing.assert_array_equal(found.rows[name].to_numpy(float), whole[name].to_numpy(float), err_msg=name)


def test_the_first_failure_is_told(tmp_path: Path) -> None:
    records = soak("failed")
    later = 3 * 8 * 2 + 2 * SICK
    records[later] = msgspec.structs.replace(records[later], outcome=Failed("rank 0 hung"))
    alone = judged(read(run_of(tmp_path / "run", records)))
    many = judged(read(fleet_of(tmp_path / "fleet", {"n1": records})))
    assert same(alone, many)
    assert {(f.why, f.value) for f in many.findings} == {(f"the case failed: rank 0 died (round {EARLY})", None)}


def test_several_that_failed_alike_are_each_told(tmp_path: Path) -> None:
    records = [one if not (one.case.device_index == SICK and one.round and one.round.number == EARLY) else
               WAYS["failed"](one) for one in soak()]  # fmt: skip
    fleet = fleet_of(tmp_path / "fleet", {"n1": records})
    bad = {f.case for f in judged(read(fleet)).findings if f.status == "FAIL"}
    assert bad == {"matmul bf16 0", "matmul bf16 1"}


def test_the_xids_of_all_rounds_are_told(tmp_path: Path) -> None:
    records = soak("xid")
    for number, xid in ((0, "48"), (ROUNDS - 1, "74")):
        at = number * 8 * 2 + 2 * SICK
        records[at] = with_state(records[at], health=ill(xid={xid: 1, "31": 2}))
    alone = judged(read(run_of(tmp_path / "run", records)))
    many = judged(read(fleet_of(tmp_path / "fleet", {"n1": records})))
    assert same(alone, many)
    (finding,) = many.findings
    assert re.findall(r"XID (\d+)", finding.cause) == ["48", "74", "79"]


def test_rounds_in_two_allocations_all_count(tmp_path: Path) -> None:
    """The soak went on in another folder, in which all was well."""
    first = fleet_of(tmp_path / "a", {"n1": soak("xid")})
    more = [msgspec.structs.replace(one, time_utc="2026-01-02" + one.time_utc[10:]) for one in soak(seed=9)]
    second = fleet_of(tmp_path / "b", {"n1": more})
    for run, other in ((first, second), (second, first)):
        merge(run, [other], jobs=1)
        assert {(f.subject, f.metric) for f in judged(read(run)).findings} == {(f"n1:{SICK}", "xid")}


def test_an_attempt_that_was_cut_short_counts_as_well(tmp_path: Path) -> None:
    records = soak()
    cut = WAYS["xid"](records[2 * 8 + 2 * SICK])
    records.insert(2 * 8 + 2 * SICK, msgspec.structs.replace(cut, flags=("interrupted",)))
    alone = judged(read(run_of(tmp_path / "run", records)))
    many = judged(read(fleet_of(tmp_path / "fleet", {"n1": records})))
    assert same(alone, many)
    assert {f.metric for f in many.findings} == {"xid"}


def test_what_was_tested_again_is_judged_by_its_own_rounds(tmp_path: Path) -> None:
    before = read(fleet_of(tmp_path / "before", {"n1": soak("sdc"), "n2": soak("temperature", host="n2")}))
    after = read(fleet_of(tmp_path / "after", {"n1": soak(seed=9), "n3": soak("xid", host="n3")}))
    alone = read(run_of(tmp_path / "alone", soak("link", host="n4")))
    found = {(f.subject, f.metric) for f in judged(combined([before, alone, after])).findings}
    assert found == {(f"n2:{SICK}", "temperature"), (f"n3:{SICK}", "xid"), (f"n4:{SICK}", "link")}
    found = {(f.subject, f.metric) for f in judged(combined([combined([after, alone]), before])).findings}
    assert found == {
        (f"n1:{SICK}", "sdc"), (f"n2:{SICK}", "temperature"), (f"n3:{SICK}", "xid"), (f"n4:{SICK}", "link")
    }  # fmt: skip
