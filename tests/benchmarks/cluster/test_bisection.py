"""Bisection of failing groups whose culprits are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perwatt.benchmarks.cluster.bisection import Bisection, Finding


def named(n: int) -> list[str]:
    return [f"n{i}" for i in range(n)]


def led(search: Bisection, passes: Callable[[set[str]], bool | None]) -> int:
    """Leads the search to its end; the number of steps."""
    steps = 0
    while groups := search.groups():
        hosts = [host for group in groups for host in group]
        assert len(hosts) == len(set(hosts)), "groups of one step run at once"
        assert set(hosts) <= set(search.hosts)
        search.answer({group: passes(set(group)) for group in groups})
        steps += 1
        assert steps < 500
    return steps


@given(st.integers(1, 200), st.data())
def test_one_culprit_takes_log2_steps_and_one_to_confirm(n: int, data: st.DataObject) -> None:
    bad = data.draw(st.sampled_from(named(n)))
    search = Bisection(named(n))
    steps = led(search, lambda group: bad not in group)
    assert search.findings == (Finding((bad,), "alone"),)
    assert steps <= math.ceil(math.log2(n)) + 1
    assert set(search.known_good) == set(named(n)) - {bad}


@given(st.integers(2, 64), st.data())
def test_all_culprits_are_found_in_as_many_steps(n: int, data: st.DataObject) -> None:
    bad = set(data.draw(st.lists(st.sampled_from(named(n)), min_size=1, unique=True)))
    search = Bisection(named(n))
    steps = led(search, lambda group: not bad & group)
    assert {f.hosts[0] for f in search.findings} == bad
    assert {f.how for f in search.findings} == {"alone"}
    assert len(search.findings) == len(bad)
    assert steps <= math.ceil(math.log2(n)) + 1


@given(st.integers(2, 64), st.data())
def test_hosts_that_fail_only_together_are_told_from_others(n: int, data: st.DataObject) -> None:
    """Several disjoint sets, each of which fails if all of it is in the group: each is found, whole and alone."""
    order = data.draw(st.permutations(named(n)))
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    assume(sum(sizes) <= n)
    sets, at = [], 0
    for size in sizes:
        sets.append(set(order[at : at + size]))
        at += size
    search = Bisection(named(n))
    led(search, lambda group: not any(s <= group for s in sets))
    assert sorted(sorted(f.hosts) for f in search.findings) == sorted(sorted(s) for s in sets)
    assert all(f.how == ("alone" if len(f.hosts) == 1 else "only together") for f in search.findings)
    assert not {h for s in sets for h in s} & set(search.known_good)


def test_a_pair_of_64_takes_few_tests() -> None:
    search = Bisection(named(64))
    assert led(search, lambda group: not {"n5", "n60"} <= group) <= 2 + 2 * 2 * math.log2(64)
    assert search.findings == (Finding(("n5", "n60"), "only together"),)


def test_a_group_that_cannot_be_tested_is_undecided_and_the_rest_goes_on() -> None:
    search = Bisection(named(8))
    led(search, lambda group: None if group == {"n0", "n1"} else "n6" not in group and "n1" not in group)
    assert set(search.findings) == {Finding(("n0", "n1"), "undecided"), Finding(("n6",), "alone")}
    search = Bisection(named(4))
    led(search, lambda group: None)
    assert {f.how for f in search.findings} == {"undecided"}
    assert {h for f in search.findings for h in f.hosts} == set(named(4))


def test_together_and_untestable_is_undecided() -> None:
    search = Bisection(named(8))
    led(search, lambda group: True if len(group) in (1, 4) else None)
    assert search.findings == (Finding(tuple(named(8)), "undecided"),)
    # the halves pass, and the whole cannot be tested once more
    search = Bisection(named(8))
    assert led(search, lambda group: None if len(group) == 8 else True) == 2
    assert search.findings == (Finding(tuple(named(8)), "undecided"),)


def test_a_failure_that_does_not_come_again_blames_nobody() -> None:
    search = Bisection(named(8))
    assert led(search, lambda group: True) == 2
    assert search.findings == (Finding(tuple(named(8)), "not again"),)


@pytest.mark.parametrize("hosts", [[], ["a", "a"]])
def test_hosts_are_each_given_once(hosts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^bisection: found \d hosts, \d different; allowed each once$"):
        Bisection(hosts)


def test_answers_are_for_what_was_asked() -> None:
    search = Bisection(named(4))
    with pytest.raises(ValueError, match="found 1 answers; allowed one for each of 2 groups"):
        search.answer({("n0", "n1"): True})
