"""The collectives over gloo, between real processes: values, repetition, and one outcome on all ranks.

One group for each number of ranks goes through all scenarios (``gloo_ranks.py``); the tests read what it saw.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rank_groups import Outcomes, named, outcomes_of

RANKS = (1, 2, 3)
KINDS = ("all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "sendrecv")
ROUNDOFF = {"fp32": 2**-24, "bf16": 2**-8, "fp16": 2**-11, "fp8_e4m3": 2**-4}


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcomes]:
    """For each number of ranks, the outcomes by scenario of every rank."""
    folder = tmp_path_factory.mktemp("groups")
    return outcomes_of(Path(__file__).with_name("gloo_ranks.py"), folder, RANKS)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_right_and_stay_so(groups: dict[int, Outcomes], kind: str, ranks: int) -> None:
    measured = 0
    for name, outcomes in named(groups, ranks, f"values {kind} ").items():
        _, _, dtype, op, in_place, size = name.split(" ")
        for outcome in outcomes:
            if outcome["raised"]:
                assert outcome["raised"] == "Unsupported", (name, outcome)
                continue
            measured += 1
            seen = outcome["result"]
            rounded = op in ("avg", "sum")  # of numbers below 8, ranks - 1 additions and a division
            assert seen["worst"] <= (2 * ranks * ROUNDOFF[dtype] if rounded else 0.0), (name, seen)
            assert seen["finite"], name
            assert seen["zeros"] < 0.01, name
            max_error, tolerance, compared = seen["check"]
            assert 0.0 <= max_error <= tolerance, name
            assert (tolerance == 0.0) == (op != "avg" or ranks != 3), name
            assert compared == seen["elements"], name
            assert seen["differ"] == (ranks > 1) or kind in ("broadcast", "all_reduce"), name
            lasting = op == "sum" and ranks > 1 and in_place == "True"
            assert ("restored" in seen["note"]) == (lasting and (kind == "all_reduce" or dtype == "fp16")), name
            assert "over gloo" in seen["note"]
            assert size in ("4", "2", "16") or seen["sets"] == (4 if ranks == 1 else 2), name
    assert measured or (kind, ranks) == ("sendrecv", 1)


@pytest.mark.parametrize(
    ("kind", "in_place", "reason"),
    [
        ("all_reduce", False, "in place only"),
        ("broadcast", False, "in place only"),
        ("all_to_all", True, "not offered"),
        ("sendrecv", True, "cannot receive into"),
    ],
)
def test_a_placement_that_does_not_exist_is_skipped_with_the_reason(
    groups: dict[int, Outcomes], kind: str, in_place: bool, reason: str
) -> None:
    for name, outcomes in named(groups, 2, f"values {kind} ").items():
        if name.endswith(" 16"):
            continue
        if f" {in_place} " in name:
            assert all(o["raised"] == "Unsupported" and reason in o["said"] for o in outcomes)
        else:
            assert all(o["raised"] is None for o in outcomes), (name, outcomes)


@pytest.mark.parametrize("ranks", [2, 3])
def test_averages_in_place_neither_grow_nor_decay(groups: dict[int, Outcomes], ranks: int) -> None:
    for outcome in named(groups, ranks, "settled")["settled"]:
        assert outcome["raised"] is None, outcome
        assert outcome["result"]["same"]  # and so after any number of launches
        assert outcome["result"]["binades"] <= 1.0


@pytest.mark.parametrize("ranks", [2, 3])
def test_sums_in_place_overflow_unless_they_are_restored(groups: dict[int, Outcomes], ranks: int) -> None:
    assert [o["result"] for o in named(groups, ranks, "unrestored")["unrestored"]] == [False] * ranks


@pytest.mark.parametrize("ranks", [2, 3])
def test_wrong_data_on_one_rank_is_wrong_on_all(groups: dict[int, Outcomes], ranks: int) -> None:
    for name, outcomes in named(groups, ranks, "wrong ").items():
        assert [o["raised"] for o in outcomes] == ["WrongResult"] * ranks, (name, outcomes)
        assert len({o["said"] for o in outcomes}) == 1, name
        expected = ", ".join(map(str, range(ranks))) if name.startswith(("wrong op", "wrong without")) else "1"
        assert f" {expected} of {ranks}: " in outcomes[0]["said"], (name, outcomes[0])


def test_one_outcome_on_all_ranks(groups: dict[int, Outcomes]) -> None:
    def of(name: str) -> list[tuple[str, str]]:
        return [(o["raised"], o["said"]) for o in named(groups, 3, name)[name]]

    everyone = ("Unsupported", "reduce_scatter in fp16 sum over gloo: Invalid scalar type")
    assert of("refused by all") == [everyone] * 3
    # what only one refuses is not a missing feature
    assert [kind for kind, _ in of("refused by one")] == ["RuntimeError"] * 3
    assert all("rank 1 of 3 refused what the others did" in said for _, said in of("refused by one"))
    other = ("RuntimeError", "rank 1 of 3 failed: link down")
    assert of("broken on one") == [other, ("OSError", "link down"), other]
    assert [kind for kind, _ in of("device error")] == ["RuntimeError", "DistBackendError", "RuntimeError"]
    assert {kind for kind, _ in of("too little memory")} == {"Unsupported"}
    assert all("rank 1 of 3: needs" in said for _, said in of("too little memory"))
    assert of("no element")[0][1].startswith("a message of 8 B over 3 ranks leaves no fp32 element per rank")


@pytest.mark.parametrize("ranks", RANKS)
def test_only_parts_of_a_large_message_are_compared_its_end_among_them(groups: dict[int, Outcomes], ranks: int) -> None:
    for outcome in named(groups, ranks, "windows")["windows"]:
        assert outcome["raised"] == "WrongResult"
        assert "element 16383 is" in outcome["said"]


@pytest.mark.parametrize("ranks", RANKS)
def test_the_group_is_usable_after_failures(groups: dict[int, Outcomes], ranks: int) -> None:
    assert [o["raised"] for o in named(groups, ranks, "usable")["usable after all"]] == [None] * ranks


def test_versions_without_the_newer_names(groups: dict[int, Outcomes]) -> None:
    outcomes = named(groups, 2, "former names")["former names"]
    assert [o["result"] for o in outcomes] == [["over gloo"] * 2] * 2, outcomes


def test_a_single_rank_says_that_nothing_is_exchanged(groups: dict[int, Outcomes]) -> None:
    outcome = named(groups, 1, "usable")["usable after all"][0]
    assert "a single rank: nothing is exchanged" in outcome["result"]
    for outcomes in named(groups, 1, "values sendrecv").values():
        assert outcomes[0]["said"] == "sendrecv needs two ranks"
