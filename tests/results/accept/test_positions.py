"""A bad device, a bad cold plate, a warm rack and a slow switch told apart; what a position costs is no fault of it."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable

import numpy as np
import pytest
from acceptances import SOURCED, criteria, criterion
from fleet_evidence import Simulated
from shares import most_a_fleet

from perwatt.results.accept.judge import judge
from perwatt.results.accept.verdict import Finding, Judgement

SEEDS = int(os.environ.get("PERWATT_SEEDS", "10"))
DAY = datetime.date(2026, 6, 1)
ASKED = criteria(
    criterion(),
    criterion("temperature", severity="warn", within_fleet={"effect": 6, "unit": "K", **SOURCED}),
    criterion("busbw", cases="all_reduce *", scope="node", within_fleet={"effect": 5, "unit": "%", **SOURCED}),
)


def judged(fleet: Simulated) -> Judgement:
    return judge(fleet.evidence(), ASKED, "fleet", DAY)


def failures(found: Judgement) -> dict[tuple[str, str], Finding]:
    """Of each scope and subject the first finding that decides something."""
    out: dict[tuple[str, str], Finding] = {}
    for finding in found.findings:
        if finding.counts:
            out.setdefault((finding.scope, finding.subject), finding)
    return out


def bad_device(fleet: Simulated, at: int) -> set[tuple[str, str]]:
    fleet.rate[at, 7] *= 0.94
    return {("device", f"{fleet.hosts[at]}:7")}


def cold_plate(fleet: Simulated, at: int) -> set[tuple[str, str]]:
    fleet.rate[at, 7] *= 0.94
    fleet.kelvin[at, 7] += 15
    fleet.throttled[at, 7] = 0.3
    return {("device", f"{fleet.hosts[at]}:7")}


def warm_rack(fleet: Simulated, at: int) -> set[tuple[str, str]]:
    rack = fleet.rack[at]
    fleet.rate[fleet.rack == rack] *= 0.955
    fleet.kelvin[fleet.rack == rack] += 9
    return {("group", f"rack r{rack}")}


def slow_switch(fleet: Simulated, at: int) -> set[tuple[str, str]]:
    leaf = fleet.rack[at] // 2
    fleet.busbw[fleet.rack // 2 == leaf] *= 0.85
    return {("group", f"leaf l{leaf}")}


FAULTS: dict[str, Callable[[Simulated, int], set[tuple[str, str]]]] = {
    "a bad device": bad_device,
    "a bad cold plate": cold_plate,
    "a warm rack": warm_rack,
    "a slow switch": slow_switch,
}


def blamed_wrongly(fleet: Simulated, fault: str, at: int, found: dict[tuple[str, str], Finding]) -> int:
    """Findings on what has no fault, and is not in what has one."""
    if fault == "a warm rack":
        inside = {h for h, r in zip(fleet.hosts, fleet.rack, strict=True) if r == fleet.rack[at]}
    elif fault == "a slow switch":
        inside = {h for h, r in zip(fleet.hosts, fleet.rack // 2, strict=True) if r == fleet.rack[at] // 2}
    else:
        inside = set()
    return sum(subject.partition(":")[0] not in inside for _, subject in found)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_four_are_told_apart(fault: str) -> None:
    right = alarms = 0
    for seed in range(SEEDS):
        fleet = Simulated(seed)
        at = int(np.random.default_rng(seed).integers(len(fleet.rack)))
        asked = FAULTS[fault](fleet, at)
        found = failures(judged(fleet))
        right += all(key in found and found[key].cause.startswith(fault) for key in asked)
        alarms += blamed_wrongly(fleet, fault, at, {k: f for k, f in found.items() if k not in asked})
    print(f"\n{fault}: {right} of {SEEDS}, {alarms / SEEDS:.3f} alarms a fleet", end="")
    assert right >= 0.95 * SEEDS
    assert most_a_fleet(alarms, SEEDS) < 1


@pytest.mark.slow
def test_what_every_node_has_at_one_position_is_no_fault() -> None:
    alarms = 0
    for seed in range(SEEDS):
        found = failures(judged(Simulated(1000 + seed)))
        alarms += len(found)
    print(f"\nsound fleets: {alarms / SEEDS:.3f} alarms a fleet", end="")
    assert most_a_fleet(alarms, SEEDS) < 1


def test_one_of_each() -> None:
    """The same once, as it is told."""
    fleet = Simulated(3, racks=6, per_rack=4)
    asked = {name: fault(fleet, at) for (name, fault), at in zip(FAULTS.items(), (1, 6, 12, 22), strict=True)}
    found = failures(judged(fleet))
    for name, subjects in asked.items():
        for subject in subjects:
            assert found[subject].cause.startswith(name)
            assert found[subject].todo
    assert "slowed by heat or a power brake 30 % of the time" in found["device", "n0006:7"].cause
    assert "rack r3" in found["device", "n0012:0"].cause
    assert found["group", "leaf l2"].case == "all its cases"
    groups = {v.subject: v.status for v in judged(fleet).verdicts if v.scope == "group"}
    told = {"rack r0": "PASS", "rack r3": "FAIL", "slot 7": "PASS", "leaf l0": "PASS", "leaf l2": "FAIL"}
    assert {name: groups[name] for name in told} == told


@pytest.mark.parametrize(("per_rack", "slow"), [(2, 1), (4, 2)])
@pytest.mark.parametrize("share", [0.05, 0.1])
def test_a_rack_of_which_a_half_is_slow_has_not_moved(per_rack: int, slow: int, share: float) -> None:
    """Its centre lies between both halves: were it taken for a shift of the rack, the good ones would stand out."""
    fleet = Simulated(5, racks=12, per_rack=per_rack)
    first = 3 * per_rack
    fleet.rate[first : first + slow] *= 1 - share
    found = failures(judged(fleet))
    bad = {("device", f"{host}:{slot}") for host in fleet.hosts[first : first + slow] for slot in range(8)}
    assert set(found) == bad
    assert all("node" in finding.cause for finding in found.values())


def test_what_a_slot_costs_is_taken_off_in_a_fleet_that_is_sick_as_well() -> None:
    """With 30 % of all devices slow, so are those of each slot: its others tell what the slot costs all the same."""
    alarms = missed = 0
    for seed in range(8):
        fleet = Simulated(seed, per_rack=16)
        nodes, slots = fleet.rate.shape[:2]
        slow = np.random.default_rng(seed).permutation(nodes * slots)[: 3 * nodes * slots // 10]
        fleet.rate[slow // slots, slow % slots] *= 0.95
        bad = {f"{fleet.hosts[i // slots]}:{i % slots}" for i in map(int, slow)}
        found = judge(fleet.evidence(), criteria(criterion(cases="*")), "run")
        failed = {v.subject for v in found.verdicts if (v.scope, v.status) == ("device", "FAIL")}
        alarms, missed = alarms + len(failed - bad), missed + len(bad - failed)
    assert alarms < 8  # less than one a fleet; they were 12
    assert missed < 0.02 * 8 * len(bad)
