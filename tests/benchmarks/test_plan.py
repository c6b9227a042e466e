"""From configuration to cases: axes, points, devices, ranks, identity."""

from __future__ import annotations

from typing import Any

import pytest

from perwatt.benchmarks.plan import Plan, check

MATMUL = {"_target_": "perwatt.kernels.matmul.Matmul", "m": 64, "n": None, "k": None, "dtype": "fp32"}
REDUCE = {"_target_": "perwatt.kernels.collectives.all_reduce.AllReduce", "message_bytes": 1024, "dtype": "fp32"}


def plan(only: Any = None, **kernels: dict[str, Any]) -> Plan:
    return check(
        {
            "suite": "test",
            "kernels": kernels,
            "profile": {
                "name": "t",
                "warmup_s": 0.1,
                "repetitions": 2,
                "window_s": 0.5,
                "min_readings": 0,
                "indicative": True,
            },
            "stopping": {"_target_": "perwatt.benchmarks.stopping.Duration", "seconds": 0.5},
            "meter": {},
            "launcher": {"_target_": "perwatt.benchmarks.launch.torchrun.Torchrun"},
            "only": only,
            "device": "auto",
        }
    )


def params(plan: Plan, *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(p.case.params[k] for k in keys) for p in plan.cases("cpu", 2)]


def test_lists_are_axes_and_the_last_one_turns_fastest() -> None:
    found = plan(a={**MATMUL, "m": [64, 128], "dtype": ["fp32", "bf16"]})
    assert params(found, "m", "dtype") == [(64, "fp32"), (64, "bf16"), (128, "fp32"), (128, "bf16")]


def test_points_keep_together_what_belongs_together() -> None:
    points = [{"m": 1, "n": 2, "k": 3}, {"m": 4, "n": 5, "k": 6}]
    found = plan(a={**MATMUL, "points": points, "dtype": ["fp32", "bf16"]})
    assert [p[:3] for p in params(found, "m", "n", "k", "dtype")] == [(1, 2, 3), (1, 2, 3), (4, 5, 6), (4, 5, 6)]


def test_a_case_given_twice_is_run_once() -> None:
    square = {**MATMUL, "n": 64, "k": 64}
    assert len(plan(a=MATMUL, b=square).cases("cpu", 2)) == 1


def test_an_entry_for_another_kind_of_device_has_no_cases() -> None:
    found = plan(
        a={**MATMUL, "runs_on": "cpu"}, b={**MATMUL, "m": 128, "runs_on": "accelerator"}, c={**MATMUL, "m": 256}
    )
    assert [p.case.entry for p in found.cases("cpu", 2)] == ["a", "c"]
    assert [p.case.entry for p in found.cases("xpu", 2)] == ["b", "c"]


def test_devices_stand_side_by_side_and_groups_come_last() -> None:
    found = plan(r={**REDUCE, "ranks": [None, 4]}, a={**MATMUL, "m": [64, 128]}).cases("cuda", 8, (0, 1))
    assert [(p.case.kernel, p.case.params.get("m"), p.case.device_index, p.case.ranks) for p in found] == [
        ("matmul", 64, 0, 1),
        ("matmul", 64, 1, 1),
        ("matmul", 128, 0, 1),
        ("matmul", 128, 1, 1),
        ("all_reduce", None, 0, 4),
        ("all_reduce", None, 0, 8),
    ]


def test_whatever_changes_the_measurement_changes_the_key() -> None:
    base = plan(a=MATMUL).cases("cpu", 2)[0].case.key
    changes: list[dict[str, Any]] = [{"m": 65}, {"dtype": "bf16"}, {"init": "zeros"}, {"seed": 1}, {"cache": "warm"}]
    keys = {plan(a={**MATMUL, **change}).cases("cpu", 2)[0].case.key for change in changes}
    assert len(keys | {base}) == len(changes) + 1
    assert plan(renamed=MATMUL).cases("cpu", 2)[0].case.key == base  # an entry's name is no part of it


def test_a_cache_state_shows_in_the_label() -> None:
    (case,) = (p.case for p in plan(a={**MATMUL, "cache": "cold"}).cases("cpu", 2))
    assert case.label.endswith(" cold cache")


@pytest.mark.parametrize(("only", "count"), [("a", 1), ("matmul", 2), ("matmul *128*", 1), (["all_*", "b"], 2)])
def test_only_picks_by_kernel_entry_or_label(only: Any, count: int) -> None:
    assert len(plan(only, a=MATMUL, b={**MATMUL, "m": 128}, r=REDUCE).cases("cpu", 2)) == count
