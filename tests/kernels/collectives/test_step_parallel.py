"""Steps on all ranks over gloo, between real processes: the mean of gradients, and that a wrong one is caught.

One group for each number of ranks goes through all scenarios (``step_ranks.py``); the tests read what it saw.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rank_groups import Outcomes, named, outcomes_of

RANKS = (1, 2, 3)

pytestmark = pytest.mark.slow  # the groups take most of the time, whichever test is the first


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcomes]:
    """For each number of ranks, the outcomes by scenario of every rank."""
    folder = tmp_path_factory.mktemp("groups")
    return outcomes_of(Path(__file__).with_name("step_ranks.py"), folder, RANKS)


@pytest.mark.parametrize("ranks", RANKS)
def test_gradients_are_the_mean_of_all_ranks(groups: dict[int, Outcomes], ranks: int) -> None:
    for name, outcomes in named(groups, ranks, "mean ").items():
        for rank, outcome in enumerate(outcomes):
            assert outcome["raised"] is None, (name, outcome)
            seen = outcome["result"]
            assert seen["worst"] < (0.02 if name.endswith("bf16") else 1e-5), name
            assert seen["in the buffer"], name
            assert seen["unchanged"], name
            assert seen["sets"] == (4 if ranks == 1 else 2), name
            # inputs are a rank's own
            assert seen["differ"] == (rank > 0), name
            assert "synchronised gradients" in seen["reference"]
            assert "over gloo" in seen["note"]
            assert ("parameters gathered" in seen["note"]) == ("reduce_scatter" in name)
            assert ("nothing is exchanged" in seen["note"]) == (ranks == 1)


def test_the_last_layer_is_sent_while_the_first_is_computed(groups: dict[int, Outcomes]) -> None:
    for name, outcomes in named(groups, 2, "mean ").items():
        for outcome in outcomes:
            (first, missing, none), (second, *rest) = outcome["result"]["order"]
            assert (first, none, second, rest) == (1, 0, 0, [0, 0]), name
            assert missing > 0


@pytest.mark.parametrize("ranks", [2, 3])
def test_what_is_not_the_mean_is_wrong_on_all_ranks(groups: dict[int, Outcomes], ranks: int) -> None:
    for name, outcomes in named(groups, ranks, "wrong ").items():
        assert [o["raised"] for o in outcomes] == ["WrongResult"] * ranks, (name, outcomes)
        assert len({o["said"] for o in outcomes}) == 1
        assert ("gathered" if " gather " in name else "mean gradient of layer") in outcomes[0]["said"], name


@pytest.mark.parametrize("ranks", RANKS)
def test_replicas_exchange_nothing(groups: dict[int, Outcomes], ranks: int) -> None:
    for outcomes in named(groups, ranks, "none ").values():
        assert all("replicas, nothing is exchanged" in o["result"]["note"] for o in outcomes)
        assert all("synchronised" not in o["result"]["reference"] for o in outcomes)


@pytest.mark.parametrize("ranks", [2, 3])
def test_one_outcome_on_all_ranks(groups: dict[int, Outcomes], ranks: int) -> None:
    outcomes = named(groups, ranks, "too little memory")["too little memory"]
    assert {o["raised"] for o in outcomes} == {"Unsupported"}
    assert all(f"rank 1 of {ranks}: needs" in o["said"] for o in outcomes)
    assert all(o["raised"] is None for o in named(groups, ranks, "usable")["usable after all"])
