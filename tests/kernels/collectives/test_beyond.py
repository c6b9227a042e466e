"""Overlap, mixture-of-experts traffic and symmetric memory: over gloo between real processes, and their specifications.

One group for each number of ranks goes through all scenarios (``beyond_ranks.py``); the tests read what it saw.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import rank_groups
import yaml
from conftest import require
from rank_groups import Groups, Outcomes

from perwatt.kernels.collectives import routing
from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.collectives.moe_all_to_all import MoeAllToAll
from perwatt.kernels.collectives.overlap import Overlap
from perwatt.kernels.collectives.symmetric_all_gather import SymmetricAllGather
from perwatt.kernels.collectives.symmetric_all_reduce import SymmetricAllReduce
from perwatt.kernels.workload import Place, Unsupported, Workload

RANKS = (2, pytest.param(4, marks=pytest.mark.slow))
SPECS: tuple[type[Workload], ...] = (Overlap, MoeAllToAll, SymmetricAllReduce, SymmetricAllGather)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcomes]:
    """For each number of ranks, the outcomes by scenario of every rank."""
    return Groups(Path(__file__).with_name("beyond_ranks.py"), tmp_path_factory.mktemp("groups"))


def named(groups: dict[int, Outcomes], ranks: int, prefix: str) -> dict[str, list[Any]]:
    """The scenarios whose name starts so, with what each rank saw; none may have raised."""
    found = rank_groups.named(groups, ranks, prefix)
    for name, outcomes in found.items():
        assert all(one["raised"] is None for one in outcomes), (name, outcomes[0])
    return {name: [one["result"] for one in outcomes] for name, outcomes in found.items()}


def raised(groups: dict[int, Outcomes], ranks: int, name: str) -> tuple[str, str]:
    """What all ranks raised alike."""
    found = {(rank[name]["raised"], rank[name]["said"]) for rank in groups[ranks]}
    assert len(found) == 1, found
    return found.pop()


# -- overlap -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("operation", ["all_reduce", "all_gather", "reduce_scatter", "all_to_all"])
def test_each_part_and_both_give_both_right_results(groups: dict[int, Outcomes], operation: str, ranks: int) -> None:
    for name, outcomes in named(groups, ranks, f"overlap {operation} ").items():
        part = name.split()[-1]
        for seen in outcomes:
            assert ("product" in seen) == (part != "communication")
            assert ("message" in seen) == (part != "compute")
            assert seen.get("product", 0.0) == 0.0, name  # the same product again, into a buffer that was overwritten
            assert seen.get("spread", 2.0) > 1.0
            assert seen.get("message", 0.0) <= ranks * 2**-20, name
            max_error, tolerance, compared = seen["check"]
            assert 0.0 <= max_error <= tolerance
            assert compared >= (48 * 40 if part != "communication" else 768)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", RANKS)
def test_the_product_runs_between_start_and_wait(groups: dict[int, Outcomes], ranks: int) -> None:
    assert named(groups, ranks, "overlap order")["overlap order"] == [["started", "product", "awaited"]] * ranks


@pytest.mark.parametrize("ranks", RANKS)
def test_a_result_spoiled_by_the_other_is_wrong_on_all_ranks(groups: dict[int, Outcomes], ranks: int) -> None:
    kind, said = raised(groups, ranks, "overlap wrong product")
    assert (kind, said[:14]) == ("WrongResult", f"rank 1 of {ranks}: C")
    assert "1 of 1920 compared elements are wrong" in said
    kind, said = raised(groups, ranks, "overlap wrong message")
    assert (kind, said[:11]) == ("WrongResult", f"rank 0 of {ranks}")


def test_work_is_that_of_all_ranks_as_their_energy_is() -> None:
    both = Overlap(m=64, n=32, k=16, dtype="bf16", message_bytes="1MiB")
    product = 2 * 64 * 32 * 16
    moved = 2 * (64 * 16 + 16 * 32 + 64 * 32)
    assert dataclasses.replace(both, part="compute").work(4) == type(both.work())(4 * product, 4 * moved, "flops")
    assert dataclasses.replace(both, part="communication").work(4) == AllReduce(message_bytes="1MiB").work(4)
    found = both.work(4)
    assert (found.flops, found.headline, found.message_bytes, found.bus_factor) == (4 * product, "flops", 1 << 20, 1.5)
    assert found.bytes == 4 * (moved + (2 << 20))


def test_parts_of_one_configuration_differ_in_nothing_but_the_part() -> None:
    parts = [Overlap(part=part).params() for part in ("compute", "communication", "both")]
    assert [p.pop("part") for p in parts] == ["compute", "communication", "both"]
    assert parts[0] == parts[1] == parts[2]
    assert Overlap(m=64).params() == Overlap(m=64, n=64, k=64, message_dtype="bf16").params()
    assert Overlap(dtype="fp8_e4m3").params()["message_dtype"] == "bf16"
    assert Overlap(dtype="tf32").params()["message_dtype"] == "fp32"
    assert Overlap(m=64).label() == "both: bf16 64x64x64, all_reduce 64 MiB"
    assert Overlap(m=64, message_dtype="fp32").label() == "both: bf16 64x64x64, all_reduce fp32 64 MiB"


# -- mixture of experts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("direction", ["dispatch", "combine"])
def test_every_token_arrives_where_its_expert_is(groups: dict[int, Outcomes], direction: str, ranks: int) -> None:
    for name, outcomes in named(groups, ranks, f"moe {direction} ").items():
        own, other = ("sent", "received") if direction == "dispatch" else ("received", "sent")
        assert all(seen["same"] and seen["sets"] == 2 and not seen["zeros"] for seen in outcomes), name
        assert [seen[own] for seen in outcomes] == [37 * 3] * ranks
        assert sum(seen[other] for seen in outcomes) == 37 * 3 * ranks
        size = {"fp32": 4, "bf16": 2, "fp8_e4m3": 1}[name.split()[2]]
        busiest = max(seen[key] for seen in outcomes for key in ("sent", "received"))
        assert {seen["message_bytes"] for seen in outcomes} == {busiest * 48 * size}
        assert [seen["check"] for seen in outcomes] == [[0.0, 0.0, seen["received"] * 48] for seen in outcomes]


@pytest.mark.parametrize("ranks", RANKS)
def test_a_rank_that_receives_nothing_takes_part(groups: dict[int, Outcomes], ranks: int) -> None:
    (outcomes,) = named(groups, ranks, "moe lone").values()
    assert all(seen["same"] for seen in outcomes)
    assert min(seen["received"] for seen in outcomes) == 0
    assert raised(groups, ranks, "moe too few")[0] == "Unsupported"


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("how", ["last", "missing", "rolled"])
def test_what_was_misrouted_is_wrong(groups: dict[int, Outcomes], how: str, ranks: int) -> None:
    kind, said = raised(groups, ranks, f"moe wrong {how}")
    assert (kind, said[:11]) == ("WrongResult", f"rank 1 of {ranks}")


def test_routing_is_seeded_even_without_skew_and_uneven_with_it() -> None:
    even = routing.counts(8, 1000, 64, 8, 0.0, 0)
    assert even == routing.counts.__wrapped__(8, 1000, 64, 8, 0.0, 0)
    assert even != routing.counts(8, 1000, 64, 8, 0.0, 1)
    assert [sum(row) for row in even] == [8000] * 8
    assert all(abs(n - 1000) < 150 for row in even for n in row)  # five deviations of a binomial and more
    loads = [
        [sum(column) for column in zip(*routing.counts(8, 1000, 64, 8, skew, 0), strict=True)] for skew in (0, 1, 2)
    ]
    assert max(loads[0]) < max(loads[1]) < max(loads[2])
    assert {sum(load) for load in loads} == {64000}
    # every token has as many different experts as it asks for, however one of them is preferred
    assert routing.counts(2, 5, 2, 2, 2.0, 0) == ((5, 5), (5, 5))


def test_s_is_that_of_the_busiest_rank_and_tokens_are_those_of_all() -> None:
    spec = MoeAllToAll(tokens=100, hidden=32, experts=16, top_k=4, skew=1.5, dtype="bf16")
    splits = spec.splits(4)
    received = [sum(column) for column in zip(*splits, strict=True)]
    assert max(received) > 400
    work = spec.work(4)
    assert (work.message_bytes, work.bus_factor, work.tokens) == (max(received) * 64, 0.75, 400)
    assert work.bytes == (400 + max(received)) * 64
    back = dataclasses.replace(spec, direction="combine")
    assert back.splits(4) == tuple(zip(*splits, strict=True))
    assert back.work(4) == work


def test_deepseek_v3() -> None:
    """Hidden 7168, 8 of 256 experts, fp8 there and bf16 back (arXiv 2412.19437): the bytes of a balanced dispatch."""
    there = MoeAllToAll(dtype="fp8_e4m3").work(8)
    back = MoeAllToAll(dtype="bf16", direction="combine").work(8)
    assert there.message_bytes == pytest.approx(4096 * 8 * 7168, rel=0.03)
    assert back.message_bytes == 2 * there.message_bytes
    assert there.tokens == 8 * 4096


# -- symmetric memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", RANKS)
def test_symmetric_memory_is_skipped_with_the_librarys_reason(groups: dict[int, Outcomes], ranks: int) -> None:
    for name in ("all_reduce", "all_gather"):
        kind, said = raised(groups, ranks, f"symmetric none {name}")
        assert (kind, "\n" in said) == ("Unsupported", False)
        assert said == "symmetric memory on cpu: SymmetricMemory does not support device type cpu"


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize(
    ("method", "operation", "in_place"),
    [
        ("one_shot", "one_shot_all_reduce_out", False),
        ("two_shot", "two_shot_all_reduce_", True),
        ("multimem", "multimem_all_reduce_", True),
    ],
)
def test_each_method_calls_its_operation_on_what_it_takes(
    groups: dict[int, Outcomes], method: str, operation: str, in_place: bool, ranks: int
) -> None:
    for name, outcomes in named(groups, ranks, f"symmetric symmetric_all_reduce {method} ").items():
        for seen in outcomes:
            assert seen["called"] == [operation]
            assert seen["in place"] == in_place
            assert seen["worst"] <= 2 * ranks * (2**-8 if "bf16" in name else 2**-24)
            assert seen["check"] == [0.0, 0.0]
            assert (seen["sets"], seen["finite"]) == (2, True)
            assert seen["note"].startswith("over symmetric memory")
            assert ("restored" in seen["note"]) == in_place


@pytest.mark.parametrize("ranks", RANKS)
def test_an_all_gather_writes_to_what_the_peers_reach(groups: dict[int, Outcomes], ranks: int) -> None:
    found = named(groups, ranks, "symmetric symmetric_all_gather ")
    assert len(found) == 3
    for outcomes in found.values():
        for seen in outcomes:
            assert (seen["called"], seen["worst"]) == (["multimem_all_gather_out"], 0.0)


@pytest.mark.parametrize("ranks", RANKS)
def test_a_kernel_that_leaves_an_element_out_is_wrong(groups: dict[int, Outcomes], ranks: int) -> None:
    kind, said = raised(groups, ranks, "symmetric wrong")
    assert (kind, said[:11]) == ("WrongResult", f"rank 0 of {ranks}")
    assert named(groups, ranks, "usable after all")["usable after all"] == ["over gloo"] * ranks


@pytest.mark.gpu
@pytest.mark.parametrize("suite", ["communication"])
def test_on_two_accelerators_all_of_it_runs(tmp_path: Path, perwatt: Any, suite: str) -> None:
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    require("two gpus", found is not None and torch.accelerator.device_count() >= 2)
    from perwatt.results.record import Failed
    from perwatt.results.store import load

    short = ("profile.warmup_s=0.05", "profile.window_s=0.2", "profile.min_readings=1", "launcher.ranks=2")
    done = perwatt("run", f"suite={suite}", *short, timeout=900)
    assert done.code == 0, done.err
    records = load(tmp_path / done.run)
    assert not [r for r in records if isinstance(r.outcome, Failed)]
    measured = [r for r in records if r.measured]
    assert {"overlap", "moe_all_to_all", "all_reduce"} <= {r.case.kernel for r in measured}
    for r in measured:
        m = r.measured
        assert m is not None
        if r.case.kernel == "all_reduce" and m.collective is not None and not m.collective.reason:
            asked = r.case.params.get("algorithm")
            assert m.collective.algorithm
            assert asked is None or m.collective.algorithm == asked


# -- specifications ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_yaml_lists_exactly_the_fields_with_their_defaults(spec: type[Workload]) -> None:
    text = (files("perwatt.conf") / "kernel" / f"{spec.name}.yaml").read_text()
    config = yaml.safe_load(text)
    module, _, name = config.pop("_target_").rpartition(".")
    assert getattr(importlib.import_module(module), name) is spec
    assert config == {field.name: field.default for field in dataclasses.fields(spec)}
    assert spec(**config) == spec()
    for line in text.splitlines():
        assert line.startswith(("#", "_target_")) or " # " in line, f"no comment: {line}"


@pytest.mark.parametrize(
    ("spec", "values", "message"),
    [
        (Overlap, {"part": "all"}, "overlap.part: 'all' is not one of compute, communication, both"),
        (Overlap, {"operation": "broadcast"}, "overlap.operation: 'broadcast' is not one of all_reduce, all_gather"),
        (Overlap, {"m": 0}, "overlap.m: 0 is not a positive integer"),
        (Overlap, {"message_bytes": "1MB"}, "overlap.message_bytes: '1MB'"),
        (Overlap, {"message_dtype": "fp8_e4m3"}, "overlap.message_dtype: 'fp8_e4m3' is not one of fp64, fp32"),
        (Overlap, {"dtype": "int8"}, "overlap.dtype: 'int8'"),
        (Overlap, {"init": "ones"}, "overlap.init: 'ones'"),
        (Overlap, {"seed": -1}, "overlap.seed: -1"),
        (MoeAllToAll, {"top_k": 9, "experts": 8}, "moe_all_to_all.top_k: 9 of 8 experts"),
        (MoeAllToAll, {"skew": 2.5}, "moe_all_to_all.skew: 2.5 is not a number from 0 to 2"),
        (MoeAllToAll, {"skew": True}, "moe_all_to_all.skew: True"),
        (MoeAllToAll, {"direction": "both"}, "moe_all_to_all.direction: 'both' is not one of dispatch, combine"),
        (MoeAllToAll, {"tokens": 0}, "moe_all_to_all.tokens: 0"),
        (
            SymmetricAllReduce,
            {"method": "ring"},
            "symmetric_all_reduce.method: 'ring' is not one of one_shot, two_shot",
        ),
        (SymmetricAllReduce, {"dtype": "fp16"}, "symmetric_all_reduce.dtype: 'fp16' is not one of fp32, bf16"),
        (SymmetricAllGather, {"message_bytes": 0}, "symmetric_all_gather.message_bytes: 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(spec: type[Workload], values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        spec(**values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("spec", SPECS)
def test_without_a_group_they_are_skipped(spec: type[Workload]) -> None:
    with pytest.raises(Unsupported, match="no process group"):
        spec().prepare(Place("cpu"))


def test_specs_are_built_and_described_without_torch() -> None:
    program = """
import sys
from perwatt.kernels.collectives.moe_all_to_all import MoeAllToAll
from perwatt.kernels.collectives.overlap import Overlap
from perwatt.kernels.collectives.symmetric_all_gather import SymmetricAllGather
from perwatt.kernels.collectives.symmetric_all_reduce import SymmetricAllReduce
for spec in (Overlap(), MoeAllToAll(tokens=64), SymmetricAllGather(), SymmetricAllReduce()):
    print(spec.label(), spec.series(), spec.size(), spec.work(2), spec.footprint_bytes(2), spec.params())
assert "torch" not in sys.modules and "numpy" not in sys.modules, sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
