"""Comparisons made again between real ranks over gloo: one verdict on all of them, and operands as they were.

One group for each number of ranks goes through all scenarios (``recheck_ranks.py``); the tests read what it saw.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rank_groups import Groups, Outcomes, named

RANKS = (2, 3)
KERNELS = (
    *("all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "sendrecv", "summed", "moe"),
    *("overlap compute", "overlap communication", "overlap both", "overlap product", "symmetric"),
    *("step none product", "step all_reduce product", "step reduce_scatter product"),
    *("step all_reduce sent", "step reduce_scatter gathered"),
)

pytestmark = pytest.mark.slow  # the groups take most of the time, whichever test is the first


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcomes]:
    """For each number of ranks, the outcomes by scenario of every rank."""
    return Groups(Path(__file__).with_name("recheck_ranks.py"), tmp_path_factory.mktemp("groups"))


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_what_one_rank_finds_wrong_is_the_verdict_of_all(groups: dict[int, Outcomes], kernel: str, ranks: int) -> None:
    outcomes = [outcome[kernel] for outcome in groups[ranks]]
    assert all(o["raised"] is None for o in outcomes), outcomes
    seen = [o["result"] for o in outcomes]
    assert all(s["before"] == s["after"] > 0 for s in seen)
    assert len({str(s["wrong"]) for s in seen}) == 1, "the same on every rank"
    wrong = seen[0]["wrong"]
    everywhere = kernel.startswith("step") and not kernel.endswith("product")  # the mean is that of all
    if everywhere:
        assert 1 in wrong["ranks"]
        return
    assert wrong["ranks"] == [1]
    assert wrong["said"].startswith(f"rank 1 of {ranks}: ")
    assert wrong["wrong"] >= 1
    assert wrong["error"] > 0
    assert wrong["at"]


@pytest.mark.parametrize("ranks", RANKS)
def test_a_failure_on_one_rank_leaves_none_behind(groups: dict[int, Outcomes], ranks: int) -> None:
    outcomes = [outcome["broken"] for outcome in groups[ranks]]
    assert [o["raised"] for o in outcomes] == ["RuntimeError", "OSError", "RuntimeError"][:ranks]
    assert all("link down" in o["said"] for o in outcomes)
    assert [outcome["usable after all"]["raised"] for outcome in groups[ranks]] == [None] * ranks


@pytest.mark.parametrize("ranks", RANKS)
def test_operands_are_those_of_before(groups: dict[int, Outcomes], ranks: int) -> None:
    placed = 0
    for name, outcomes in named(groups, ranks, "restored ").items():
        for outcome in outcomes:
            if outcome["raised"] != "Unsupported":  # a placement that there is not
                placed += 1
                assert outcome["raised"] is None, (name, outcome)
                assert all(outcome["result"].values()), (name, outcome)
    assert placed == 8 * ranks
