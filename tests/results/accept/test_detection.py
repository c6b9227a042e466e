"""How many bad devices of simulated fleets are found, and how many good ones are blamed, beside two rules in use.

Natural spread 0.8 % (standard deviation), bad devices 5 % slow, 80 metrics a device. The spread is a device's own and
the same in all its metrics (a chip that is a little better is so everywhere: the hard case, as there is but one look),
each metric's own, or half of each. ``PERWATT_SEEDS=60 pytest -m slow -s`` prints the figures that the README states.

The rules beside it: SuperBench's ``fix_threshold`` (superbench/analyzer/baseline_generation.py), which takes the mean,
drops what is more than 5 % below it and begins again; and 5 % below the median. Both are told here as their
documentation and code describe them.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from acceptances import criteria, criterion
from shares import least_share, most_a_fleet

from perwatt.results.accept.evidence import Evidence
from perwatt.results.accept.judge import judge
from perwatt.results.accept.outliers import Floats, deviations

SEEDS = int(os.environ.get("PERWATT_SEEDS", "30"))
METRICS, SPREAD, SLOW = 80, 0.008, 0.05


def fleet(seed: int, devices: int, bad: int, own: float, metrics: int = METRICS) -> Floats:
    """``own``: the part of the variance that a device has in common over its metrics. The first ``bad`` are slow."""
    rng = np.random.default_rng(seed)
    common, each = rng.standard_normal((devices, 1)), rng.standard_normal((devices, metrics))
    values = 1 + SPREAD * (math.sqrt(own) * common + math.sqrt(1 - own) * each)
    values[:bad] *= 1 - SLOW
    return values


def iterated_mean(values: Floats) -> np.ndarray:
    found = np.zeros(len(values), bool)
    for column in values.T:
        kept = np.ones(len(column), bool)
        while not np.array_equal(still := kept & (column >= 0.95 * column[kept].mean()), kept):
            kept = still
        found |= ~kept
    return found


def fixed(values: Floats) -> np.ndarray:
    return np.asarray((values < 0.95 * np.median(values, axis=0)).any(axis=1))


def ours(values: Floats) -> np.ndarray:
    found = deviations(values, effect=0.03, false_alarms=0.5)
    return np.asarray((found.single < 0).any(axis=1) | (found.whole < 0))


@pytest.mark.slow
@pytest.mark.parametrize("own", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("devices", "bad", "bar"), [(1000, 10, 0.98), (1000, 300, 0.95), (1000, 400, 0.95)])
def test_bad_devices_are_found_and_good_ones_left_alone(devices: int, bad: int, bar: float, own: float) -> None:
    rules = {"perwatt": ours, "iterated mean": iterated_mean, "fixed 5 %": fixed}
    found, alarms = dict.fromkeys(rules, 0), dict.fromkeys(rules, 0)
    for seed in range(SEEDS):
        values = fleet(seed, devices, bad, own)
        for name, rule in rules.items():
            told = rule(values)
            found[name] += int(told[:bad].sum())
            alarms[name] += int(told[bad:].sum())
    for name in rules:
        share = found[name] / (bad * SEEDS)
        print(
            f"\n{bad} of {devices} bad, own {own}: {name}: {100 * share:.2f} %, {alarms[name] / SEEDS:.3f} a fleet",
            end="",
        )
    assert least_share(found["perwatt"], bad * SEEDS) >= bar
    assert most_a_fleet(alarms["perwatt"], SEEDS) < 1
    if bad > 10:
        assert found["iterated mean"] < found["perwatt"]


@pytest.mark.slow
def test_slow_at_one_metric_of_eighty_is_close_to_the_best_that_can_be_asked() -> None:
    """One look in 80,000: with less than one false alarm no limit finds more than 98.4 %, were the spread known."""
    found = alarms = 0
    for seed in range(SEEDS):
        values = fleet(seed, 1000, 0, own=0.0)
        values[:10, 5] *= 1 - SLOW
        told = ours(values)
        found, alarms = found + int(told[:10].sum()), alarms + int(told[10:].sum())
    print(f"\n10 of 1000 slow at one: {100 * found / SEEDS / 10:.2f} %, {alarms / SEEDS:.3f} a fleet", end="")
    assert least_share(found, 10 * SEEDS) >= 0.92
    assert most_a_fleet(alarms, SEEDS) < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "bad", "own", "bar"),
    [(8, 3, 0.25, 0.98), (32, 10, 0.25, 0.98), (8, 3, 1.0, 0.92), (16, 5, 1.0, 0.95), (24, 9, 1.0, 0.97)],
)
def test_small_sick_fleets(devices: int, bad: int, own: float, bar: float) -> None:
    found = alarms = 0
    for seed in range(4 * SEEDS):
        told = ours(fleet(seed, devices, bad, own))
        found, alarms = found + int(told[:bad].sum()), alarms + int(told[bad:].sum())
    print(f"\n{bad} of {devices} bad: {found / (4 * SEEDS * bad):.4f}, {alarms / (4 * SEEDS):.3f} a fleet", end="")
    assert least_share(found, 4 * SEEDS * bad) >= bar
    assert most_a_fleet(alarms, 4 * SEEDS) < 1


@pytest.mark.slow
@pytest.mark.parametrize("devices", [8, 16, 72, 1000])
def test_a_fleet_without_a_bad_device_has_less_than_one_false_alarm(devices: int) -> None:
    alarms = 0
    for seed in range(SEEDS):
        # twice what is usual: there the effect does not hide what the statistics do
        alarms += int(ours(1 + 2 * (fleet(10_000 + seed, devices, 0, own=0.5) - 1)).sum())
    assert most_a_fleet(alarms, SEEDS) < 1


@pytest.mark.slow
@pytest.mark.alone
def test_a_hundred_thousand_devices_take_seconds() -> None:
    values = fleet(0, 100_000, 1000, own=0.5)
    start = time.perf_counter()
    told = ours(values)
    took = time.perf_counter() - start
    print(f"\n100,000 devices: {took:.1f} s", end="")
    assert told[:1000].mean() > 0.98
    assert took < 60


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "bar"), [(10, 0.98), (300, 0.95), (400, 0.95)])
def test_the_verdicts_of_a_fleet_find_as_many(bad: int, bar: float) -> None:
    """From rows of evidence to verdicts, with all that may change the mind of the judge on the way: slots, positions,
    fleets too sick to be told. 40 cases, of each the rate and the rate per watt."""
    found = alarms = 0
    seeds = max(2, SEEDS // 6)
    for seed in range(seeds):
        values = fleet(seed, 1000, bad, own=0.5)
        told = judge(evidence_of(values[:, :40], values[:, 40:]), BOTH, "run")
        failed = {v.subject for v in told.verdicts if v.scope == "device" and v.status == "FAIL"}
        slow = {f"n{i // 8}:{i % 8}" for i in range(bad)}
        found, alarms = found + len(failed & slow), alarms + len(failed - slow)
    print(
        f"\n{bad} of 1000 bad, by the judge: {100 * found / (bad * seeds):.2f} %, {alarms / seeds:.3f} a fleet", end=""
    )
    assert found >= bar * bad * seeds
    assert alarms <= seeds


BOTH = criteria(criterion(), criterion("rate_per_watt"), false_alarms=0.5)


def evidence_of(rate: Floats, per_watt: Floats) -> Evidence:
    """Rows of nodes of eight devices that measured, each value over what is usual."""
    at, case = (index.ravel() for index in np.indices(rate.shape))
    rows = pd.DataFrame(
        {
            "scope": "device", "host": [f"n{i // 8}" for i in at], "device": at % 8,
            "subject": [f"n{i // 8}:{i % 8}" for i in at], "test": [f"t{j}" for j in case], "kernel": "matmul",
            "label": [f"bf16 {j}" for j in case], "outcome": "measured", "reason": "", "flags": "", "kind": "flops",
            "rate": 7e14 * rate.ravel(), "rate_per_watt": 1e12 * per_watt.ravel(), "power": 700.0, "u_rate": 0.001,
            "temperature": 60.0, "throttled": 0.0, "unknown": "", "invalid": "", "invalid_energy": "",
            "indicative": False,
        }
    )  # fmt: skip
    return Evidence(rows, {}, frozenset(), Path())
